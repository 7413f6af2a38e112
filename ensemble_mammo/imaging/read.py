"""One way to read a mammogram, whatever its file format."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.dicom import read_dicom
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.header import facts_of_dataset, looks_like_dicom, one_line, open_dataset
from ensemble_mammo.imaging.pictures import picture_facts, picture_format, read_picture
from ensemble_mammo.imaging.polarity import looks_inverted
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.remote import present
from ensemble_mammo.records.shards import content, state

__all__ = ["Limits", "Mammogram", "is_image_file", "looks_inverted", "read_facts", "read_mammogram"]

ENDINGS = (".dcm", ".dicom", ".png", ".tif", ".tiff", ".pgm", ".jpg", ".jpeg", ".webp")
"""File name endings that promise a mammogram; without one of them, content decides."""


@dataclass(frozen=True)
class Limits:
    """What one file may cost."""

    pixels: int = 200_000_000
    "rows times columns, above which nothing is decoded"
    bytes: int = 1_000_000_000
    "size of the file, above which it is not opened"
    seconds: float = 60.0
    "time for one file; kept by whoever runs the reading in a process of its own"

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name in ("pixels", "bytes", "seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")


@dataclass(frozen=True)
class Mammogram:
    """One image as read: pixels, header facts, and the sum that tells its file from any other."""

    pixels: NDArray[np.float32]
    "[H, W] from 0 to 1, tissue bright"
    facts: HeaderFacts
    "what the file's header says"
    sha256: str
    "SHA-256 of the file, 64 hexadecimal digits"
    reduction: int = 1
    "pixels of the file, in height and width, to one of `pixels`: 2, 4, … where it was decoded at a lower level"

    @property
    def source_shape(self) -> tuple[int, int]:
        """Rows and columns of the file's pixels."""
        if self.reduction > 1:
            return self.facts.rows, self.facts.columns
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


def read_mammogram(path: Path | str, preparation: Preparation | None = None, limits: Limits | None = None) -> Mammogram:
    """Read one mammogram; the format is told by content, never by the name.

    Args:
        path: a DICOM, PNG, TIFF, PGM, JPEG or WebP file.
        preparation: `voi`, `window`, `decode` with `height`, `polarity` and `bits_used` are used; None: the default.
        limits: size above which a file is refused; the default ones when None.

    Raises:
        ImageReadError: the file cannot be turned into a mammogram; the text begins with its path.
    """
    preparation, limits = preparation or Preparation(), limits or Limits()
    data = _content(Path(path), limits)
    name = str(path)
    if picture_format(data[:16]):
        pixels, facts = read_picture(data, name, limits.pixels, preparation.bits_used)
        if preparation.polarity == "auto" and looks_inverted(pixels):
            pixels = 1 - pixels
            facts = dataclasses.replace(
                facts, notes=(*facts.notes, "turned: its background was brighter than the breast")
            )
    elif looks_like_dicom(data[:256]):
        pixels, facts = read_dicom(path, preparation, data, limits.pixels)
    else:
        raise ImageReadError(f"{name}: {_what_it_is(data[:16])}, expected DICOM, PNG, TIFF, PGM, JPEG or WebP")
    reduction = round(facts.rows / pixels.shape[0])
    return Mammogram(pixels, facts, hashlib.sha256(data).hexdigest(), reduction)


def read_facts(path: Path | str) -> HeaderFacts:
    """What the header of a file says; its pixels are not decoded.

    Raises:
        ImageReadError: the file is no image that can be read.
    """
    place, name = Path(path), str(path)
    head = _head(place)
    if picture_format(head):
        return picture_facts(place, name)
    if looks_like_dicom(head):
        return facts_of_dataset(open_dataset(place, name, pixels=False), name)
    raise ImageReadError(f"{name}: {_what_it_is(head)}, expected DICOM, PNG, TIFF, PGM, JPEG or WebP")


def is_image_file(path: Path | str) -> bool:
    """Whether a file found in a folder is to be read: by its first bytes, or by an ending that promises an image.

    A file whose ending promises an image that its content is not counts too, so that its error is shown.
    Left out: folders, DICOMDIR indexes, and the `._` companions that macOS writes.
    """
    place = Path(path)
    if place.name.startswith("._") or place.name.upper() == "DICOMDIR" or not place.is_file():
        return False
    if place.suffix.lower() in ENDINGS:
        return True
    head = _head(place)
    return bool(picture_format(head)) or looks_like_dicom(head)


def _content(path: Path, limits: Limits) -> bytes:
    try:
        size, _ = state(path) or (0, 0)
        if size > limits.bytes:
            raise ImageReadError(
                f"{path}: has {size:,} bytes, more than the limit of {limits.bytes:,}; raise the limit"
            )
        return content(path)
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be opened ({one_line(error.strerror or error)})") from error


def _head(path: Path) -> bytes:
    try:
        with present(path).open("rb") as stream:
            return stream.read(256)
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be opened ({one_line(error.strerror or error)})") from error


def _what_it_is(head: bytes) -> str:
    if not head:
        return "is empty"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return "holds text"
    return f"begins with the bytes {head[:8].hex(' ')}, no format that is known"
