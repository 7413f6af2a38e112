"""When a box hits a lesion: by its centre in the lesion's mask, near it, or by the overlap of the two boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Boxes:
    """B places that a heatmap stands out at."""

    scores: NDArray[np.float64]
    "[B]"
    centres: NDArray[np.float64]
    "[B, 2] row and column, pixel centres at whole numbers; may lie outside the image"
    rectangles: NDArray[np.float64]
    "[B, 4] top, left, height, width in pixels"

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.scores)


@dataclass(frozen=True)
class HitRule:
    """When a box hits a lesion."""

    tolerance_px: float = 0.0
    "how far beside the lesion's mask the box's centre may lie, in pixels of the prepared image"
    iou: float = 0.0
    "0: the centre decides; else the box and the lesion's bounding box must have this intersection over union"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 <= self.tolerance_px < float("inf"):
            raise ValueError(f"tolerance_px {self.tolerance_px:g}: expected 0 or more")
        if not 0 <= self.iou <= 1:
            raise ValueError(f"iou {self.iou:g}: expected a share between 0 and 1")

    def __str__(self) -> str:
        """As a sentence has it, after 'A box hits a lesion if'."""
        if self.iou:
            return f"its intersection over union with the lesion's bounding box is {self.iou:g} or more"
        within = f" or within {self.tolerance_px:g} pixels of it" if self.tolerance_px else ""
        return f"its centre lies in the lesion's mask{within}"


def hits_of(boxes: Boxes, masks: Sequence[Mask], rule: HitRule) -> Mask:
    """Which boxes hit which lesions of one image.

    Args:
        boxes: B of them; a centre outside the image hits nothing.
        masks: L masks [H, W], each with a pixel.
        rule: when a box hits.

    Returns:
        [B, L].
    """
    found = np.zeros((len(boxes), len(masks)), dtype=bool)
    for place, mask in enumerate(masks):
        if rule.iou:
            found[:, place] = _overlap(boxes.rectangles, mask) >= rule.iou
            continue
        area = widened(mask, rule.tolerance_px)
        row, column = np.floor(boxes.centres + 0.5).astype(np.int64).T
        inside = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
        found[inside, place] = area[row[inside], column[inside]]
    return found


def widened(mask: Mask, tolerance_px: float) -> Mask:
    """The mask, and what lies within the tolerance of it."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~mask) <= tolerance_px) if tolerance_px else mask


def _overlap(rectangles: NDArray[np.float64], mask: Mask) -> NDArray[np.float64]:
    """[B] intersection over union of rectangles with the bounding box of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    first, last = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1
    start, end = rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]
    common = np.clip(np.minimum(end, last) - np.maximum(start, first), 0, None).prod(axis=1)
    whole = np.clip(rectangles[:, 2:], 0, None).prod(axis=1) + np.prod(last - first) - common
    return np.asarray(common / whole)
