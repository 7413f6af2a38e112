"""What `predict` may be told, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.merit.calls import HALF, Acting, called_classes
from ensemble_mammo.merit.fusion import Fused, Fusion
from ensemble_mammo.records.calibration_file import Calibration
from ensemble_mammo.records.predictions import (
    Predictions,
)
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import Task

CONTRASTS_BETWEEN = 0.01, 10.0
"""As a recipe's own: below, an image is all but even; above, little but black and white."""


@dataclass(frozen=True)
class PredictOptions:
    """Which subjects, how fused, and on what."""

    split: str = ""
    "of a dataset: train, val, test; empty: every image"
    subjects: frozenset[str] | None = None
    "of a dataset: these alone; None: all"
    only: tuple[View, ...] = tuple(View)
    "the views to predict; runs of others are not used"
    many: bool = False
    "the folder holds a folder a subject"
    views: Path | None = None
    "CSV (file, view) that says what headers and names do not"
    fusion: Fusion = field(default_factory=Fusion)
    "how the views of an exam become breasts and subject"
    device: str = "auto"
    "cpu, cuda or auto"
    batch_size: int = 8
    "images a step"
    workers: int = 0
    "processes that read files; 0: one a core. On a cluster: how many work at once; 0: as many as there is room for"
    engine: Engine = LOCAL
    "where it is computed; on a cluster the workers read the images, too"
    threads: int = 0
    """processor cores that a network computes with, on every engine; 0: as many as torch takes on this machine. Scores
    depend on them in the last digits"""
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    task: str = ""
    "refuse networks of another task; empty: whatever they are"
    read_as: str = ""
    "a task of two classes, such as birads, as which scores of another of two, such as pathology, are read"
    flips: bool = False
    "scores are the mean over an image and its three mirror images (test-time augmentation)"
    other_source: bool = False
    "of a dataset: its files may have been read otherwise than those of the training (another kind of source)"
    layer: str = ""
    """of networks with a last layer a collection: whose is asked; empty: that of an image's own collection where the
    dataset says it, else the mean of all"""
    calibration: Path | None = None
    "calibration.json of a report: temperatures are applied to every level after fusion"
    peers: bool = False
    "also write image_level.csv and breast_level.csv, as peers read them; of tasks of two classes"
    threshold: float = HALF
    "of two classes: the score from which a row is called positive; 0.5: the class that scores highest"
    contrasts: tuple[float, ...] = ()
    """one: the input's contrast in place of the recipe's own; several: scores at each of them beside those at the
    recipe's own"""

    def __post_init__(self) -> None:
        """Refuse a threshold or contrasts outside their range, contrasts given twice, or with a calibration.

        Raises:
            PredictionError: which, what was found, what was expected.
        """
        if self.threads < 0:
            raise PredictionError(f"threads {self.threads}: expected a number of processor cores, or 0")
        if not 0 < self.threshold < 1:
            raise PredictionError(f"threshold {self.threshold:g}: expected a score between 0 and 1, such as 0.3")
        low, high = CONTRASTS_BETWEEN
        wrong = [value for value in self.contrasts if not low <= value <= high]
        if wrong:
            raise PredictionError(f"contrast {wrong[0]:g}: expected a factor of {low:g} to {high:g}, such as 1.5")
        names = [contrast_name(value) for value in self.contrasts]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise PredictionError(f"contrast {twice[0]} is given more than once: give each once")
        if self.contrasts and self.calibration is not None:
            raise PredictionError(
                "a calibration holds for scores at the recipe's own contrast; leave --calibration or --contrast out"
            )

    @property
    def contrasts_beside(self) -> tuple[float, ...]:
        """The contrasts whose scores stand beside those at the recipe's own: none, or several."""
        return self.contrasts if len(self.contrasts) > 1 else ()


def contrast_name(value: float) -> str:
    """A contrast as the folder of its tables is called: `1.5`."""
    return f"{value:g}"


VALIDATION = "validation exams"
"""What a calibration was fitted on that does not say it."""


@dataclass(frozen=True)
class Scores:
    """The predictions of every view, and of breasts and subjects fused from them."""

    task: Task
    "what was told apart"
    views: Mapping[View, Predictions]
    "a table a view"
    fused: Fused
    "right, left and subject"
    notes: tuple[str, ...]
    "what was left out, averaged or missing"
    runs: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    "view -> what the runs that were used say of their training"
    seen: int = 0
    "how many of the subjects the networks learned from, as far as runs and dataset say it"
    calibration: Calibration | None = None
    "whose temperatures were applied to every level"
    sets: Mapping[str, list[tuple[str, ...]]] = field(default_factory=dict)
    "level -> the conformal set of each row; levels without are not named"
    threshold: float = HALF
    "of two classes: the score from which a row is called positive; 0.5: the class that scores highest"
    contrast: float | None = None
    "the contrast that the input had in place of the recipe's own; None: the recipe's own"
    contrasts: Mapping[float, Scores] = field(default_factory=dict)
    "contrast -> the scores of the same images at it, where several were asked for"

    def called(self, table: Predictions) -> list[str]:
        """The class that each row of a table is called."""
        positive = tuple(table.classes.index(name) for name in self.task.positive)
        places = called_classes(table.scores, positive, Acting(self.threshold).cut)
        return [table.classes[place] for place in places]

    def levels(self) -> list[Predictions]:
        """Every table: views first, then breasts, then subjects."""
        return [*self.views.values(), *self.fused.levels.values()]
