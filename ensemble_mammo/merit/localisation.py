"""How well a map lies over a mask, such as a lesion's: plain functions of `[H, W]` arrays.

What is not defined (an empty map, an empty mask) is nan; `localised` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.intervals import Interval, bootstrap, interval

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]

TOLERANCE_PX = 15.0
"""How far beside the mask the highest point may lie, in pixels of the map (Zhang et al., IJCV 126, 1084, 2018)."""

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""Shares of the map's highest value from which on a pixel counts as marked."""

HALF = 0.5
"""The share of the highest value from which on a pixel counts for `coverage`."""


@dataclass(frozen=True)
class Localised:
    """How one map lies over one mask."""

    pointing: float
    "1 where the highest point lies in the mask or within the tolerance, else 0; of equal ones the share that does"
    pointing_random: float
    "the chance that a point drawn at random from the area does"
    energy_inside: float
    "share of the map's sum that lies in the mask, 0 to 1"
    energy_gain: float
    "energy_inside over the mask's share of the area: 1 is what an even map has"
    iou_best: float
    "highest intersection over union with the mask, over the thresholds"
    iou_mean: float
    "mean of it over the thresholds"
    coverage: float
    "share of the mask where the map has half of its highest value or more"
    reason: str = ""
    "why the figures are nan; empty: they are not"

    @classmethod
    def undefined(cls, reason: str) -> Localised:
        """No figure, and why."""
        return cls(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, reason)


def localised(map_: Map, mask: Mask, area: Mask | None = None, tolerance_px: float = TOLERANCE_PX) -> Localised:
    """Every figure of one map.

    Args:
        map_: [H, W], 0 or more.
        mask: [H, W], True on what should be found.
        area: [H, W], True where it could be found, such as the breast; the mask is counted in. None: everywhere.
        tolerance_px: of the pointing game, in pixels.
    """
    _require(map_, mask)
    where = np.ones(mask.shape, bool) if area is None else area | mask
    reason = "" if mask.any() else "the mask is empty"
    if not np.any(map_ > 0):
        reason = "the map is zero everywhere: nothing speaks for the class"
    if reason:
        return Localised.undefined(reason)
    near = _near(mask, tolerance_px)
    inside = energy_inside(map_, mask)
    overlap = iou_over_thresholds(map_, mask)
    return Localised(
        float(near[map_ == map_.max()].mean()),
        float(near[where].mean()),
        inside,
        float(inside / (mask.sum() / where.sum())),
        float(overlap.max()),
        float(overlap.mean()),
        float((map_[mask] >= HALF * map_.max()).mean()),
    )


def energy_inside(map_: Map, mask: Mask) -> float:
    """Share of the map's sum that lies in the mask (Wang et al., CVPR Workshops 2020, "energy-based pointing game").

    Args:
        map_: [H, W], 0 or more.
        mask: [H, W].

    Returns:
        0 to 1; nan where the map is zero everywhere.
    """
    _require(map_, mask)
    whole = float(map_.sum(dtype=np.float64))
    return float(map_[mask].sum(dtype=np.float64)) / whole if whole > 0 else math.nan


def iou_over_thresholds(map_: Map, mask: Mask, thresholds: Sequence[float] = THRESHOLDS) -> NDArray[np.float64]:
    """Intersection over union of the mask and the pixels at or above each share of the map's highest value.

    Args:
        map_: [H, W], 0 or more.
        mask: [H, W].
        thresholds: T shares, more than 0.

    Returns:
        [T]; nan where the map is zero everywhere.
    """
    _require(map_, mask)
    highest = float(map_.max())
    if highest <= 0:
        return np.full(len(thresholds), np.nan)
    # one count over the number of thresholds that each pixel reaches, instead of a pass for each
    reached = np.searchsorted(np.asarray(thresholds) * highest, map_.ravel(), side="right")
    inside = np.bincount(reached[mask.ravel()], minlength=len(thresholds) + 1)[::-1].cumsum()[::-1][1:]
    marked = np.bincount(reached, minlength=len(thresholds) + 1)[::-1].cumsum()[::-1][1:]
    return inside / (marked + mask.sum() - inside)


def mean_over_images(
    subjects: Sequence[str], measures: Mapping[str, NDArray[np.float64]], resamples: int, seed: int
) -> dict[str, Interval]:
    """The mean of each measure over images, with its bootstrap interval over subjects; what is nan is left out.

    Args:
        subjects: [N], of each image: who is drawn is drawn with all her images.
        measures: name -> [N].
        resamples: how many are drawn; 0: values without limits (nan).
        seed: of the draws.
    """
    defined = {name: np.isfinite(values) for name, values in measures.items()}
    values = {name: own[defined[name]].mean() if defined[name].any() else math.nan for name, own in measures.items()}

    def statistic(times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        with np.errstate(invalid="ignore"):  # a resample without a defined image: nan, left out by `interval`
            return {
                name: (times @ np.where(defined[name], own, 0)) / (times @ defined[name])
                for name, own in measures.items()
            }

    drawn = bootstrap(subjects, statistic, resamples, seed) if resamples else {}
    return {name: interval(float(value), drawn.get(name, np.empty(0))) for name, value in values.items()}


def _near(mask: Mask, tolerance_px: float) -> Mask:
    """The mask, and what lies within the tolerance of it."""
    from scipy.ndimage import distance_transform_edt

    if tolerance_px <= 0:
        return mask
    return np.asarray(distance_transform_edt(~mask) <= tolerance_px)


def _require(map_: Map, mask: Mask) -> None:
    if map_.shape != mask.shape or map_.ndim != 2:
        raise ValueError(f"the map is {map_.shape}, the mask {mask.shape}: expected two of one size [H, W]")
