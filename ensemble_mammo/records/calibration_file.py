"""calibration.json: what a report fits on validation or out-of-fold scores and `predict` applies to new ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS
from ensemble_mammo.records.task import Task

CALIBRATION = "calibration.json"
FORMAT = 1
"""Of calibration.json; another number is refused."""

SMALLEST = 1e-12
"""Scores below this count as this where logarithms are taken."""

METHODS = ("lac", "aps")
"""How a class gets into a conformal set: see `class_sets`."""

_EPSILON = 1e-8
"""Sums of scores that are so close count as equal (as in mapie)."""


@dataclass(frozen=True)
class SetRule:
    """Which classes belong to the conformal set of an exam."""

    method: str
    "lac or aps"
    coverage: float
    "share of new subjects whose set shall hold the true class"
    threshold: float
    "the conformity score up to which classes are taken"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}, expected {' or '.join(METHODS)}")
        if not 0 < self.coverage < 1:
            raise ValueError(f"coverage is {self.coverage}, expected a share between 0 and 1")
        if not 0 <= self.threshold <= 1 + _EPSILON:
            raise ValueError(f"threshold is {self.threshold}, expected a number from 0 to 1")


@dataclass(frozen=True)
class LevelCalibration:
    """What was fitted for one level."""

    temperature: float
    "scores become softmax(log score / temperature); above 1: less sure"
    exams: int
    "exams that it was fitted on"
    subjects: int
    "subjects that they belong to"
    sets: SetRule | None = None
    "of the scores before the temperature; None: too few exams"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    "operating points by name, on the summed score of the positive classes before the temperature"
    note: str = ""
    "why no temperature could be determined, so that it is 1; empty: it was"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature}, expected a number above 0")
        if min(self.exams, self.subjects) < 1:
            raise ValueError(f"{self.exams} exams of {self.subjects} subjects, expected at least one")
        for name, value in self.thresholds.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"thresholds.{name} is {value!r}, expected a number")


@dataclass(frozen=True)
class Calibration:
    """Temperatures and conformal sets of every level of one system."""

    task: str
    "what is told apart"
    classes: tuple[str, ...]
    "in the order of the scores"
    levels: Mapping[str, LevelCalibration]
    "level -> what was fitted for it"
    fusion: Mapping[str, Any]
    "rule, weights (by view) and breast_to_subject with which the breasts and the subject were fused"
    fingerprint: str
    "SHA-256 over ids, scores and true classes of the validation exams"
    files: Mapping[str, str] = field(default_factory=dict)
    "name of a validation file -> its SHA-256"
    fitted_on: str = ""
    "whose predictions it was fitted on, in words; empty: those of validation subjects"

    def apply(self, predictions: Predictions) -> Predictions:
        """The rows of a level with its temperature applied; the highest class of each row stays the highest.

        Raises:
            PredictionError: the level has no temperature, or the classes are others.
        """
        self.require([predictions.level], predictions.classes)
        return replace(predictions, scores=scaled(predictions.scores, self.levels[predictions.level].temperature))

    def sets(self, predictions: Predictions) -> list[tuple[str, ...]]:
        """The conformal set of each row, from the scores before `apply`; empty list: none were fitted.

        Raises:
            PredictionError: the level is not there, or the classes are others.
        """
        self.require([predictions.level], predictions.classes)
        rule = self.levels[predictions.level].sets
        if rule is None:
            return []
        chosen = class_sets(predictions.scores, rule.method, rule.threshold)
        return [tuple(name for name, taken in zip(self.classes, row, strict=True) if taken) for row in chosen]

    def require(self, levels: Sequence[str], classes: tuple[str, ...]) -> None:
        """Refuse levels without a temperature, and other classes.

        Raises:
            PredictionError: what is missing, and what is there.
        """
        if tuple(classes) != self.classes:
            raise PredictionError(
                f"calibration: its classes are {', '.join(self.classes)}, the scores have {', '.join(classes)}; "
                "give the calibration of a report on this task"
            )
        missing = [level for level in levels if level not in self.levels]
        if missing:
            raise PredictionError(
                f"calibration: no temperature for {', '.join(missing)} (it has {', '.join(self.levels)}); "
                "make the report again with validation files of all views that are predicted"
            )


def scaled(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Temperature scaling: softmax(log score / temperature) (Guo et al., ICML 2017).

    Args:
        scores: [N, C], each row adding up to 1.
        temperature: above 1 makes scores less sure, below 1 surer.

    Returns:
        [N, C]; the class that scores highest (of equal ones the lowest) is the same as before.
    """
    logits = np.log(np.maximum(scores, SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    changed: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    best = scores.argmax(axis=1)
    tied = np.flatnonzero(changed.argmax(axis=1) != best)  # rounding has made two scores equal
    changed[tied, best[tied]] = np.nextafter(changed[tied].max(axis=1), 2)
    return changed


def class_sets(scores: NDArray[np.float64], method: str, threshold: float) -> NDArray[np.bool_]:
    """Which classes belong to the conformal set of each row.

    Args:
        scores: [N, C].
        method: `lac`: the classes that score at least 1 - threshold (Sadinle et al., JASA 2019; can be none);
            `aps`: the highest classes until their scores add up to the threshold (Romano et al., NeurIPS 2020).
        threshold: of the conformity scores, as fitted.

    Returns:
        [N, C].
    """
    scores = scores / scores.sum(axis=1, keepdims=True)
    if method == "lac":
        return np.asarray(1 - scores - threshold <= _EPSILON)
    ordered = -np.sort(-scores, axis=1)
    reached = ordered.cumsum(axis=1) - threshold >= -_EPSILON
    reached[:, -1] = True
    last = np.take_along_axis(ordered, reached.argmax(axis=1)[:, None], axis=1)  # the lowest score that is taken
    return np.asarray(scores - last >= -_EPSILON)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write calibration.json, whole or not at all."""
    table = {"format": FORMAT, **to_mapping(calibration)}
    write_text(path, json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_calibration(path: Path, task: Task | None = None) -> Calibration:
    """Read what `write_calibration` wrote.

    Args:
        path: calibration.json of a report.
        task: what the scores tell apart; None: any.

    Raises:
        PredictionError: no such file, not a calibration, of another format or task, or all that is wrong in it.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PredictionError(
            f"{path}: no such file; a report with --validation writes {CALIBRATION} beside report.json, and so does "
            "one of out-of-fold predictions (train --folds)"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PredictionError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(table, dict) or "levels" not in table or "format" not in table:
        raise PredictionError(f"{path}: not a calibration; expected the {CALIBRATION} that a report wrote")
    if table.pop("format") != FORMAT:
        raise PredictionError(f"{path}: of another format, expected {FORMAT}; make the report again")
    found = _checked(path, table)
    if task is not None and (found.task, found.classes) != (task.name, task.classes):
        raise PredictionError(
            f"{path}: is of the task {found.task} ({', '.join(found.classes)}), expected {task.name} "
            f"({', '.join(task.classes)}); give the calibration of a report on this task"
        )
    return found


def _checked(path: Path, table: dict[str, Any]) -> Calibration:
    problems: list[str] = []
    given = table.pop("levels")
    levels: dict[str, LevelCalibration] = {}
    if not isinstance(given, dict) or not given:
        problems.append("levels is empty or no table")
        given = {}
    for level, value in given.items():
        if level not in LEVELS:
            problems.append(f"level {level!r} is not one of {', '.join(LEVELS)}")
            continue
        try:
            levels[level] = from_mapping(LevelCalibration, value, f"levels.{level}")
        except FieldProblems as error:
            problems += error.problems
    try:
        found = from_mapping(Calibration, table | {"levels": {}})
    except FieldProblems as error:
        problems += error.problems
    if problems:
        raise PredictionError(f"{path}: not a usable calibration: {'; '.join(problems)}; make the report again")
    return replace(found, levels=levels)
