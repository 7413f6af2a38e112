"""The pectoral muscle of an MLO: a bright wedge in the upper corner at the chest wall, as bright as dense tissue.

The principle is Karssemeijer's (Phys. Med. Biol. 43, 1998: the muscle's border is close to a straight line, looked
for at the angles that anatomy allows) with the second step of Kwok et al. (IEEE Trans. Med. Imaging 23, 2004: the line
is bent to the border as it is seen). All is looked for in a small copy of the breast's box with the chest wall on the
left, always of the same shape, so that an export that lost the aspect changes nothing. A border that is not
convincing is no border: a muscle left in costs less than dense tissue cut away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ensemble_mammo.imaging.breast import Box, breast_box
from ensemble_mammo.imaging.polarity import reduced

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

_ROWS, _COLUMNS = 160, 96
"the small copy: a breast is about 0.6 as wide as high"
_POINTS = 64
"on each line, at equal steps from row to row"
_TOPS = np.arange(0.14, 1.06, 0.03) * _COLUMNS
"columns in which a line leaves the upper edge (to the right of the copy: it leaves at the side)"
_FEET = np.arange(0.18, 1.40, 0.035) * _ROWS
"rows in which it meets the chest wall (below the copy: it leaves at the lower edge)"
_STEEPNESS = (35.0, 85.0)
"degrees from the horizontal, in the small copy"
_REACHES = (2.0, 4.0, 6.0)
"pixels to both sides of a border at which its two sides are compared"
_LIT = 0.2
"share of the breast's mean value below which a pixel is black"
_BEND = 9
"pixels that the border may lie off its line"
_OFFSETS = np.arange(-_BEND, _BEND + 1)
_STEP = 0.3
"what a step aside costs the bent border, in the units of the edges"
_LEAST_STRAIGHT, _LEAST_BENT = 1.0, 1.2
"mean edge along the line and along the border, in units of a usual strong edge of the same image (from -1.5 to 2)"
_LEAST_EDGE = 0.85
"share of the border on which the inner side is the brighter"
_LEAST_CONTRAST = 0.4
"brightness inside less that outside, in deviations of the breast's values"
_LARGEST = 0.45
"share of the breast; more than that is no muscle"


@dataclass(frozen=True)
class _Lines:
    """Every straight border that is tried."""

    top: NDArray[np.float64]
    "[L], column in row 0"
    foot: NDArray[np.float64]
    "[L], row in column 0"
    rows: NDArray[np.float64]
    "[L, P] of its points"
    columns: NDArray[np.float64]
    "[L, P]"
    normal: NDArray[np.float64]
    "[L, 2], row and column of the unit vector that points away from the corner"
    length: NDArray[np.float64]
    "[L], in pixels within the copy"


@dataclass(frozen=True)
class _Breast:
    """The small copy of a breast, chest wall on the left."""

    smooth: Grey
    "[R, C], lightly smoothed within the breast"
    breast: Mask
    "[R, C]"
    depth: NDArray[np.float64]
    "[R, C], pixels to the nearest skin"


def pectoral_mask(values: Grey, breast: Mask, side: str) -> Mask:
    """The pectoral muscle of an MLO.

    Args:
        values: `[H, W]` from 0 to 1, tissue bright.
        breast: `[H, W]`, True on the breast, muscle included.
        side: where the chest wall stands in the image, 'left' or 'right'; anything else: nothing is looked for.

    Returns:
        `[H, W]`, True on the muscle, within the breast; False everywhere where no convincing border is found.
    """
    if values.shape != breast.shape:
        raise ValueError(f"values {values.shape} and breast {breast.shape} differ in shape")
    nothing = np.zeros(breast.shape, bool)
    if side not in ("left", "right") or not breast.any():
        return nothing
    box = _lit_box(values, breast)
    if min(box.height, box.width) < 32:
        return nothing
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    turn = slice(None, None, -1 if side == "right" else 1)
    view = _small(values[rows, columns][:, turn], breast[rows, columns][:, turn])
    found = _border(view)
    if found is None:
        return nothing
    large = Image.fromarray(found).resize((box.width, box.height), Image.Resampling.BILINEAR)
    nothing[rows, columns] = (np.asarray(large) < 0)[:, turn]
    return nothing & breast


def _lit_box(values: Grey, breast: Mask) -> Box:
    """The breast's box less rows and columns at its edges that are mostly black, as the strips of some films are."""
    lit = breast & (values > _LIT * float(values[breast].mean()))
    rows, columns = (lit.sum(axis=axis) > 0.3 * breast.sum(axis=axis) for axis in (1, 0))
    return breast_box(rows[:, None] & columns[None, :])


def _small(values: Grey, breast: Mask) -> _Breast:
    weight = _copy(breast.astype(np.float32))
    within = _copy(np.where(breast, values, np.float32(0)))
    spread = np.maximum(ndimage.gaussian_filter(weight, 1.5), np.float32(1e-3))
    inside = weight > 0.9
    around = np.pad(inside, 8, mode="edge")  # the edges of the image are no skin
    depth = ndimage.distance_transform_edt(around)[8:-8, 8:-8]
    return _Breast(ndimage.gaussian_filter(within, 1.5) / spread, inside, depth)


def _copy(values: Grey) -> Grey:
    image = Image.fromarray(np.ascontiguousarray(reduced(values, 2 * _ROWS)))
    return np.asarray(image.resize((_COLUMNS, _ROWS), Image.Resampling.BILINEAR), np.float32)


