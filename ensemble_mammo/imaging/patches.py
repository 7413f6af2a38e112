"""Squares cut from a mammogram: how far they overlap lesions, where they are drawn, how they are cut.

A patch of `size` pixels centred at (row, column) begins at (row - size // 2, column - size // 2). It may reach over the
image's edge by half its size: there it is black. The rules are those of Shen's own sampler (end2end-all-conv).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Centres = NDArray[np.int64]
"""`[N, 2]`: row and column of each patch's centre."""

DRAWS = 1000
"""Draws that may fail before the overlap asked for is lowered (Shen's sampler)."""
STEP = 0.05
"""What it is lowered by (likewise)."""
_BACKGROUND_ROUNDS = 5
_BLOB_STEP = 1.6
"""Ratio of neighbouring scales of a difference of Gaussians (Marr and Hildreth 1980)."""
_BLOBS = 50
"""Blobs of an image that count as hard negatives, the strongest."""
_FAINT = 0.05
"""A blob is brighter than its surroundings by more than this share of the standard deviation of the breast's grey."""


@dataclass(frozen=True)
class Region:
    """The pixels of one lesion."""

    top: int
    "first row of the lesion's box in the image"
    left: int
    "first column of the box"
    mask: Mask
    "`[height, width]` of the box, True on the lesion"

    @classmethod
    def of(cls, mask: Mask) -> Region:
        """The region of a mask `[H, W]` that has at least one pixel."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        return cls(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1].copy())

    @property
    def pixels(self) -> Centres:
        """Row and column of each pixel of the lesion in the image, `[N, 2]`."""
        return np.asarray(np.argwhere(self.mask) + np.array([self.top, self.left]), np.int64)


class Overlaps:
    """Overlaps of patches with the lesions of one image, each in constant time by a summed-area table."""

    def __init__(self, lesions: Sequence[Region], size_px: int) -> None:
        """Add up the lesions' pixels.

        Args:
            lesions: of the image.
            size_px: rows and columns of the patches.
        """
        self.size_px = size_px
        self._lesions = lesions
        self._tables = [_summed(lesion.mask) for lesion in lesions]

    def with_lesion(self, number: int, centres: Centres) -> NDArray[np.float64]:
        """The larger of intersection / lesion and intersection / patch, `[N]`; a patch's margin counts as patch."""
        lesion, table = self._lesions[number], self._tables[number]
        first = centres - self.size_px // 2 - (lesion.top, lesion.left)
        top, bottom = (np.clip(first[:, 0] + add, 0, table.shape[0] - 1) for add in (0, self.size_px))
        left, right = (np.clip(first[:, 1] + add, 0, table.shape[1] - 1) for add in (0, self.size_px))
        common = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
        return np.asarray(common / min(table[-1, -1], self.size_px**2), np.float64)

    def with_any(self, centres: Centres) -> NDArray[np.float64]:
        """The largest overlap with a lesion of the image, `[N]`."""
        found = np.zeros(len(centres))
        for number in range(len(self._lesions)):
            np.maximum(found, self.with_lesion(number, centres), out=found)
        return found


@dataclass(frozen=True)
class Drawn:
    """Centres that were drawn."""

    centres: Centres
    "`[N, 2]`"
    overlap: NDArray[np.float64]
    "`[N]`, with the lesion they were drawn around; of background the largest with any lesion"
    least: NDArray[np.float64]
    "`[N]`, the overlap that was asked for when the draw succeeded; nan where none was"


def centred(lesion: Region, overlaps: Overlaps, number: int) -> Drawn:
    """The one patch whose centre is the lesion's centre of mass."""
    centre = np.rint(lesion.pixels.mean(axis=0, keepdims=True)).astype(np.int64)
    return Drawn(centre, overlaps.with_lesion(number, centre), np.full(1, np.nan))


def drawn_around(
    lesion: Region, overlaps: Overlaps, number: int, wanted: tuple[int, float], rng: np.random.Generator
) -> Drawn:
    """Patches around a lesion, their centres drawn evenly from the lesion's box.

    Each time that 1000 draws failed, the overlap asked for falls by 0.05; at 0 the centres are pixels of the lesion,
    so that every lesion gets its patches.

    Args:
        lesion: the lesion.
        overlaps: of the image's lesions.
        number: the lesion's place among them.
        wanted: how many patches, and the least overlap.
        rng: where the draws come from.
    """
    missing, least = wanted
    low = np.array([lesion.top, lesion.left])
    parts: list[Drawn] = []
    while missing:
        if least > 0:
            draws = rng.integers(low, low + lesion.mask.shape, (DRAWS + missing, 2))
        else:
            pixels = lesion.pixels
            draws = pixels[rng.integers(0, len(pixels), missing)]
        overlap = overlaps.with_lesion(number, draws)
        good = overlap >= least
        tried = int(np.searchsorted(np.cumsum(~good), DRAWS)) + 1
        kept = np.flatnonzero(good[:tried])[:missing]
        parts.append(Drawn(draws[kept], overlap[kept], np.full(len(kept), max(0.0, least))))
        missing -= len(kept)
        least = round(least - STEP, 10)
    return Drawn(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("centres", "overlap", "least")))


