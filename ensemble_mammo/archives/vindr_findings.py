"""VinDr-Mammo's `finding_annotations.csv`: a row a finding, with its box."""

from __future__ import annotations

import ast
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_mammo.archives.columns import Columns
from ensemble_mammo.records.lesion import ArchiveLesion, Outline

_REQUIRED = ("image_id", "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NONE = "No Finding"
_FINDINGS = {
    "Mass": "mass",
    "Suspicious Calcification": "calcification",
    "Architectural Distortion": "distortion",
    "Asymmetry": "asymmetry",
    "Focal Asymmetry": "asymmetry",
    "Global Asymmetry": "asymmetry",
    "Skin Thickening": "other",
    "Skin Retraction": "other",
    "Nipple Retraction": "other",
    "Suspicious Lymph Node": "other",
}
"""Category -> finding; of several in one box the first in this order counts."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Findings:
    """The findings of the release by image."""

    lesions: Mapping[str, tuple[ArchiveLesion, ...]]
    "image_id -> its findings; images without one are missing"
    notes: tuple[str, ...] = ()
    "what is worth saying of the table"

    def of(self, image: str) -> tuple[ArchiveLesion, ...]:
        """The findings of an image, none where it has none."""
        return self.lesions.get(image, ())


def read_vindr_findings(path: Path, images: Mapping[str, Mapping[str, Any]]) -> Findings:
    """Read and check the table of findings.

    Args:
        path: the CSV.
        images: image_id -> the row of the breast-level table, with `rows` and `columns` of the image.

    Raises:
        DatasetError: a column missing, an image that the breast-level table lacks, categories that are no list, or a
            box that is none or lies outside its image, each with its line.
    """
    columns = Columns.read(path, _REQUIRED, "VinDr-Mammo's table of findings has them")
    table = columns.table
    strange = ~table["image_id"].isin(list(images))
    columns.blame(strange, lambda at: f"image_id {table['image_id'].iloc[at]!r} is not in the breast-level table")
    categories = columns.mapped("finding_categories", _categories, (_NONE,))
    grades = columns.mapped("finding_birads", lambda text: text.upper().removeprefix("BI-RADS").strip())
    boxes, beyond = _boxes(columns, images)
    columns.refuse()
    found: dict[str, list[ArchiveLesion]] = defaultdict(list)
    unknown: Counter[str] = Counter()
    for image, names, grade, box in zip(table["image_id"], categories, grades, boxes, strict=True):
        kept = [name for name in names if name != _NONE]
        if not kept:
            continue
        unknown.update(name for name in kept if name not in _FINDINGS)
        frame = (images[image]["rows"], images[image]["columns"])
        number = str(len(found[image]) + 1)
        found[image].append(
            ArchiveLesion(number, _outlines(box, frame), _finding(kept), "", grade, "", ", ".join(kept))
        )
    notes = [f"{path.name}: category {name!r} is not known, read as 'other' ({n} times)" for name, n in unknown.items()]
    notes += [f"{path.name}: {beyond} boxes reach beyond their image and were cut at its edge"] if beyond else []
    return Findings({image: tuple(lesions) for image, lesions in found.items()}, tuple(notes))


def _categories(text: str) -> tuple[str, ...]:
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{text!r} is no list of categories, expected such as ['Mass']")
    return tuple(name.strip() for name in names)


def _finding(names: Sequence[str]) -> str:
    return next((finding for name, finding in _FINDINGS.items() if name in names), "other")


def _outlines(box: Box, frame: tuple[int, int]) -> tuple[Outline, ...]:
    left, top, right, bottom = box
    return () if math.isnan(left) else (Outline("box", ((left, top), (right, bottom)), frame=frame),)


def _boxes(columns: Columns, images: Mapping[str, Mapping[str, Any]]) -> tuple[list[Box], int]:
    """The box of each row (nan where it has none), and how many reach beyond their image."""
    text = columns.table[list(_CORNERS)]
    box = np.column_stack([pd.to_numeric(text[name], errors="coerce").to_numpy(float) for name in _CORNERS])
    given, read = (text != "").to_numpy().sum(axis=1), np.isfinite(box).sum(axis=1)
    no_box = (read != given) | ~np.isin(given, (0, 4))
    columns.blame(no_box, lambda at: f"box {_said(text, at)} is not four numbers")
    sizes = {name: (row["columns"], row["rows"]) for name, row in images.items()}
    frame = np.array([sizes.get(image, (0, 0)) for image in columns.table["image_id"]]).reshape(-1, 2)
    known = (read == 4) & ~no_box & (frame[:, 0] > 0)
    first, last = box[:, :2], box[:, 2:]
    flat = known & (last <= first).any(axis=1)
    columns.blame(flat, lambda at: f"box {_said(text, at)} has no width or no height (xmin, ymin, xmax, ymax)")
    outside = known & ~flat & ((first >= frame) | (last <= 0)).any(axis=1)
    columns.blame(
        outside,
        lambda at: f"box {_said(text, at)} lies outside its image of {frame[at, 1]} rows and {frame[at, 0]} columns",
    )
    beyond = known & ((first < 0) | (last > frame)).any(axis=1)
    return [(left, top, right, bottom) for left, top, right, bottom in box.tolist()], int(beyond.sum())


def _said(text: pd.DataFrame, at: int) -> str:
    return ", ".join(value or "(empty)" for value in text.iloc[at])
