"""JPEG 2000 straight from OpenJPEG: lossless streams in half of pydicom's time, and lower resolution levels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import openjpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless

_MOST_HALVINGS = 5
"what an encoder makes of an image unless told otherwise (ISO 15444-1); DICOM's streams have no more"


def jpeg2000_lossless(stream: bytes, found: Dataset) -> NDArray[Any] | None:
    """The words of a lossless stream `[H, W]`; None for every other, and for one that its header contradicts."""
    if UID(found.file_meta.TransferSyntaxUID) != JPEG2000Lossless or not _precision(stream, found):
        return None
    return np.asarray(openjpeg.decode(stream))


def jpeg2000_lower(stream: bytes, found: Dataset, rows: int) -> tuple[NDArray[Any], int] | None:
    """A lower resolution level with at least twice the rows wanted, where the stream has one.

    Sample `i` of the level lies on the source's pixel `i * reduction`: each level keeps every second sample of the one
    above it, smoothed, beginning with the first.

    Args:
        stream: the JPEG 2000 stream.
        found: its header.
        rows: of the image wanted; 0: none.

    Returns:
        The words `[h, w]`, and how many pixels of the source, in height and width, one of them stands for; or None.
    """
    if UID(found.file_meta.TransferSyntaxUID) not in (JPEG2000Lossless, JPEG2000) or not rows:
        return None
    halvings = next((n for n in range(_MOST_HALVINGS, 0, -1) if found.Rows >> n >= 2 * rows), 0)
    precision = _precision(stream, found) if halvings else 0
    if not precision:
        return None
    for count in range(halvings, 0, -1):
        words = _level(stream, count)
        if words is not None and words.shape == (-(-found.Rows >> count), -(-found.Columns >> count)):
            words >>= np.uint8(8 * words.dtype.itemsize - precision)  # Pillow moves values up to the highest bits,
            if int(found.get("PixelRepresentation") or 0):  # and signed ones so that the lowest is 0
                words -= words.dtype.type(1 << (precision - 1))
            return words, 1 << count
    return None


def _level(stream: bytes, halvings: int) -> NDArray[Any] | None:
    try:
        with Image.open(io.BytesIO(stream), formats=("JPEG2000",)) as image:
            image.reduce = halvings  # type: ignore[method-assign,assignment]
            image.load()
            return np.array(image) if image.mode in ("L", "I;16") else None
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # the stream has not so many levels


def _precision(stream: bytes, found: Dataset) -> int:
    """The bits of a value in a stream that is of the size, sign and width of words that the header says; else 0.

    Unsigned values may be declared with more bits than are stored (12 in 16, as some makers do).
    """
    try:
        said: dict[str, Any] = openjpeg.get_parameters(stream)
    except (RuntimeError, ValueError, TypeError):
        return 0
    signed = int(found.get("PixelRepresentation") or 0)
    least, most = int(found.BitsStored), int(found.BitsStored) if signed else int(found.BitsAllocated)
    precision = int(said["precision"])
    agreed = (
        (said["rows"], said["columns"]) == (found.Rows, found.Columns)
        and said["samples_per_pixel"] == 1
        and least <= precision <= most
        and (precision > 8) == (int(found.BitsAllocated) > 8)
        and int(said["is_signed"]) == signed
    )
    return precision if agreed else 0
