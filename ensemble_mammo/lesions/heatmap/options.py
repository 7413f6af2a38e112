"""What `heatmap` may be told, and what it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.learning.heatmap import HeatmapOptions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import PATCH_CLASSES

LESION = PATCH_CLASSES[1:]
"""The classes that are lesions."""
MALIGNANT = tuple(name for name in LESION if name.startswith("malignant"))
"""Those that are malignant."""
SUMS: Mapping[str, tuple[str, ...]] = {
    "lesion": LESION,
    "malignant": MALIGNANT,
    "benign": tuple(name for name in LESION if name.startswith("benign")),
    "calcification": tuple(name for name in LESION if name.endswith("calcification")),
    "mass": tuple(name for name in LESION if name.endswith("mass")),
}
"""What a map may show beside one class: the sum of these."""
SCORED: Mapping[str, str] = {"abnormality": "lesion", "pathology": "malignant", "birads": "malignant"}
"""Task -> the sum whose highest value in the map is an image's score for the task's second class."""
SMOOTHING = 0.125
"""Deviation of the Gaussian before maxima are sought, as a share of the patch, unless told."""
APART = 0.5
"""Least distance of two maxima, likewise."""


def classes_of(name: str) -> tuple[str, ...]:
    """The classes that a map shows.

    Raises:
        ValueError: neither a sum nor a class of patches.
    """
    if name in SUMS:
        return SUMS[name]
    if name in PATCH_CLASSES:
        return (name,)
    raise ValueError(f"a map of {name!r}: expected one of {', '.join((*SUMS, *PATCH_CLASSES))}")


@dataclass(frozen=True)
class LesionMapOptions:
    """Which images, how they are looked at, and what is made of the maps."""

    split: str = ""
    "of a dataset: train, val, test; empty: every image"
    views: Path | None = None
    "of a folder: CSV (file, view) that says what headers and names do not"
    view: View | None = None
    "of a single file: its view; None: what header or name say"
    other_source: bool = False
    "of a dataset: its files are of another kind than those of training, so that how they were read may differ"
    sweep: HeatmapOptions = field(default_factory=HeatmapOptions)
    "mode, stride, padding and batches of the patch classifier"
    of: str = "lesion"
    "what the map shows: lesion, malignant, benign, calcification, mass (sums), or a class of patches"
    smoothing_px: float = -1.0
    "deviation of the Gaussian before maxima are sought, in pixels at the patches' height; -1: an eighth of a patch"
    apart_px: float = -1.0
    "least distance of two maxima, likewise; -1: half a patch"
    boxes: int = 10
    "boxes an image, at most"
    least: float = 0.05
    "lowest score of a box"
    cutoffs: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    "of the region features, 0 to 1"
    compare: int = 0
    "dense mode: so many images, drawn by chance, are computed exactly too, and the deviation is written"
    predictions: str = ""
    "also write predictions of this task from the maps' highest values: abnormality, pathology or birads"
    seed: int = 0
    "of the images drawn"
    device: str = "auto"
    "cpu, cuda or auto"
    workers: int = 0
    "processes that read files; 0: one a core. On a cluster: how many work at once; 0: as many as there is room for"
    engine: Engine = LOCAL
    "where it is computed; on a cluster the workers read the images and write the maps, too"
    threads: int = 0
    """processor cores that a network computes with, on every engine; 0: as many as torch takes on this machine. Maps
    depend on them in the last digits"""
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        classes_of(self.of)
        for name, value in (("smoothing", self.smoothing_px), ("apart", self.apart_px)):
            if not (value == -1 or 0 <= value < math.inf):
                raise ValueError(f"{name} is {value:g} pixels, expected 0 or more, or -1")
        if not 0 <= self.least <= 1:
            raise ValueError(f"lowest score of a box is {self.least:g}, expected 0 to 1")
        if min(self.boxes, self.compare, self.threads) < 0:
            raise ValueError("boxes, images to compare and threads must be 0 or more")
        if not self.cutoffs or not all(0 < cutoff <= 1 for cutoff in self.cutoffs):
            raise ValueError(f"cutoffs {self.cutoffs} must lie above 0 and not above 1")
        if self.compare and self.sweep.mode != "dense":
            raise ValueError("images are compared with exact maps: take mode dense, or leave compare out")
        if self.predictions and self.predictions not in SCORED:
            raise ValueError(f"predictions of {self.predictions!r}: expected one of {', '.join(SCORED)}")


@dataclass(frozen=True)
class Hits:
    """How many lesions the boxes find."""

    lesions: int
    "with a mask"
    at_one: float
    "share of them found at one false positive an image; nan: no image's false positives can be counted"
    best: Mapping[int, tuple[float, float]]
    "k -> share of them that the k best boxes of each image hit, and false positives an image"
    rule: str
    "when a box hits, as a sentence has it"

    def line(self) -> str:
        """As a sentence."""
        best = ", ".join(f"{k} {share:.2f} ({alarms:.2f})" for k, (share, alarms) in self.best.items())
        return (
            f"lesions with a mask: {self.lesions}; share found at one false positive an image: {self.at_one:.2f}; by "
            f"the k best boxes of each image (false positives an image): {best}. A box hits if {self.rule}. "
            "`ensemble-mammo report` shows the curve"
        )


@dataclass(frozen=True)
class LesionMaps:
    """What one call has written."""

    document: Mapping[str, Any]
    "lesions.json"
    hits: Hits | None = None
    "of a dataset whose lesions have masks"

    @property
    def images(self) -> Sequence[Mapping[str, Any]]:
        """The entry of each image."""
        found: Sequence[Mapping[str, Any]] = self.document["images"]
        return found

    def lines(self) -> list[str]:
        """What the maps come to, in sentences."""
        said = [f"note: {note}" for note in self.document["notes"]]
        if compared := self.document["compared"]:
            said.append(
                f"dense against exact on {compared['images']} images: correlation {compared['correlation']:.4f} "
                f"(lowest {compared['lowest_correlation']:.4f}), mean difference {compared['mean_difference']:.4f}, "
                f"largest {compared['largest_difference']:.4f}, {compared['times']:.1f} times as quick"
            )
        return [*said, self.hits.line()] if self.hits else said
