"""CBIS-DDSM in small: the four tables and a DICOM tree of phantoms, as the archive's downloaders lay it out."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.subject import Projection, Side, View

HEIGHT = 160
WIDTH = 128
LAYOUTS = ("paths", "descriptive", "series", "headers")
"""The tables' own paths; the downloader's telling folders; folders named by series; names that tell nothing."""
COMMON = ("left or right breast", "image view", "abnormality id", "abnormality type")
LAST = ("assessment", "pathology", "subtlety", "image file path", "cropped image file path", "ROI mask file path")
WORDS = {"Calc": ("calc type", "calc distribution"), "Mass": ("mass shape", "mass margins")}
DENSITY = {"Calc": "breast density", "Mass": "breast_density"}


@dataclass(frozen=True)
class Case:
    """One lesion: a row of a table."""

    part: str
    "Calc-Test, Calc-Training, Mass-Test or Mass-Training"
    patient: str
    side: str
    view: str
    number: int = 1
    pathology: str = "BENIGN"
    density: str = "2"
    assessment: str = "4"
    mask: str = "film"
    "size of the mask: film, half (same aspect) or wide (another aspect)"
    box: tuple[int, int, int, int] = (70, 20, 20, 16)
    "top, left, height, width of the lesion in a left breast; mirrored in a right one"
    shared_names: bool = False
    "crop and mask are both called 000000.dcm, in series of their own"

    @property
    def film(self) -> str:
        return f"{self.part}_{self.patient}_{self.side}_{self.view}"

    @property
    def lesion(self) -> str:
        return f"{self.film}_{self.number}"


@dataclass(frozen=True)
class Written:
    """A file as the archive has it."""

    name: str
    "the case's name, as in PatientID"
    study: str
    series: str
    number: int
    kind: str
    "full mammogram images, cropped images or ROI mask images"
    pixels: np.ndarray = field(repr=False)


CASES = (
    Case("Calc-Training", "P_00001", "LEFT", "CC", 1, "BENIGN_WITHOUT_CALLBACK", "1", "2"),
    Case("Mass-Training", "P_00001", "LEFT", "CC", 1, "MALIGNANT", "1", "5", box=(90, 10, 24, 20)),
    Case("Mass-Training", "P_00001", "LEFT", "CC", 2, density="1", assessment="3", box=(60, 8, 10, 12)),
    Case("Mass-Training", "P_00002", "RIGHT", "MLO", 1, "MALIGNANT", "4", mask="half", shared_names=True),
    Case("Mass-Test", "P_00003", "LEFT", "MLO", 1, density="3", mask="wide"),
    Case("Calc-Test", "P_00004", "RIGHT", "CC", 1, density="0", shared_names=True),
    Case("Calc-Training", "P_00005", "LEFT", "CC", 1, density="2"),
    Case("Mass-Test", "P_00005", "LEFT", "MLO", 1, "MALIGNANT", "3"),
    Case("Calc-Training", "P_00006", "LEFT", "CC", 1, density="3"),
)
"""P_00001 has one film in two tables, P_00005 stands in training and test, P_00004 has density 0."""


def uid(*parts: object) -> str:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"1.3.6.1.4.1.9590.100.1.2.{int.from_bytes(digest[:12], 'big')}"


def film_pixels(case: Case) -> np.ndarray:
    """`[160, 128]` uint16: 8 bits used of 16."""
    view = View.of(Projection(case.view), Side(case.side.lower()))
    number = int(case.patient[2:])
    return np.rint(phantom_exam(number, "ABCD"[number % 4], height=HEIGHT)[view] * 255).astype(np.uint16)


def mask_box(case: Case) -> tuple[slice, slice]:
    """Where the lesion lies in the film."""
    top, left, height, width = case.box
    left = WIDTH - left - width if case.side == "RIGHT" else left
    return slice(top, top + height), slice(left, left + width)


def mask_pixels(case: Case) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[mask_box(case)] = 255
    return {"film": mask, "half": mask[::2, ::2], "wide": mask[: HEIGHT // 2]}[case.mask]


def files_of(case: Case) -> dict[str, Written]:
    """The three files of a row: film, crop and mask; names of crop and mask are exchanged between the tables."""
    study, series = uid(case.lesion, "study"), uid(case.lesion, "series")
    other = uid(case.lesion, "other series") if case.shared_names else series
    mask_first = case.part.startswith("Calc")
    crop = film_pixels(case)[mask_box(case)]
    numbers = (0, 0) if case.shared_names else (0, 1) if mask_first else (1, 0)
    return {
        "image": Written(case.film, uid(case.film, "study"), uid(case.film, "series"), 0,
                         "full mammogram images", film_pixels(case)),
        "mask": Written(case.lesion, study, series, numbers[0], "ROI mask images", mask_pixels(case)),
        "crop": Written(case.lesion, study, other, numbers[1], "cropped images", crop),
    }  # fmt: skip


def write_dicom(path: Path, written: Written) -> None:
    """A file with what the archive's headers have: no ImageLaterality, no ViewPosition, no window."""
    values = written.pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid(written.series, written.number, written.kind)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = written.study, written.series
    made.PatientID, made.Modality, made.BodyPartExamined = written.name, "MG", "BREAST"
    made.SeriesDescription, made.PhotometricInterpretation = written.kind, "MONOCHROME2"
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.Rows, made.Columns = values.shape
    bits = 8 * values.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    data = np.ascontiguousarray(values).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


