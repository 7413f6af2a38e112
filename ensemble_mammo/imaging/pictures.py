"""Mammograms in picture formats: PNG, TIFF, PGM, JPEG and WebP, grey, at their full depth."""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.header import one_line

_PGM = re.compile(rb"P([25])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N")
_BITS_TAG, _PHOTOMETRIC_TAG, _FORMAT_TAG = 258, 262, 339  # TIFF 6.0, sections 4 and 19


def picture_format(head: bytes) -> str:
    """The format that a file's first bytes tell, '' for none that is known."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if head[:2] in (b"P2", b"P5") and head[2:3] in (b" ", b"\t", b"\n", b"\r", b"#"):
        return "pgm"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


def read_picture(
    data: bytes | Path, name: str, most_pixels: int, bits_used: int = 0
) -> tuple[NDArray[np.float32], HeaderFacts]:
    """Read a grey picture.

    Args:
        data: the file's bytes, or its path.
        name: the file's name for error texts.
        most_pixels: rows times columns above which nothing is decoded.
        bits_used: bits in use of a 16-bit picture; 0: all that its container has.

    Returns:
        Pixels `[H, W]` float32, 0 to 1 for 0 to the highest value of the container (or of `bits_used`); facts.

    Raises:
        ImageReadError: colour, see-through, several pages, damaged, too large, or beyond `bits_used`.
    """
    content = data.read_bytes() if isinstance(data, Path) else data
    values, full, facts = _read_values(content, name, most_pixels)
    if bits_used and full > 255:
        highest = int(values.max(initial=0))
        if highest >= 2**bits_used:
            raise ImageReadError(
                f"{name}: has a pixel of {highest}, expected {2**bits_used - 1} at most as bits_used is {bits_used}; "
                "give the number of bits that are in use, or 0"
            )
        full = 2**bits_used - 1
    found = dataclasses.replace(facts, stored_low=int(values.min(initial=full)), stored_high=int(values.max(initial=0)))
    return np.clip(values.astype(np.float32) / np.float32(full), 0, 1), found


def picture_facts(path: Path, name: str) -> HeaderFacts:
    """What a picture's header says; its pixels are not decoded."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    if picture_format(head) == "pgm":
        return _pgm_header(head, name)[0]
    with _opened(path, name, 2**62) as image:
        return _facts(image)


def _read_values(content: bytes, name: str, most_pixels: int) -> tuple[NDArray[Any], int, HeaderFacts]:
    if picture_format(content[:16]) == "pgm":
        return _read_pgm(content, name, most_pixels)
    with _opened(io.BytesIO(content), name, most_pixels) as image:
        facts = _facts(image)
        _refuse(image, name)
        try:
            image.load()
        except Exception as error:
            raise ImageReadError(
                f"{name}: its pixels cannot be decoded ({one_line(error)}); is it cut short?"
            ) from error
        values = _grey(image, name)
        full = 2**facts.bits_stored - 1
        if facts.format == "tiff" and image.mode in _SIXTEEN and _tag(image, _PHOTOMETRIC_TAG) == 0:
            values = full - values  # white is zero; Pillow turns 8-bit images only
        return values, full, facts


@contextmanager
def _opened(source: Path | io.BytesIO, name: str, most_pixels: int) -> Iterator[Image.Image]:
    """Open with Pillow, under our own limit on pixels instead of Pillow's."""
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = Image.open(source, formats=("PNG", "TIFF", "JPEG", "WEBP"))
            except Exception as error:
                raise ImageReadError(f"{name}: cannot be read as a picture ({one_line(error)})") from error
            with image:
                check_size(image.height, image.width, name, most_pixels)
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_size(rows: int, columns: int, name: str, most_pixels: int) -> None:
    """Refuse an image above the limit on pixels, or without any."""
    if rows < 1 or columns < 1:
        raise ImageReadError(f"{name}: has {rows} x {columns} pixels, expected an image")
    if rows * columns > most_pixels:
        raise ImageReadError(
            f"{name}: has {rows} x {columns} pixels, more than the limit of {most_pixels:,}; raise the limit"
        )


