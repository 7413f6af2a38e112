"""The one way from a mammogram's pixels to the prepared image, and back for what is drawn on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.imaging.breast import Box, breast_box, chest_side, found_breast, white_patches
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.intensity import levelled
from ensemble_mammo.imaging.pectoral import pectoral_mask
from ensemble_mammo.imaging.read import Limits, Mammogram, read_mammogram
from ensemble_mammo.records.png16 import WHITE
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import Projection, View


@dataclass(frozen=True)
class Placement:
    """Where the breast crop of a source image lies in its prepared image."""

    source_height: int
    "rows of the file's pixels"
    source_width: int
    "columns of the file's pixels"
    crop_top: int
    "first row of the crop, in source pixels"
    crop_left: int
    "first column of the crop, in source pixels"
    crop_height: int
    "rows of the crop, in source pixels"
    crop_width: int
    "columns of the crop, in source pixels (before `source_aspect` is restored)"
    scaled_height: int
    "rows of the crop in the prepared image"
    scaled_width: int
    "columns of the crop in the prepared image"
    pad_top: int
    "first row of the scaled crop in the prepared image"
    pad_left: int
    "first column of the scaled crop in the prepared image"
    height: int
    "rows of the prepared image"
    width: int
    "columns of the prepared image"
    mirrored: bool = False
    "whether the prepared image is turned over, left for right"

    def __post_init__(self) -> None:
        """Refuse a crop outside its source, or a scaled crop outside the prepared image."""
        for name, first, length, whole in (
            ("crop rows", self.crop_top, self.crop_height, self.source_height),
            ("crop columns", self.crop_left, self.crop_width, self.source_width),
            ("scaled rows", self.pad_top, self.scaled_height, self.height),
            ("scaled columns", self.pad_left, self.scaled_width, self.width),
        ):
            if first < 0 or length < 1 or first + length > whole:
                raise ValueError(f"{name} {first} to {first + length} do not lie within 0 to {whole}")

    def to_source(self, map_: NDArray[np.floating]) -> NDArray[np.float32]:
        """A map of the prepared image, brought back over the source.

        Args:
            map_: `[height, width]`.

        Returns:
            `[source_height, source_width]`, bilinear, zero outside the crop.
        """
        if map_.shape != (self.height, self.width):
            raise ValueError(f"the map is {map_.shape}, expected {(self.height, self.width)} as the prepared image")
        whole = map_[:, ::-1] if self.mirrored else map_
        inner = whole[
            self.pad_top : self.pad_top + self.scaled_height, self.pad_left : self.pad_left + self.scaled_width
        ]
        source = np.zeros((self.source_height, self.source_width), np.float32)
        rows = slice(self.crop_top, self.crop_top + self.crop_height)
        columns = slice(self.crop_left, self.crop_left + self.crop_width)
        source[rows, columns] = resized(inner, self.crop_height, self.crop_width)
        return source

    def point_to_source(self, row: float, column: float) -> tuple[float, float]:
        """A point of the prepared image (row, column; pixel centres at whole numbers) in source pixels."""
        column = self.width - 1 - column if self.mirrored else column
        return (
            (row + 0.5 - self.pad_top) * self.crop_height / self.scaled_height + self.crop_top - 0.5,
            (column + 0.5 - self.pad_left) * self.crop_width / self.scaled_width + self.crop_left - 0.5,
        )

    def point_to_prepared(self, row: float, column: float) -> tuple[float, float]:
        """A point of the source (row, column; pixel centres at whole numbers) in prepared pixels."""
        across = (column + 0.5 - self.crop_left) * self.scaled_width / self.crop_width + self.pad_left - 0.5
        return (
            (row + 0.5 - self.crop_top) * self.scaled_height / self.crop_height + self.pad_top - 0.5,
            self.width - 1 - across if self.mirrored else across,
        )

    def to_mapping(self) -> dict[str, int]:
        """Name -> whole number, as a table's columns take it."""
        return {name: int(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, int | str]) -> Placement:
        """The placement of a mapping; keys that are none of its fields are passed over.

        Raises:
            ValueError: a field is missing, or no whole number.
        """
        names = [field.name for field in dataclasses.fields(cls) if field.name != "mirrored"]
        missing = [name for name in names if name not in mapping]
        if missing:
            raise ValueError(f"a placement lacks {', '.join(missing)}")
        return cls(**{name: int(mapping[name]) for name in names}, mirrored=bool(int(mapping.get("mirrored", 0))))


