"""RSNA screening mammography (2022): DICOM or exported pictures, with `train.csv`, or a reduced `index.csv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ensemble_mammo.archives.columns import Columns, counted, found_table, image_files
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

RSNA_TASKS = ("density", "pathology", "birads", "abnormality")
"""The tasks that train.csv has labels of."""
_TABLES = ("train.csv", "index.csv")
_REQUIRED = ("patient_id", "image_id", "laterality", "view")
_CANCER_MEANING = (
    "pathology: 'benign' is cancer 0 in the table: no cancer found in that breast, with or without a finding"
)


@dataclass(frozen=True)
class RsnaTable:
    """The table of the release, read and checked."""

    path: Path
    "the file"
    rows: pd.DataFrame
    "a row an image: patient_id, image_id, view (None where `other` is one), a column a task, device, age, implant"
    tasks: tuple[str, ...]
    "the tasks that its columns have labels of"


def list_rsna(root: Path, options: ArchiveOptions) -> Listing:
    """List RSNA's screening mammograms: density, pathology, birads and abnormality, by the table.

    A file is found by the name of its image, below a folder of its patient or as `<patient>_<image>`. Its view and side
    are the table's: no header is read, as their views are empty and there are 54,706 of them.

    Raises:
        DatasetError: no table, one that cannot be right (all problems at once), a task without labels, or no image.
    """
    files = image_files(root)
    if options.views:
        raise DatasetError(f"{root}: views of this kind come from its table; leave --views out")
    path = options.labels or found_table(root, _TABLES)
    if path is None:
        raise DatasetError(f"{root}: no {' or '.join(_TABLES)} there, one folder up or down; name it with --labels")
    table = read_rsna_table(path)
    if options.task not in table.tasks:
        raise DatasetError(
            f"{path}: has labels of {', '.join(table.tasks) or 'no task'}, none of {options.task}; "
            "give --task, or another table with --labels"
        )
    return _listed(root, files, table, options.task)


def read_rsna_table(path: Path) -> RsnaTable:
    """Read and check the table; columns that are not needed may be missing.

    Raises:
        DatasetError: a column missing, an empty or repeated id, or a value that none of the release's columns has.
    """
    columns = Columns.read(path, _REQUIRED, "RSNA's train.csv has them")
    columns.filled("patient_id", "image_id")
    columns.unique("image_id")
    views, others = columns.views("view", "laterality")
    rows = pd.DataFrame({"patient_id": columns.table["patient_id"], "image_id": columns.table["image_id"]})
    rows["view"], rows["other"] = views, others
    facts: Mapping[str, tuple[str, Callable[[str], Any]]] = {
        "density": ("density", TASKS["density"].class_of),
        "pathology": ("cancer", TASKS["pathology"].class_of),
        "birads": ("BIRADS", _birads),
        "device": ("machine_id", lambda text: f"machine {text}"),
        "age": ("age", _years),
        "implant": ("implant", _implant),
    }
    there = {name: column for name, (column, _) in facts.items() if column in columns.table.columns}
    for name in there:
        rows[name] = columns.mapped(*facts[name])
    if {"pathology", "birads"} & set(there):
        rows["abnormality"] = _abnormality(columns.table)
    columns.refuse()
    return RsnaTable(path, rows, tuple(name for name in RSNA_TASKS if name in rows.columns))


def _birads(text: str) -> str:
    """1 and 2 are 1-2; 0 (recalled, not assessed yet) and 3 are none of the two classes."""
    plain = text.removesuffix(".0")
    return "" if plain in ("0", "3") else TASKS["birads"].class_of(plain)


def _abnormality(table: pd.DataFrame) -> pd.Series:
    """Abnormal: cancer 1, or BI-RADS 0 (recalled); normal: BI-RADS 1 without cancer; BI-RADS 2 and empty: neither."""
    empty = pd.Series("", index=table.index)
    grade = table.get("BIRADS", empty).str.removesuffix(".0")
    cancer = table.get("cancer", empty).str.removesuffix(".0") == "1"
    labels = pd.Series("", index=table.index, dtype=object)
    labels[grade == "1"] = "normal"
    labels[cancer | (grade == "0")] = "abnormal"
    return labels


def _years(text: str) -> str:
    years = float(text) if text.replace(".", "", 1).isdigit() else -1
    if not 0 < years < 120:
        raise ValueError(f"{text!r} is no age in years")
    return str(int(years))


def _implant(text: str) -> str:
    words = {"0": "NO", "1": "YES"}
    if text.removesuffix(".0") not in words:
        raise ValueError(f"{text!r} is not one of 0, 1")
    return words[text.removesuffix(".0")]


def _listed(root: Path, files: list[Path], table: RsnaTable, task: str) -> Listing:
    place = {image: at for at, image in enumerate(table.rows["image_id"])}
    patients = set(table.rows["patient_id"])
    records = {str(name): list(table.rows[name]) for name in table.rows.columns}
    images: dict[str, ArchiveImage] = {}
    left_out, seen = [], set()
    for path in files:
        source = path.relative_to(root).as_posix()
        named, _, image = path.stem.rpartition("_")
        patient = named or (path.parent.name if path.parent.name in patients else "")
        at = place.get(image)
        if at is None:
            left_out.append((source, f"no row for image {image} in {table.path.name}"))
        elif patient and patient != records["patient_id"][at]:
            left_out.append((source, f"its image is of patient {records['patient_id'][at]} in {table.path.name}"))
        elif image in images:
            left_out.append((source, f"the same image as {images[image].source}"))
        elif records["other"][at]:
            left_out.append((source, f"{records['other'][at]} view, neither CC nor MLO"))
        else:
            images[image] = _image(path, source, {name: column[at] for name, column in records.items()})
        seen.add(image)
    if not images:
        raise DatasetError(
            f"{root}: no image of {table.path} below it, expected <patient_id>/<image_id>.dcm or a picture"
        )
    return Listing(tuple(images.values()), tuple(left_out), notes=tuple(_notes(table, images, seen, task)))


def _image(path: Path, source: str, row: Mapping[str, Any]) -> ArchiveImage:
    view = row["view"]
    assert isinstance(view, View)
    labels = {name: row[name] for name in RSNA_TASKS if row.get(name)}
    facts = {name: row[name] for name in ("device", "age", "implant") if row.get(name)}
    image_id = f"{row['patient_id']}_{row['image_id']}"
    return ArchiveImage(path, source, image_id, row["patient_id"], "1", view, labels, facts=facts)


def _notes(table: RsnaTable, images: Mapping[str, ArchiveImage], seen: set[str], task: str) -> list[str]:
    notes = [f"views and sides are those of {table.path.name}; headers were not compared with it"]
    if missing := set(table.rows["image_id"]) - seen:
        notes.append(f"{counted(missing)} of {table.path.name} without a file here")
    if bare := [name for name, image in images.items() if task not in image.labels]:
        notes.append(f"{len(bare):,} of {len(images):,} images have no label of {task} in {table.path.name}")
    return [*notes, _CANCER_MEANING] if task == "pathology" else notes
