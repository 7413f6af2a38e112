"""How many cases or subjects an interval of a wanted width needs.

Widths are those of whole 95 % intervals: upper limit minus lower limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ensemble_mammo.merit.intervals import CONFIDENCE, Statistic

_Z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))

_MOST = 10**9
"""More cases are not looked for."""

_CELLS = 2_000_000
"""Draws held in memory at once."""


def needed_for_share(share: float, width: float) -> float:
    """Independent cases for a share (accuracy, sensitivity, …) whose Wilson interval has that width; nan if undefined.

    The normal formula z² p (1 - p) / h² (statsmodels' `samplesize_confint_proportion`) with half width h needs none at
    0 or 1; the interval of Wilson (J Am Stat Assoc 1927) holds there too. Its width for n cases is
    2 z sqrt(p (1 - p) / n + z² / 4n²) / (1 + z² / n), which is solved for n.
    """
    if math.isnan(share):
        return math.nan
    # with u = z²/n: 4 u (p q + u / 4) = w² (1 + u)², a quadratic in u
    spread, wanted = share * (1 - share), width**2
    a, b, c = 1 - wanted, 4 * spread - 2 * wanted, -wanted
    u = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    return math.ceil(_Z**2 / u - 1e-9)


def needed_by_width(present: int, width: float, wanted: float) -> float:
    """Subjects for the wanted width when `present` subjects gave `width`: widths go with 1 / sqrt(n); nan if undefined.

    It holds for any figure whose interval is about normal, with subjects like the present ones.
    """
    if math.isnan(width) or width <= 0:
        return math.nan
    return math.ceil(present * (width / wanted) ** 2 - 1e-9)


def auc_error(area: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC (Hanley & McNeil, Radiology 1982): scores as if from exponential distributions."""
    up, down = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (up - area**2) + (negatives - 1) * (down - area**2)
    return math.sqrt(variance / (positives * negatives))


def needed_for_auc(area: float, prevalence: float, width: float) -> float:
    """Independent cases for an AUC whose interval (2 x 1.96 standard errors of Hanley & McNeil) has that width.

    Args:
        area: the expected AUC, between 0.5 and 1.
        prevalence: share of positive cases among them.
        width: wanted.

    Returns:
        nan where it is undefined: no cases of one side, or an AUC below 0.5 or of 1 (whose formula gives 0).
    """
    if math.isnan(area) or not 0.5 <= area < 1 or not 0 < prevalence < 1:
        return math.nan
    few, many = math.ceil(2 / min(prevalence, 1 - prevalence)), _MOST
    error = width / (2 * _Z)
    if auc_error(area, prevalence * few, (1 - prevalence) * few) <= error:
        return few
    while many - few > 1:
        middle = (few + many) // 2
        wide = auc_error(area, prevalence * middle, (1 - prevalence) * middle) > error
        few, many = (middle, many) if wide else (few, middle)
    return many


def width_of(limits: NDArray[np.float64]) -> float:
    """Width of the percentile interval of resamples [R]; nan where no figure is defined."""
    defined = limits[~np.isnan(limits)]
    if not len(defined):
        return math.nan
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(high - low)


def drawn_widths(
    subjects: Sequence[str], statistic: Statistic, count: int, resamples: int, seed: int
) -> dict[str, float]:
    """Widths of intervals if `count` subjects were there: so many are drawn with replacement from the present ones.

    Args:
        subjects: [N], of each case: who is drawn is drawn with all her cases.
        statistic: figures from how often each case is drawn.
        count: subjects in each resample, more or fewer than there are.
        resamples: how many are drawn, 1 or more.
        seed: of the draws.
    """
    names, subject_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    generator = np.random.default_rng(seed)
    shares = np.full(len(names), 1 / len(names))
    chunk = max(1, _CELLS // len(names))
    parts = []
    for start in range(0, resamples, chunk):
        times = generator.multinomial(count, shares, size=min(chunk, resamples - start)).astype(np.float64)
        parts.append(statistic(times[:, subject_of]))
    return {name: width_of(np.concatenate([part[name] for part in parts])) for name in parts[0]}
