"""INbreast: images named by the release's full pattern, `index.csv` or the original `INbreast.csv`, and lesions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.inbreast_lesions import ORIGINALS, read_lesions_of, with_frame
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_table, refuse, refuse_task
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.lesion import ArchiveLesion
from ensemble_mammo.records.naming import NameFacts, facts_of_name
from ensemble_mammo.records.subject import Projection
from ensemble_mammo.records.task import TASKS

_COLUMNS = {"density": "acr", "birads": "birads"}
_TASKS = (*_COLUMNS, "abnormality")
_MARKS = {"mass": "mass", "micros": "calcification", "distortion": "distortion", "asymmetry": "asymmetry"}
_PROJECTIONS = {"CC": Projection.CC, "ML": Projection.MLO, "MLO": Projection.MLO}
_TABLES = ("index.csv", "INbreast.csv", "INBreast.csv")


def list_inbreast(root: Path, options: ArchiveOptions) -> Listing:
    """List INbreast with BI-RADS density (`ACR`), assessment (1-2 against 4-6; 3 is unlabelled), and lesions.

    An image is abnormal where a lesion is annotated, or where the table marks one; normal where its BI-RADS is 1 and
    neither is so; else its abnormality is unknown. Lesions come from XML or JSON (`inbreast_lesions`); a finding that
    the table marks and no outline shows is a lesion without a place, if there is XML or JSON at all.

    Images are found by their name's pattern anywhere below `root`; of an image that is there twice
    (a DICOM and its PNG), the first in order of the path counts and the other is left out.

    Raises:
        DatasetError: a task without labels here, no table, no image, a table that contradicts a name, or
            lesion files that cannot be right.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    refuse_task(root, "INbreast", _TASKS, options.task)
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
    bare = [image.image_id for image in images.values() if options.task not in image.labels]
    if bare and options.task != "abnormality":
        notes.append(f"{len(bare)} images have no {options.task} label, the first {bare[0]}")
    lesions, said = _with_lesions(root, images, rows, options.annotations)
    return Listing(tuple(lesions), tuple(left_out), notes=(*notes, *said))


def _with_lesions(
    root: Path, images: dict[str, ArchiveImage], rows: dict[str, dict[str, str]], contours: Path | None
) -> tuple[list[ArchiveImage], list[str]]:
    known, notes = read_lesions_of(root, list(images), contours)
    made, unplaced, bare = [], 0, 0
    for name, image in images.items():
        lesions = known.get(name, ())
        marks = [finding for column, finding in _MARKS.items() if rows[name].get(column, "").upper() == "X"]
        if lesions:
            lesions, fits = with_frame(lesions, image.path)
            unplaced += not fits
        missing = [mark for mark in marks if mark not in {lesion.finding for lesion in lesions}] if known else []
        bare += bool(missing)
        lesions += tuple(ArchiveLesion(f"marked-{finding}", finding=finding) for finding in missing)
        state = "abnormal" if lesions or marks else "normal" if rows[name]["birads"] == "1" else ""
        labels = {**image.labels, "abnormality": state} if state else image.labels
        made.append(replace(image, lesions=lesions, labels=labels))
    if bare:
        notes.append(f"{bare} images have a finding that the table marks and no outline shows: a lesion without place")
    if unplaced:
        sizes = " nor ".join(f"{rows} x {columns}" for rows, columns in ORIGINALS)
        notes.append(f"{unplaced} images have the aspect of neither {sizes}: their lesions have no place")
    return made, notes


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
    table = table.rename(columns=str.lower).apply(lambda column: column.str.strip())
    table["line"] = [str(line) for line in range(2, len(table) + 2)]
    twice = table["image_id"][table["image_id"].duplicated() & (table["image_id"] != "")]
    refuse(path, [f"line {place + 2}: image {name} stands in an earlier row" for place, name in twice.items()])
    return {str(row["image_id"]): _texts(row) for _, row in table.iterrows() if row["image_id"]}


def _texts(row: pd.Series) -> dict[str, str]:
    return {str(name): str(value) for name, value in row.items()}


def _contradictions(source: str, facts: NameFacts, row: dict[str, str]) -> list[str]:
    assert facts.side is not None
    wrong, where = [], f"line {row['line']}: image {facts.image_id}"
    if row["laterality"].upper() != facts.side.letter:
        wrong.append(f"{where}: laterality {row['laterality']}, but the file's name says {source}")
    if _PROJECTIONS.get(row["view"].upper(), facts.projection) != facts.projection:
        wrong.append(f"{where}: view {row['view']}, but the file's name says {source}")
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
            problems.append(f"line {row['line']}: image {facts.image_id}: {error}")
    return labels, problems


def _image(path: Path, source: str, facts: NameFacts, row: dict[str, str], labels: dict[str, str]) -> ArchiveImage:
    assert facts.image_id and facts.subject_id and facts.view
    return ArchiveImage(path, source, facts.image_id, facts.subject_id, row["date"] or "1", facts.view, labels)
