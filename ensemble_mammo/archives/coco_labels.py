"""Labels of a COCO archive: from its lesions, a labels CSV, or the case description tables of CBIS-DDSM."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble_mammo.archives.cbis_tables import looks_like_cbis_tables, read_cases
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import FileKeyed, read_labels, read_table
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.lesion import ArchiveLesion, labels_of_lesions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS, task_named

_CBIS_PATIENT = re.compile(r"(?:^|P_)0*(\d{1,5})$")
_CASE_COLUMNS = {"patient_id", "image_view", "abnormality_id"}
_FINDINGS = {"mass": "mass", "calc": "calcification"}
_OF_A_ROW = ("assessment", "subtlety", "descriptors")


@dataclass(frozen=True)
class Labelled:
    """An image of the annotation file with what is known of it."""

    source: str
    "its file, relative to the archive"
    subject: str
    "the patient"
    exam: str
    "one visit"
    view: View
    "the projection"
    lesions: tuple[ArchiveLesion, ...]
    "its lesions"
    labels: Mapping[str, str]
    "task -> class"


def labelled(images: Sequence[Labelled], options: ArchiveOptions) -> tuple[list[Labelled], list[str]]:
    """Join the labels table, or the CBIS tables, to images that have the labels of their lesions.

    Raises:
        DatasetError: tables that cannot be right, or none of whose rows belongs to an image.
    """
    if options.labels is None:
        return list(images), []
    cases = is_cases(options.labels)
    found, notes = _with_cases(images, options.labels) if cases else _with_table(images, options)
    return found, notes


def is_cases(path: Path) -> bool:
    """Whether labels are the CBIS case description tables: a folder of them, or one."""
    if path.is_dir():
        if not looks_like_cbis_tables(path):
            raise DatasetError(f"{path}: a folder without CBIS case description tables; --labels takes those, or a CSV")
        return True
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    columns = {"_".join(name.lower().split()) for name in read_table(path, []).columns}
    return columns >= _CASE_COLUMNS


def subjects_of_table(options: ArchiveOptions, sources: Sequence[str]) -> dict[str, str]:
    """File -> subject, by a labels table that is joined by file and has a column of subjects."""
    if options.labels is None or not options.file_column or is_cases(options.labels):
        return {}
    table = read_table(options.labels, [options.file_column])
    if options.subject_column not in table.columns:
        return {}
    files, subjects = table[options.file_column].str.strip(), table[options.subject_column].str.strip()
    return FileKeyed(options.labels, dict(zip(files, subjects, strict=True))).of(sources)


def _with_table(images: Sequence[Labelled], options: ArchiveOptions) -> tuple[list[Labelled], list[str]]:
    """Labels of every task that the table has a column for; the task asked for must be right, others may be none."""
    path = options.labels
    assert path is not None
    keys = [options.file_column] if options.file_column else [options.subject_column]
    keys += [options.exam_column] if options.exam_column and not options.file_column else []
    columns = {name: name for name in TASKS} | {options.task: options.label_column or options.task}
    there = set(read_table(path, []).columns)
    notes, labels = [], [dict(image.labels) for image in images]
    differing: set[str] = set()
    for task, column in columns.items():
        if column not in there and task != options.task:
            continue
        try:
            keyed, _ = read_labels(path, task_named(task), column, keys)
        except DatasetError as error:
            if task == options.task:
                raise
            notes.append(f"column {column} of {path.name} is not read: {error}")
            continue
        own = _joined(images, keyed, options)
        if task == options.task:
            notes += _bare(images, own, path, " and ".join(keys))
        for image, known in zip(images, labels, strict=True):
            if label := own.get(image.source):
                differing |= {image.source} if known.get(task, label) != label else set()
                known[task] = label
    if differing:
        notes.append(
            f"{len(differing)} images have another label in {path.name} than by their lesions; the table counts"
        )
    return [replace(image, labels=own) for image, own in zip(images, labels, strict=True)], notes


def _joined(
    images: Sequence[Labelled], keyed: Mapping[tuple[str, ...], str], options: ArchiveOptions
) -> dict[str, str]:
    assert options.labels is not None
    if options.file_column:
        values = {key[0]: label for key, label in keyed.items()}
        return FileKeyed(options.labels, values).of([image.source for image in images])
    keys = [(i.subject, i.exam) if options.exam_column else (i.subject,) for i in images]
    return {image.source: keyed[key] for image, key in zip(images, keys, strict=True) if key in keyed}


def _bare(images: Sequence[Labelled], own: Mapping[str, str], path: Path, joined_by: str) -> list[str]:
    if not own:
        raise DatasetError(
            f"{path}: none of its rows belongs to any of the {len(images)} images (first subject: "
            f"{images[0].subject!r}); rows are joined by {joined_by}: name other columns with --subject-column, "
            "--file-column, --exam-column, or other ids with --id-pattern"
        )
    bare = len(images) - len(own)
    return [f"{bare} of {len(images)} images have no label in {path.name}"] if bare else []


def _with_cases(images: Sequence[Labelled], path: Path) -> tuple[list[Labelled], list[str]]:
    cases = read_cases(path)
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in cases.to_dict("records"):
        rows[row["patient_id"], f"{row['view']}_{row['side'][:1]}"].append({str(k): str(v) for k, v in row.items()})
    tested = set(cases["patient_id"][cases["split"] == "test"])
    counts: Counter[str] = Counter()
    found = []
    for image in images:
        match = _CBIS_PATIENT.search(image.subject)
        subject = f"P_{int(match[1]):05d}" if match else image.subject
        own = rows.get((subject, image.view.value), [])
        counts["{} of {} images stand in no CBIS table"] += not own
        counts["{} of {} images are of patients who stand in a released test table"] += subject in tested
        lesions = _of_rows(image.lesions, own, counts)
        found.append(replace(image, subject=subject, lesions=lesions, labels=_labels(own) if own else image.labels))
    if counts["{} of {} images stand in no CBIS table"] == len(images):
        raise DatasetError(
            f"{path}: none of its patients, sides and views is that of any of the {len(images)} images (first: "
            f"{images[0].subject} {images[0].view}); give --id-pattern, or leave --labels out"
        )
    return found, [text.format(count, len(images)) for text, count in counts.items() if count]


def _of_rows(
    lesions: Sequence[ArchiveLesion], rows: Sequence[Mapping[str, str]], counts: Counter[str]
) -> tuple[ArchiveLesion, ...]:
    """Lesions with what all table rows of their finding in the image agree on; rows without a box as lesions too.

    An annotation file says not which row a box belongs to, so that boxes keep what the rows disagree on empty.
    """
    made, boxed = [], {lesion.finding for lesion in lesions}
    mixed = uneven = False
    for lesion in lesions:
        own = [row for row in rows if lesion.finding in ("", _FINDINGS.get(row["abnormality"]))]
        known = {name: own[0][name] for name in _OF_A_ROW if own and len({row[name] for row in own}) == 1}
        pathologies = {_pathology(row) for row in own}
        mixed |= len(pathologies) > 1
        uneven |= bool(own) and len(own) != sum(other.finding == lesion.finding for other in lesions)
        made.append(
            replace(
                lesion,
                pathology=(pathologies.pop() if len(pathologies) == 1 else "") or lesion.pathology,
                assessment=known.get("assessment", ""),
                subtlety=known.get("subtlety", ""),
                descriptors=known.get("descriptors", "") or lesion.descriptors,
            )
        )
    bare = [] if "" in boxed else [row for row in rows if _FINDINGS.get(row["abnormality"], "other") not in boxed]
    made += [_bare_lesion(row) for row in bare]
    counts["{} of {} images have boxes of mixed pathology: which is which is not said, so it stays empty"] += mixed
    counts["{} of {} images have lesions in the CBIS tables that have no box"] += bool(bare)
    counts["{} of {} images have another number of boxes than of rows in the CBIS tables"] += uneven
    return tuple(made)


def _bare_lesion(row: Mapping[str, str]) -> ArchiveLesion:
    known = {name: row[name] for name in _OF_A_ROW}
    finding = _FINDINGS.get(row["abnormality"], "other")
    return ArchiveLesion(f"{row['abnormality']}-{row['number']}", (), finding, _pathology(row), **known)


def _pathology(row: Mapping[str, str]) -> str:
    try:
        return TASKS["pathology"].class_of(row["pathology"])
    except ValueError:
        return ""


def _labels(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of all rows of a mammogram, calcifications and masses pooled; density 0 says nothing."""
    labels = labels_of_lesions([_bare_lesion(row) for row in rows])
    if densities := {row["density"] for row in rows} & set("1234"):
        labels["density"] = TASKS["density"].class_of(max(densities))
    return labels