@dataclass(frozen=True)
class Prepared:
    """A prepared mammogram."""

    pixels: NDArray[np.uint16]
    "[height, width], 0 to 65535, tissue bright"
    placement: Placement
    "where it lies in its source"
    notes: tuple[str, ...] = ()
    "what is worth saying of it"


@dataclass(frozen=True)
class PreparedFile:
    """What comes of one file; can be pickled, so that other processes can make it."""

    prepared: Prepared
    "pixels and placement"
    facts: HeaderFacts
    "what the file's header says"
    sha256: str
    "SHA-256 of the file"


def prepare_pixels(mammogram: Mammogram, preparation: Preparation, view: View | None = None) -> Prepared:
    """Trim, find the breast, clear, crop, restore the aspect, scale, pad, quantise: the same pixels, always.

    Args:
        mammogram: as `read_mammogram` gives it.
        preparation: what is to be done.
        view: the image's; None: not known, so that nothing is done that is right for some views alone.
    """
    return scaled_pixels(cleared_pixels(mammogram, preparation, view), preparation)


@dataclass(frozen=True)
class Cleared:
    """A mammogram at the size it was decoded at, when all is done to it but crop and scale."""

    pixels: NDArray[np.float32]
    "[H, W] from 0 to 1"
    box: Box
    "what of `pixels` goes into the prepared image"
    mirrored: bool
    "whether it is to be turned over"
    notes: tuple[str, ...] = ()
    "what is worth saying of it"
    source: tuple[int, int] = (0, 0)
    "rows and columns of the file's pixels"
    reduction: int = 1
    "pixels of the file, in height and width, to one of `pixels`"


def cleared_pixels(mammogram: Mammogram, preparation: Preparation, view: View | None = None) -> Cleared:
    """What is done at the source's own size: trim, white patches, pectoral muscle, intensity, outside of the breast."""
    pixels, notes = mammogram.pixels, []
    box = trimmed_box(pixels.shape, preparation.trim)
    if preparation.trim:
        pixels = _kept_within(pixels, box)
    if preparation.white_patches == "black" and (patches := white_patches(pixels)).any():
        pixels = np.where(patches, np.float32(0), pixels)
        notes.append("white patches blackened")
    mask = None
    if preparation.looks_for_breast:
        mask = found_breast(pixels[box.top : box.top + box.height, box.left : box.left + box.width])
        if mask is None:
            notes.append("no breast found: the whole image is kept")
        else:
            if preparation.trim:
                below, behind = pixels.shape[0] - box.top - box.height, pixels.shape[1] - box.left - box.width
                mask = np.pad(mask, ((box.top, below), (box.left, behind)))
            box = breast_box(mask) if preparation.crop else box
    turned = preparation.orientation == "chest-left" and mask is not None and chest_side(mask) == "right"
    tissue = mask
    if preparation.pectoral == "black" and mask is not None and view and view.projection == Projection.MLO:
        muscle = pectoral_mask(pixels, mask, chest_side(mask))
        notes.append("pectoral muscle blackened" if muscle.any() else "no pectoral muscle found")
        pixels, tissue = np.where(muscle, np.float32(0), pixels), mask & ~muscle
    if preparation.intensity != "kept" and tissue is not None:
        pixels = levelled(pixels, tissue, preparation.intensity)
    if preparation.outside == "black" and mask is not None:
        pixels = np.where(mask, pixels, np.float32(0))
    return Cleared(pixels, box, turned, tuple(notes), mammogram.source_shape, mammogram.reduction)


