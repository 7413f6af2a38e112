"""ROC and precision-recall curves of two classes, and the figures read off them, vectorised over resamples.

A threshold goes down through the scores; a case is called positive at `score >= threshold`. `Steps` holds how many
positive and negative cases are called at each, for the cases as they are or for many bootstrap resamples at a time;
all figures are functions of it. A figure that a resample leaves undefined (no positive case, or no negative one) is
nan there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.figures import ratio

Floats = NDArray[np.float64]

PARTIAL_RATE = 0.2
"""Highest false positive rate of the partial AUC: specificities of 0.8 and more, the part of the curve in which
screening mammograms are read (mean specificity of radiologists in the United States: 88.9 %; Lehman et al., Radiology
2017). A narrower part would rest on a handful of negative cases in most test sets."""

RATES = np.linspace(0, 1, 101)
"""False positive rates at which a ROC curve is drawn."""

RECALLS = np.linspace(0.01, 1, 100)
"""Sensitivities at which a precision-recall curve is drawn; at 0 the precision is not defined."""

_TOLERANCE = 1e-9
"""Of counts: 0.9 of 10 cases are 9, whatever the rounding."""


@dataclass(frozen=True)
class Steps:
    """How many cases are called positive as the threshold goes down, from none to all."""

    thresholds: Floats
    "[K + 1], falling: infinite (nobody is called), then the K scores that differ"
    hits: Floats
    "[..., K + 1] positive cases called positive, rising from 0"
    alarms: Floats
    "[..., K + 1] negative cases called positive, rising from 0"

    @property
    def positives(self) -> Floats:
        """Positive cases [...]."""
        return self.hits[..., -1]

    @property
    def negatives(self) -> Floats:
        """Negative cases [...]."""
        return self.alarms[..., -1]

    @property
    def sensitivity(self) -> Floats:
        """The vertical of the ROC curve [..., K + 1]."""
        return ratio(self.hits, self.positives[..., None])

    @property
    def false_positive_rate(self) -> Floats:
        """The horizontal of the ROC curve [..., K + 1]."""
        return ratio(self.alarms, self.negatives[..., None])

    @cached_property
    def precision(self) -> Floats:
        """The vertical of the precision-recall curve [..., K + 1]; 1 where nobody is called, as scikit-learn has it."""
        called = self.hits + self.alarms
        share = self.hits / np.maximum(called, 1)
        share[called == 0] = 1
        return share


def steps_of(positive: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> Steps:
    """The steps of scored cases; cases that score alike make one step.

    Args:
        positive: [N] booleans, the true side of each case.
        score: [N], higher for the positive side.
        weights: [..., N] whole numbers, how often each case is drawn; once unless given.
    """
    values, place = np.unique(-np.asarray(score, dtype=np.float64), return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    times = np.ones(len(place)) if weights is None else np.asarray(weights, dtype=np.float64)
    drawn = times[..., order]
    counts = []
    for part in (drawn * np.asarray(positive, dtype=np.float64)[order], drawn):
        grouped = part if len(starts) == len(place) else np.add.reduceat(part, starts, axis=-1)
        total = np.zeros((*grouped.shape[:-1], len(starts) + 1))
        np.cumsum(grouped, axis=-1, out=total[..., 1:])
        counts.append(total)
    return Steps(np.concatenate([[np.inf], -values]), counts[0], counts[1] - counts[0])


def area(steps: Steps) -> Floats:
    """Area under the ROC curve by trapezoids, which is how often a positive case scores above a negative one; [...]."""
    wide = np.diff(steps.alarms, axis=-1)
    doubled = np.einsum("...k,...k->...", wide, steps.hits[..., 1:] + steps.hits[..., :-1])
    return ratio(doubled, 2 * steps.positives * steps.negatives)


def partial_area(steps: Steps, rate: float = PARTIAL_RATE) -> Floats:
    """Area under the ROC curve up to a false positive rate, from 0.5 (chance) to 1 (perfect); [...].

    Standardised by McClish (Med Decis Making 1989), as scikit-learn's `roc_auc_score(max_fpr=…)` is; where the rate
    falls between two points, the curve is cut on the line that joins them.
    """
    limit = rate * steps.negatives[..., None]
    end = int(_last(steps.alarms, limit).max()) + 2  # no step after this one is within the limit
    alarms, hits = steps.alarms[..., :end], steps.hits[..., :end]
    wide, whole = np.diff(np.minimum(alarms, limit), axis=-1), np.diff(alarms, axis=-1)
    low, rise = hits[..., :-1], np.diff(hits, axis=-1)
    part = np.divide(wide, whole, out=np.zeros_like(whole), where=whole > 0)
    found = ratio(np.einsum("...k,...k->...", wide, low + part * rise / 2), steps.positives * steps.negatives)
    least = rate**2 / 2
    return 0.5 * (1 + (found - least) / (rate - least))


def average_precision(steps: Steps) -> Floats:
    """Mean of the precision at each positive case found: the area below the steps, without interpolation; [...]."""
    gained = np.diff(steps.hits, axis=-1)
    summed = np.einsum("...k,...k->...", gained, steps.precision[..., 1:])
    return _defined(ratio(summed, steps.positives), steps)


def precision_recall_area(steps: Steps) -> Floats:
    """Area under the precision-recall curve by trapezoids, from precision 1 at sensitivity 0; [...].

    The lines between points are above what can be attained (Davis & Goadrich, ICML 2006): the average precision is
    the safer figure of the two.
    """
    gained, height = np.diff(steps.hits, axis=-1), steps.precision
    doubled = np.einsum("...k,...k->...", gained, height[..., 1:] + height[..., :-1])
    return _defined(ratio(doubled, 2 * steps.positives), steps)


def sensitivity_at(steps: Steps, specificity: float) -> Floats:
    """The highest sensitivity of any threshold whose specificity is at least the given one; [...].

    Nothing is interpolated: a threshold has it, be it the one that calls nobody.
    """
    place = _last(steps.alarms, (1 - specificity) * steps.negatives[..., None])
    return _defined(ratio(_at(steps.hits, place)[..., 0], steps.positives), steps)


def specificity_at(steps: Steps, sensitivity: float) -> Floats:
    """The highest specificity of any threshold whose sensitivity is at least the given one; [...]."""
    place = _first(steps.hits, sensitivity * steps.positives[..., None])
    return _defined(ratio(steps.negatives - _at(steps.alarms, place)[..., 0], steps.negatives), steps)


def sensitivities(steps: Steps, rates: Floats = RATES) -> Floats:
    """The ROC curve at given false positive rates [G], on the lines between its points; [..., G].

    Where the curve rises straight up, it is the upper end.
    """
    wanted = rates * steps.negatives[..., None]
    at = _last(steps.alarms, wanted)
    after = np.minimum(at + 1, steps.alarms.shape[-1] - 1)
    start, wide = _at(steps.alarms, at), _at(steps.alarms, after) - _at(steps.alarms, at)
    part = np.divide(np.maximum(wanted - start, 0), wide, out=np.zeros_like(wide), where=wide > 0)
    low = _at(steps.hits, at)
    height = ratio(low + part * (_at(steps.hits, after) - low), steps.positives[..., None])
    return np.where(steps.negatives[..., None] > 0, height, np.nan)


def precisions(steps: Steps, recalls: Floats = RECALLS) -> Floats:
    """The precision of the highest threshold that reaches each sensitivity [G], all above 0; [..., G].

    Nothing is interpolated, so that the area below it is the average precision.
    """
    place = _first(steps.hits, recalls * steps.positives[..., None])
    hits, alarms = _at(steps.hits, place), _at(steps.alarms, place)
    return np.where((steps.positives * steps.negatives)[..., None] > 0, ratio(hits, hits + alarms), np.nan)


def probabilistic_f1(positive: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """F1 with probabilities in the place of calls (Yacouby & Axman, Eval4NLP 2020); [...].

    The figure of the RSNA screening mammography challenge of 2022 (there of breasts): with T and F the summed
    probabilities of the P positive and of the negative cases, precision T / (T + F), recall T / P, and their harmonic
    mean, which is 2 T / (T + F + P). Unlike all others here it changes when the scores are rescaled.

    Args:
        positive: [N] booleans.
        score: [N] probabilities of the positive side.
        weights: [..., N], how often each case is drawn; once unless given.
    """
    side, likely = np.asarray(positive, dtype=np.float64), np.asarray(score, dtype=np.float64)
    times = np.ones(len(side)) if weights is None else np.asarray(weights, dtype=np.float64)
    found = times @ np.column_stack([side * likely, likely, side])  # [..., 3]
    return np.where(found[..., 2] > 0, ratio(2 * found[..., 0], found[..., 1] + found[..., 2]), np.nan)


def curve_figures(
    positive: ArrayLike,
    score: ArrayLike,
    sensitivity: float,
    specificity: float,
    weights: ArrayLike | None = None,
) -> dict[str, Floats]:
    """All figures of this module by name, [...] each.

    Args:
        positive: [N] booleans, the true side of each case.
        score: [N] probabilities of the positive side.
        sensitivity: at which the specificity is wanted.
        specificity: at which the sensitivity is wanted.
        weights: [..., N] whole numbers, how often each case is drawn; once unless given.
    """
    steps = steps_of(positive, score, weights)
    return {
        "auc": area(steps),
        "average_precision": average_precision(steps),
        "pr_area": precision_recall_area(steps),
        "sensitivity_at": sensitivity_at(steps, specificity),
        "specificity_at": specificity_at(steps, sensitivity),
        "partial_auc": partial_area(steps),
        "pf1": probabilistic_f1(positive, score, weights),
        "prevalence": ratio(steps.positives, steps.positives + steps.negatives),
    }


def _last(counts: Floats, most: Floats) -> NDArray[np.int64]:
    """The last step whose count is at most `most`: rising counts [..., K], [..., G] -> places [..., G], or -1."""
    rows = counts.reshape(-1, counts.shape[-1])
    whole = np.floor(most + _TOLERANCE).reshape(len(rows), -1)
    lift = np.arange(len(rows))[:, None]  # rows one above the other are one rising row
    span = rows[:, -1].max() + 1
    found = np.searchsorted((rows + span * lift).ravel(), (whole + span * lift).ravel(), side="right")
    places: NDArray[np.int64] = found.reshape(whole.shape) - rows.shape[1] * lift - 1
    return places.reshape(most.shape)


def _first(counts: Floats, least: Floats) -> NDArray[np.int64]:
    """The first step whose count is at least `least`; [..., K], [..., G] -> places [..., G]."""
    return _last(counts, np.ceil(least - _TOLERANCE) - 1) + 1


def _at(counts: Floats, places: NDArray[np.int64]) -> Floats:
    return np.take_along_axis(counts, places, axis=-1)


def _defined(values: Floats, steps: Steps) -> Floats:
    return np.where((steps.positives > 0) & (steps.negatives > 0), values, np.nan)
