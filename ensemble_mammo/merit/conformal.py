"""Conformal sets: the classes that cannot be ruled out at a stated coverage (Vovk, Gammerman & Shafer, 2005).

Split conformal prediction: a threshold is fitted on validation cases; if new cases are drawn as these were, their
sets hold the true class with at least the wanted probability, however good or bad the scores are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.figures import ratio
from ensemble_mammo.merit.intervals import CONFIDENCE, Interval, Statistic
from ensemble_mammo.records.calibration_file import SetRule

Floats = NDArray[np.float64]


def cases_needed(coverage: float) -> int:
    """The fewest validation cases from which sets of that coverage are fitted."""
    return math.floor(round(max(1 / coverage, 1 / (1 - coverage)), 9)) + 1


def methods_for(classes: int) -> tuple[str, ...]:
    """The methods that serve so many classes: of two, APS would add nothing to LAC (and mapie refuses it)."""
    return ("lac",) if classes == 2 else ("lac", "aps")


def fit_sets(true: NDArray[np.int64], scores: Floats, coverage: float, method: str = "lac", seed: int = 0) -> SetRule:
    """Fit conformal sets with mapie (Cordier et al., COPA 2023), from scores as they are.

    Args:
        true: [N] true classes of validation cases.
        scores: [N, C].
        coverage: share of new cases whose set shall hold the true class.
        method: `lac` (Sadinle, Lei & Wasserman, JASA 2019: smallest sets on average, some can be empty) or `aps`
            (Romano, Sesia & Candès, NeurIPS 2020: never empty; its conformity scores are randomised).
        seed: of the randomisation.

    Raises:
        ValueError: fewer than `cases_needed` cases.
    """
    count, needed = len(true), cases_needed(coverage)
    if count < needed:
        raise ValueError(f"{count} validation exams, expected {needed} or more for a coverage of {coverage:g}")
    fitted = _conformalized(true, scores, coverage, method, seed)
    place = min(math.ceil(round((count + 1) * coverage, 9)), count)
    threshold = np.sort(np.ravel(fitted.conformity_scores))[place - 1]
    return SetRule(method, coverage, float(np.clip(threshold, 0, 1)))


def _conformalized(true: NDArray[np.int64], scores: Floats, coverage: float, method: str, seed: int) -> Any:
    """mapie's SplitConformalClassifier after the validation cases."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose input is its output: scores are handed through."""

        classes_ = np.arange(scores.shape[1])

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, x: Floats, y: NDArray[np.int64]) -> Given:  # noqa: ARG002
            return self

        def predict_proba(self, x: Floats) -> Floats:
            return np.asarray(x)

        def predict(self, x: Floats) -> NDArray[np.int64]:
            return np.asarray(x).argmax(axis=1)

    made = SplitConformalClassifier(Given(), coverage, method, prefit=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fewer labels|.*less labels", category=UserWarning)  # a rare class
        return made.conformalize(scores / scores.sum(axis=1, keepdims=True), true)


def coverage_to_expect(cases: int, coverage: float) -> Interval:
    """The share of new cases covered by sets fitted on so many validation cases: mean, and limits over such samples.

    It follows a beta distribution (Vovk, ACML 2012), if scores have no ties.
    """
    from scipy.stats import beta

    rank = math.ceil(round((cases + 1) * coverage, 9))
    if rank > cases:  # every class is taken
        return Interval(1.0, 1.0, 1.0)
    spread = beta(rank, cases + 1 - rank)
    tail = (1 - CONFIDENCE) / 2
    return Interval(float(spread.mean()), float(spread.ppf(tail)), float(spread.ppf(1 - tail)))


def sets_statistic(sets: NDArray[np.bool_], true: NDArray[np.int64], classes: Sequence[str]) -> Statistic:
    """Figures of conformal sets, for `bootstrap`.

    `coverage` (share of the cases whose set holds the true class), `size` (mean number of classes), `single` and
    `empty` (shares of sets of one class, and of none), `coverage_<class>` (of the cases truly of it; nan: none).

    Args:
        sets: [N, C].
        true: [N] true classes.
        classes: C names.
    """
    size = sets.sum(axis=1)
    covered = sets[np.arange(len(true)), true]
    member = np.eye(len(classes))[true]  # [N, C]
    values = {"coverage": covered, "size": size, "single": size == 1, "empty": size == 0}
    design = np.column_stack([*values.values(), np.ones(len(true)), member, member * covered[:, None]])

    def statistic(times: Floats) -> Mapping[str, Floats]:
        sums = times @ design
        first = len(values) + 1
        cases, hits = sums[:, first : first + len(classes)], sums[:, first + len(classes) :]  # [R, C]
        share = ratio(hits, cases)
        figures = {name: sums[:, place] / sums[:, first - 1] for place, name in enumerate(values)}
        return figures | {f"coverage_{name}": share[:, place] for place, name in enumerate(classes)}

    return statistic
