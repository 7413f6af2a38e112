"""VinDr-Mammo: `images/<study>/<image>.dicom` with its breast-level and finding annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_mammo.archives.columns import Columns, counted, found_table, image_files
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import refuse_task
from ensemble_mammo.archives.vindr_findings import Findings, read_vindr_findings
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.division import VALIDATION_SHARE
from ensemble_mammo.records.task import TASKS

VINDR_TASKS = ("density", "birads", "abnormality")
"""The tasks that the release has labels of; there is no pathology in it."""
BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
"""The tables of the release."""
_IDS = ("study_id", "image_id")
_REQUIRED = (*_IDS, "laterality", "view_position", "height", "width", "breast_birads", "breast_density", "split")
_SPLITS = {"training": "train", "test": "test"}

Row = Mapping[str, Any]


def list_vindr(root: Path, options: ArchiveOptions) -> Listing:
    """List VinDr-Mammo: density, birads and abnormality; findings with a box are lesions.

    A study is a subject, as the release has one a patient: PatientIDs of headers are not looked at. The released test
    split stays; a fifth of the training studies become validation.

    Raises:
        DatasetError: no table, tables that cannot be right (all problems of one at once), a task without labels, or no
            image.
    """
    files = image_files(root)
    if options.views:
        raise DatasetError(f"{root}: views of this kind come from its table; leave --views out")
    refuse_task(root, "VinDr-Mammo", VINDR_TASKS, options.task)
    path = options.labels or found_table(root, [BREASTS])
    if path is None:
        raise DatasetError(f"{root}: no {BREASTS} there, one folder up or down; name it with --labels")
    rows = read_vindr_breasts(path)
    beside = path.with_name(FINDINGS) if path.with_name(FINDINGS).is_file() else found_table(root, [FINDINGS])
    table = options.annotations or beside
    if table is None and options.task == "abnormality":
        raise DatasetError(
            f"{root}: abnormality is read from {FINDINGS}, which is not there; name it with --annotations"
        )
    findings = read_vindr_findings(table, rows) if table else None
    return _listed(root, files, path, rows, findings)


def read_vindr_breasts(path: Path) -> dict[str, Row]:
    """Read and check the breast-level table: image_id -> its row, with view, labels, split and frame.

    Raises:
        DatasetError: a column missing, an empty or repeated id, or a value that is none of the release's.
    """
    columns = Columns.read(path, _REQUIRED, "VinDr-Mammo's breast-level table has them")
    columns.filled("study_id", "image_id", "split")
    columns.unique("image_id")
    views, others = columns.views("view_position", "laterality")
    table = columns.table.assign(
        view=views,
        other=others,
        density=columns.mapped("breast_density", TASKS["density"].class_of),
        birads=columns.mapped("breast_birads", _birads),
        split=columns.mapped("split", _split),
        rows=columns.mapped("height", _pixels, 0),
        columns=columns.mapped("width", _pixels, 0),
    )
    columns.refuse()
    wanted = [*_IDS, "view", "other", "density", "birads", "split", "rows", "columns"]
    rows = zip(*(table[name] for name in wanted), strict=True)
    return {row[1]: dict(zip(wanted, row, strict=True)) for row in rows}


def _birads(text: str) -> str:
    grade = text.upper().removeprefix("BI-RADS").strip()
    return "" if grade == "3" else TASKS["birads"].class_of(grade)


def _split(text: str) -> str:
    if text.lower() not in _SPLITS:
        raise ValueError(f"split {text!r} is not one of {', '.join(_SPLITS)}")
    return _SPLITS[text.lower()]


def _pixels(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise ValueError(f"{text!r} is no number of pixels")
    return int(text)


def _listed(root: Path, files: list[Path], path: Path, rows: Mapping[str, Row], findings: Findings | None) -> Listing:
    images: dict[str, ArchiveImage] = {}
    left_out, seen = [], set()
    studies = {row["study_id"] for row in rows.values()}
    for file in files:
        source, row = file.relative_to(root).as_posix(), rows.get(file.stem)
        if row is None:
            left_out.append((source, f"no row for image {file.stem} in {path.name}"))
        elif file.parent.name in studies and file.parent.name != row["study_id"]:
            left_out.append((source, f"its image is of study {row['study_id']} in {path.name}"))
        elif file.stem in images:
            left_out.append((source, f"the same image as {images[file.stem].source}"))
        elif row["other"]:
            left_out.append((source, f"{row['other']} view, neither CC nor MLO"))
        else:
            images[file.stem] = _image(file, source, row, findings)
        seen.add(file.stem)
    if not images:
        raise DatasetError(f"{root}: no image of {path} below it, expected images/<study_id>/<image_id>.dicom")
    notes = list(findings.notes) if findings else [f"no {FINDINGS}: neither lesions nor labels of abnormality"]
    if missing := set(rows) - seen:
        notes.append(f"{counted(missing)} of {path.name} without a file here")
    return Listing(tuple(images.values()), tuple(left_out), notes=tuple(notes), validation_share=VALIDATION_SHARE)


def _image(path: Path, source: str, row: Row, findings: Findings | None) -> ArchiveImage:
    labels = {name: row[name] for name in ("density", "birads") if row[name]}
    lesions = findings.of(row["image_id"]) if findings else ()
    if findings:
        labels["abnormality"] = "abnormal" if lesions else "normal"
    name, study, view = row["image_id"], row["study_id"], row["view"]
    return ArchiveImage(path, source, name, study, "1", view, labels, row["split"], lesions)
