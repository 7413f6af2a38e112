"""Lesions: where an archive says one lies, and the rows of `lesions.csv`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.tables import read_text_table
from ensemble_mammo.records.task import TASKS

LESIONS = "lesions.csv"
FINDINGS = ("mass", "calcification", "distortion", "asymmetry", "other")
"""What a lesion is."""
OUTLINES = ("polygon", "box", "circle", "points", "runs", "mask")
"""How an archive says where a lesion lies."""

_FINDING_WORDS = {
    "mass": ("mass", "nodule", "lump", "tumor", "tumour"),
    "calcification": ("calc", "microcalc", "micros", "cluster"),
    "distortion": ("distort",),
    "asymmetry": ("asymm",),
}

Point = tuple[float, float]
"""(x, y): column and row in pixels, from the top left corner of the image."""


@dataclass(frozen=True)
class Outline:
    """Where a lesion lies in its image."""

    kind: str
    "polygon, box, circle, points, runs or mask"
    points: tuple[Point, ...] = ()
    """corners of the polygon; top left and bottom right of the box; centre of the circle; the points; of runs, such
    as a run-length code holds, corners like those of a box, pair after pair"""
    radius: float = 0.0
    "of the circle, in pixels"
    frame: tuple[int, int] | None = None
    "(rows, columns) of the image that the points refer to; None: the file's own"
    masks: tuple[Path, ...] = ()
    "files one of which is the mask; content tells which (two values, the film's size or its aspect)"

    def __post_init__(self) -> None:
        """Refuse an outline that draws nothing."""
        least = {"polygon": 3, "box": 2, "circle": 1, "points": 1, "runs": 2, "mask": 0}
        if self.kind not in OUTLINES:
            raise ValueError(f"outline {self.kind!r} is not one of {', '.join(OUTLINES)}")
        if len(self.points) < least[self.kind]:
            raise ValueError(f"a {self.kind} of {len(self.points)} points, expected {least[self.kind]} or more")
        if self.kind == "circle" and not self.radius > 0:
            raise ValueError(f"a circle of radius {self.radius:g}, expected more than 0")
        if self.kind == "mask" and not self.masks:
            raise ValueError("a mask without a file")


@dataclass(frozen=True)
class ArchiveLesion:
    """One lesion of an archive's image, by what its tables say."""

    number: str
    "its number within the image, as the archive has it"
    outlines: tuple[Outline, ...] = ()
    "where it lies, all of them together; none where the archive does not say"
    finding: str = ""
    "mass, calcification, distortion, asymmetry or other; empty: not said"
    pathology: str = ""
    "benign, malignant or empty"
    assessment: str = ""
    "BI-RADS assessment, as the archive has it"
    subtlety: str = ""
    "1 (subtle) to 5 (obvious), as the archive has it"
    descriptors: str = ""
    "further words of the archive: shape, margins, distribution"

    def __post_init__(self) -> None:
        """Refuse words that are none of ours."""
        if self.finding not in ("", *FINDINGS):
            raise ValueError(f"finding {self.finding!r} is not one of {', '.join(FINDINGS)}")
        if self.pathology not in ("", "benign", "malignant"):
            raise ValueError(f"pathology {self.pathology!r} of a lesion is not one of benign, malignant")


@dataclass(frozen=True)
class LesionRow:
    """One lesion of a dataset: a row of lesions.csv."""

    lesion_id: str
    "unique in the dataset"
    image_id: str
    "the mammogram that it stands in"
    subject_id: str
    "the patient"
    view: str
    "CC_R, CC_L, MLO_R or MLO_L"
    number: str = ""
    "its number within the image, as the archive has it"
    finding: str = ""
    "mass, calcification, distortion, asymmetry, other or empty"
    pathology: str = ""
    "benign, malignant or empty"
    assessment: str = ""
    "BI-RADS assessment, as the archive has it"
    subtlety: str = ""
    "1 (subtle) to 5 (obvious), as the archive has it"
    descriptors: str = ""
    "further words of the archive"
    outline: str = ""
    "kinds of outline that the mask was drawn from, with + between; empty: the archive does not say where it lies"
    mask: str = ""
    "8-bit PNG of the prepared image's size, 255 on the lesion, relative to the dataset; empty: none"
    full_mask: str = ""
    "likewise for the image at full size"
    top: str = ""
    "first row of the lesion's box in the prepared image"
    left: str = ""
    "first column of the box"
    height: str = ""
    "rows of the box"
    width: str = ""
    "columns of the box"
    visible: str = ""
    "share of the lesion that lies within the breast crop, 0 to 1"
    note: str = ""
    "why there is no mask, or what was done to it"


LESION_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(LesionRow))
"""The columns of lesions.csv."""
_REQUIRED = ("lesion_id", "image_id")


