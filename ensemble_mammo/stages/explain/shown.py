"""One image with its map: what is drawn, measured and put on a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.learning.cam import ActivationMap
from ensemble_mammo.stages.explain.images import ExamImage, Grey
from ensemble_mammo.stages.explain.options import MapFiles


@dataclass(frozen=True)
class Shown:
    """One image of an exam with its map."""

    image: ExamImage
    "pixels and ids"
    made: ActivationMap
    "map over the prepared image, class and scores"
    map_: Grey
    "[H, W] over the original"
    files: MapFiles
    "what is written of it"

    @property
    def stem(self) -> str:
        """Of its files, without ending."""
        return Path(self.files.raw).stem
