"""Small DICOM files with known pixels, and where the real mammograms lie."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def made_dataset(stored: np.ndarray, **changes: Any) -> FileDataset:
    """A minimal MG data set with these stored values; `changes` are set by keyword, None takes one away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * stored.dtype.itemsize
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "MG",
        "PatientID": "P1",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": bits,
        "BitsStored": min(bits, 12),
        "HighBit": min(bits, 12) - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes() + b"\0" * (stored.nbytes % 2),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers that are not as they should be are made on purpose
        for keyword, value in (values | changes).items():
            if value is not None:
                setattr(made, keyword, value)
    made["PixelData"].VR = "OW" if bits == 16 else "OB"
    return made


def encapsulated(made: FileDataset, stream: bytes, syntax: str) -> FileDataset:
    """The same data set with an encoded stream as its pixels."""
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR = "OB"
    made.file_meta.TransferSyntaxUID = UID(syntax)
    return made


def gdcm_encoded(path: Path, syntax: str) -> None:
    """Encode a file anew by gdcm, in place."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    if not change.Change():
        pytest.skip(f"gdcm cannot write {syntax} here")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set (or one made of stored values and changes) and give its path."""

    def write(source: FileDataset | np.ndarray, name: str = "image.dcm", **changes: Any) -> Path:
        made = made_dataset(source, **changes) if isinstance(source, np.ndarray) else source
        buffer = io.BytesIO()
        dcmwrite(buffer, made, enforce_file_format=True)
        path = tmp_path / name
        path.write_bytes(buffer.getvalue())
        return path

    return write


@pytest.fixture(scope="session")
def ramp() -> np.ndarray:
    """Every 12-bit value once, `[64, 64]` uint16, in smooth order."""
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real mammograms; tests that want it are skipped where it is not."""
    if not REAL.is_dir():
        pytest.skip(f"the real mammograms are not here ({REAL})")
    return REAL
