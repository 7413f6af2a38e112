"""Where a heatmap looks, what it found there, and how two of them differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import DatasetError

MODES = ("exact", "dense")
"""Patch by patch; the features of the whole image shared by its patches."""
CONTEXTS = ("zero", "reflected")
"""What lies around the image where it is padded: black, or the image mirrored (dense alone)."""
INTERPOLATIONS = ("logit", "probability")
"""What is interpolated between the places that a dense pass computes."""
PRECISIONS = ("float32", "auto", "bfloat16", "float16")
"""What convolutions are computed in; auto: bfloat16 where the processor or GPU has it."""


@dataclass(frozen=True)
class HeatmapOptions:
    """Where the patch classifier looks, and how its values are computed."""

    mode: str = "exact"
    "exact: every patch cut out and computed by itself; dense: the features of the image shared by its patches"
    stride_px: int = 8
    "from one place to the next, in pixels"
    padding_px: int = -1
    "black around the image, in pixels; -1: half a patch, so that the outermost pixels are centres too"
    shared: int = -1
    "dense: feature stages that are computed once for the image, the others patch by patch; -1: all, 0: none (exact)"
    dilated: int = 0
    """dense: each halves the step of the places that are computed, as a stage of dilated convolutions would; places
    between them are interpolated"""
    context: str = "zero"
    "dense: what stands in the padding; zero: black, reflected: the image mirrored"
    interpolation: str = "logit"
    "dense: what is interpolated between the places that are computed, logit or probability"
    batch_size: int = 16
    "patches computed at once; on a processor 8 to 16 are quicker than more, on a GPU take 64 or more"
    precision: str = "float32"
    "float32, auto (bfloat16 where the processor or GPU has it), bfloat16 or float16"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, allowed in (
            ("mode", MODES),
            ("context", CONTEXTS),
            ("interpolation", INTERPOLATIONS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        for name, least in (("stride_px", 1), ("padding_px", -1), ("shared", -1), ("dilated", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} or more")


@dataclass(frozen=True)
class Lattice:
    """The places of an image at which its patches are looked at."""

    height: int
    "rows of the image"
    width: int
    "columns"
    patch_px: int
    "rows and columns of a patch"
    stride_px: int
    "from one place to the next"
    padding_px: int
    "around the image, on each side"

    def __post_init__(self) -> None:
        """Refuse an image that holds no patch.

        Raises:
            DatasetError: it is smaller than a patch, its padding included.
        """
        if min(self.height, self.width) + 2 * self.padding_px < self.patch_px:
            raise DatasetError(
                f"an image of {self.height} x {self.width} pixels with {self.padding_px} around it holds no patch of "
                f"{self.patch_px}; give a larger image or more padding (half a patch: {self.patch_px // 2})"
            )

    @property
    def first(self) -> float:
        """The centre of the first patch, in pixels from the image's upper (and left) edge."""
        return self.patch_px / 2 - self.padding_px

    @property
    def rows(self) -> int:
        """How many places stand in a column."""
        return (self.height + 2 * self.padding_px - self.patch_px) // self.stride_px + 1

    @property
    def columns(self) -> int:
        """How many places stand in a row."""
        return (self.width + 2 * self.padding_px - self.patch_px) // self.stride_px + 1

    def wanted(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Which places are looked at: those whose centre lies in the mask.

        A centre on the line between two pixels belongs to the lower or right one; outside the image, or on its lower
        or right edge, the nearest pixel of the image counts.

        Args:
            mask: `[h, w]`, or None: all.

        Returns:
            `[rows, columns]`.
        """
        if mask is None:
            return np.ones((self.rows, self.columns), np.bool_)
        rows = np.floor(self.first + self.stride_px * np.arange(self.rows)).astype(np.int64)
        columns = np.floor(self.first + self.stride_px * np.arange(self.columns)).astype(np.int64)
        found: NDArray[np.bool_] = mask[np.clip(rows, 0, self.height - 1)][:, np.clip(columns, 0, self.width - 1)]
        return found.astype(np.bool_)


@dataclass(frozen=True)
class Grid:
    """Scores of the patches of an image, at every step.

    Coordinates run from the image's upper left corner: pixel i reaches from i to i + 1, its middle is i + 0.5. A patch
    of 128 pixels that begins at pixel 0 has its centre at 64, between pixels 63 and 64.
    """

    values: NDArray[np.float32]
    "[rows, columns, C] softmax scores; nan where no patch was looked at"
    stride_px: int
    "from one place to the next"
    first_row: float
    "centre of the first patch, in pixels of the image; below zero where padding is more than half a patch"
    first_column: float
    "likewise"
    patch_px: int
    "rows and columns of a patch"

    def lesion(self) -> NDArray[np.float32]:
        """The probability of a lesion `[rows, columns]`: of all classes but the first, background, together."""
        lesion: NDArray[np.float32] = self.values[..., 1:].sum(-1, dtype=np.float32)
        return lesion

    def to_image(self, height: int, width: int) -> NDArray[np.float32]:
        """The scores at every pixel `[height, width, C]`, bilinear between the places that were looked at.

        A pixel beside places that were not looked at has the mean of the others, weighted as bilinear interpolation
        weights them; one that lies a stride or more from every place that was looked at is nan.
        """
        down = _tents(height, self.first_row, self.stride_px, self.values.shape[0])
        across = _tents(width, self.first_column, self.stride_px, self.values.shape[1])
        seen = np.isfinite(self.values[..., 0])
        weight = down @ seen.astype(np.float32) @ across.T
        image = np.full((height, width, self.values.shape[2]), np.nan, np.float32)
        for index in range(self.values.shape[2]):
            total = down @ np.where(seen, self.values[..., index], np.float32(0)) @ across.T
            np.divide(total, weight, out=image[..., index], where=weight > 1e-6)
        return image


@dataclass(frozen=True)
class Deviation:
    """How far a dense grid lies from the exact one, in the probability of a lesion."""

    correlation: float
    "Pearson's, over the places; nan where there are fewer than two or one grid has the same value everywhere"
    mean_difference: float
    "the mean of the absolute differences; nan without places"
    largest_difference: float
    "the largest absolute difference; nan without places"
    places: int
    "that both grids looked at"


def deviation(dense: Grid, exact: Grid) -> Deviation:
    """How far one grid lies from another of the same image, over the places that both looked at.

    Raises:
        ValueError: they do not lie on the same places.
    """
    for name in ("stride_px", "first_row", "first_column", "patch_px"):
        if getattr(dense, name) != getattr(exact, name):
            raise ValueError(f"{name} is {getattr(dense, name)} and {getattr(exact, name)}: two different grids")
    if dense.values.shape != exact.values.shape:
        raise ValueError(f"grids of {dense.values.shape} and {exact.values.shape}, expected the same shape")
    one, other = dense.lesion().astype(np.float64), exact.lesion().astype(np.float64)
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both], other[both]
    if not one.size:
        return Deviation(np.nan, np.nan, np.nan, 0)
    differs = np.abs(one - other)
    varies = min(float(np.ptp(one)), float(np.ptp(other))) > 0
    correlation = float(np.corrcoef(one, other)[0, 1]) if varies else float("nan")
    return Deviation(correlation, float(differs.mean()), float(differs.max()), len(one))


def _tents(pixels: int, first: float, stride: int, places: int) -> NDArray[np.float32]:
    """The weight of each place for each pixel `[pixels, places]`: 1 at the place, 0 a stride away."""
    middles = np.arange(pixels)[:, None] + 0.5
    centres = first + stride * np.arange(places)[None, :]
    return np.clip(1 - np.abs(middles - centres) / stride, 0, None).astype(np.float32)
