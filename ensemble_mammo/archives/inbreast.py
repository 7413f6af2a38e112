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
from ensemble_mammo.records.task import TASKS

_TABLES = ("index.csv", "INbreast.csv", "INBreast.csv")


def list_inbreast(root: Path, options: ArchiveOptions) -> Listing:
    """List INbreast with BI-RADS density (`ACR`) and assessment (1-2 against 4-6; 3 is unlabelled).

    Images are found by their name's pattern anywhere below `root`; of an image that is there twice
    (a DICOM and its PNG), the first in order of the path counts and the other is left out.

    Raises:
        DatasetError: no table, no image, or a table that contradicts a name.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
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
            problems += _contradictions(source, facts, row)
            images[facts.image_id or ""] = _image(path, source, facts, row)
    refuse(table, problems)
    if not images:
        raise DatasetError(f"{root}: no image named like 20587054_b6a4f750c6df4f90_MG_R_CC_ANON below it")
    missing = sorted(set(rows) - set(images))
    notes = [f"{len(missing)} images of {table.name} have no file here"] if missing else []
    return Listing(tuple(images.values()), tuple(left_out), tuple(notes))


def _named_images(root: Path) -> Iterator[tuple[Path, NameFacts]]:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        facts = facts_of_name(path.name)
        if facts.image_id and facts.view and is_image_file(path):
            yield path, facts


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    first = path.read_text(encoding="utf-8-sig").partition("\n")[0] if path.is_file() else ""
    if ";" in first:
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
    if row["laterality"].upper() != facts.side.letter:
        return [f"image {facts.image_id}: laterality {row['laterality']}, but the file's name says {source}"]
    return []


def _image(path: Path, source: str, facts: NameFacts, row: dict[str, str]) -> ArchiveImage:
    assert facts.image_id and facts.subject_id and facts.view
    labels = {}
    for task, text in (("density", row["acr"]), ("birads", row["birads"])):
        if (text and text != "3") or (text == "3" and task == "density"):
            labels[task] = TASKS[task].class_of(text)
    return ArchiveImage(path, source, facts.image_id, facts.subject_id, row["date"] or "1", facts.view, labels)
