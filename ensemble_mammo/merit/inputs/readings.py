"""What one prediction file holds once it is read: rows of several levels, true classes beside them, remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.csv_tables import TextTable
from ensemble_mammo.merit.inputs.labels import OTHER, Key
from ensemble_mammo.records.predictions import SUM_TOLERANCE, Predictions
from ensemble_mammo.records.subject import LEVELS
from ensemble_mammo.records.task import Task

UNIT = (0.0, 1.0)
"""The range of scores that are probabilities."""

_SHOWN = 3
_ROUNDING = 1e-6  # of the range: scores of 32-bit floats


@dataclass(frozen=True)
class Reading:
    """What a prediction file holds."""

    predictions: tuple[Predictions, ...]
    "one a level, in the order of `LEVELS`"
    labels: Mapping[Key, int] = field(default_factory=dict)
    "(level, subject_id, exam_id) -> number of the class, as the file states it"
    notes: tuple[str, ...] = ()
    "what a reader must know; no ids"

    def only(self, level: str) -> Reading:
        """The same with the rows of one level alone, and a note of what was passed over."""
        kept = tuple(p for p in self.predictions if p.level == level)
        others = [p.level for p in self.predictions if p.level != level]
        notes = self.notes
        if others:
            notes = (*notes, f"{level}: rows of {', '.join(others)} in its file were passed over, as told")
        return Reading(kept, self.labels, notes)


@dataclass
class ScoredRows:
    """The rows of a table while they are gathered: of images, breasts or subjects."""

    levels: list[str] = field(default_factory=list)
    "a view, 'right', 'left', 'subject', or `OTHER`"
    keys: list[tuple[str, str]] = field(default_factory=list)
    "(subject_id, exam_id)"
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    "[C] each, adding up to 1"
    labels: list[int | None] = field(default_factory=list)
    "numbers of the true classes, None where unknown"

    def add(self, level: str, key: tuple[str, str], scores: NDArray[np.float64], label: int | None = None) -> None:
        """One more row."""
        self.levels.append(level)
        self.keys.append(key)
        self.scores.append(scores)
        self.labels.append(label)

    def reading(self, task: Task, name: str, notes: Sequence[str] = ()) -> Reading:
        """The rows as predictions: several rows of one level of an exam are averaged, their images counted.

        Args:
            task: its classes.
            name: the file's, for the notes.
            notes: what must be noted already.
        """
        said = list(notes)
        if others := self.levels.count(OTHER):
            said.append(f"{name}: {others} rows of projections other than CC and MLO were passed over")
        predictions = []
        for level in map(str, LEVELS):
            places = [i for i, own in enumerate(self.levels) if own == level]
            if not places:
                continue
            table = _averaged(level, task, [self.keys[i] for i in places], np.array([self.scores[i] for i in places]))
            predictions.append(table)
            several = sum(count > 1 for count in table.images)
            if several:
                said.append(f"{name}: {level} of {several} exams has several rows, whose scores were averaged")
        return Reading(tuple(predictions), self._highest(), tuple(said))

    def _highest(self) -> dict[Key, int]:
        labels: dict[Key, int] = {}
        for level, key, number in zip(self.levels, self.keys, self.labels, strict=True):
            if number is not None and level != OTHER:
                labels[level, *key] = max(labels.get((level, *key), number), number)
        return labels


def labels_together(readings: Sequence[Reading], task: Task) -> dict[Key, int]:
    """The labels of several files as one.

    Raises:
        PredictionError: two files give a level of an exam different classes.
    """
    stated: dict[Key, int] = {}
    problems = []
    for reading in readings:
        for key, number in reading.labels.items():
            if stated.setdefault(key, number) != number:
                before, now = task.classes[stated[key]], task.classes[number]
                problems.append(f"{key[0] or 'subject'} of {key[1]!r} is {before} in one, {now} in another")
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise PredictionError(
            f"labels in the prediction files contradict each other: {'; '.join(problems[:_SHOWN])}{more}; give the "
            "true classes by a table of labels or a dataset"
        )
    return stated


def _averaged(level: str, task: Task, keys: Sequence[tuple[str, str]], scores: NDArray[np.float64]) -> Predictions:
    place_of = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    places = np.array([place_of[key] for key in keys])
    counts = np.bincount(places)
    summed = np.zeros((len(counts), len(task.classes)))
    np.add.at(summed, places, scores)
    subjects, exams = zip(*place_of, strict=True)
    images = tuple(int(count) for count in counts)
    return Predictions(level, task.classes, summed / counts[:, None], subjects, exams, (level,) * len(counts), images)


def binary_scores(
    table: TextTable, column: str, score_range: tuple[float, float], scores: NDArray[np.float64]
) -> list[tuple[int, str]]:
    """Write the rows [1 - p, p] of a column's scores into `scores` [N, 2]; empty cells give nan.

    Args:
        table: the file.
        column: holds the score of the positive class.
        score_range: (low, high) of what stands there; brought to 0..1 linearly.
        scores: [N, 2], filled here.

    Returns:
        (place, text) of each cell that is no score.
    """
    low, high = score_range
    problems = []
    for place, text in enumerate(table.cells[column]):
        scores[place] = np.nan
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            problems.append((place, f"{column} {text!r} is not a number"))
            continue
        share = (value - low) / (high - low)
        if not -_ROUNDING <= share <= 1 + _ROUNDING:
            hint = "" if score_range != UNIT else "; state another range as score_range=1:10"
            problems.append((place, f"{column} {text} is outside {low:g} to {high:g}{hint}"))
            continue
        share = min(max(share, 0.0), 1.0)
        scores[place] = 1 - share, share
    return problems


def class_scores(table: TextTable, columns: Sequence[str], scores: NDArray[np.float64]) -> list[tuple[int, str]]:
    """Write the scores of a column a class into `scores` [N, C].

    Returns:
        (place, text) of each row that holds no scores that add up to 1.
    """
    problems = []
    rows = zip(*(table.cells[name] for name in columns), strict=True)
    for place, texts in enumerate(rows):
        try:
            scores[place] = [float(text) for text in texts]
        except ValueError:
            problems.append((place, f"{' '.join(texts)!r} are not numbers"))
            continue
        total = scores[place].sum()
        if not np.isfinite(scores[place]).all() or (scores[place] < -SUM_TOLERANCE).any():
            problems.append((place, "scores must be finite and not negative"))
        elif abs(total - 1) > SUM_TOLERANCE:
            problems.append((place, f"scores add up to {total:.6g}, expected 1 within {SUM_TOLERANCE:g}"))
    return problems
