"""What `explain` may be told, and what it has written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.learning.cam import METHODS
from ensemble_mammo.merit.intervals import RESAMPLES
from ensemble_mammo.merit.localisation import TOLERANCE_PX


@dataclass(frozen=True)
class ExplainOptions:
    """Which images, which class, which method, and what is measured."""

    split: str = ""
    "of a dataset: train, val, test; empty: every image"
    views: Path | None = None
    "CSV (file, view) that says what headers and names do not"
    method: str = "grad-cam"
    "class-map, or one of the methods of the grad-cam package, by name"
    class_name: str = ""
    "the class that is explained; empty: the one that the view's network predicts"
    levels: tuple[float, ...] = (0.3, 0.6, 0.9)
    "values of the map (0..1) at which contours are drawn"
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
    other_source: bool = False
    "of a dataset: its files may have been read otherwise than those of the training (another kind of source)"
    html: bool = False
    "a page an exam with its four views, map, window and scores, and a page that lists them"
    boxes: Path | None = None
    "boxes.json of a heatmap or detector, to be shown on these pages"
    measure: bool = False
    "measure the maps: overlap with lesions and breast, deletion and insertion, randomised weights"
    measure_images: int = 0
    "how many images, drawn by chance, get the slow measures (all but overlap); 0: every one"
    tolerance_px: float = TOLERANCE_PX
    "how far beside a lesion the highest point may lie, in pixels of the prepared image"
    deletion_fill: str = "blur"
    "what stands where pixels were deleted: blur (the image blurred) or black"
    resamples: int = RESAMPLES
    "bootstrap resamples of subjects for the measures' intervals; 0: none"
    seed: int = 0
    "of the images drawn, the random orders, the shuffled weights and the bootstrap"

    def __post_init__(self) -> None:
        """Refuse an unknown method and values outside their range."""
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is not one of {', '.join(METHODS)}")
        if not self.levels or not all(0 < level < 1 for level in self.levels):
            raise ValueError(f"contour levels {self.levels} must lie between 0 and 1")
        if min(self.measure_images, self.resamples, self.tolerance_px, self.threads) < 0:
            raise ValueError("images to measure, resamples, tolerance and threads must be 0 or more")
        if self.boxes and not self.html:
            raise ValueError("boxes are shown on reader pages: add --html")
        if self.deletion_fill not in ("blur", "black"):
            raise ValueError(f"deletion fill {self.deletion_fill!r} is not one of blur, black")


@dataclass(frozen=True)
class MapFiles:
    """One map that was written."""

    subject_id: str
    "of the image"
    exam_id: str
    "of the image"
    view: str
    "of the image"
    class_name: str
    "the class explained"
    score: float
    "its softmax score"
    raw: str
    "float32 map [H, W] in 0..1, relative to the output folder"
