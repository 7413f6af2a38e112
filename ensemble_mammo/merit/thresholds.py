"""Thresholds on the score of two classes, and what calling cases positive at them comes to.

A case is called positive at `score >= threshold`. Thresholds are chosen on one set of cases and judged on another;
chosen on the cases they are judged on, they look better than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.figures import ratio
from ensemble_mammo.merit.intervals import Interval, bootstrap, interval, with_width
from ensemble_mammo.merit.roc import steps_of

Floats = NDArray[np.float64]

_TOLERANCE = 1e-9
"""Of shares: 9 of 10 cases are 0.9, whatever the rounding."""


@dataclass(frozen=True)
class Threshold:
    """A threshold, and how it was chosen."""

    rule: str
    "for people, such as `sensitivity 0.90`"
    value: float
    "cases that score as much or more are called positive"
    chosen_on: str
    "for people: the cases it was chosen on, or `fixed`"
    optimistic: bool = False
    "whether those are the cases it is judged on"


@dataclass(frozen=True)
class Called:
    """What calling cases positive at one threshold comes to."""

    threshold: Threshold
    "how it was chosen"
    true_positives: int
    "positive cases called positive"
    false_positives: int
    "negative cases called positive"
    false_negatives: int
    "positive cases called negative"
    true_negatives: int
    "negative cases called negative"
    figures: Mapping[str, Interval]
    "the figures of `calling_figures`, with limits for this threshold as it is"


def youden(positive: ArrayLike, score: ArrayLike) -> float:
    """The score at which sensitivity + specificity - 1 is highest (Youden, Cancer 1950); of equals the highest score.

    Args:
        positive: [N] booleans; both sides must have a case.
        score: [N].
    """
    steps = steps_of(*_two_sided(positive, score))
    gained = np.round((steps.sensitivity - steps.false_positive_rate)[1:], 12)  # equal but for rounding is equal
    return float(steps.thresholds[1 + int(gained.argmax())])


def reaching(positive: ArrayLike, score: ArrayLike, sensitivity: float) -> float:
    """The highest score that, as a threshold, finds at least this share of the positive cases.

    Args:
        positive: [N] booleans; both sides must have a case.
        score: [N].
        sensitivity: above 0, up to 1.
    """
    steps = steps_of(*_two_sided(positive, score))
    return float(steps.thresholds[int((steps.sensitivity >= sensitivity - _TOLERANCE).argmax())])


def chosen_for(positive: ArrayLike, score: ArrayLike, recall: float, chosen_on: str) -> Acting:
    """The highest threshold that finds this share of the positive cases, and what it finds there.

    Args:
        positive: [N] booleans of cases outside the test; both sides must have a case.
        score: [N].
        recall: above 0, up to 1.
        chosen_on: what those cases are, for people.
    """
    value = reaching(positive, score, recall)
    found = np.asarray(score, dtype=np.float64)[np.asarray(positive, dtype=bool)] >= value
    return Acting(value, chosen_on, recall, float(found.mean()))


def calling_figures(
    positive: ArrayLike, score: ArrayLike, thresholds: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, Floats]:
    """What calling cases positive at each of T thresholds comes to, [..., T] each; nan where it is undefined.

    Args:
        positive: [N] booleans.
        score: [N].
        thresholds: [T].
        weights: [..., N], how often each case is drawn; once unless given.

    Returns:
        `sensitivity`, `specificity`; `ppv` and `npv`, the shares of the positive and of the negative calls that are
        right; `called`, the share of all cases called positive (in screening: the recall rate); `accuracy`.
    """
    side = np.asarray(positive, dtype=bool)
    times = np.ones(len(side)) if weights is None else np.asarray(weights, dtype=np.float64)
    cells = _cells(side, np.asarray(score), np.asarray(thresholds))
    hits, alarms, misses, passes = np.split(times @ np.concatenate(cells, axis=1), 4, axis=-1)
    total = hits + alarms + misses + passes
    return {
        "sensitivity": ratio(hits, hits + misses),
        "specificity": ratio(passes, passes + alarms),
        "ppv": ratio(hits, hits + alarms),
        "npv": ratio(passes, passes + misses),
        "called": ratio(hits + alarms, total),
        "accuracy": ratio(hits + passes, total),
    }


def called_at(
    positive: ArrayLike,
    score: ArrayLike,
    thresholds: Sequence[Threshold],
    drawn: Mapping[str, Floats],
) -> list[Called]:
    """What each threshold comes to, with limits from resamples.

    Args:
        positive: [N] booleans.
        score: [N].
        thresholds: T of them.
        drawn: `calling_figures` of bootstrap resamples, [R, T] each; empty: no limits.
    """
    side = np.asarray(positive, dtype=bool)
    values = np.array([one.value for one in thresholds])
    counts = [one.sum(axis=0).astype(int).tolist() for one in _cells(side, np.asarray(score), values)]  # 4 of [T]
    figures = calling_figures(side, score, values)
    found = []
    for place, threshold in enumerate(thresholds):
        hits, alarms, misses, passes = (count[place] for count in counts)
        shares = {
            "sensitivity": (hits, hits + misses),
            "specificity": (passes, passes + alarms),
            "ppv": (hits, hits + alarms),
            "npv": (passes, passes + misses),
        }
        limited = {
            name: with_width(
                interval(float(value[place]), drawn[name][:, place] if name in drawn else np.empty(0)), shares.get(name)
            )
            for name, value in figures.items()
        }
        found.append(Called(threshold, hits, alarms, misses, passes, limited))
    return found


def calling(
    positive: ArrayLike,
    score: ArrayLike,
    subjects: Sequence[str],
    thresholds: Sequence[Threshold],
    resamples: int,
    seed: int = 0,
) -> list[Called]:
    """What each threshold comes to, with limits by the bootstrap over subjects.

    Args:
        positive: [N] booleans.
        score: [N].
        subjects: [N].
        thresholds: T of them, held as they are in every resample.
        resamples: how many are drawn; 0: no limits.
        seed: of the draws.
    """
    values = [one.value for one in thresholds]
    drawn = (
        bootstrap(subjects, lambda times: calling_figures(positive, score, values, times), resamples, seed)
        if resamples
        else {}
    )
    return called_at(positive, score, thresholds, drawn)


def _cells(
    side: NDArray[np.bool_], score: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Whether each case is a hit, false alarm, miss or rightly passed at each threshold: [N, T] each, 0 or 1."""
    called, truly = score[:, None] >= thresholds, side[:, None]
    cells = (called & truly, called & ~truly, ~called & truly, ~called & ~truly)
    hits, alarms, misses, passes = (one.astype(np.float64) for one in cells)
    return hits, alarms, misses, passes


def _two_sided(positive: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    side = np.asarray(positive, dtype=bool)
    if side.all() or not side.any():
        raise ValueError(f"{int(side.sum())} of {len(side)} cases are positive: expected cases of both sides")
    return side, np.asarray(score, dtype=np.float64)
