"""DICOM mammograms: from a file to pixels between 0 and 1, tissue bright."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGExtended12Bit, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.header import facts_of_dataset, one_line, open_dataset
from ensemble_mammo.imaging.jpeg2000 import jpeg2000_lossless, jpeg2000_lower
from ensemble_mammo.imaging.voi import VoiProblem
from ensemble_mammo.imaging.words import meaning_of_words
from ensemble_mammo.records.preparation import Preparation


def read_dicom(
    path: Path | str,
    preparation: Preparation,
    data: bytes | None = None,
    most_pixels: int = 200_000_000,
) -> tuple[NDArray[np.float32], HeaderFacts]:
    """Read one DICOM mammogram.

    Args:
        path: the file.
        preparation: its `voi`, `window`, `decode` and `height` are used.
        data: the file's bytes, when they are in memory already.
        most_pixels: rows times columns above which nothing is decoded.

    Returns:
        Pixels `[H, W]` float32 from 0 to 1, tissue bright, padding 0, of a lower resolution level where `decode` is
        'fast' and the file has one; and what the header says.

    Raises:
        ImageReadError: not DICOM, no single grey image, damaged, too large, or without the window asked for.
    """
    name = str(path)
    found = open_dataset(Path(path) if data is None else data, name)
    _refuse_others(found, name, most_pixels)
    facts = facts_of_dataset(found, name)
    words, reduction = _decode(found, name, preparation)
    try:
        meant = meaning_of_words(words, found, preparation)
    except VoiProblem as problem:
        raise ImageReadError(f"{name}: {problem}") from problem
    fast = f"JPEG 2000 decoded at 1/{reduction} of its height and width (decode is 'fast')"
    notes = (*facts.notes, *meant.notes, *([fast] if reduction > 1 else []))
    facts = dataclasses.replace(facts, notes=notes, stored_low=meant.lowest, stored_high=meant.highest)
    return meant.of(words), facts


def _refuse_others(found: Dataset, name: str, most_pixels: int) -> None:
    """Refuse what is no single grey image of whole numbers, before anything is decoded."""
    photometric = str(found.get("PhotometricInterpretation") or "").strip().upper()
    samples, frames = found.get("SamplesPerPixel") or 1, int(found.get("NumberOfFrames") or 1)
    if "PixelData" not in found:
        kind = "floating point pixels" if "FloatPixelData" in found or "DoubleFloatPixelData" in found else "no pixels"
        raise ImageReadError(f"{name}: holds {kind} (no Pixel Data element), expected a mammogram")
    if samples != 1 or not photometric.startswith("MONOCHROME"):
        raise ImageReadError(
            f"{name}: is {photometric or 'of unknown photometric interpretation'} with {samples} samples a pixel, "
            "expected grey (MONOCHROME1 or MONOCHROME2)"
        )
    if frames > 1:
        raise ImageReadError(f"{name}: has {frames} frames, expected one (tomosynthesis is not read)")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        if not isinstance(found.get(keyword), int) or found[keyword].value < 1:
            raise ImageReadError(
                f"{name}: {keyword} is {found.get(keyword)!r} in its header, expected a number above 0"
            )
    if found.BitsAllocated not in (8, 16) or found.BitsStored > found.BitsAllocated:
        raise ImageReadError(
            f"{name}: has {found.BitsStored} bits stored in {found.BitsAllocated}, expected up to 16 in 8 or 16"
        )
    if found.Rows * found.Columns > most_pixels:
        raise ImageReadError(
            f"{name}: has {found.Rows} x {found.Columns} pixels, more than the limit of {most_pixels:,}; "
            "raise the limit"
        )


def _decode(found: Dataset, name: str, preparation: Preparation) -> tuple[NDArray[Any], int]:
    """The words as decoded, `[H, W]` unsigned, with all bits allocated; and how often smaller than the source."""
    syntax = UID(found.file_meta.TransferSyntaxUID)
    if not found.PixelData:
        raise ImageReadError(f"{name}: its Pixel Data element is empty, expected a mammogram")
    stream = _checked_stream(found, syntax, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = preparation.height if preparation.decode == "fast" else 0
            if stream is not None and (lower := jpeg2000_lower(stream, found, wanted)):
                return lower
            array = None if stream is None else jpeg2000_lossless(stream, found)
            if array is None and stream is not None and _is_extended(found, syntax):
                array = _decode_extended(found, stream)
            if array is None:
                array = pixel_array(found, raw=True, index=0, correct_unused_bits=False)
    except Exception as error:
        text = str(error).split("available plugins:")[-1]
        raise ImageReadError(
            f"{name}: its pixels ({syntax.name}) cannot be decoded: {one_line(text)}; the file is damaged or cut short"
        ) from error
    if array.shape != (found.Rows, found.Columns):
        raise ImageReadError(f"{name}: decodes to {array.shape}, its header says {found.Rows} x {found.Columns}")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.view(np.dtype(f"u{native.dtype.itemsize}")), 1


def _checked_stream(found: Dataset, syntax: UID, name: str) -> bytes | None:
    """The JPEG stream, seen to have its beginning and its end: decoders fill what is missing without a word."""
    if syntax not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes):
        return None
    try:
        stream = get_frame(found.PixelData, 0, number_of_frames=1)
    except Exception as error:
        raise ImageReadError(f"{name}: its pixel stream cannot be taken apart ({one_line(error)})") from error
    two_thousand = stream.startswith((b"\xff\x4f", b"\x00\x00\x00\x0cjP"))
    if not (two_thousand if syntax in JPEG2000TransferSyntaxes else stream.startswith(b"\xff\xd8")):
        kind = "is a JPEG 2000 file" if two_thousand else f"begins with {stream[:4].hex(' ')}"
        raise ImageReadError(f"{name}: its pixel stream {kind}, expected {syntax.name}; the file is damaged")
    if b"\xff\xd9" not in stream[-64:]:
        raise ImageReadError(f"{name}: its pixel stream ({syntax.name}) has no end marker; the file is cut short")
    return bytes(stream)


def _is_extended(found: Dataset, syntax: UID) -> bool:
    return syntax == JPEGExtended12Bit and found.BitsAllocated == 16


def _decode_extended(found: Dataset, stream: bytes) -> NDArray[Any]:
    """JPEG extended of 12 bits, which pydicom's gdcm plug-in turns down, by gdcm itself."""
    import gdcm  # type: ignore[import-untyped]

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((found.Columns, found.Rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(str(found.PhotometricInterpretation)))
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    pixels = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(pixels, "<u2").reshape(found.Rows, found.Columns)
