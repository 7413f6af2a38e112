"""The results of a report: held apart from how they are computed and drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.merit.intervals import CONFIDENCE, Interval
from ensemble_mammo.merit.sections import Section
from ensemble_mammo.records.task import Task

MAIN = ("accuracy", "recall", "precision", "kappa")
"""The figures of several classes that a narrow table shows."""

MAIN_OF_TWO = ("auc", "accuracy", "positive_sensitivity", "positive_specificity")
"""The figures of two classes that a narrow table shows."""


_RECALLS = ("positive_sensitivity", "dense_sensitivity")


def main_figures(task: Task) -> tuple[str, ...]:
    """The figures of a task that a narrow table shows."""
    return MAIN_OF_TWO if len(task.classes) == 2 else MAIN


@dataclass(frozen=True)
class LevelCounts:
    """What stands behind the figures of a level."""

    exams: int
    "exams that were judged"
    subjects: int
    "subjects that they belong to"
    incomplete: int
    "judged exams that lack a view which others were fused from"
    absent: int
    "exams predicted at other levels, without any view at this one"
    unlabelled: int
    "predicted exams left out because they have no true class"
    majority: float
    "accuracy of always naming the most frequent class: what any classifier must pass"


@dataclass(frozen=True)
class PredictionFile:
    """A file that the report was made from."""

    name: str
    "its name, without the folder"
    sha256: str
    "of the file as it was read"
    level: str
    "what its rows are"
    system: str = ""
    "of several systems, whose it is; 'validation': thresholds and temperatures were fitted on it"


@dataclass(frozen=True)
class Report:
    """Figures of merit of every level, and how they came about."""

    task: Task
    "what was told apart"
    figures: Mapping[str, Mapping[str, Interval]]
    "level -> name of the figure -> value and limits"
    confusion: Mapping[str, NDArray[np.int64]]
    "level -> counts [C, C], rows are true classes"
    counts: Mapping[str, LevelCounts]
    "level -> exams and subjects behind the figures"
    truth: str
    "where the true classes come from"
    fusion: Fusion
    "how views were fused"
    resamples: int
    "bootstrap resamples of subjects"
    seed: int
    "of the bootstrap"
    files: tuple[PredictionFile, ...]
    "what was read; empty when predictions were given in memory"
    notes: tuple[str, ...]
    "what a reader must know; no ids"
    versions: Mapping[str, str]
    "software -> version"
    sections: tuple[Section, ...] = ()
    "the studies behind the headline figures, in the order of the page"
    thresholds: Mapping[str, Acting] = field(default_factory=dict)
    "level -> the threshold that its exams are called at; of tasks of two classes"

    @property
    def top(self) -> str:
        """The level that matters most: the subject, else the last of the breasts or views that are there."""
        return list(self.figures)[-1]

    def main_figures(self) -> tuple[str, ...]:
        """The figures that a narrow table shows: those of two or of several classes."""
        return main_figures(self.task)

    def table(self, names: tuple[str, ...] = ()) -> list[list[str]]:
        """Rows of text for a console: a heading, then a row a level; beside the accuracy that of no network.

        Args:
            names: the figures; those that this task does not have are left out; empty: `main_figures`.
        """
        first: Mapping[str, Interval] = next(iter(self.figures.values()), {})
        shown = [name for name in names or self.main_figures() if name in first]
        at = any(one.cut is not None for one in self.thresholds.values())
        rows = [["level", "exams", *(["threshold"] if at else [])]]
        for name in shown:
            rows[0] += [title_of(name), *(["most frequent class"] if name == "accuracy" else [])]
        for level, figures in self.figures.items():
            own = [level, str(self.counts[level].exams), *([f"{self.thresholds[level].value:.3g}"] if at else [])]
            for name in shown:
                own += [str(figures[name]), *([f"{self.counts[level].majority:.3f}"] if name == "accuracy" else [])]
            rows.append(own)
        return rows

    def named_only(self, level: str) -> str:
        """The class that all exams of a level are called; empty where they are called several."""
        named = np.flatnonzero(self.confusion[level].sum(axis=0))
        return self.task.classes[int(named[0])] if len(named) == 1 else ""

    def summary(self) -> dict[str, dict[str, Any]]:
        """level -> what its calls come to, on one line: accuracy beside that of no network, recall, precision, F1.

        Of two classes those of the positive one, at the threshold; of several the recall of the positive side, where
        being called any positive class counts as found. None: undefined, or not for this task.
        """
        return {level: self._line(level, figures) for level, figures in self.figures.items()}

    def _line(self, level: str, figures: Mapping[str, Interval]) -> dict[str, Any]:
        two, counts = len(self.task.classes) == len(("negative", "positive")), self.counts[level]
        positive = next(iter(self.task.positive), "")
        names = {kind: f"{kind}_{positive}" for kind in ("recall", "precision", "f1")} if two else {}
        if not two:
            names["recall"] = next((name for name in _RECALLS if name in figures), "")
        values = {kind: _finite(figures[name].value) for kind, name in names.items() if name in figures}
        return {
            "exams": counts.exams,
            "threshold": self.thresholds[level].value if level in self.thresholds else None,
            "accuracy": _finite(figures["accuracy"].value),
            "most_frequent_class": counts.majority,
            **{kind: values.get(kind) for kind in ("recall", "precision", "f1")},
            "named_only": self.named_only(level) or None,
        }

    def as_json(self) -> dict[str, Any]:
        """What report.json holds; undefined figures are null."""
        return {
            "task": self.task.name,
            "classes": list(self.task.classes),
            "summary": self.summary(),
            "thresholds": {level: asdict(one) for level, one in self.thresholds.items()},
            "figures": {
                level: {name: {k: _finite(v) for k, v in asdict(one).items()} for name, one in figures.items()}
                for level, figures in self.figures.items()
            },
            "confusion": {
                level: {"classes": list(self.task.classes), "counts": counts.tolist()}
                for level, counts in self.confusion.items()
            },
            "counts": {level: asdict(one) for level, one in self.counts.items()},
            "truth": self.truth,
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "confidence": CONFIDENCE, "unit": "subject"},
            "fusion": {
                "rule": self.fusion.rule,
                "weights": dict(self.fusion.weights),
                "require_all_views": self.fusion.require_all_views,
                "breast_to_subject": self.fusion.breast_to_subject or self.task.breast_to_subject,
            },
            "files": [asdict(one) for one in self.files],
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "sections": {section.name: section.as_json() for section in self.sections},
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
