"""CBIS-DDSM: the case description tables, and the DICOM tree (or images made of it) however it was downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.cbis_tables import CASE_FOLDER, MAMMOGRAM, overlapping_patients, read_cases
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import refuse_task
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.imaging.read import is_image_file, read_facts
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.division import VALIDATION_SHARE
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, labels_of_lesions
from ensemble_mammo.records.subject import Projection, Side, View
from ensemble_mammo.records.task import TASKS

_TASKS = ("density", "pathology", "birads", "abnormality", "abnormality5")
_FINDINGS = {"calc": "calcification", "mass": "mass"}
_CASE = re.compile(rf"{CASE_FOLDER}(_\d+)?")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".pgm")
_HEADER_SECONDS = 30.0
Row = dict[str, str]


def list_cbis_ddsm(root: Path, options: ArchiveOptions) -> Listing:
    """List CBIS-DDSM: full mammograms with all their lesions, the released division, labels of lesions pooled.

    Files are found by the folders that the archive (or its downloader) puts them in: the case's name, such as
    `Calc-Test_P_00038_LEFT_CC`, or the SeriesInstanceUID of the tables; the headers of other files are read for the
    same two, if a table's row has no file yet. A mammogram of several tables is one image. Which file of a lesion
    is its mask, and which its crop, is told later, by content.

    Raises:
        DatasetError: a task without labels here, no tables or wrong ones, or no mammogram of theirs.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    refuse_task(root, "CBIS-DDSM", _TASKS, options.task)
    cases = read_cases(options.labels or root)
    rows = _rows_by_mammogram(cases)
    found = _find_files(root, rows, options)
    torn = overlapping_patients(cases)
    images, doubles, missing, bare = [], [], [], 0
    for key, own in rows.items():
        paths = _mammogram_files(own, found)
        if not paths:
            missing.append(key)
            continue
        source = _source(paths[0], root)
        doubles += [(_source(path, root), f"the same mammogram as {source}") for path in paths[1:]]
        bare += sum(not _lesion_files(row, found) for row in own)
        images.append(_image(root, paths[0], own, found, torn if not options.as_released else ()))
    if not images:
        _refuse_empty(root, rows, found)
    notes = _notes_of_patients(cases, list(torn), options.as_released)
    if missing:
        notes.append(f"{len(missing)} of {len(rows)} mammograms of the tables have no file here")
    if bare:
        lesions = sum(len(image.lesions) for image in images)
        notes.append(f"{bare} of {lesions} lesions have neither mask nor crop here")
    if found.of_others:
        notes.append(f"{found.of_others} files belong to cases that the tables do not name, and are passed over")
    strays = [(_source(path, root), "no row of the tables names it") for path in found.strays]
    unreadable = [(_source(path, root), reason) for path, reason in found.unreadable]
    left_out = tuple(doubles + strays + unreadable)
    return Listing(tuple(images), left_out, tuple(unreadable), tuple(notes), VALIDATION_SHARE)


def _rows_by_mammogram(cases: pd.DataFrame) -> dict[tuple[str, ...], list[Row]]:
    rows: dict[tuple[str, ...], list[Row]] = {}
    for record in cases.to_dict("records"):
        row = {str(name): str(value) for name, value in record.items()}
        rows.setdefault(tuple(row[name] for name in MAMMOGRAM), []).append(row)
    return dict(sorted(rows.items()))


@dataclass
class _Found:
    """Image files by what the tables call them."""

    by_name: dict[str, list[Path]] = field(default_factory=dict)
    "case folder or SeriesInstanceUID -> its files"
    strays: list[Path] = field(default_factory=list)
    "image files that no row names"
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    "image files whose header cannot be read, and why"
    of_others: int = 0
    "how many files belong to cases that the tables do not name"
    total: int = 0
    "how many image files there are"

    def add(self, path: Path, names: Iterable[str]) -> None:
        for name in names:
            self.by_name.setdefault(name, []).append(path)

    def of(self, names: Iterable[str]) -> list[Path]:
        """The files of any of the names, each once, DICOM before images made of it."""
        files = dict.fromkeys(path for name in names for path in self.by_name.get(name, ()))
        return sorted(files, key=lambda path: (path.suffix.lower() in _PICTURES, path))


def _find_files(root: Path, rows: dict[tuple[str, ...], list[Row]], options: ArchiveOptions) -> _Found:
    """One walk over the folder; then the headers of what the folders' names do not tell."""
    every = [row for own in rows.values() for row in own]
    wanted = {name for row in every for name in (*_image_names(row), *_lesion_names(row))}
    found, unknown = _Found(), []
    for path in _image_files(root):
        found.total += 1
        parts = [*path.relative_to(root).parts[:-1], path.stem]
        if names := wanted.intersection(parts):
            found.add(path, sorted(names))
        elif any(_CASE.fullmatch(part) for part in parts):
            found.of_others += 1
        else:
            unknown.append(path)
    complete = all(_mammogram_files(own, found) for own in rows.values()) and all(
        _lesion_files(row, found) for row in every
    )
    if complete:
        found.strays += unknown
    else:
        _read_headers(unknown, wanted, found, options)
    return found


