"""DICOM headers: which files are DICOM at all, and what their headers say."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.records.subject import Projection, Side

# fmt: off
TAGS = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate", "AcquisitionDate",
    "SOPClassUID", "Modality", "Manufacturer", "ManufacturerModelName", "PatientAge", "PresentationIntentType",
    "BreastImplantPresent", "BurnedInAnnotation", "EstimatedRadiographicMagnificationFactor",
    "ImagerPixelSpacing", "PixelSpacing", "ViewPosition", "ImageLaterality",
    "Laterality", "ViewCodeSequence", "SpecificCharacterSet", "SamplesPerPixel", "NumberOfFrames",
    "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation",
    "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)
# fmt: on
"""The elements that are read, by keyword; no other is, so names and birth dates never enter."""

# DICOM PS3.16, context group 4014 (view for mammography): SNOMED RT and SNOMED CT codes
_CODES = {
    "R-10242": Projection.CC,
    "399162004": Projection.CC,
    "R-10226": Projection.MLO,
    "399368009": Projection.MLO,
}
_SIDES = {"R": Side.RIGHT, "RIGHT": Side.RIGHT, "L": Side.LEFT, "LEFT": Side.LEFT}
_POSITIONS = {"CC": Projection.CC, "MLO": Projection.MLO}


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first bytes of a file (132 or more, if it has them) are those of a DICOM file.

    'DICM' at byte 128, or, for files without preamble, a first element of group 0002 or 0008 with a
    plausible length in either byte order.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group, element = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        length = int.from_bytes(head[6:8] if explicit else head[4:8], order)
        if length <= 256:
            return True
    return False


def open_dataset(data: bytes | Path, name: str, pixels: bool = True) -> Dataset:
    """The elements of `TAGS` of a DICOM file.

    Args:
        data: the whole file, or its path (then only what is needed is read).
        name: the file's name for error texts.
        pixels: whether to read the pixel data too.

    Raises:
        ImageReadError: it is not a DICOM image.
    """
    if isinstance(data, Path):
        with data.open("rb") as stream:
            head = stream.read(132)
    else:
        head = data[:132]
    if not looks_like_dicom(head):
        raise ImageReadError(f"{name}: is not a DICOM file (no 'DICM' at byte 128, no DICOM element at its start)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = data if isinstance(data, Path) else io.BytesIO(data)
            found = dcmread(source, force=True, stop_before_pixels=not pixels, specific_tags=list(TAGS))
            _ = [found.get(tag) for tag in TAGS if tag in found]  # values are converted here, once
    except Exception as error:
        raise ImageReadError(f"{name}: its DICOM header cannot be read ({one_line(error)})") from error
    if "Rows" not in found and "SOPClassUID" not in found:
        raise ImageReadError(f"{name}: looks like DICOM but holds neither Rows nor SOPClassUID, so no image")
    _complete_meta(found)
    return found


def _complete_meta(found: Dataset) -> None:
    if getattr(found, "file_meta", None) is None:
        from pydicom.dataset import FileMetaDataset

        found.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in found.file_meta:
        implicit, little = found.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        found.file_meta.TransferSyntaxUID = syntax


def one_line(error: object, limit: int = 160) -> str:
    """An error's text on one line, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def facts_of_dataset(found: Dataset, name: str, notes: Iterable[str] = ()) -> HeaderFacts:
    """What a DICOM header says.

    Args:
        found: as `open_dataset` gives it.
        name: the file's name for error texts.
        notes: what else is to be noted.
    """
    side, side_problem = _side(found)
    projection, view_text, view_problem = _view(found)
    problem = "; ".join(text for text in (side_problem, view_problem) if text)
    presentation = _text(found, "PresentationIntentType").upper()
    said = [problem] if problem else []
    if presentation == "FOR PROCESSING":
        said.append("FOR PROCESSING: raw detector values, not a picture made for reading")
    if view_text and projection is None and not view_problem:
        said.append(f"{view_text} view, neither CC nor MLO")
    said += [f"view modifier: {text}" for text in _modifiers(found)]
    return HeaderFacts(
        format="dicom",
        rows=_whole(found, "Rows", name),
        columns=_whole(found, "Columns", name),
        bits_stored=_whole(found, "BitsStored", name),
        photometric=_text(found, "PhotometricInterpretation").upper(),
        patient_id=_text(found, "PatientID"),
        study_uid=_text(found, "StudyInstanceUID"),
        series_uid=_text(found, "SeriesInstanceUID"),
        exam_date=_date(found),
        image_uid=_text(found, "SOPInstanceUID"),
        side=side,
        projection=projection,
        view_text=view_text,
        pixel_spacing_mm=_spacing(found),
        manufacturer=_text(found, "Manufacturer"),
        device=_text(found, "ManufacturerModelName"),
        age=_age(_text(found, "PatientAge")),
        implant=_text(found, "BreastImplantPresent").upper(),
        presentation=presentation,
        windows=_several(found),
        modifiers=tuple(_modifiers(found)),
        magnification=_number(found, "EstimatedRadiographicMagnificationFactor"),
        burned_in=_text(found, "BurnedInAnnotation").upper(),
        transfer_syntax=found.file_meta.TransferSyntaxUID.name,
        problem=problem,
        notes=(*said, *notes),
    )