@cache
def _lines() -> _Lines:
    top, foot = (grid.ravel() for grid in np.meshgrid(_TOPS, _FEET))
    angle = np.degrees(np.arctan2(foot, top))
    allowed = (angle >= _STEEPNESS[0]) & (angle <= _STEEPNESS[1])
    top, foot = top[allowed], foot[allowed]
    first = np.maximum(0, (1 - (_COLUMNS - 1) / top) * foot)
    last = np.minimum(foot, _ROWS - 1)
    rows = first[:, None] + (np.arange(_POINTS) + 0.5) / _POINTS * (last - first)[:, None]
    columns = top[:, None] * (1 - rows / foot[:, None])
    normal = np.stack([top, foot], axis=1) / np.hypot(top, foot)[:, None]
    return _Lines(top, foot, rows, columns, normal, (last - first) * np.hypot(1, top / foot))


def _border(view: _Breast) -> Grey | None:
    """`[R, C]`, pixels to the border, negative on the muscle; None where there is none."""
    lines = _lines()
    edge, seen = _edges(view, lines.rows, lines.columns, lines.normal[:, :, None])
    if not seen.any():
        return None
    usual = float(np.percentile(np.abs(edge[seen]), 75)) + 0.004  # the last: noise of a flat image is no edge
    count = seen.sum(axis=1)
    usual = max(usual, 0.5 * float((edge * seen).sum(axis=1).max()) / _POINTS)  # else all near a strong edge is as good
    strength = np.clip(edge / usual, -1.5, 2) * seen
    length = lines.length * count / _POINTS
    score = strength.sum(axis=1) / np.maximum(count, 1) * np.sqrt(np.clip(length / (0.35 * _ROWS), 0, 1))
    score[(length < 0.15 * _ROWS) | (count < 0.4 * _POINTS)] = -np.inf
    best = int(score.argmax())
    if score[best] < _LEAST_STRAIGHT:
        return None
    edge, seen = _beside(view, best)
    highest = max(usual, 0.5 * float((edge * seen).max()))
    path = _best_path(np.maximum(edge / highest, -1.5) * seen - 0.5 * (_OFFSETS[:, None] / _BEND) ** 2)
    strength = np.clip(edge / usual, -1.5, 2)
    along, there = strength[path, np.arange(_POINTS)], seen[path, np.arange(_POINTS)]
    if not there.any() or along[there].mean() < _LEAST_BENT or (along[there] > 0.3).mean() < _LEAST_EDGE:
        return None
    distance = _distance(best, path)
    return distance if _convincing(view, distance) else None


def _edges(
    view: _Breast, rows: NDArray[np.float64], columns: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Mask]:
    """How much brighter the corner's side of each point is, and whether both sides lie in the breast, off the skin."""
    edge, seen = np.zeros(rows.shape), np.ones(rows.shape, bool)
    for reach in _REACHES:
        down, right = reach * normal[:, 0], reach * normal[:, 1]
        inner, _ = _at(view.smooth, rows - down, columns - right)
        outer, there = _at(view.smooth, rows + down, columns + right)
        depth, _ = _at(view.depth, rows + down, columns + right)
        edge += (inner - outer) / len(_REACHES)
        seen &= there & (depth >= 3)
    return edge, seen


def _at(
    values: NDArray[np.floating], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.floating], Mask]:
    """The values nearest to points, and whether these lie in the copy (else: the value at its edge)."""
    row, column = np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp)
    there = (row >= 0) & (row < _ROWS) & (column >= 0) & (column < _COLUMNS)
    return values[np.clip(row, 0, _ROWS - 1), np.clip(column, 0, _COLUMNS - 1)], there


def _beside(view: _Breast, line: int) -> tuple[NDArray[np.float64], Mask]:
    """`[2 * _BEND + 1, P]`: edge at each offset from a line, and whether it can be seen there."""
    lines = _lines()
    down, right = lines.normal[line]
    rows = lines.rows[line] + _OFFSETS[:, None] * down
    columns = lines.columns[line] + _OFFSETS[:, None] * right
    return _edges(view, rows, columns, lines.normal[line][None, :, None])


def _best_path(gain: NDArray[np.float64]) -> NDArray[np.intp]:
    """The offset at each point, one step at most from point to point, with the greatest sum (dynamic programming)."""
    best, came = gain[:, 0], []
    for point in range(1, gain.shape[1]):
        around = np.pad(best, 1, constant_values=-np.inf)
        steps = np.stack([around[:-2] - _STEP, best, around[2:] - _STEP])
        came.append(steps.argmax(axis=0) - 1)
        best = steps.max(axis=0) + gain[:, point]
    path = [int(best.argmax())]
    for step in reversed(came):
        path.append(path[-1] + int(step[path[-1]]))
    return np.array(path[::-1], np.intp)


def _distance(line: int, path: NDArray[np.intp]) -> Grey:
    """`[R, C]`, pixels to the bent border along the line's normal, negative on the corner's side."""
    lines = _lines()
    down, right = lines.normal[line]
    bend = ndimage.gaussian_filter1d(path.astype(float) - _BEND, 2, mode="nearest")
    row, column = np.mgrid[:_ROWS, :_COLUMNS]
    off = down * row + right * (column - lines.top[line])
    along = np.interp(row - off * down, lines.rows[line], bend)  # at the row where the normal meets the line
    return np.asarray(off - along, np.float32)


def _convincing(view: _Breast, distance: Grey) -> bool:
    """Whether what lies within the border is clearly brighter than what lies beside it, and not too much of all."""
    inner = view.breast & (distance < -2) & (distance > -14)
    outer = view.breast & (distance > 2) & (distance < 14) & (view.depth > 4)
    share = float((view.breast & (distance < 0)).sum()) / float(view.breast.sum())
    if min(inner.sum(), outer.sum()) < 30 or share > _LARGEST:
        return False
    spread = float(np.std(view.smooth[view.breast & (view.depth > 5)]))
    return float(np.median(view.smooth[inner]) - np.median(view.smooth[outer])) > _LEAST_CONTRAST * spread
