"""How good one point is on one set of cases: figures from its predictions at the level of the subject."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import Acting, Asked, called_classes, floor_of
from ensemble_mammo.merit.figures import (
    UndefinedFigureWarning,
    confusion_matrix,
    figures_of_confusion,
    figures_of_ranks,
    grouped,
)
from ensemble_mammo.merit.inputs.truth import UNKNOWN, Truth
from ensemble_mammo.merit.thresholds import chosen_for
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task

FIGURES = ("accuracy", "majority", "recall", "precision", "f1", "auc", "kappa")
"""What each point is judged by, in the order of tables."""
WARNING = "WARNING"
"""How the note of a network that names one class begins."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """One point on one set of cases."""

    on: str
    "the split, `out-of-fold`, or the name of another dataset"
    images: int
    "rows that were judged: one an exam, so one an image where each image is its own exam"
    figures: Mapping[str, float]
    "those of `FIGURES`; nan: undefined; kappa of classes in an order alone"
    threshold: Acting | None
    "from which a case is called positive; None: the task has none, the highest score decides"
    folder: str
    "of the predictions, relative to the sweep's"
    collapsed: str = ""
    "the only class that was named; empty: several were"
    notes: tuple[str, ...] = field(default=())
    "what a reader must know"

    def as_json(self) -> dict[str, Any]:
        """What sweep.json holds; undefined figures are null."""
        figures = {name: None if np.isnan(value) else value for name, value in self.figures.items()}
        rest = {"collapsed": self.collapsed, "notes": list(self.notes)}
        threshold = None if self.threshold is None else asdict(self.threshold)
        return {"on": self.on, "images": self.images, **figures, "threshold": threshold, "folder": self.folder, **rest}


@dataclass(frozen=True)
class Cases:
    """Predictions of the subject's level beside the true classes."""

    task: Task
    "whose classes they are"
    true: Ints
    "[N] numbers of the true classes"
    scores: NDArray[np.float64]
    "[N, C]"
    unlabelled: int
    "rows left out because they have no true class"

    @property
    def places(self) -> list[int]:
        """The numbers of the positive classes; empty where all classes or none are."""
        positive = [self.task.classes.index(name) for name in self.task.positive]
        return positive if len(positive) < len(self.task.classes) else []

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """[N] whether the true class is a positive one."""
        return np.isin(self.true, self.places)

    @property
    def score(self) -> NDArray[np.float64]:
        """[N] summed scores of the positive classes."""
        total: NDArray[np.float64] = self.scores[:, self.places].sum(axis=1)
        return total

    def called(self, threshold: Acting | None) -> Ints:
        """[N] numbers of the classes named: by the threshold, or by the highest score (of equal ones the first)."""
        return called_classes(self.scores, self.places, None if threshold is None else threshold.cut)


def cases_of(rows: Predictions, truth: Truth) -> Cases:
    """The rows that have a true class.

    Raises:
        PredictionError: none has.
    """
    true = truth.of(rows)
    known = true != UNKNOWN
    if not known.any():
        raise PredictionError(f"{truth.source}: none of the {len(rows)} predicted exams has a true class")
    return Cases(truth.task, true[known], rows.scores[known], int((~known).sum()))


def has_threshold(task: Task) -> bool:
    """Whether cases are called by a threshold: two classes, one of them positive."""
    return len(task.classes) == 2 and len(task.positive) == 1


def threshold_of(asked: Asked, task: Task, validation: Cases, chosen_on: str) -> Acting | None:
    """The threshold of one point; None where the task has none.

    Args:
        asked: a score, or a recall to be reached.
        task: of the point.
        validation: the cases to choose on, where a recall is asked for.
        chosen_on: what those are called.

    Raises:
        PredictionError: they are all on one side.
    """
    if not has_threshold(task):
        return None
    if asked.recall is None:
        return Acting(asked.value)
    try:
        return chosen_for(validation.is_positive, validation.score, asked.recall, chosen_on)
    except ValueError as error:
        raise PredictionError(
            f"no threshold of recall {asked.recall:g} can be chosen on {chosen_on}: {error}"
        ) from error


def figures_at(cases: Cases, threshold: Acting | None) -> dict[str, float]:
    """The figures of `FIGURES`; nan where undefined.

    Recall, precision and F1 are those of the positive classes as one (which of them is named does not matter), or
    means over the classes where none is positive; accuracy tells all classes apart.
    """
    confusion = confusion_matrix(cases.true, cases.called(threshold), len(cases.task.classes))
    with warnings.catch_warnings():  # said in `notes_of`
        warnings.simplefilter("ignore", UndefinedFigureWarning)
        whole = figures_of_confusion(confusion)
        ranks = figures_of_ranks(cases.true, cases.scores, cases.places)
        of = {name: whole[name] for name in ("recall", "precision", "f1")}
        if cases.places:
            two = figures_of_confusion(grouped(confusion, cases.places), classes=("negative", "positive"))
            of = {name: two[f"{name}_positive"] for name in of}
        area = ranks["auc"] if "auc" in ranks else ranks.get("auc_macro", np.float64("nan"))
    found = {"accuracy": whole["accuracy"], "majority": floor_of(cases.true), **of, "auc": area}
    if cases.task.ordinal:
        found["kappa"] = whole["kappa"]
    return {name: float(value) for name, value in found.items()}


def judged(on: str, folder: str, cases: Cases, threshold: Acting | None, remarks: tuple[str, ...]) -> Judgement:
    """The figures of one point on one set of cases, and what must be said of them."""
    figures = figures_at(cases, threshold)
    named = np.unique(cases.called(threshold))
    only = cases.task.classes[named[0]] if len(named) == 1 else ""
    notes = [f"{WARNING}: names {only} for every image"] if only else []
    undefined = [name for name, value in figures.items() if np.isnan(value)]
    notes += [f"undefined: {', '.join(undefined)}"] if undefined else []
    notes += [f"{cases.unlabelled} without a {cases.task.name} label left out"] if cases.unlabelled else []
    if threshold is not None and threshold.chosen_on == on:
        notes.append("its threshold was chosen on these very cases: figures at it are no test")
    return Judgement(on, len(cases.true), figures, threshold, folder, only, (*notes, *remarks))
