"""Where the breast is: on digital images, on film with labels and borders, on crops that it fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ensemble_mammo.imaging.polarity import reduced

Mask = NDArray[np.bool_]

_ROWS = 288
_LEAST_SHARE = 0.02
"a breast covers at least this share of its image; less is taken for nothing found"


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    top: int
    "first row"
    left: int
    "first column"
    height: int
    "rows"
    width: int
    "columns"


def breast_mask(pixels: NDArray[np.float32]) -> Mask:
    """The breast with pectoral muscle and skin line; labels, film borders and strips left out.

    Args:
        pixels: `[H, W]` from 0 to 1, tissue bright.

    Returns:
        `[H, W]`, True on the breast; True everywhere where no breast is found (`found_breast` tells).
    """
    mask = found_breast(pixels)
    return np.ones(pixels.shape, bool) if mask is None else mask


def found_breast(pixels: NDArray[np.float32]) -> Mask | None:
    """As `breast_mask`, but None where no breast is found: an empty image, or one without background."""
    small = ndimage.median_filter(reduced(pixels, _ROWS), size=3)
    if min(small.shape) < 16:
        return None
    border = _border(small)
    tissue = _above_background(small, border)
    if tissue is None:
        return None
    breast = _largest(tissue & ~border, small)
    if breast is None or breast.mean() < _LEAST_SHARE:
        return None
    breast = ndimage.binary_dilation(breast, _disc(2)) & ~border
    return _enlarged(_filled(breast), pixels.shape)


def breast_box(mask: Mask) -> Box:
    """The smallest rectangle around a mask; all of it where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Box(0, 0, *mask.shape)
    top, left = int(rows[0]), int(columns[0])
    return Box(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


def chest_side(mask: Mask) -> str:
    """The side of the image on which the chest wall stands: 'left', 'right', or '' where the mask does not tell.

    A breast is tall against the chest wall and tapers away from it.

    Args:
        mask: `[H, W]`, True on the breast.
    """
    box = breast_box(mask)
    columns = mask[:, box.left : box.left + box.width].sum(axis=0).astype(float)
    if box.width < 16 or not columns.any():
        return ""
    quarter = box.width // 4
    left, right = float(columns[:quarter].mean()), float(columns[-quarter:].mean())
    if abs(left - right) < 0.15 * max(left, right):
        return ""
    return "left" if left > right else "right"


def white_patches(pixels: NDArray[np.float32]) -> Mask:
    """White rectangles with straight edges, such as cover the writing on a digitised film.

    Args:
        pixels: `[H, W]` from 0 to 1, tissue bright.

    Returns:
        `[H, W]`, True on the patches.
    """
    small = reduced(pixels, _ROWS)
    found = np.zeros(small.shape, bool)
    highest = float(small.max())
    if highest < 0.5:
        return np.zeros(pixels.shape, bool)
    numbers, _ = ndimage.label(small >= 0.985 * highest)
    for number, where in enumerate(ndimage.find_objects(numbers), start=1):
        part = numbers[where] == number
        if part.mean() > 0.85 and min(part.shape) >= 4 and part.sum() >= 0.0005 * small.size:
            found |= ndimage.binary_dilation(numbers == number, _disc(1))
    return _enlarged(found, pixels.shape) if found.any() else np.zeros(pixels.shape, bool)


def _disc(radius: int) -> Mask:
    across = np.arange(-radius, radius + 1)
    return np.asarray(across[:, None] ** 2 + across[None, :] ** 2 <= radius * radius + 1)


def _border(small: NDArray[np.float32]) -> Mask:
    """Film borders: white, against the image's edge, thin, and ending in a step (white muscle fades into tissue)."""
    highest = float(small.max())
    white = small >= 0.93 * highest
    depth = ndimage.distance_transform_edt(np.pad(white, 12, mode="edge"))[12:-12, 12:-12]
    numbers, count = ndimage.label(white)
    edge = np.zeros(white.shape, bool)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    found = np.zeros(white.shape, bool)
    for number in range(1, count + 1):
        part = numbers == number
        if not part[edge].any() or depth[part].max() >= 12:
            continue
        around = ndimage.binary_dilation(part, _disc(4)) & ~ndimage.binary_dilation(part, _disc(1))
        if float(np.median(small[around])) < 0.75 * highest:
            found |= part
    for turns in range(4):
        found |= np.rot90(_white_rows(np.rot90(small, turns), highest), -turns)
    return ndimage.binary_dilation(found, _disc(2))


def _white_rows(small: NDArray[np.float32], highest: float) -> Mask:
    """Rows near the top that are white for the most part, out to the top, where a step follows them."""
    found = np.zeros(small.shape, bool)
    lines = np.flatnonzero((small[: max(1, len(small) // 12)] >= 0.75 * highest).mean(axis=1) > 0.6)
    if len(lines):
        last = int(lines[-1])
        step = small[lines].mean() - small[last + 2 : last + 5].mean()
        found[: last + 1] = step > 0.15 * highest
    return found


def _above_background(small: NDArray[np.float32], border: Mask) -> Mask | None:
    """Pixels clearly brighter than the background; None without contrast."""
    values = small[~border]
    if values.size < 64 or float(values.max() - values.min()) < 0.02:
        return None
    cut = _otsu(values)
    for _ in range(
        2
    ):  # an implant, or a breast that fills its frame, splits the breast itself: split the dark part again
        dark = values[values <= cut]
        lower = _otsu(dark) if float(dark.max() - dark.min()) > 0.02 else cut
        gap = float(np.median(dark[dark > lower])) - float(np.median(dark[dark <= lower])) if lower < cut else 0.0
        if gap < 0.25 * (float(np.median(values[values > cut])) - float(np.median(dark[dark <= lower]))):
            break
        cut = lower
    dark = values[values <= cut]
    background, tissue = float(np.median(dark)), float(np.median(values[values > cut]))
    spread = float(np.median(np.abs(dark - background)))
    threshold = max(
        background + 0.12 * (tissue - background), background + min(6 * spread, 0.5 * (tissue - background))
    )
    return np.asarray(small > threshold)


def _otsu(values: NDArray[np.float32]) -> float:
    """The value that splits a histogram of 256 bins into the two classes that lie farthest apart (Otsu 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nanargmax(between[:-1]))])


def _largest(tissue: Mask, small: NDArray[np.float32]) -> Mask | None:
    """The largest region that is no label, with what an opening cut off close to it."""
    opened = ndimage.binary_opening(tissue, _disc(4))  # beyond the edge is nothing, so that thin film borders go too
    numbers, count = ndimage.label(opened)
    if not count:
        return None
    areas = np.bincount(numbers.ravel())
    areas[0] = 0
    for number, where in enumerate(ndimage.find_objects(numbers), start=1):
        part = numbers[where] == number
        if part.mean() > 0.9 and float(np.median(small[where][part])) > 0.9 * float(small.max()):
            areas[number] = 0  # a white rectangle: a label or a strip
    if not areas.any():
        return None
    core = numbers == int(areas.argmax())
    return ndimage.binary_dilation(core, _disc(1), iterations=5, mask=tissue)


def _filled(mask: Mask) -> Mask:
    """Without holes, those against the chest wall (left or right edge of the image) included."""
    mask = ndimage.binary_fill_holes(mask)
    for column in (0, -1):
        rows = np.flatnonzero(mask[:, column])
        if len(rows):
            closed = mask.copy()
            closed[rows[0] : rows[-1] + 1, column] = True
            gaps = ndimage.binary_fill_holes(closed)
            if gaps.sum() < 1.15 * mask.sum():
                mask = gaps
    return np.asarray(mask)


def _enlarged(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask of the reduced copy at full size, with smooth edges."""
    factor = max(1, shape[0] // mask.shape[0])
    while mask.shape[0] != shape[0] // factor or mask.shape[1] != shape[1] // factor:
        factor -= 1
    height, width = mask.shape
    large = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        (width * factor, height * factor), Image.Resampling.BILINEAR
    )
    full = np.asarray(large) >= 128
    return np.pad(full, ((0, shape[0] - full.shape[0]), (0, shape[1] - full.shape[1])), mode="edge")
