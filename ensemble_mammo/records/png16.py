"""Prepared mammograms as files, or members of shards: grey PNG of 16 bits, 65535 is white."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.files import written_beside
from ensemble_mammo.records.remote import present
from ensemble_mammo.records.shards import content, in_shard

WHITE = 65535
"""The value of white."""


def opened(path: Path) -> Image.Image:
    """Open a picture that is a file, or a member of a shard; its pixels are not decoded.

    Raises:
        OSError, SyntaxError, ValueError, Image.DecompressionBombError: it is missing or damaged.
    """
    return Image.open(io.BytesIO(content(path)) if in_shard(path) else present(path))


def read_png16(path: Path) -> NDArray[np.uint16]:
    """Read a prepared mammogram as `[height, width]`.

    Raises:
        DatasetError: the file is missing, damaged or no grey image of 16 bits.
    """
    try:
        with opened(path) as image:
            if image.mode not in ("I;16", "I"):
                raise DatasetError(f"{path}: image of mode {image.mode!r}, expected a grey PNG of 16 bits")
            return np.asarray(image).astype(np.uint16)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: missing; prepare the dataset again") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: damaged, or no PNG ({error}); prepare the dataset again") from error


def write_png16(path: Path, pixels: NDArray[np.uint16]) -> None:
    """Write a prepared mammogram `[height, width]`, whole or not at all.

    Raises:
        ValueError: the pixels are not two-dimensional or not of 16 bits.
        OutputError: the folder cannot be written.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected uint16 [height, width]")
    with written_beside(path) as beside:
        Image.fromarray(np.ascontiguousarray(pixels)).save(beside, format="PNG", compress_level=3)


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a mask `[height, width]` of 0 and 255 as a grey PNG of 8 bits, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    with written_beside(path) as beside:
        Image.fromarray(mask).save(beside, format="PNG", compress_level=6)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask as `[height, width]`, True on the lesion.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    try:
        with opened(path) as image:
            return np.asarray(image.convert("L")) >= 128
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: missing, damaged, or no PNG ({error}); prepare the dataset again") from error


def png_shape(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, its pixels not read.

    Raises:
        DatasetError: the file is missing or no image.
    """
    try:
        with opened(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: missing, or no PNG ({error}); prepare the dataset again") from error


def read_lesion_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read the mask of a lesion in an image of `shape`.

    Raises:
        DatasetError: the file is missing or damaged, of another size, or shows no lesion.
    """
    mask = read_mask(path)
    if mask.shape != shape:
        raise DatasetError(
            f"{path}: mask of {mask.shape[0]} x {mask.shape[1]} pixels on an image of {shape[0]} x {shape[1]}; "
            "prepare the dataset again"
        )
    if not mask.any():
        raise DatasetError(f"{path}: mask without a lesion; prepare the dataset again")
    return mask
