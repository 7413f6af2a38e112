"""The variance of areas under ROC curves without assumptions on the scores, and the test of two of the same cases.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988, computed with midranks (Sun & Xu, IEEE Signal Process Lett 2014).
Where a subject has several cases, the sums over subjects of Obuchowski (Biometrics 1997), which are DeLong's where
each has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ensemble_mammo.merit.intervals import CONFIDENCE, Interval

Floats = NDArray[np.float64]

_NIL = 1e-15
"""A variance up to this is 0 but for rounding."""


@dataclass(frozen=True)
class AucDifference:
    """Two areas under ROC curves of the same cases, held against each other."""

    difference: Interval
    "the first minus the second, with normal limits"
    z: float
    "the difference in standard errors; nan: undefined"
    p: float
    "two-sided, of no difference; nan: undefined"
    reason: str = ""
    "why z, p and limits are undefined"


@dataclass(frozen=True)
class AucCovariance:
    """Areas under ROC curves of the same cases, with their covariance."""

    aucs: Floats
    "[K]; nan where one side has no case"
    covariance: Floats
    "[K, K]; nan where it is undefined"
    positives: int
    "positive cases"
    negatives: int
    "negative cases"
    subjects: int
    "subjects that the cases belong to"
    missing: str = ""
    "why all of it, or the covariance, is undefined; empty where it is not"

    def error(self, place: int = 0) -> float:
        """Standard error of one area."""
        return float(np.sqrt(np.maximum(self.covariance[place, place], 0)))

    def reason(self, place: int = 0) -> str:
        """Why the limits of one area are undefined; empty where they are not."""
        if self.missing:
            return self.missing
        if self.covariance[place, place] > _NIL:
            return ""
        at = f"AUC is {self.aucs[place]:g}"
        if self.aucs[place] in (0, 1):
            return f"{at}: no pair of cases is out of order, so neither DeLong's variance nor resampling gives limits"
        return f"{at} and DeLong's variance is 0 (such as when all cases score alike), so it has no limits"

    def interval(self, place: int = 0, logit: bool = True) -> Interval:
        """One area with its 95 % limits.

        Args:
            place: which of the K.
            logit: normal limits of log(AUC / (1 - AUC)), taken back, which stay between 0 and 1 (Pepe, The
                Statistical Evaluation of Medical Tests, Oxford 2003); else AUC ± 1.96 standard errors, which can
                pass 1.
        """
        value = float(self.aucs[place])
        if self.reason(place):
            return Interval(value, np.nan, np.nan)
        half = _normal() * self.error(place)
        if not logit:
            return Interval(value, value - half, value + half)
        middle, half = special.logit(value), half / (value * (1 - value))
        return Interval(value, float(special.expit(middle - half)), float(special.expit(middle + half)))

    def compared(self, first: int = 0, second: int = 1) -> AucDifference:
        """The paired test of two of the areas."""
        value = float(self.aucs[first] - self.aucs[second])
        pair = self.covariance[np.ix_((first, second), (first, second))]
        variance = pair[0, 0] + pair[1, 1] - 2 * pair[0, 1]
        reason = self.missing
        if not reason and variance <= _NIL:
            reason = "the variance of the difference is 0 (such as when both rank all cases alike), so there is no test"
        if reason:
            return AucDifference(Interval(value, np.nan, np.nan), np.nan, np.nan, reason)
        error = float(np.sqrt(variance))
        limits = Interval(value, value - _normal() * error, value + _normal() * error)
        return AucDifference(limits, value / error, float(2 * stats.norm.sf(abs(value) / error)))


def delong(positive: ArrayLike, scores: ArrayLike, subjects: Sequence[str]) -> AucCovariance:
    """Areas under the ROC curves of one or several scores of the same cases, with their covariance.

    Args:
        positive: [N] booleans, the true side of each case.
        scores: [N], or [K, N] of K systems; higher for the positive side.
        subjects: [N], the subject of each case: cases of one subject are not taken as independent.
    """
    side = np.asarray(positive, dtype=bool)
    scored = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    names, subject_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    ups, downs = int(side.sum()), int((~side).sum())
    blank = np.full((len(scored), len(scored)), np.nan)
    if not ups or not downs:
        missing = f"AUC is undefined: all {ups + downs} cases are truly {'positive' if ups else 'negative'}"
        return AucCovariance(blank[0], blank, ups, downs, len(names), missing)
    above, below = _components(side, scored)
    aucs = above.mean(axis=1)
    of_ups, of_downs = subject_of[side], subject_of[~side]
    subjects_up, subjects_down = len(np.unique(of_ups)), len(np.unique(of_downs))
    if min(subjects_up, subjects_down) < 2:
        kind = "positive" if subjects_up < 2 else "negative"
        missing = f"the limits of the AUC are undefined: only one subject has {kind} cases"
        return AucCovariance(aucs, blank, ups, downs, len(names), missing)
    off_up = _summed(above - aucs[:, None], of_ups, len(names)) / ups  # [K, S]: a subject's share in the deviation
    off_down = _summed(below - aucs[:, None], of_downs, len(names)) / downs
    mixed = len(names) / (len(names) - 1) * off_up @ off_down.T
    covariance = subjects_up / (subjects_up - 1) * off_up @ off_up.T
    covariance += subjects_down / (subjects_down - 1) * off_down @ off_down.T
    return AucCovariance(aucs, covariance + mixed + mixed.T, ups, downs, len(names))


def _components(side: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """How often each positive case [K, P] scores above negative ones, and each negative [K, Q] below positive ones."""
    ups, downs = int(side.sum()), int((~side).sum())
    ranks = stats.rankdata(scores, axis=1)
    among_ups = stats.rankdata(scores[:, side], axis=1)
    among_downs = stats.rankdata(scores[:, ~side], axis=1)
    return (ranks[:, side] - among_ups) / downs, 1 - (ranks[:, ~side] - among_downs) / ups


def _summed(values: Floats, subject_of: NDArray[np.int64], count: int) -> Floats:
    """Sums over the cases of each subject: [K, N] -> [K, S]."""
    return np.stack([np.bincount(subject_of, row, minlength=count) for row in values])


def _normal() -> float:
    return float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
