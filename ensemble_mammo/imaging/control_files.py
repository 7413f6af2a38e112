"""One image of a control dataset: something is taken away, the rest is written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.imaging.blots import alone, area_share, blotted, breast_of, outside_only, stray_boxes
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.records.png16 import read_png16, write_png16

CONTROLS = {"blotted": "lesions blotted", "alone": "lesions alone", "no-breast": "breast black"}
"""Name of a control -> how the column `collection` says it."""


@dataclass(frozen=True)
class ControlImage:
    """One image of a control, to be made."""

    source: Path
    "the prepared image"
    target: Path
    "the control's"
    control: str
    "which one"
    blackened: bool
    "whether the preparation made all but the breast black"
    boxes: tuple[Box, ...] = ()
    "of its lesions"
    stray: tuple[Box, ...] = ()
    "boxes of another image's lesions, whose sizes its stray blots take; for images without boxes"
    seed: int = 0
    "of their places"


@dataclass(frozen=True)
class MadeImage:
    """What became of it."""

    sha256: str
    "of the file written"
    area_share: float
    "area of the lesions' largest box over that of the breast"


def make_control_image(image: ControlImage) -> MadeImage:
    """Write one image of a control.

    Raises:
        DatasetError: the image is missing or damaged.
        OutputError: the folder cannot be written.
    """
    pixels = read_png16(image.source)
    mask = breast_of(pixels, image.blackened)
    boxes = list(image.boxes) or stray_boxes(mask, image.stray, image.seed)
    if image.control == "no-breast":
        changed = outside_only(pixels, mask)
    elif image.control == "alone":
        changed = alone(pixels, boxes)
    else:
        changed = blotted(pixels, mask, boxes)
    write_png16(image.target, changed)
    return MadeImage(hashlib.sha256(image.target.read_bytes()).hexdigest(), area_share(mask, image.boxes))