def scaled_pixels(cleared: Cleared, preparation: Preparation) -> Prepared:
    """What is done at last: crop, aspect, scale, turn, pad, 16 bits."""
    box = cleared.box
    placement = placement_of(cleared.source, _in_source(box, cleared), preparation)
    placement = dataclasses.replace(placement, mirrored=cleared.mirrored)
    crop = cleared.pixels[box.top : box.top + box.height, box.left : box.left + box.width]
    scaled = _scaled_crop(crop, placement, cleared.reduction)
    values = np.zeros((placement.height, placement.width), np.uint16)
    top, left = placement.pad_top, placement.pad_left
    values[top : top + placement.scaled_height, left : left + placement.scaled_width] = np.rint(
        np.clip(scaled, 0, 1).astype(np.float64) * WHITE
    )
    return Prepared(values[:, ::-1].copy() if cleared.mirrored else values, placement, cleared.notes)


def _in_source(box: Box, cleared: Cleared) -> Box:
    """A box of the decoded pixels, in pixels of the file."""
    factor, (rows, columns) = cleared.reduction, cleared.source
    top, left = box.top * factor, box.left * factor
    return Box(top, left, min(box.height * factor, rows - top), min(box.width * factor, columns - left))


def _scaled_crop(crop: NDArray[np.float32], placement: Placement, reduction: int) -> NDArray[np.float32]:
    """The crop at its size in the prepared image."""
    height, width = placement.scaled_height, placement.scaled_width
    if reduction == 1:
        return resized(crop, height, width)
    first = 0.5 - 0.5 / reduction  # sample i of a lower level lies on the source's pixel i * reduction
    last = (placement.crop_width / reduction + first, placement.crop_height / reduction + first)
    image = Image.fromarray(np.pad(crop, ((0, 1), (0, 1)), mode="edge"))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, (first, first, *last)), np.float32)


def trimmed_box(shape: tuple[int, ...], trim: float) -> Box:
    """What is left when a share of height and width is taken off each side."""
    top, left = round(shape[0] * trim), round(shape[1] * trim)
    return Box(top, left, max(1, shape[0] - 2 * top), max(1, shape[1] - 2 * left))


def _kept_within(pixels: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    kept = np.zeros_like(pixels)
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    kept[rows, columns] = pixels[rows, columns]
    return kept


def prepare_file(
    path: Path | str, preparation: Preparation | None = None, limits: Limits | None = None, view: View | None = None
) -> PreparedFile:
    """Read one file and prepare it; `view` as in `prepare_pixels`.

    Raises:
        ImageReadError: the file cannot be turned into a mammogram.
    """
    preparation = preparation or Preparation()
    mammogram = read_mammogram(path, preparation, limits)
    return PreparedFile(prepare_pixels(mammogram, preparation, view), mammogram.facts, mammogram.sha256)


def placement_of(shape: tuple[int, ...], box: Box, preparation: Preparation) -> Placement:
    """The crop scaled to the height wanted, or to the width where it would not fit, in the middle of the padding."""
    stretch = preparation.source_aspect * shape[0] / shape[1] if preparation.source_aspect else 1.0
    aspect = box.width * stretch / box.height  # width over height as the breast really is
    wanted = preparation.height or box.height
    height, width = wanted, max(1, round(wanted * aspect))
    if preparation.width and width > preparation.width:
        height, width = max(1, min(height, round(preparation.width / aspect))), preparation.width
    whole_width = preparation.width or width
    return Placement(
        source_height=shape[0],
        source_width=shape[1],
        crop_top=box.top,
        crop_left=box.left,
        crop_height=box.height,
        crop_width=box.width,
        scaled_height=height,
        scaled_width=width,
        pad_top=(wanted - height) // 2,
        pad_left=(whole_width - width) // 2,
        height=wanted,
        width=whole_width,
    )


def at_height(pixels: NDArray[np.uint16], height: int) -> NDArray[np.uint16]:
    """A prepared image `[h, w]` at another height, its aspect kept; 0: as it is."""
    if height in (0, pixels.shape[0]):
        return pixels
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    return np.rint(resized(pixels.astype(np.float32), height, width)).astype(np.uint16)


def resized(values: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """Scale `[H, W]` to `[height, width]` in float32: bilinear, widened to an average when it shrinks; no overshoot."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