def _text(found: Dataset, keyword: str) -> str:
    value = found.get(keyword)
    return "" if value is None else str(value).strip().strip("\0")


def _whole(found: Dataset, keyword: str, name: str) -> int:
    value = found.get(keyword)
    if not isinstance(value, int):
        raise ImageReadError(f"{name}: {keyword} is {value!r} in its header, expected a number; it is no image")
    return value


def _side(found: Dataset) -> tuple[Side | None, str]:
    said: dict[str, Side] = {}
    for keyword in ("ImageLaterality", "Laterality"):
        text = _text(found, keyword).upper()
        if text in _SIDES:
            said[f"{keyword} {text}"] = _SIDES[text]
    position = _text(found, "ViewPosition").upper().replace(" ", "").replace("-", "")
    if position[1:] in _POSITIONS and position[0] in _SIDES:
        said[f"ViewPosition {position}"] = _SIDES[position[0]]
    if len(set(said.values())) > 1:
        return None, f"the header contradicts itself on the side: {', '.join(said)}"
    return next(iter(said.values()), None), ""


def _view(found: Dataset) -> tuple[Projection | None, str, str]:
    text = _text(found, "ViewPosition")
    plain = text.upper().replace(" ", "").replace("-", "")
    if plain[:1] in _SIDES and plain[1:] in _POSITIONS:
        plain = plain[1:]
    by_position = _POSITIONS.get(plain)
    codes = [item for item in found.get("ViewCodeSequence") or () if _text(item, "CodeValue")]
    if not codes:
        return by_position, text, ""
    code, meaning = _text(codes[0], "CodeValue"), _text(codes[0], "CodeMeaning")
    by_code = _CODES.get(code)
    if not text:
        return by_code, meaning or code, ""
    if by_code != by_position and (by_code or by_position):
        problem = f"the header contradicts itself on the view: ViewPosition {text}, ViewCodeSequence {meaning or code}"
        return None, text, problem
    return by_position, text, ""


def _modifiers(found: Dataset) -> list[str]:
    codes = found.get("ViewCodeSequence") or ()
    inner = [item for code in codes for item in code.get("ViewModifierCodeSequence") or ()]
    return [text for item in inner if (text := _text(item, "CodeMeaning") or _text(item, "CodeValue"))]


def _several(found: Dataset) -> int:
    centres = found.get("WindowCenter")
    windows = 0 if centres in (None, "") else len(centres) if isinstance(centres, MultiValue) else 1
    return windows + len(found.get("VOILUTSequence") or ())


def _number(found: Dataset, keyword: str) -> float | None:
    try:
        return float(found.get(keyword))
    except (TypeError, ValueError):
        return None


def _date(found: Dataset) -> str:
    for keyword in ("StudyDate", "AcquisitionDate"):
        text = _text(found, keyword).replace(".", "")
        if len(text) == 8 and text.isdigit():
            return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return ""


def _spacing(found: Dataset) -> float | None:
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        value: Any = found.get(keyword)
        try:
            first = float(value[0])
        except (TypeError, ValueError, IndexError):
            continue
        if first > 0:
            return first
    return None


def _age(text: str) -> int | None:
    years = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
    number, unit = text[:-1], text[-1:].upper()
    if text.isdigit():
        return int(text)
    return int(int(number) * years[unit] + 1e-9) if unit in years and number.isdigit() else None
