"""What every section of a report is made from: judged levels, of the test, of validation, of other systems."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import Acting, called_classes
from ensemble_mammo.merit.figures import UndefinedFigureWarning
from ensemble_mammo.merit.inputs.truth import UNKNOWN, Truth
from ensemble_mammo.merit.intervals import Cases, Interval, intervals
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.options import ReportOptions


@dataclass(frozen=True)
class Judged:
    """The rows of one level whose true class is known."""

    rows: Predictions
    "scores and ids, labelled rows alone"
    true: NDArray[np.int64]
    "[N] true classes as numbers from 0"
    positive: tuple[int, ...]
    "numbers of the classes counted as positive"
    cut: float | None = None
    "of two classes, the positive score from which an exam is called positive; None: the class that scores highest"

    @property
    def level(self) -> str:
        """A view, 'right', 'left' or 'subject'."""
        return self.rows.level

    @property
    def scores(self) -> NDArray[np.float64]:
        """[N, C], each row adding up to 1."""
        return self.rows.scores

    @property
    def predicted(self) -> NDArray[np.int64]:
        """[N] numbers of the classes that exams are called: the highest (of equal ones the lowest), or by the cut."""
        return called_classes(self.rows.scores, self.positive, self.cut)

    @property
    def cases(self) -> Cases:
        """As the bootstrap wants them."""
        return Cases(self.true, self.rows.scores, self.rows.subject_ids, self.positive, self.cut)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """[N] whether the true class is a positive one."""
        return np.isin(self.true, self.positive)

    @property
    def positive_score(self) -> NDArray[np.float64]:
        """[N] summed scores of the positive classes."""
        summed: NDArray[np.float64] = self.rows.scores[:, list(self.positive)].sum(axis=1)
        return summed

    def taken(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Judged:
        """Some of the rows: a mask [N], or places."""
        return replace(self, rows=rows_taken(self.rows, chosen), true=self.true[chosen])


@dataclass(frozen=True)
class Study:
    """All that the sections of a report may look at."""

    task: Task
    "what was told apart"
    truth: Truth
    "true classes, with the ids of the rows"
    options: ReportOptions
    "what the report was told"
    views: tuple[Predictions, ...]
    "the views as given, unlabelled rows too"
    levels: Mapping[str, Judged]
    "level -> its judged rows, in the order of `LEVELS`; of the first system where several are given"
    validation: Mapping[str, Judged] = field(default_factory=dict)
    "the same of subjects outside the test; empty where none were given"
    systems: Mapping[str, Mapping[str, Judged]] = field(default_factory=dict)
    "name of a system -> its levels, the first included; empty where one system is reported"
    folders: tuple[Path, ...] = ()
    "where prediction files were read from, of the first system"
    out_of_fold: bool = False
    "whether each subject was predicted by networks that never saw her, fold by fold"
    fold_of: Mapping[str, int] = field(default_factory=dict)
    "subject_id -> the fold that she was held out of; empty: not known"
    thresholds: Mapping[str, Acting] = field(default_factory=dict)
    "level -> the threshold that its exams are called at; of tasks of two classes"

    @property
    def top(self) -> Judged:
        """The level that matters most: the subject, else the last of the breasts or views that are there."""
        return self.levels[list(self.levels)[-1]]

    def cut_of(self, level: str) -> float | None:
        """The cut of a level; None where exams are called the class that scores highest."""
        return self.thresholds[level].cut if level in self.thresholds else None

    @cached_property
    def figures(self) -> Mapping[str, Mapping[str, Interval]]:
        """level -> every figure of merit with its interval; those of positive classes are called `positive…`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedFigureWarning)  # the notes say it, with names
            drawn = self.options.resamples, self.options.seed, self.task.classes
            return {level: intervals(one.cases, *drawn) for level, one in self.levels.items()}


def judged(rows: Predictions, truth: Truth, cut: float | None = None) -> Judged:
    """The rows whose true class is known, called positive from a cut where one is given."""
    true = truth.of(rows)
    known = true != UNKNOWN
    positive = tuple(rows.classes.index(name) for name in truth.task.positive)
    return Judged(rows_taken(rows, known), true[known], positive, cut)


def rows_taken(rows: Predictions, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
    """Some rows of predictions: a mask [N], or places."""
    places: Sequence[int] = np.arange(len(rows))[chosen].tolist()
    return replace(
        rows,
        scores=rows.scores[places],
        subject_ids=tuple(rows.subject_ids[i] for i in places),
        exam_ids=tuple(rows.exam_ids[i] for i in places),
        views=tuple(rows.views[i] for i in places),
        images=tuple(rows.images[i] for i in places),
    )
