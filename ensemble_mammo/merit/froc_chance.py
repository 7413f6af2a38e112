"""What boxes thrown at random over the breasts would find: the floor of a FROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_mammo.merit.froc import BEST, RATES, Floats, Held


def chance(held: Held, rates: Sequence[float] | Floats = RATES) -> Floats:
    """The sensitivity [G] that boxes thrown at random over the breasts would have at each rate.

    As many points an image, on average m, fall evenly over each breast (a Poisson process): a lesion that covers the
    share a is hit with probability 1 - exp(-m a), and m (1 - covered) of them are false positives.
    """
    shares = np.concatenate([np.empty(0), *(one.shares for one in held.images)])
    covered = [one.covered for one in held.images if one.alarms]
    if not len(shares) or not covered or not np.isfinite([*shares, *covered]).all() or np.mean(covered) >= 1:
        return np.full(len(rates), np.nan)
    points = np.asarray(rates, dtype=np.float64) / (1 - np.mean(covered))
    found: Floats = (1 - np.exp(-points[:, None] * shares)).mean(axis=1)
    return found


def chance_of_best(held: Held, counts: Sequence[int] = BEST) -> list[float]:
    """The share of lesions that k points at random in each breast would hit: the mean of 1 - (1 - share)^k."""
    shares = np.concatenate([np.empty(0), *(one.shares for one in held.images)])
    return [float((1 - (1 - shares) ** k).mean()) if len(shares) else float("nan") for k in counts]
