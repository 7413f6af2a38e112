"""Phantom views as DICOM files: Digital Mammography X-Ray Image - For Presentation, 12 bits in 16."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from ensemble_mammo.records.files import write_bytes, write_text
from ensemble_mammo.records.subject import Projection, View

BITS = 12
_VIEW_CODES = {
    Projection.CC: ("R-10242", "cranio-caudal"),
    Projection.MLO: ("R-10226", "medio-lateral oblique"),
}  # DICOM PS3.16, context group 4014


def _uid(*parts: object) -> UID:
    """A UID that the same parts always give (under 2.25, PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(str(part) for part in ("ensemble-mammo phantom", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:15], 'big')}")


def phantom_dataset(pixels: NDArray[np.float32], view: View, key: tuple[int, int]) -> FileDataset:
    """A phantom view as a DICOM data set, uncompressed.

    Args:
        pixels: `[H, W]` from 0 to 1, tissue bright.
        view: which of the four it is.
        key: seed and subject number; every fourth subject is of the second device, in MONOCHROME1.
    """
    seed, subject = key
    second = subject % 4 == 0
    values = np.rint(np.clip(pixels, 0, 1) * (2**BITS - 1)).astype("<u2")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = _uid(seed, subject, view)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = _uid(seed, subject, "study"), _uid(seed, subject, "series")
    made.Modality, made.PresentationIntentType, made.StudyDate = (
        "MG",
        "FOR PRESENTATION",
        f"2020{1 + subject % 12:02d}01",
    )
    made.Manufacturer = "PHANTOM WORKS B" if second else "PHANTOM WORKS A"
    made.ManufacturerModelName = "Generator 2" if second else "Generator 1"
    made.PatientID, made.PatientAge = f"PH{subject:04d}", f"{40 + (7 * subject) % 35:03d}Y"
    made.BodyPartExamined, made.BurnedInAnnotation, made.BreastImplantPresent = "BREAST", "YES", "NO"
    made.ImageType = ["ORIGINAL", "PRIMARY", ""]
    made.ImageLaterality, made.ViewPosition = view.side.letter, view.projection.value
    code = Dataset()
    code.CodeValue, code.CodeMeaning = _VIEW_CODES[view.projection]
    code.CodingSchemeDesignator = "SRT"
    made.ViewCodeSequence = DicomSequence([code])
    made.ImagerPixelSpacing = [0.4, 0.4]
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.Rows, made.Columns = values.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, BITS, BITS - 1
    made.PhotometricInterpretation = "MONOCHROME1" if second else "MONOCHROME2"
    made.PresentationLUTShape = "INVERSE" if second else "IDENTITY"
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, 0, "US"
    made.WindowCenter, made.WindowWidth = 2**BITS / 2, 2**BITS
    made.LossyImageCompression = "00"
    made.PixelData = ((2**BITS - 1 - values) if second else values).astype("<u2").tobytes()
    made["PixelData"].VR = "OW"
    return made


def write_phantom_file(
    path: Path, pixels: NDArray[np.float32], view: View, key: tuple[int, int], transfer_syntax: str | None = None
) -> None:
    """Write one view, beside its place first, then moved there.

    Raises:
        OutputError: it cannot be written.
    """
    made = phantom_dataset(pixels, view, key)
    if transfer_syntax is not None:
        made.compress(UID(transfer_syntax), generate_instance_uid=False)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file, beside its place first, then moved there.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
