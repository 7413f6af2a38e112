"""Local maxima of a heatmap as boxes, and the shape of what lies above a cutoff.

Plain functions of grids `[rows, columns]`; nan where a grid has no value. Lengths are in cells of the grid, the centres
of cells at whole numbers, so that the edges of cell 3 lie at 2.5 and 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Values = NDArray[np.floating]

HALF = 0.5
"""A box encloses what is connected to its peak and has this share of the peak's value or more."""
THIN = 0.25
"""A region whose height or width is this share of a patch or less says nothing of a size: the patch is taken."""

_TOUCHING = np.ones((3, 3), bool)
"cells that share an edge or a corner are connected, as scikit-image has it where nothing else is said"


@dataclass(frozen=True)
class Peak:
    """A local maximum and its box, in cells."""

    score: float
    "the grid's value there"
    row: int
    "its cell"
    column: int
    "its cell"
    top: float
    "upper edge of the box"
    left: float
    "left edge of the box"
    height: float
    "of the box"
    width: float
    "of the box"


@dataclass(frozen=True)
class Regions:
    """What lies at a cutoff or above: how many regions, and the largest of them; lengths in cells."""

    count: int
    "connected regions"
    area: int
    "cells of the largest; 0 where there is none"
    eccentricity: float
    "of the ellipse with its second moments: 0 a circle, 1 a line; nan without a region"
    extent: float
    "its area over that of its bounding box; nan without a region"
    major_axis: float
    "long axis of the ellipse with its second moments; nan without a region"
    mean: float
    "mean value in it; nan without a region"
    maximum: float
    "highest value in it; nan without a region"
    share: float
    "cells at the cutoff or above, all regions together, as a share of the cells that have a value; nan without any"


def smoothed(values: Values, sigma: float) -> NDArray[np.float64]:
    """The grid under a Gaussian, cells without a value left out of every mean.

    Args:
        values: `[rows, columns]`.
        sigma: of the Gaussian, in cells; 0: the values as they are.

    Returns:
        `[rows, columns]`, nan where `values` is.
    """
    known = np.isfinite(values)
    if sigma <= 0:
        return np.where(known, values, np.nan).astype(np.float64)
    total = ndimage.gaussian_filter(np.where(known, values, 0).astype(np.float64), sigma, mode="constant")
    weight = ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="constant")
    return np.where(known, total / np.where(known, weight, 1), np.nan)


def peaks(values: Values, apart: float, patch: float, most: int = 10, least: float = 0.0) -> list[Peak]:
    """The highest local maxima, highest first; of those too near to each other the higher one.

    A maximum is a cell, or a flat of equal cells, all of whose neighbours (eight a cell) are lower; a flat stands at
    the one of its cells that is nearest to its centre.

    Args:
        values: `[rows, columns]`, smoothed.
        apart: least distance of two peaks, in cells.
        patch: rows and columns of a patch, in cells: no box is larger.
        most: how many at most.
        least: lower maxima are passed over.
    """
    chosen: list[tuple[int, int]] = []
    found = [(row, column) for row, column in _maxima(values) if values[row, column] >= least]
    for row, column in sorted(found, key=lambda at: (-values[at], at)):
        if len(chosen) == most:
            break
        if all(math.hypot(row - r, column - c) >= apart for r, c in chosen):
            chosen.append((row, column))
    return [Peak(float(values[at]), *at, *_box(values, at, patch)) for at in chosen]


def regions(values: Values, cutoff: float) -> Regions:
    """Measure what lies at a cutoff or above, by the definitions of scikit-image's `regionprops`.

    Args:
        values: `[rows, columns]`.
        cutoff: the least value that counts.
    """
    known = np.isfinite(values)
    marked = known & (np.nan_to_num(values) >= cutoff)
    share = float(marked.sum() / known.sum()) if known.any() else math.nan
    labels, count = ndimage.label(marked, _TOUCHING)
    if not count:
        return Regions(0, 0, math.nan, math.nan, math.nan, math.nan, math.nan, share)
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    rows, columns = np.nonzero(labels == largest)
    short, long = np.linalg.eigvalsh(np.cov(np.stack([rows, columns]).astype(np.float64), bias=True))
    inside = values[rows, columns]
    return Regions(
        count=int(count),
        area=len(rows),
        eccentricity=math.sqrt(max(0.0, 1 - max(0.0, short) / long)) if long > 0 else 0.0,
        extent=float(len(rows) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)),
        major_axis=4 * math.sqrt(max(0.0, long)),
        mean=float(inside.mean()),
        maximum=float(inside.max()),
        share=share,
    )


def _maxima(values: Values) -> list[tuple[int, int]]:
    """A cell of each local maximum."""
    known = np.isfinite(values)
    filled = np.where(known, values, -np.inf)
    high = known & (filled == ndimage.maximum_filter(filled, size=3, mode="constant", cval=-np.inf))
    labels, _ = ndimage.label(high, _TOUCHING)
    found = []
    for number, (down, across) in enumerate(ndimage.find_objects(labels), start=1):
        around = (
            slice(max(0, down.start - 1), down.stop + 1),
            slice(max(0, across.start - 1), across.stop + 1),
        )
        flat = labels[around] == number
        beside = ndimage.binary_dilation(flat, _TOUCHING) & ~flat
        cells = np.argwhere(flat)
        if (filled[around][beside] >= filled[around][tuple(cells[0])]).any():
            continue  # a step on the way up
        nearest = cells[np.square(cells - cells.mean(axis=0)).sum(axis=1).argmin()]
        found.append((around[0].start + int(nearest[0]), around[1].start + int(nearest[1])))
    return found


def _box(values: Values, at: tuple[int, int], patch: float) -> tuple[float, float, float, float]:
    """Upper and left edge, height and width: what is connected and above half, within a patch around the peak."""
    row, column = at
    far = max(0, math.floor(patch / 2 - 0.5 + 1e-9))
    top, left = max(0, row - far), max(0, column - far)
    window = values[top : row + far + 1, left : column + far + 1]
    labels, _ = ndimage.label(np.nan_to_num(window) >= HALF * values[at], _TOUCHING)
    rows, columns = np.nonzero(labels == labels[row - top, column - left])
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    if min(height, width) <= max(1.0, THIN * patch):
        return row - patch / 2, column - patch / 2, patch, patch
    return top + int(rows.min()) - 0.5, left + int(columns.min()) - 0.5, height, width
