"""Tiles of mammograms after Scuccimarra: their scale, where normal tissue gives them, how they are cut and turned.

His numbers are pixels of digitised films of 5,295 rows, the mean of CBIS-DDSM; a film pixel is `Scale.factor` pixels of
a prepared image. All that is called cover or side here is in pixels of the prepared image, unless its name says film.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.prepared import Placement, resized, trimmed_box
from ensemble_mammo.records.png16 import WHITE

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]

FILM_ROWS = 5295
"""Mean rows of the films of CBIS-DDSM (Scuccimarra)."""
TILE_FILM_PX = 598
"""Rows and columns of a tile on the film (Scuccimarra)."""
NETWORK_PX = 299
"""Rows and columns of a tile as his networks took it: half of that."""
FACTORS = (1.8, 3.2)
"""Normal films are made smaller by a factor between these (sets 6 and 8)."""
STRIDES_PX = (150, 200)
"""Stride of normal tiles of 299 pixels, in pixels of the smaller film (sets 6 and 8)."""


@dataclass(frozen=True)
class Scale:
    """How a prepared image stands to its film."""

    factor: float
    "pixels of the image to one of a film of 5,295 rows"
    area: Box
    "what of the image lies within the film's trimmed frame"

    def side(self, film_px: float) -> int:
        """A length on the film in pixels of the image, at least one."""
        return max(1, round(film_px * self.factor))

    @property
    def cover_px(self) -> int:
        """Rows and columns that a tile of 598 film pixels covers in the image."""
        return self.side(TILE_FILM_PX)


@dataclass(frozen=True)
class Square:
    """Where a tile lies."""

    method: str
    "own-size, whole, half, crop, fixed-context, padded, overlapping or grid"
    top: int
    "first row in the image; it may lie above it"
    left: int
    "first column"
    side: int
    "rows and columns"


def scale_of(placement: Placement, trim: float, either_side: bool = False) -> Scale:
    """The scale of a prepared image, and what is left of it when the film is trimmed.

    Args:
        placement: where the image's crop lies in its source.
        trim: share of the source's height and width that is taken off each side.
        either_side: the image may have been turned over, so the larger margin is taken off left and right.
    """
    down = placement.scaled_height / placement.crop_height
    across = placement.scaled_width / placement.crop_width
    frame = trimmed_box((placement.source_height, placement.source_width), trim)
    ends = {
        "rows": (frame.top, frame.height, placement.crop_top, placement.crop_height, down, placement.pad_top),
        "columns": (frame.left, frame.width, placement.crop_left, placement.crop_width, across, placement.pad_left),
    }
    (top, bottom), (left, right) = (_within(*values) for values in ends.values())
    if either_side:
        margin = max(left, placement.width - right)
        left, right = margin, placement.width - margin
    area = Box(top, left, max(0, bottom - top), max(0, right - left))
    return Scale(placement.source_height * down / FILM_ROWS, area)


def _within(first: int, length: int, crop_first: int, crop_length: int, factor: float, before: int) -> tuple[int, int]:
    """First and last + 1 of a range of the source, in pixels of the prepared image."""
    start, end = max(first, crop_first), min(first + length, crop_first + crop_length)
    return before + round((start - crop_first) * factor), before + round((end - crop_first) * factor)


def normal_grid(tile_set: str, scale: Scale, rng: np.random.Generator) -> list[Square]:
    """All whole tiles of normal tissue in the trimmed frame, of set 9 side by side, of the others overlapping."""
    side, stride = normal_side(tile_set, scale, rng)
    area = scale.area
    tops, lefts = (_lined(*ends, side, stride) for ends in ((area.top, area.height), (area.left, area.width)))
    return [Square("grid", top, left, side) for top in tops for left in lefts]


def normal_side(tile_set: str, scale: Scale, rng: np.random.Generator) -> tuple[int, int]:
    """Side and stride of a mammogram's normal tiles: 598 film pixels, or 299 and 150 to 200 of a film made smaller."""
    if tile_set == "9":
        return scale.cover_px, scale.cover_px
    factor = rng.uniform(*FACTORS)
    stride = int(rng.integers(STRIDES_PX[0], STRIDES_PX[1] + 1))
    return scale.side(NETWORK_PX * factor), scale.side(stride * factor)


def random_squares(count: int, tile_set: str, scale: Scale, rng: np.random.Generator) -> list[Square]:
    """Tiles at random places of the trimmed frame, none where it cannot hold one."""
    found = []
    for _ in range(count):
        side, _stride = normal_side(tile_set, scale, rng)
        rows, columns = scale.area.height - side, scale.area.width - side
        if min(rows, columns) >= 0:
            top, left = scale.area.top + rng.integers(rows + 1), scale.area.left + rng.integers(columns + 1)
            found.append(Square("grid", int(top), int(left), side))
    return found


def _lined(first: int, length: int, side: int, stride: int) -> list[int]:
    """Where whole tiles begin; what is left over is shared by both ends."""
    count = (length - side) // stride + 1 if length >= side else 0
    before = (length - (count - 1) * stride - side) // 2
    return [first + before + number * stride for number in range(count)]


def drawn_turn(rng: np.random.Generator) -> str:
    """A random quarter turn and random flips, as a tile set's manifest writes them."""
    quarters, across, down = (int(rng.integers(n)) for n in (4, 2, 2))
    return f"{quarters}{'h' * across}{'v' * down}"


def turned(pixels: Pixels, turn: str) -> Pixels:
    """A square turned counter-clockwise by quarters, then flipped left for right, then upside down; lossless."""
    made = np.rot90(pixels, int(turn[0]))
    made = made[:, ::-1] if "h" in turn else made
    return np.ascontiguousarray(made[::-1] if "v" in turn else made)


def cut(pixels: Pixels, square: Square, size_px: int) -> Pixels:
    """The tile `[size_px, size_px]` of an image `[H, W]`, averaged where it shrinks; black beyond the image's edge."""
    whole = np.zeros((square.side, square.side), np.uint16)
    top, left = max(0, square.top), max(0, square.left)
    part = pixels[top : max(0, square.top + square.side), left : max(0, square.left + square.side)]
    whole[top - square.top :, left - square.left :][: part.shape[0], : part.shape[1]] = part
    if square.side == size_px:
        return whole
    return np.rint(resized(whole.astype(np.float32), size_px, size_px)).astype(np.uint16)


def mean_and_variance(tile: Pixels) -> tuple[float, float]:
    """Of a tile's values from 0 to 1."""
    values = tile.astype(np.float64) / WHITE
    return float(values.mean()), float(values.var())
