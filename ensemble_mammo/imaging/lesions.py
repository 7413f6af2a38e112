"""Lesions as masks: drawn from outlines or read from files, and carried into the prepared image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.prepared import Placement, resized
from ensemble_mammo.imaging.read import Limits, Mammogram, read_mammogram
from ensemble_mammo.records.lesion import Outline
from ensemble_mammo.records.preparation import Preparation

Mask = NDArray[np.bool_]

_POINT_RADIUS = 2
"pixels of the source that a single point is drawn with"
_ASPECT_TOLERANCE = 0.02
"how far width over height of a mask may be from its film's, as a share"
_AS_STORED = Preparation(voi="stored")
_LOSSY = ("jpeg", "webp")
_NEAR, _BETWEEN = 0.2, 0.01
"how near to its two values, as a share of their distance, the pixels of a lossy mask lie, all but this share of them"


class LesionProblem(ValueError):  # noqa: N818 - becomes the note of one lesion
    """Why a lesion has no mask."""


def lesion_mask(outlines: Sequence[Outline], shape: tuple[int, int], limits: Limits | None = None) -> tuple[Mask, str]:
    """The mask of one lesion over its source image.

    Args:
        outlines: where it lies; all of them together are the lesion.
        shape: (rows, columns) of the source image.
        limits: of mask files.

    Returns:
        `[H, W]`, True on the lesion; and a note on what was done, or ''.

    Raises:
        LesionProblem: nothing of it lies within the image, or no mask file fits.
    """
    if not outlines:
        raise LesionProblem("the archive does not say where it lies")
    mask, notes = np.zeros(shape, bool), []
    for outline in outlines:
        if outline.kind == "mask":
            found, note = _from_files(outline.masks, shape, limits or Limits())
            mask |= found
            notes += [note] if note else []
        else:
            mask |= _drawn(outline, shape)
    if not mask.any():
        raise LesionProblem("nothing of it lies within the image")
    return mask, "; ".join(notes)


def _drawn(outline: Outline, shape: tuple[int, int]) -> Mask:
    rows, columns = outline.frame or shape
    across, down = shape[1] / columns, shape[0] / rows
    points = [(x * across, y * down) for x, y in outline.points]
    picture = Image.new("1", (shape[1], shape[0]))
    draw = ImageDraw.Draw(picture)
    if outline.kind in ("box", "runs"):
        for (left, top), (right, bottom) in zip(points[::2], points[1::2], strict=False):
            first, upper = round(left), round(top)  # the pixels whose centres lie within, one at least
            draw.rectangle((first, upper, max(first, round(right) - 1), max(upper, round(bottom) - 1)), fill=1)
    elif outline.kind == "circle":
        (x, y), dx, dy = points[0], outline.radius * across, outline.radius * down
        draw.ellipse((x - dx, y - dy, x + dx, y + dy), fill=1)
    elif outline.kind == "polygon":
        draw.polygon(points, fill=1, outline=1)
    else:
        for x, y in points:
            draw.ellipse((x - _POINT_RADIUS, y - _POINT_RADIUS, x + _POINT_RADIUS, y + _POINT_RADIUS), fill=1)
    return np.asarray(picture, bool)


def _from_files(paths: Sequence[Path], shape: tuple[int, int], limits: Limits) -> tuple[Mask, str]:
    """The file among several that is the mask, told by content: two values, and the film's size or its aspect."""
    reasons, scaled = [], None
    for path in paths:
        try:
            read = read_mammogram(path, _AS_STORED, limits)
        except ImageReadError as error:
            reasons.append(str(error).replace(f"{path}: ", f"{path.name}: "))
            continue
        mask = _two_valued(read)
        if mask is None:
            what = "is empty" if read.pixels.min() == read.pixels.max() else "has more values than two, so it is a crop"
            reasons.append(f"{path.name}: {what}")
            continue
        if mask.shape == shape:
            return mask, ""
        aspect, wanted = mask.shape[1] / mask.shape[0], shape[1] / shape[0]
        if abs(aspect / wanted - 1) <= _ASPECT_TOLERANCE:
            scaled = mask
        else:
            reasons.append(
                f"{path.name}: a mask of {mask.shape[0]} x {mask.shape[1]} pixels on a film of "
                f"{shape[0]} x {shape[1]}, whose aspect differs"
            )
    if scaled is None:
        raise LesionProblem("no mask: " + ("; ".join(reasons) or "no file of it is there"))
    note = f"mask of {scaled.shape[0]} x {scaled.shape[1]} pixels scaled to the film's {shape[0]} x {shape[1]}"
    return resized(scaled.astype(np.float32), *shape) >= 0.5, note


def _two_valued(read: Mammogram) -> Mask | None:
    """Where a file of two values has the higher one; None for other files.

    Lossy formats blur the steps of a mask: almost all of its pixels must then lie near the two.
    """
    values = read.pixels
    low, high = float(values.min()), float(values.max())
    if high == low:
        return None
    if read.facts.format in _LOSSY:
        share = (values - low) / (high - low)
        between = float(((share > _NEAR) & (share < 1 - _NEAR)).mean())
        return share >= 0.5 if between <= _BETWEEN else None
    mask: Mask = values == high
    return mask if bool(np.all(mask | (values == low))) else None


def prepared_mask(mask: Mask, placement: Placement) -> tuple[NDArray[np.uint8], float]:
    """A mask of the source, carried into the prepared image.

    Args:
        mask: `[source_height, source_width]`.
        placement: of the prepared image.

    Returns:
        `[height, width]` of 0 and 255, and the share of the lesion that lies within the crop.

    Raises:
        LesionProblem: nothing of it lies within the crop.
    """
    rows = slice(placement.crop_top, placement.crop_top + placement.crop_height)
    columns = slice(placement.crop_left, placement.crop_left + placement.crop_width)
    crop = mask[rows, columns]
    inside = int(crop.sum())
    if not inside:
        raise LesionProblem("it lies outside the breast as found")
    scaled = resized(crop.astype(np.float32), placement.scaled_height, placement.scaled_width)
    kept = scaled >= (0.5 if (scaled >= 0.5).any() else scaled.max())
    whole = np.zeros((placement.height, placement.width), np.uint8)
    top, left = placement.pad_top, placement.pad_left
    whole[top : top + placement.scaled_height, left : left + placement.scaled_width] = np.where(kept, 255, 0)
    return whole[:, ::-1].copy() if placement.mirrored else whole, inside / int(mask.sum())
