"""Files of the phantom archive in the shape of CBIS-DDSM: DICOM, and the places that the release gives them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ensemble_mammo.records.files import write_bytes

KINDS = {"film": "full mammogram images", "crop": "cropped images", "mask": "ROI mask images"}
"""What a file holds -> its SeriesDescription."""


def film_place(name: str, kind: str, seed: int) -> str:
    """Where a file lies, as the tables have it; crop and mask share a series.

    Args:
        name: of the folder: a film's, or a lesion's.
        kind: film, crop or mask.
        seed: of the archive.
    """
    number = {"film": 0, "crop": 0, "mask": 1}[kind]
    return f"{name}/{_uid(seed, name, 'study')}/{_uid(seed, name, 'series')}/{number:06d}.dcm"


def write_film_file(root: Path, name: str, kind: str, values: NDArray[np.unsignedinteger], seed: int) -> None:
    """Write a file with what the archive's headers have: neither laterality nor view nor window; uncompressed.

    Raises:
        OutputError: it cannot be written.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(seed, name, kind)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = _uid(seed, name, "study"), _uid(seed, name, "series")
    made.PatientID, made.Modality, made.BodyPartExamined = name, "MG", "BREAST"
    made.SeriesDescription, made.PhotometricInterpretation = KINDS[kind], "MONOCHROME2"
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.Rows, made.Columns = values.shape
    bits = 8 * values.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    data = values.tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OW" if bits == 16 else "OB"
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    write_bytes(root / film_place(name, kind, seed), buffer.getvalue())


def _uid(*parts: object) -> UID:
    """A UID that the same parts always give (under 2.25, PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(str(part) for part in ("phantom film", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:15], 'big')}")
