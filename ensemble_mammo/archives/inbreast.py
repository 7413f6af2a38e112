"""INBreast: images named by the release's full pattern, with `index.csv` or the original `INbreast.csv`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.naming import NameFacts, facts_of_name
from ensemble_mammo.records.subject import Projection
from ensemble_mammo.records.task import TASKS

_COLUMNS = {"density": "acr", "birads": "birads"}
_PROJECTIONS = {"CC": Projection.CC, "ML": Projection.MLO, "MLO": Projection.MLO}
_TABLES = ("index.csv", "INbreast.csv", "INBreast.csv")


def list_inbreast(root: Path, options: ArchiveOptions) -> Listing:
    """List INbreast with BI-RADS density (`ACR`) and assessment (1-2 against 4-6; 3 is unlabelled).

    Images are found by their name's pattern anywhere below `root`; of an image that is there twice
    (a DICOM and its PNG), the first in order of the path counts and the other is left out.

    Raises:
        DatasetError: a task without labels here, no table, no image, or a table that contradicts a name.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if options.task not in _COLUMNS:
        raise DatasetError(f"{root}: INbreast has labels of {', '.join(_COLUMNS)}, none of {options.task}; give --task")
    table = options.labels or next((root / name for name in _TABLES if (root / name).is_file()), None)
    if table is None:
        raise DatasetError(f"{root}: neither {' nor '.join(_TABLES[:2])} there; give the table with --labels")
    rows = _read_rows(table)
    images: dict[str, ArchiveImage] = {}
    left_out: list[tuple[str, str]] = []
    problems: list[str] = []
    for path, facts in _named_images(root):
        source = path.relative_to(root).as_posix()
        row = rows.get(facts.image_id or "")
        if row is None:
            left_out.append((source, f"no row for image {facts.image_id} in {table.name}"))
        elif facts.image_id in images:
            left_out.append((source, f"the same image as {images[facts.image_id or ''].source}"))
        else:
            labels, unknown = _labels(facts, row)
            problems += _contradictions(source, facts, row) + unknown
            images[facts.image_id or ""] = _image(path, source, facts, row, labels)
    refuse(table, problems)
    if not images:
        raise DatasetError(f"{root}: no image named like 20587054_b6a4f750c6df4f90_MG_R_CC_ANON below it")
    missing = sorted(set(rows) - set(images))
    notes = [f"{len(missing)} images of {table.name} have no file here"] if missing else []
    return Listing(tuple(images.values()), tuple(left_out), notes=tuple(notes))


def _named_images(root: Path) -> Iterator[tuple[Path, NameFacts]]:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        facts = facts_of_name(path.name)
        if facts.image_id and facts.view and is_image_file(path):
            yield path, facts


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    first = path.read_bytes().partition(b"\n")[0] if path.is_file() else b""
    if b";" in first:
        table = read_table(path, ["File Name", "Laterality", "View", "ACR", "Bi-Rads", "Acquisition date"], ";")
        names = {"File Name": "image_id", "Laterality": "laterality", "View": "view", "ACR": "acr"}
        table = table.rename(columns=names | {"Bi-Rads": "birads", "Acquisition date": "date"})
    else:
        table = read_table(path, ["image_id", "laterality", "view", "acr", "birads", "date"])
    table = table.apply(lambda column: column.str.strip())
    twice = table["image_id"][table["image_id"].duplicated() & (table["image_id"] != "")]
    refuse(path, [f"line {place + 2}: image {name} stands in an earlier row" for place, name in twice.items()])
    return {str(row["image_id"]): _texts(row) for _, row in table.iterrows() if row["image_id"]}


def _texts(row: pd.Series) -> dict[str, str]:
    return {str(name): str(value) for name, value in row.items()}


def _contradictions(source: str, facts: NameFacts, row: dict[str, str]) -> list[str]:
    assert facts.side is not None
    wrong = []
    if row["laterality"].upper() != facts.side.letter:
        wrong.append(f"image {facts.image_id}: laterality {row['laterality']}, but the file's name says {source}")
    if _PROJECTIONS.get(row["view"].upper(), facts.projection) != facts.projection:
        wrong.append(f"image {facts.image_id}: view {row['view']}, but the file's name says {source}")
    return wrong


def _labels(facts: NameFacts, row: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    labels, problems = {}, []
    for task, column in _COLUMNS.items():
        text = row[column]
        if not text or (text == "3" and task == "birads"):
            continue
        try:
            labels[task] = TASKS[task].class_of(text)
        except ValueError as error:
            problems.append(f"image {facts.image_id}: {error}")
    return labels, problems


def _image(path: Path, source: str, facts: NameFacts, row: dict[str, str], labels: dict[str, str]) -> ArchiveImage:
    assert facts.image_id and facts.subject_id and facts.view
    return ArchiveImage(path, source, facts.image_id, facts.subject_id, row["date"] or "1", facts.view, labels)