def require_findings(names: Sequence[str]) -> None:
    """Refuse words that are no findings.

    Raises:
        ValueError: the first such word.
    """
    for name in names:
        if name not in FINDINGS:
            raise ValueError(f"finding {name!r} is not one of {', '.join(FINDINGS)}")


def finding_of(name: str) -> str:
    """The finding that an archive's own name of a lesion says, by its words; `other` where it says none of ours."""
    words = [word for word in re.split(r"[\W_\d]+", name.lower()) if word]
    for finding, starts in _FINDING_WORDS.items():
        if any(word.startswith(starts) for word in words):
            return finding
    return "other"


def labels_of_lesions(lesions: Sequence[ArchiveLesion]) -> dict[str, str]:
    """The labels that an image has from its lesions: positive if any lesion is.

    Pathology is malignant if one is malignant, else benign if one is benign. BI-RADS is 4-6 if one is 4 to 6, else
    1-2 if all are 1 or 2 (0 and 3 say neither). Of the five abnormality classes the gravest counts.

    Returns:
        task -> class, for the tasks of which the lesions tell one; nothing where there are no lesions.
    """
    if not lesions:
        return {}
    labels = {"abnormality": "abnormal"}
    pathologies = {lesion.pathology for lesion in lesions}
    if found := next((name for name in ("malignant", "benign") if name in pathologies), ""):
        labels["pathology"] = found
    grades = {_assessed(lesion.assessment) for lesion in lesions}
    if "4-6" in grades or grades == {"1-2"}:
        labels["birads"] = "4-6" if "4-6" in grades else "1-2"
    five = [f"{lesion.pathology}-{lesion.finding}" for lesion in lesions]
    if known := [name for name in five if name in TASKS["abnormality5"].classes]:
        labels["abnormality5"] = max(known, key=TASKS["abnormality5"].index)
    return labels


_PROXIES = {"1-2": "benign", "4-6": "malignant"}
"""What a BI-RADS class stands for where no pathology is known and the user says so."""


def pathology_of(lesion: Mapping[str, str], image: Mapping[str, str], alone: bool, birads: bool) -> str:
    """The pathology of a lesion: its own, else its image's where it is the only one, else what BI-RADS stands for.

    Args:
        lesion: its row of lesions.csv.
        image: its image's row of manifest.csv.
        alone: it is the only lesion of its image.
        birads: whether the image's BI-RADS class may stand for it.

    Returns:
        benign, malignant, or empty where nothing says it.
    """
    label = image.get("pathology", "") if alone else ""
    found = lesion["pathology"] or label or (_PROXIES.get(image.get("birads", ""), "") if birads else "")
    return found if found in TASKS["pathology"].classes else ""


def counted_as(finding: str) -> str:
    """The finding among two: what is no calcification counts as a mass."""
    return "calcification" if finding == "calcification" else "mass"


def _assessed(assessment: str) -> str:
    try:
        return TASKS["birads"].class_of(assessment)
    except ValueError:
        return ""


def write_lesions(root: Path, rows: Sequence[LesionRow]) -> None:
    """Write lesions.csv into a dataset's folder, whole or not at all."""
    table = pd.DataFrame(
        [[getattr(row, name) for name in LESION_COLUMNS] for row in rows], columns=list(LESION_COLUMNS)
    )
    write_text(root / LESIONS, table.to_csv(index=False, lineterminator="\n"))


def read_lesions(root: Path, images: Mapping[str, str]) -> pd.DataFrame:
    """Read the lesions of a dataset; an empty table where it has no lesions.csv.

    Args:
        root: the dataset's folder.
        images: image_id -> subject_id of its manifest.

    Raises:
        DatasetError: columns missing, an id given twice, or an image that the manifest lacks, with their lines.
    """
    path = root / LESIONS
    if not path.is_file():
        return pd.DataFrame(columns=list(LESION_COLUMNS), dtype=str)
    table = read_text_table(path)
    missing = [name for name in _REQUIRED if name not in table.columns]
    if missing:
        raise DatasetError(f"{path} line 1: column {', '.join(missing)} missing; found {', '.join(table.columns)}")
    twice = table["lesion_id"].duplicated()
    unknown = ~table["image_id"].isin(list(images))
    problems = [f"line {i + 2}: lesion_id {table['lesion_id'].iloc[i]!r} stands in an earlier row" for i in _at(twice)]
    problems += [f"line {i + 2}: image_id {table['image_id'].iloc[i]!r} is not in the manifest" for i in _at(unknown)]
    if problems:
        raise DatasetError(f"{path} " + "; ".join(problems[:10]))
    for column in LESION_COLUMNS:
        if column not in table.columns:
            table[column] = ""
    return table


def _at(wrong: pd.Series) -> list[int]:
    return [int(i) for i in wrong.to_numpy().nonzero()[0]]
