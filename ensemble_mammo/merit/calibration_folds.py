"""Calibration judged without a validation set: each exam by what the subjects of other folds gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calibration import Temperature, fit_temperature
from ensemble_mammo.merit.conformal import fit_sets, methods_for
from ensemble_mammo.merit.intervals import Cases
from ensemble_mammo.records.calibration_file import class_sets, scaled
from ensemble_mammo.records.splits import deal

FOLDS = 5
"""Folds where those of the networks are not known."""

FEWEST_SUBJECTS = 30
"""With fewer, neither temperature nor sets are judged fold by fold."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ByFolds:
    """Scores and sets of exams, each made with what the exams of other folds gave."""

    scaled: Floats
    "[N, C] scores with the temperature of the other folds"
    temperatures: tuple[Temperature, ...]
    "one a fold"
    sets: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    "method -> conformal sets [N, C]; empty where a fold had too few exams to fit on"
    reason: str = ""
    "why there are no sets"


def dealt(cases: Cases, seed: int, folds: int = FOLDS) -> dict[str, int]:
    """subject -> fold, stratified by the highest class among her cases."""
    highest: dict[str, int] = {}
    for subject, true in zip(cases.subjects, cases.true.tolist(), strict=True):
        highest[subject] = max(true, highest.get(subject, true))
    return deal({subject: f"{true:03d}" for subject, true in highest.items()}, [1 / folds] * folds, seed)


def calibrated_by_folds(cases: Cases, fold_of: Mapping[str, int], coverage: float, seed: int) -> ByFolds:
    """Temperature and conformal sets of each fold, fitted on all other folds.

    Args:
        cases: N of them, of subjects who all stand in `fold_of`.
        fold_of: subject -> fold; a subject's cases lie on one side.
        coverage: share of new cases whose set shall hold the true class.
        seed: of what is random in a method of sets.
    """
    fold = np.array([fold_of[subject] for subject in cases.subjects])
    after = cases.scores.copy()
    methods = methods_for(cases.scores.shape[1])
    sets = {method: np.zeros(cases.scores.shape, dtype=bool) for method in methods}
    temperatures, reason = [], ""
    for number in np.unique(fold):
        held, learn = fold == number, fold != number
        found = fit_temperature(cases.true[learn], cases.scores[learn])
        temperatures.append(found)
        after[held] = scaled(cases.scores[held], found.value)
        try:
            rules = [fit_sets(cases.true[learn], cases.scores[learn], coverage, method, seed) for method in methods]
        except ValueError as error:
            reason = str(error)
            continue
        for rule in rules:
            sets[rule.method][held] = class_sets(cases.scores[held], rule.method, rule.threshold)
    return ByFolds(after, tuple(temperatures), {} if reason else sets, reason)