def _facts(image: Image.Image) -> HeaderFacts:
    kind = (image.format or "").lower()
    bits = 16 if image.mode in _SIXTEEN else 8
    if kind == "tiff" and bits == 16:
        bits = int(np.atleast_1d(_tag(image, _BITS_TAG) or 16)[0])
    turned = image.getexif().get(0x0112, 1) if kind in ("jpeg", "tiff") else 1
    notes = (f"EXIF says that the picture is to be turned (orientation {turned}); it was not",) if turned != 1 else ()
    return HeaderFacts(kind, image.height, image.width, bits, photometric=image.mode, notes=notes)


def _tag(image: Image.Image, number: int) -> Any:
    return getattr(image, "tag_v2", {}).get(number)


def _refuse(image: Image.Image, name: str) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageReadError(f"{name}: has {frames} pages or frames, expected one; save each as a file")
    raw = "".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.mode in ("RGB", "RGBA", "LA") and "16" in raw:
        raise ImageReadError(
            f"{name}: has 16 bits in several channels, expected one grey channel; save it as 16-bit grey"
        )
    if image.mode not in (*_SIXTEEN, "1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ImageReadError(
            f"{name}: has pixels of kind {image.mode} (Pillow's name), expected whole numbers of 8 or 16 bits, grey"
        )
    if _tag(image, _FORMAT_TAG) not in (None, 1, (1,)):
        raise ImageReadError(f"{name}: has signed or floating point values, expected unsigned whole numbers")


def _grey(image: Image.Image, name: str) -> NDArray[Any]:
    """The one grey channel `[H, W]`; colour and see-through pictures are refused."""
    if image.mode in _SIXTEEN:
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.asarray(image.convert("L"))
    planes = np.asarray(image.convert("RGBA"))
    if int(planes[..., 3].min()) < 255:
        raise ImageReadError(f"{name}: is see-through in places (alpha below 255), expected an opaque grey picture")
    if not (np.array_equal(planes[..., 0], planes[..., 1]) and np.array_equal(planes[..., 0], planes[..., 2])):
        raise ImageReadError(f"{name}: is in colour, expected grey (one channel, or three that are equal)")
    return planes[..., 0].copy()


def _pgm_header(content: bytes, name: str) -> tuple[HeaderFacts, int, int]:
    """Facts, the highest value, and where the pixels begin."""
    match = _PGM.match(content)
    if match is None:
        raise ImageReadError(f"{name}: its PGM header is damaged, expected P2 or P5, width, height and highest value")
    columns, rows, highest = (int(match[group]) for group in (2, 3, 4))
    if not 1 <= highest <= 65535:
        raise ImageReadError(f"{name}: its PGM header gives {highest} as highest value, expected 1 to 65535")
    facts = HeaderFacts("pgm", rows, columns, highest.bit_length(), photometric=f"P{match[1].decode()}")
    return facts, highest, match.end()


def _read_pgm(content: bytes, name: str, most_pixels: int) -> tuple[NDArray[Any], int, HeaderFacts]:
    facts, highest, start = _pgm_header(content, name)
    check_size(facts.rows, facts.columns, name, most_pixels)
    wanted = facts.rows * facts.columns
    if facts.photometric == "P5":
        kind = np.dtype("u1" if highest < 256 else ">u2")
        body = content[start : start + wanted * kind.itemsize]
        values = np.frombuffer(body, kind, count=len(body) // kind.itemsize)
    else:
        try:
            values = np.array(re.sub(rb"#[^\n]*", b"", content[start:]).split()[:wanted], dtype=np.int64)
        except ValueError as error:
            raise ImageReadError(f"{name}: holds something else than numbers among its P2 pixels") from error
    if len(values) < wanted:
        raise ImageReadError(f"{name}: has {len(values)} pixels, its header says {wanted}; the file is cut short")
    if int(values.max(initial=0)) > highest or int(values.min(initial=0)) < 0:
        raise ImageReadError(f"{name}: has a pixel outside 0 to {highest}, the highest value that its header gives")
    return values.reshape(facts.rows, facts.columns), highest, facts