def place_of(written: Written, layout: str) -> Path:
    """Where a downloader puts a file."""
    if layout == "paths":
        return Path(written.name, written.study, written.series, f"{written.number:06d}.dcm")
    if layout == "descriptive":
        study, series = f"08-29-2017-DDSM-NA-{written.study[-5:]}", f"1.000000-{written.kind}-{written.series[-5:]}"
        return Path("CBIS-DDSM", written.name, study, series, f"1-{written.number + 1}.dcm")
    if layout == "series":
        return Path("manifest-1", written.series, f"1-{written.number + 1}.dcm")
    return Path("dump", f"{uid(written.series, written.number, written.kind)[-12:]}.dcm")


def write_tree(root: Path, layout: str = "paths", cases: tuple[Case, ...] = CASES, suffix: str = ".dcm") -> Path:
    """The tables and the files of all cases; with another suffix, pictures made of the files."""
    write_tables(root, cases)
    for case in cases:
        for written in files_of(case).values():
            path = (root / place_of(written, layout)).with_suffix(suffix)
            if suffix == ".dcm":
                write_dicom(path, written)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(written.pixels.astype(np.uint8)).save(path)
    return root


def table_name(part: str) -> str:
    kind, split = part.split("-")
    return f"{kind.lower()}_case_description_{'test' if split == 'Test' else 'train'}_set.csv"


def write_tables(root: Path, cases: tuple[Case, ...] = CASES) -> None:
    """The tables, with the newline that the archive's have inside a path of each row."""
    root.mkdir(parents=True, exist_ok=True)
    for part in sorted({case.part for case in cases}):
        kind = part.split("-")[0]
        rows = [("patient_id", DENSITY[kind], *COMMON, *WORDS[kind], *LAST)]
        for case in (case for case in cases if case.part == part):
            files = files_of(case)
            paths = {
                name: f"{w.name}/{w.study}/{w.series}/{w.number:06d}.dcm" for name, w in files.items()
            }  # fmt: skip
            paths["crop" if kind == "Calc" else "mask"] += "\n"
            kinds = ("calcification", "PLEOMORPHIC", "CLUSTERED") if kind == "Calc" else ("mass", "OVAL", "N/A")
            rows.append(
                (case.patient, case.density, case.side, case.view, str(case.number), *kinds, case.assessment,
                 case.pathology, "3", paths["image"], paths["crop"], paths["mask"])
            )  # fmt: skip
        with (root / table_name(part)).open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
