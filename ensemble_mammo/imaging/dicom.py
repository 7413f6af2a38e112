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
from ensemble_mammo.imaging.voi import VoiProblem, values_of_interest
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
        preparation: its `voi` and `window` are used.
        data: the file's bytes, when they are in memory already.
        most_pixels: rows times columns above which nothing is decoded.

    Returns:
        Pixels `[H, W]` float32 from 0 to 1, tissue bright, padding 0; and what the header says.

    Raises:
        ImageReadError: not DICOM, no single grey image, damaged, too large, or without the window asked for.
    """
    name = str(path)
    found = open_dataset(Path(path) if data is None else data, name)
    _refuse_others(found, name, most_pixels)
    facts = facts_of_dataset(found, name)
    container = _decode(found, name)
    stored, notes = _stored_values(container, found)
    padding = _padding(container, stored, found)
    try:
        values, said = values_of_interest(stored, found, preparation, padding)
    except VoiProblem as problem:
        raise ImageReadError(f"{name}: {problem}") from problem
    if facts.photometric == "MONOCHROME1":
        values = 1 - values
    if padding is not None:
        values[padding] = 0
    pixels = np.ascontiguousarray(np.clip(values, 0, 1), dtype=np.float32)
    return pixels, dataclasses.replace(facts, notes=(*facts.notes, *notes, *said))


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


def _decode(found: Dataset, name: str) -> NDArray[Any]:
    """The values as decoded, `[H, W]` unsigned, with all bits allocated."""
    syntax = UID(found.file_meta.TransferSyntaxUID)
    if not found.PixelData:
        raise ImageReadError(f"{name}: its Pixel Data element is empty, expected a mammogram")
    _check_stream(found, syntax, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = (
                _decode_extended(found)
                if _is_extended(found, syntax)
                else pixel_array(found, raw=True, index=0, correct_unused_bits=False)
            )
    except Exception as error:
        text = str(error).split("available plugins:")[-1]
        raise ImageReadError(
            f"{name}: its pixels ({syntax.name}) cannot be decoded: {one_line(text)}; the file is damaged or cut short"
        ) from error
    if array.shape != (found.Rows, found.Columns):
        raise ImageReadError(f"{name}: decodes to {array.shape}, its header says {found.Rows} x {found.Columns}")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.view(np.dtype(f"u{native.dtype.itemsize}"))


def _check_stream(found: Dataset, syntax: UID, name: str) -> None:
    """See that a JPEG stream has its beginning and its end: decoders fill what is missing without a word."""
    if syntax not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes):
        return
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


def _is_extended(found: Dataset, syntax: UID) -> bool:
    return syntax == JPEGExtended12Bit and found.BitsAllocated == 16


def _decode_extended(found: Dataset) -> NDArray[Any]:
    """JPEG extended of 12 bits, which pydicom's gdcm plug-in turns down, by gdcm itself."""
    import gdcm  # type: ignore[import-untyped]

    stream = get_frame(found.PixelData, 0, number_of_frames=1)
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


def _stored_values(container: NDArray[Any], found: Dataset) -> tuple[NDArray[np.int32], list[str]]:
    """The bits stored alone, sign-extended, `[H, W]` int32; notes where other bits were set."""
    bits = int(found.BitsStored)
    high = found.get("HighBit")
    shift = high + 1 - bits if isinstance(high, int) and not found.file_meta.TransferSyntaxUID.is_encapsulated else 0
    values = container.astype(np.int32) >> max(0, min(shift, int(found.BitsAllocated) - bits))
    kept = values & (2**bits - 1)
    notes = []
    if int(found.get("PixelRepresentation") or 0) == 1:
        kept = np.where(kept >= 2 ** (bits - 1), kept - 2**bits, kept).astype(np.int32)
    elif int(values.max()) >= 2**bits:
        notes.append(f"bits above the {bits} stored are set in some pixels (an overlay?) and were left out")
    return kept, notes


def _padding(container: NDArray[Any], stored: NDArray[np.int32], found: Dataset) -> NDArray[np.bool_] | None:
    """Pixels that are padding, `[H, W]`, or None: PixelPaddingValue to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2).

    The value may lie outside the bits stored; it is then compared with all bits allocated.
    """
    value = found.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = found.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else value
    bits, signed = int(found.BitsStored), int(found.get("PixelRepresentation") or 0) == 1
    if signed:
        value, limit = (number - 65536 if number > 32767 else number for number in (value, limit))
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = min(value, limit), max(value, limit)
    mask = (stored >= low) & (stored <= high)
    if not least <= value <= most:
        mask |= container == (value & (2 ** (8 * container.dtype.itemsize) - 1))
    return mask if mask.any() else None