def _read_headers(paths: Sequence[Path], wanted: Collection[str], found: _Found, options: ArchiveOptions) -> None:
    pictures = [path for path in paths if path.suffix.lower() in _PICTURES]
    found.strays += pictures  # their headers name nobody
    unread = sorted(set(paths) - set(pictures))
    for outcome in spread(read_facts, unread, options.workers, _HEADER_SECONDS, options.engine):
        if outcome.value is None:
            found.unreadable.append((outcome.item, outcome.error.removeprefix(f"{outcome.item}: ")))
            continue
        said = (outcome.value.patient_id, outcome.value.series_uid)
        if names := {name for name in said if name in wanted}:
            found.add(outcome.item, sorted(names))
        elif _CASE.fullmatch(said[0]):
            found.of_others += 1
        else:
            found.strays.append(outcome.item)


def _image_files(root: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(place) / name for name in names if not name.startswith("."))
        found += [path for path in files if path.suffix.lower() != ".csv" and is_image_file(path)]
    return sorted(found)


def _series(path: str) -> str:
    parts = path.split("/")
    return parts[-2] if len(parts) > 2 else ""


def _case_name(row: Row) -> str:
    part = "Test" if row["split"] == "test" else "Training"
    return f"{row['abnormality'].title()}-{part}_{row['patient_id']}_{row['side']}_{row['view']}"


def _image_names(row: Row) -> tuple[str, ...]:
    return tuple(filter(None, (_case_name(row), _series(row["image_path"]))))


def _lesion_names(row: Row) -> tuple[str, ...]:
    names = f"{_case_name(row)}_{row['number']}", _series(row["mask_path"]), _series(row["crop_path"])
    return tuple(filter(None, names))


def _mammogram_files(rows: Sequence[Row], found: _Found) -> list[Path]:
    """The files of one mammogram, that of the first table first."""
    return list(dict.fromkeys(path for row in rows for path in found.of(_image_names(row))))


def _lesion_files(row: Row, found: _Found) -> list[Path]:
    return found.of(_lesion_names(row))


def _source(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _image(root: Path, path: Path, rows: Sequence[Row], found: _Found, moved: Collection[str]) -> ArchiveImage:
    patient, side, view = (rows[0][name] for name in MAMMOGRAM)
    lesions = tuple(_lesion(root, row, found) for row in rows)
    labels = labels_of_lesions(lesions)
    if densities := {row["density"] for row in rows} - {"", "0"}:
        labels["density"] = TASKS["density"].class_of(densities.pop())
    tested = patient in moved or any(row["split"] == "test" for row in rows)
    return ArchiveImage(
        path,
        _source(path, root),
        f"{patient}_{side}_{view}",
        patient,
        "1",
        View.of(Projection(view), Side(side.lower())),
        labels,
        "test" if tested else "train",
        lesions,
    )


def _lesion(root: Path, row: Row, found: _Found) -> ArchiveLesion:
    """A lesion with all files of its folders; where there are none, the mask that the table names is not to be had."""
    masks = _lesion_files(row, found) or [root / (row["mask_path"] or _case_name(row))]
    return ArchiveLesion(
        f"{row['abnormality']}-{row['number']}",
        (Outline("mask", masks=tuple(masks)),),
        _FINDINGS[row["abnormality"]],
        TASKS["pathology"].class_of(row["pathology"]),
        row["assessment"],
        row["subtlety"],
        row["descriptors"],
    )


def _notes_of_patients(cases: pd.DataFrame, torn: Sequence[str], as_released: bool) -> list[str]:
    notes = []
    if torn:
        first = ", ".join(torn[:3]) + (", …" if len(torn) > 3 else "")
        what = (
            "each image stays in its released split, so that these patients leak" if as_released else
            "all their images are in test (--as-released keeps the release's division)"
        )  # fmt: skip
        notes.append(f"{len(torn)} patients stand in both the training and the test tables ({first}): {what}")
    graded = cases[~cases["density"].isin(["", "0"])]
    counts = graded.groupby("patient_id")["density"].nunique()
    mixed = [str(patient) for patient in counts.index[counts > 1]]
    if mixed:
        notes.append(
            f"{len(mixed)} patients have mammograms of several densities ({', '.join(mixed[:3])}): each is kept"
        )
    unknown = len(cases[~cases.index.isin(graded.index)].drop_duplicates(MAMMOGRAM))
    if unknown:
        notes.append(f"{unknown} mammograms have density 0: unlabelled")
    return notes


def _refuse_empty(root: Path, rows: dict[tuple[str, ...], list[Row]], found: _Found) -> None:
    first = next(iter(rows.values()))[0]
    raise DatasetError(
        f"{root}: none of the {len(rows)} mammograms of the tables among its {found.total} image files; looked for "
        f"folders or files called like {_case_name(first)} or by the SeriesInstanceUIDs of the tables, and for DICOM "
        "headers with such a PatientID or SeriesInstanceUID; give the folder of the DICOM tree (tables elsewhere: "
        "--labels)"
    )
