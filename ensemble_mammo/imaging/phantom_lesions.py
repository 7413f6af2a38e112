"""Lesions planted into phantom views: masses and clusters of calcifications, benign and malignant, with their masks.

They look as the textbook has them: benign masses are smooth ovals with a sharp margin, malignant ones irregular with
strands that radiate; benign calcifications are few, large and round, malignant ones many, fine and of all shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ensemble_mammo.imaging.breast import Mask
from ensemble_mammo.imaging.phantom_lesion_shapes import calcifications, mass
from ensemble_mammo.records.subject import Projection, Side, View

Pixels = NDArray[np.float32]

SIZES = {"mass": (0.04, 0.10), "calcification": (0.03, 0.06)}
"""Extent of a lesion, least and most, as a share of the image's height."""
_MARGIN = 0.02
"between a lesion and the skin or the chest wall, as a share of the height"
_TISSUE = 0.05
"a phantom is brighter than this within the breast, and in the marker beside it"
_APART = 0.08
"between two lesions, likewise"


@dataclass(frozen=True)
class PhantomLesion:
    """One lesion of a breast, as both of its views show it."""

    finding: str
    "mass or calcification"
    pathology: str
    "benign or malignant"
    size: float
    "extent as a share of the image's height; of a mass without its strands"
    depth: float = 0.5
    "place between chest wall (0) and nipple (1)"
    along: float = 0.5
    "place across the breast, from its upper edge in the image (0) to its lower one (1)"
    contrast: float = 1.0
    "1: as usual; 0: invisible"

    def __post_init__(self) -> None:
        """Refuse words that are none of ours, and values outside their range."""
        if self.finding not in SIZES:
            raise ValueError(f"finding {self.finding!r} is not one of {', '.join(SIZES)}")
        if self.pathology not in ("benign", "malignant"):
            raise ValueError(f"pathology {self.pathology!r} is not one of benign, malignant")
        if not 0.005 <= self.size <= 0.25:
            raise ValueError(f"size is {self.size}, expected 0.005 to 0.25 of the image's height")
        if not (0 <= self.depth <= 1 and 0 <= self.along <= 1):
            raise ValueError(f"depth {self.depth} and along {self.along} must lie between 0 and 1")
        if not 0 <= self.contrast <= 4:
            raise ValueError(f"contrast is {self.contrast}, expected 0 to 4")


@dataclass(frozen=True)
class Planted:
    """A view with its lesions."""

    pixels: Pixels
    "`[H, W]` from 0 to 1"
    masks: tuple[Mask, ...]
    "`[H, W]` a lesion, True on it; of calcifications the area that the cluster takes"


def drawn_lesion(finding: str, pathology: str, seed: Sequence[int], contrast: float = 1.0) -> PhantomLesion:
    """A lesion of usual size at some place behind the nipple; the same seed draws the same."""
    if finding not in SIZES:
        raise ValueError(f"finding {finding!r} is not one of {', '.join(SIZES)}")
    rng = np.random.default_rng(tuple(seed))
    least, most = SIZES[finding]
    # the ends of the range are left to what the two views of a breast add
    size = rng.uniform(least * 1.1, most * 0.92)
    return PhantomLesion(finding, pathology, size, rng.uniform(0.35, 0.7), rng.uniform(0.25, 0.75), contrast)


def in_other_view(lesion: PhantomLesion, seed: Sequence[int]) -> PhantomLesion:
    """The same lesion in the breast's other projection: a like depth and size, another height."""
    rng = np.random.default_rng(tuple(seed))
    return replace(
        lesion,
        size=lesion.size * rng.uniform(0.92, 1.08),
        depth=float(np.clip(lesion.depth + rng.uniform(-0.04, 0.04), 0, 1)),
        along=rng.uniform(0.3, 0.7),
    )


def planted(pixels: Pixels, view: View, lesions: Sequence[PhantomLesion], seed: Sequence[int]) -> Planted:
    """Plant lesions into a phantom view, one after another, none over another.

    Args:
        pixels: `[H, W]` from 0 to 1, as `phantom_exam` makes it; not changed.
        view: which side the chest wall stands on.
        lesions: what to plant.
        seed: of shapes and specks.

    Raises:
        ValueError: a lesion finds no room in the breast.
    """
    height = len(pixels)
    image = np.array(pixels, np.float32)
    free, masks = _roomy(pixels, view), []
    thickness = ndimage.gaussian_filter(image, 0.02 * height)
    for place, lesion in enumerate(lesions):
        rng = np.random.default_rng((*seed, place))
        row, column = _place(free, lesion, view)
        draw = mass if lesion.finding == "mass" else calcifications
        added, mask = draw(lesion.size * height, lesion.pathology == "malignant", rng)
        corner = row - len(added) // 2, column - added.shape[1] // 2
        strength = 0.6 + 0.8 * float(thickness[row, column])  # as bright as the tissue that it lies in allows
        _add(image, added * np.float32(lesion.contrast * strength), corner)
        own = np.zeros(image.shape, np.float32)
        _add(own, mask.astype(np.float32), corner)
        masks.append(own > 0.5)
        free &= ndimage.distance_transform_edt(~masks[-1]) > _APART * height
    return Planted(np.clip(image, 0, 1), tuple(masks))


def _roomy(pixels: Pixels, view: View) -> Mask:
    """The breast without the part of an MLO in which muscle or axilla lie."""
    parts, number = ndimage.label(pixels > _TISSUE)
    breast = parts == 1 + int(np.argmax(ndimage.sum_labels(parts > 0, parts, range(1, number + 1))))
    rows, columns = np.mgrid[0 : breast.shape[0], 0 : breast.shape[1]].astype(np.float32)
    rows /= len(breast)
    if view.side == Side.RIGHT:
        columns = columns[:, ::-1]
    if view.projection == Projection.MLO:
        reach = float(columns[breast].max())
        breast = breast & (columns > reach * 0.62 * np.clip(1 - rows / 0.62, 0, 1)) & (rows > 0.22)
    return np.asarray(breast, np.bool_)


def _place(free: Mask, lesion: PhantomLesion, view: View) -> tuple[int, int]:
    """Row and column nearest to where the lesion is to be, and far enough from all edges."""
    height = len(free)
    padded = np.pad(free, 1)  # the image's edge is an edge too
    room = ndimage.distance_transform_edt(padded)[1:-1, 1:-1] > (lesion.size / 2 + _MARGIN) * height
    if not room.any():
        raise ValueError(f"a {lesion.finding} of {lesion.size:.3f} of the height finds no room in this breast")
    columns = np.flatnonzero(free.any(axis=0))
    reach = lesion.depth * len(columns)
    column = int(columns[-1] - reach if view.side == Side.RIGHT else columns[0] + reach)
    own = np.flatnonzero(free[:, min(max(column, columns[0]), columns[-1])])
    row = own[0] + lesion.along * (own[-1] - own[0])
    at = np.argwhere(room)
    best = at[np.argmin(((at - (row, column)) ** 2).sum(axis=1))]
    return int(best[0]), int(best[1])


def _add(image: Pixels, patch: Pixels, corner: tuple[int, int]) -> None:
    """Add a patch in place; what lies outside the image is lost."""
    top, left = corner
    height, width = image.shape
    rows = slice(max(top, 0), min(top + patch.shape[0], height))
    columns = slice(max(left, 0), min(left + patch.shape[1], width))
    image[rows, columns] += patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
