"""What is found in one image: the map over its original pixels, boxes, features of regions, scores."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.blots import breast_of
from ensemble_mammo.imaging.peaks import Peak, peaks, regions, smoothed
from ensemble_mammo.imaging.prepared import Placement, at_height, resized
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.heatmap import Grid, deviation, heatmap_of
from ensemble_mammo.lesions.heatmap.inputs import Look
from ensemble_mammo.lesions.heatmap.options import APART, LESION, SCORED, SMOOTHING, SUMS, LesionMapOptions, classes_of

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Values = NDArray[np.floating]


@dataclass(frozen=True)
class LesionBox:
    """A local maximum of a map and its box, in pixels of the original."""

    score: float
    "the smoothed map there, 0 to 1"
    row: float
    "of the maximum; pixel centres at whole numbers"
    column: float
    "likewise"
    top: int
    "first row of the box"
    left: int
    "first column"
    height: int
    "rows"
    width: int
    "columns"
    class_name: str
    "the lesion class with the highest smoothed score at the maximum"

    def as_json(self) -> dict[str, Any]:
        """As lesions.json has it."""
        named = asdict(self)
        return {("class" if name == "class_name" else name): value for name, value in named.items()}


@dataclass(frozen=True)
class Found:
    """What is found in one image."""

    map_: NDArray[np.float32]
    "[H, W] over the original; 0 outside the breast"
    boxes: tuple[LesionBox, ...] = ()
    "highest score first"
    features: dict[str, float] = field(default_factory=dict)
    "region features, by column of features.csv"
    maximum: float = math.nan
    "highest value of the smoothed map; nan: no patch was looked at"
    scores: dict[str, float] = field(default_factory=dict)
    "likewise of the sums that predictions are made from"
    facts: dict[str, Any] = field(default_factory=dict)
    "patches, seconds, and the deviation from the exact map where that was asked for"


@dataclass(frozen=True)
class Frame:
    """The way from the pixels that were looked at to the original."""

    height: int
    "rows that were looked at"
    width: int
    "columns"
    prepared: tuple[int, int]
    "rows and columns of the prepared image"
    original: tuple[int, int]
    "rows and columns of the original"
    placement: Placement | None
    "of the prepared image in the original; None: they are the same"

    @classmethod
    def of(cls, pixels: Pixels, look: Look) -> Frame:
        """The frame of an image and the pixels of it that were looked at."""
        (height, width), (rows, columns) = pixels.shape, look.prepared.shape
        return cls(height, width, (rows, columns), (look.original.shape[0], look.original.shape[1]), look.placement)

    def over_original(self, map_: Values) -> NDArray[np.float32]:
        """A map of the pixels that were looked at, over the original."""
        values = map_.astype(np.float32)
        if values.shape != self.prepared:
            values = resized(values, *self.prepared)
        return values if self.placement is None else self.placement.to_source(values)

    def to_original(self, row: float, column: float) -> tuple[float, float]:
        """A point, counted from the upper left corner, in pixels of the original counted likewise."""
        row, column = row * self.prepared[0] / self.height, column * self.prepared[1] / self.width
        if self.placement is None:
            return row, column
        down, across = self.placement.point_to_source(row - 0.5, column - 0.5)
        return down + 0.5, across + 0.5


def found_in(
    look: Look, runs: Sequence[LoadedRun], options: LesionMapOptions, exact: Sequence[LoadedRun] = ()
) -> Found:
    """Look at one image.

    Args:
        look: the image.
        runs: patch classifiers of one patch size; the mean of their scores is taken.
        options: how.
        exact: compute it exactly too, with these, and say how far the two differ.
    """
    preparation = runs[0].preparation
    blackened = preparation.outside == "black"
    pixels = at_height(look.prepared, preparation.height)
    breast = breast_of(pixels, blackened)
    frame = Frame.of(pixels, look)
    if not breast.any():
        return Found(np.zeros(look.original.shape, np.float32), facts={"patches": 0, "note": "no breast found"})
    began = time.perf_counter()
    grid = heatmap_of(runs, pixels, breast, options.sweep)
    facts: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 3)}
    values = _summed(grid, classes_of(options.of))
    facts["patches"] = int(np.isfinite(values).sum())
    if exact:
        facts["deviation"] = _deviation(grid, exact, pixels, breast, options)
    smooth = smoothed(values, _sigma(grid, options))
    outside = _outside(look, breast, frame, blackened)
    map_ = np.nan_to_num(replace(grid, values=values[..., None]).to_image(*pixels.shape)[..., 0])
    over = np.where(outside, np.float32(0), frame.over_original(np.where(breast, np.clip(map_, 0, 1), 0)))
    sums = {name: smoothed(_summed(grid, SUMS[name]), _sigma(grid, options)) for name in dict.fromkeys(SCORED.values())}
    return Found(
        over,
        _boxes(grid, smooth, frame, options),
        _features(values, grid, options),
        _highest(smooth),
        {name: _highest(one) for name, one in sums.items()},
        facts,
    )


def _outside(look: Look, breast: Mask, frame: Frame, blackened: bool) -> Mask:
    """Where the original shows no breast."""
    if breast.shape == frame.original and look.placement is None:
        return ~breast
    if look.placement is None:
        return ~breast_of(look.prepared, blackened)
    return frame.over_original(breast.astype(np.float32)) < 0.5


def _summed(grid: Grid, names: Sequence[str]) -> NDArray[np.float32]:
    """The probability of some classes together, `[rows, columns]`."""
    places = [grid_class for grid_class, name in enumerate(("background", *LESION)) if name in names]
    return np.asarray(grid.values[..., places].sum(axis=-1), np.float32)


def _sigma(grid: Grid, options: LesionMapOptions) -> float:
    """Deviation of the Gaussian, in cells of the grid."""
    pixels = SMOOTHING * grid.patch_px if options.smoothing_px < 0 else options.smoothing_px
    return pixels / grid.stride_px


def _highest(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(min(1.0, known.max())) if known.size else math.nan


def _boxes(grid: Grid, smooth: Values, frame: Frame, options: LesionMapOptions) -> tuple[LesionBox, ...]:
    apart = APART * grid.patch_px if options.apart_px < 0 else options.apart_px
    stride = grid.stride_px
    tops = peaks(smooth, apart / stride, grid.patch_px / stride, options.boxes, options.least)
    by_class = [smoothed(_summed(grid, (name,)), _sigma(grid, options)) for name in LESION] if tops else []
    return tuple(
        _box(peak, grid, frame, LESION[int(np.argmax([values[peak.row, peak.column] for values in by_class]))])
        for peak in tops
    )


def _box(peak: Peak, grid: Grid, frame: Frame, class_name: str) -> LesionBox:
    """A peak in cells of the grid, in pixels of the original and within it."""

    def at(row: float, column: float) -> tuple[float, float]:
        down, across = frame.to_original(
            grid.first_row + grid.stride_px * row, grid.first_column + grid.stride_px * column
        )
        return min(max(down, 0.0), frame.original[0]), min(max(across, 0.0), frame.original[1])

    row, column = at(peak.row, peak.column)
    rows, columns = zip(at(peak.top, peak.left), at(peak.top + peak.height, peak.left + peak.width), strict=True)
    top, left = math.floor(min(rows)), math.floor(min(columns))
    height, width = max(1, math.ceil(max(rows)) - top), max(1, math.ceil(max(columns)) - left)
    row, column = (  # a patch at the image's very edge belongs to the outermost pixel
        round(min(max(place - 0.5, 0.0), side - 1), 2)
        for place, side in zip((row, column), frame.original, strict=True)
    )
    return LesionBox(min(1.0, peak.score), row, column, top, left, height, width, class_name)


def _features(values: Values, grid: Grid, options: LesionMapOptions) -> dict[str, float]:
    """Region features at each cutoff; areas and lengths in pixels at the patches' height."""
    features: dict[str, float] = {}
    for cutoff in options.cutoffs:
        found = regions(values, cutoff)
        named = {
            "regions": found.count,
            "area": found.area * grid.stride_px**2,
            "eccentricity": found.eccentricity,
            "extent": found.extent,
            "major_axis": found.major_axis * grid.stride_px,
            "mean": found.mean,
            "maximum": found.maximum,
            "share": found.share,
        }
        features |= {f"{name}_{cutoff:g}": value for name, value in named.items()}
    return features


def _deviation(
    grid: Grid, runs: Sequence[LoadedRun], pixels: Pixels, breast: Mask, options: LesionMapOptions
) -> dict[str, Any]:
    """How far a dense grid lies from the exact one, and what the exact one took."""
    began = time.perf_counter()
    exact = heatmap_of(runs, pixels, breast, replace(options.sweep, mode="exact"))
    seconds = round(time.perf_counter() - began, 3)
    return asdict(deviation(grid, exact)) | {"exact_seconds": seconds}