def drawn_elsewhere(breast: Mask, overlaps: Overlaps, count: int, limit: float, rng: np.random.Generator) -> Drawn:
    """Patches with their centres in the breast whose overlap with every lesion lies below a limit.

    Returns:
        `count` of them, drawn evenly among all such centres; none where there is none.
    """
    found = np.zeros((0, 2), np.int64)
    for _ in range(_BACKGROUND_ROUNDS):
        draws = rng.integers((0, 0), breast.shape, (DRAWS, 2))
        draws = draws[breast[draws[:, 0], draws[:, 1]]]
        found = np.concatenate([found, draws[overlaps.with_any(draws) < limit]])
        if len(found) >= count:
            return _background(found[:count], overlaps)
    inside = np.argwhere(breast)
    allowed = inside[overlaps.with_any(inside) < limit]
    if not len(allowed):
        return _background(allowed, overlaps)
    return _background(allowed[rng.integers(0, len(allowed), count)], overlaps)


def drawn_at_blobs(centres: Centres, overlaps: Overlaps, count: int, limit: float, rng: np.random.Generator) -> Drawn:
    """Up to `count` of the blobs' patches, in random order, whose overlap with every lesion lies below a limit."""
    allowed = centres[overlaps.with_any(centres) < limit]
    return _background(rng.permutation(allowed, axis=0)[:count], overlaps)


def blobs(pixels: Pixels, breast: Mask, size_px: int) -> Centres:
    """Centres of the 50 strongest bright blobs of a breast: maxima in place and scale of a difference of Gaussians.

    Scales go from a 32nd to a quarter of the patch (standard deviation). What lies outside the breast has no weight,
    so that the skin line is no blob. Shen's sampler has OpenCV's detector of blobs at this place.

    Args:
        pixels: `[H, W]`.
        breast: `[H, W]`.
        size_px: rows and columns of the patches.
    """
    factor = max(1, size_px // 64)
    grey, weight = _reduced(pixels * breast, factor), _reduced(breast, factor)
    sigma, blurred = size_px / 32 / factor, []
    while sigma <= size_px / 4 / factor * _BLOB_STEP**2:
        share = ndimage.gaussian_filter(weight, sigma, mode="constant")
        blurred.append(ndimage.gaussian_filter(grey, sigma, mode="constant") / np.maximum(share, 1e-6))
        sigma *= _BLOB_STEP
    space = -np.diff(np.stack(blurred), axis=0)
    faint = 1 + _FAINT * float(pixels[breast].std() if breast.any() else 0)
    peak = (space == ndimage.maximum_filter(space, 3)) & (space > faint) & (weight > 0.5)
    scale, rows, columns = np.nonzero(peak)
    strongest = np.argsort(-space[scale, rows, columns], kind="stable")[:_BLOBS]
    centres = np.stack([rows, columns], axis=1)[strongest] * factor + factor // 2
    centres = np.unique(np.minimum(centres, np.array(breast.shape) - 1), axis=0)
    return np.asarray(centres[breast[centres[:, 0], centres[:, 1]]], np.int64)


def cutter(pixels: Pixels, size_px: int) -> Callable[[int, int], Pixels]:
    """A function that cuts the patch `[size_px, size_px]` centred at (row, column); black beyond the image's edge.

    Centres lie in the image.
    """
    before = size_px // 2
    padded = np.pad(pixels, ((before, size_px - before), (before, size_px - before)))
    return lambda row, column: padded[row : row + size_px, column : column + size_px]


def _background(centres: Centres, overlaps: Overlaps) -> Drawn:
    return Drawn(centres, overlaps.with_any(centres), np.full(len(centres), np.nan))


def _summed(mask: Mask) -> NDArray[np.int64]:
    """`[H + 1, W + 1]`: entry (r, c) is the number of pixels of `mask[:r, :c]`."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1, out=table[1:, 1:])
    return table


def _reduced(values: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Means of blocks of `factor` x `factor` pixels; those that reach over the edge are filled with 0."""
    high, wide = (-side % factor for side in values.shape)
    whole = np.pad(values.astype(np.float32), ((0, high), (0, wide)))
    blocks = whole.reshape(whole.shape[0] // factor, factor, whole.shape[1] // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
