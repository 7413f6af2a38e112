"""Mammograms with something taken away, to see what still tells a label: the breast, the lesions, the detail.

A blot hides a lesion, but its own place and size could tell the label in the lesion's stead. So images without a
lesion get blots too (`stray_boxes`: as many and as large as another image's, at random places in the breast), blots
are as grey as the rest of the same breast, and whoever learns from blotted images is tried on blotted ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.breast import Box, breast_mask
from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.records.png16 import WHITE

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]

AROUND = 0.25
"""A blot goes beyond its lesion's box by this share of the box on each side: margins and spicules go with it."""
THUMBNAIL_PX = 32
"""Rows and columns of a thumbnail."""
STRIP_SHARE = 0.0075
"""Depth of an outermost strip as a share of the image's side: 6 pixels of 800."""
STRIP_FIGURES = ("mean", "deviation", "darkest", "10th percentile", "90th percentile", "brightest")
"""What is measured in each of the four strips."""


def breast_of(pixels: Pixels, blackened: bool) -> Mask:
    """Where the breast is in a prepared image; everywhere where none is found.

    Args:
        pixels: `[H, W]` as prepared.
        blackened: the preparation made all but the breast black, so all that is not black is breast.

    Returns:
        `[H, W]`, True on the breast.
    """
    if blackened:
        return np.asarray(pixels > 0)
    return breast_mask(pixels.astype(np.float32) / np.float32(WHITE))


def outside_only(pixels: Pixels, mask: Mask) -> Pixels:
    """The image with its breast black: what lies outside, and the breast's outline where the outside is not black."""
    return np.where(mask, np.uint16(0), pixels)


def known_boxes(lesions: pd.DataFrame) -> dict[str, tuple[Box, ...]]:
    """image_id -> boxes, in the prepared image, of those of its lesions that have a mask; () where none has.

    Args:
        lesions: rows of lesions.csv.

    Raises:
        DatasetError: a lesion with a mask whose box is no box.
    """
    boxes: dict[str, tuple[Box, ...]] = {}
    columns = [lesions[name].tolist() for name in ("lesion_id", "image_id", "mask", "top", "left", "height", "width")]
    for lesion_id, image_id, mask, *corners in zip(*columns, strict=True):
        boxes.setdefault(image_id, ())
        if not mask:
            continue
        try:
            top, left, height, width = (int(float(number)) for number in corners)
        except (ValueError, OverflowError) as error:
            raise DatasetError(
                f"lesions.csv: lesion {lesion_id} has a mask, but top, left, height and width are "
                f"{', '.join(map(repr, corners))}, expected four numbers; prepare the dataset again"
            ) from error
        boxes[image_id] = (*boxes[image_id], Box(top, left, height, width))
    return boxes


def surroundings(shape: tuple[int, ...], boxes: Sequence[Box]) -> Mask:
    """Where lesions lie and what is around them: `[H, W]`, True in every box and a quarter of its size around it.

    Args:
        shape: (H, W) of the image.
        boxes: of the lesions, in pixels of the image; they may reach over its edge.
    """
    covered = np.zeros(shape, bool)
    for box in boxes:
        top, left = box.top - round(AROUND * box.height), box.left - round(AROUND * box.width)
        bottom, right = box.top + round((1 + AROUND) * box.height), box.left + round((1 + AROUND) * box.width)
        covered[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return covered


def blotted(pixels: Pixels, mask: Mask, boxes: Sequence[Box]) -> Pixels:
    """The image with every box, and a quarter of its size around it, filled with the median of the breast elsewhere.

    Args:
        pixels: `[H, W]`.
        mask: `[H, W]`, True on the breast.
        boxes: of the lesions, in pixels of the image; they may reach over its edge.
    """
    hidden = surroundings(mask.shape, boxes)
    rest = pixels[mask & ~hidden]
    return np.where(hidden, np.uint16(np.median(rest) if rest.size else 0), pixels)


def alone(pixels: Pixels, boxes: Sequence[Box]) -> Pixels:
    """The image with all black but every box and a quarter of its size around it: what `blotted` hides.

    Args:
        pixels: `[H, W]`.
        boxes: of the lesions, in pixels of the image; they may reach over its edge.
    """
    return np.where(surroundings(pixels.shape, boxes), pixels, np.uint16(0))


def area_share(mask: Mask, boxes: Sequence[Box]) -> float:
    """Area of the largest box over the area of the breast, 1 at most; 0 without a box, nan without a breast.

    Args:
        mask: `[H, W]`, True on the breast.
        boxes: of the lesions, in pixels of the image.
    """
    if not boxes:
        return 0.0
    breast = int(mask.sum())
    return min(1.0, largest(boxes).height * largest(boxes).width / breast) if breast else float("nan")


def largest(boxes: Sequence[Box]) -> Box:
    """The box of the largest area, the first of several."""
    return max(boxes, key=lambda box: box.height * box.width)


def stray_boxes(mask: Mask, sizes: Sequence[Box], seed: int) -> list[Box]:
    """Boxes at random places in a breast without lesion, to be blotted like lesions.

    Args:
        mask: `[H, W]`, True on the breast.
        sizes: boxes of another image's lesions, as prepared; their height and width count, their place does not.
        seed: the same seed gives the same places.
    """
    inside = np.flatnonzero(mask)
    if not len(inside):
        return []
    places = np.random.default_rng(seed).choice(inside, len(sizes))
    rows, columns = np.divmod(places, mask.shape[1])
    return [
        Box(int(row) - size.height // 2, int(column) - size.width // 2, size.height, size.width)
        for row, column, size in zip(rows, columns, sizes, strict=True)
    ]


def thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """The image shrunk to 32 x 32 pixels, aspect given up, values from 0 to 1: `[1024]`."""
    return resized(pixels.astype(np.float32) / np.float32(WHITE), THUMBNAIL_PX, THUMBNAIL_PX).ravel()


def strips(pixels: Pixels) -> NDArray[np.float32]:
    """Grey-level statistics of the four outermost strips, values from 0 to 1: `[24]`."""
    high, wide = (max(1, round(STRIP_SHARE * side)) for side in pixels.shape)
    parts = (pixels[:high], pixels[-high:], pixels[:, :wide], pixels[:, -wide:])
    values: list[float] = []
    for part in parts:
        grey = part.astype(np.float64) / WHITE
        values += [grey.mean(), grey.std(), *np.percentile(grey, (0, 10, 90, 100))]
    return np.asarray(values, np.float32)
