"""A file as it came, read and prepared by a worker process: a module that loads no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.prepared import Placement, prepare_file, prepare_pixels
from ensemble_mammo.imaging.read import Limits, read_mammogram
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View


@dataclass(frozen=True)
class RawFile:
    """Which file, and what is done to it."""

    path: Path
    "the file"
    view: View
    "its projection"
    preparation: Preparation
    "of the network that is to look at it"
    limits: Limits
    "what it may cost"


@dataclass(frozen=True)
class BothWays:
    """A mammogram before and after it was prepared."""

    original: NDArray[np.float32]
    "[H, W] as it was read, 0 to 1; smaller than the file says where it was decoded at a lower level"
    prepared: NDArray[np.uint16]
    "[h, w]"
    placement: Placement
    "of the prepared image in the file's pixels"
    mm_per_pixel: float
    "height of a pixel of `original`, in millimetres; 0: not known"


def prepared_of(file: RawFile) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """The prepared pixels [h, w] of a file, and notes.

    Raises:
        ImageReadError: it cannot be read.
    """
    made = prepare_file(file.path, file.preparation, file.limits, file.view)
    return made.prepared.pixels, (*made.facts.notes, *made.prepared.notes)


def both_ways(file: RawFile) -> BothWays:
    """A file's pixels as they were read, and prepared.

    Raises:
        ImageReadError: it cannot be read.
    """
    mammogram = read_mammogram(file.path, file.preparation, file.limits)
    made = prepare_pixels(mammogram, file.preparation, file.view)
    mm = (mammogram.facts.pixel_spacing_mm or 0.0) * mammogram.reduction
    return BothWays(mammogram.pixels, made.pixels, made.placement, mm)


def tried(file: RawFile) -> None:
    """Read a file for nothing but the error, or the end of the process, that this may be.

    Raises:
        ImageReadError: it cannot be read.
    """
    both_ways(file)
