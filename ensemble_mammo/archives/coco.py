"""Any folder of images with a COCO annotation file; ids from file names, labels from a CSV or the CBIS tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.coco_annotations import CocoImage, find_annotations, read_coco
from ensemble_mammo.archives.coco_labels import Labelled, labelled, subjects_of_table
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.lesion import labels_of_lesions
from ensemble_mammo.records.naming import StatedView, facts_of_cells, facts_of_name
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

_MISSING = "stands in the annotation file, but there is no such file"
_GROUPS = ("subject", "exam", "side", "view", "image")
_NAME = re.compile(
    r"^(?P<subject>.+?)[_-](?P<view>(?:LEFT|RIGHT|L|R)[_-]?(?:CC|MLO)|(?:CC|MLO)[_-]?(?:LEFT|RIGHT|L|R))(?:[_.-].*)?$",
    re.IGNORECASE,
)
"""`00001_LEFT_CC`, `P-12_RMLO`, and the same with anything behind it."""


@dataclass(frozen=True)
class FoundName:
    """What a file's name says of its image."""

    subject: str
    "the patient"
    exam: str
    "one visit"
    view: View
    "the projection"
    image: str
    "the image's id, not yet made unique"


def list_coco(root: Path, options: ArchiveOptions) -> Listing:
    """List the images of a COCO annotation file, with their lesions.

    Raises:
        DatasetError: no such folder, no annotation file or several, a file that cannot be right, no image that is
            there and whose name says subject and view, or no label of the task.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    table = options.annotations or find_annotations(root)
    entries, notes = read_coco(table)
    found, left_out = _on_disk(root, entries, _files(root), table)
    if not found:
        raise DatasetError(f"{table}: none of its {len(entries)} images is in {root}; first: {left_out[0][0]}")
    named, unnamed = _names(root, list(found), options)
    left_out += unnamed
    known = [
        Labelled(source, n.subject, n.exam, n.view, found[source].lesions, labels_of_lesions(found[source].lesions))
        for source, n in named.items()
    ]
    joined, said = labelled(known, options)
    ids = _unique([name.image for name in named.values()])
    images = [
        ArchiveImage(root / i.source, i.source, name, i.subject, i.exam, i.view, i.labels, lesions=i.lesions)
        for i, name in zip(joined, ids, strict=True)
    ]
    _refuse_task(root, options, images)
    missing = sum(reason == _MISSING for _, reason in left_out)
    notes += [f"{missing} images of {table.name} have no file here"] if missing else []
    return Listing(tuple(images), tuple(left_out), notes=(*notes, *said))


def _files(root: Path) -> list[str]:
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path.relative_to(root).as_posix() for path in paths]


def _on_disk(
    root: Path, entries: Sequence[CocoImage], files: Sequence[str], table: Path
) -> tuple[dict[str, CocoImage], list[tuple[str, str]]]:
    """The images by their file's path in the archive: as stated, below the annotation file's folder, or by name."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(Path(file).name, []).append(file)
    there = set(files)
    base = table.parent.relative_to(root).as_posix() if table.parent.is_relative_to(root) else "."
    found: dict[str, CocoImage] = {}
    left_out: list[tuple[str, str]] = []
    problems: list[str] = []
    for entry in entries:
        file = entry.file.removeprefix("./")
        same = by_name.get(Path(file).name, [])
        exact = [path for path in (file, f"{base}/{file}") if path in there][:1]
        places = exact or [path for path in same if path.endswith(f"/{file}")] or same
        if not places:
            left_out.append((entry.file, _MISSING))
        elif len(places) > 1:
            problems.append(f"image {entry.file!r} may be {' or '.join(places[:3])}")
        elif places[0] in found:
            problems.append(f"images {found[places[0]].file!r} and {entry.file!r} are one file, {places[0]}")
        else:
            found[places[0]] = entry
    if problems:
        raise DatasetError(f"{table}: {'; '.join(problems[:10])}; state paths relative to the archive as file_name")
    others = [file for file in files if file not in found and is_image_file(root / file)]
    return found, left_out + [(file, f"not in {table.name}") for file in others]


def _names(
    root: Path, sources: Sequence[str], options: ArchiveOptions
) -> tuple[dict[str, FoundName], list[tuple[str, str]]]:
    """What the names of files say, and (file, reason) of those that do not say enough."""
    pattern = _pattern(options.id_pattern)
    stated = read_views(options.views).of(sources) if options.views else {}
    subjects = subjects_of_table(options, sources)
    named: dict[str, FoundName] = {}
    left_out: list[tuple[str, str]] = []
    for source in sorted(sources):
        try:
            named[source] = _named(source, pattern, stated.get(source, StatedView()), subjects.get(source, ""))
        except ValueError as error:
            left_out.append((source, str(error)))
    if not named:
        first = ": ".join(left_out[0])
        raise DatasetError(f"{root}: subject and view of none of {len(sources)} images are known; {first}")
    return named, left_out


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise DatasetError(f"id pattern {text!r} is no regular expression: {error}") from error
    unknown = sorted(set(pattern.groupindex) - set(_GROUPS))
    if unknown or not pattern.groupindex:
        what = f"unknown groups {', '.join(unknown)}" if unknown else "no named group"
        raise DatasetError(
            f"id pattern {text!r} has {what}; expected groups such as (?P<subject>…) among {', '.join(_GROUPS)}"
        )
    return pattern


def _named(source: str, pattern: re.Pattern[str] | None, stated: StatedView, subject: str) -> FoundName:
    """Ids and view by the pattern (of the name, else of the path), the views table, and the words of the name."""
    if stated.other:
        raise ValueError(f"the views table says {stated.other}")
    stem = Path(source).stem
    known = facts_of_name(source)
    if pattern:
        match = pattern.search(Path(source).name) or pattern.search(source)
        if match is None:
            raise ValueError("its name does not fit the id pattern; give another --id-pattern")
        groups = {name: text or "" for name, text in match.groupdict().items()}
    elif known.subject_id:
        groups = {"subject": known.subject_id, "exam": known.exam_id or "", "image": known.image_id or ""}
    else:
        groups = match.groupdict() if (match := _NAME.match(stem)) else {}
    said = facts_of_cells(groups.get("view", ""), groups.get("side", ""))
    if said.other and not stated.projection:
        raise ValueError(f"view {said.other} is neither CC nor MLO")
    projection = stated.projection or said.projection or known.projection
    side = stated.side or said.side or known.side
    subject = subject or groups.get("subject", "")
    unknown = [what for what, value in (("subject", subject), ("view", projection), ("side", side)) if not value]
    if not projection or not side or not subject:
        raise ValueError(
            f"its name says no {' and no '.join(unknown)}; give --id-pattern, or a views table with --views"
        )
    image = groups.get("image") or stem
    return FoundName(subject, groups.get("exam") or "1", View.of(projection, side), _safe(image))


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._") or "x"


def _unique(names: Sequence[str]) -> list[str]:
    """The names, with _2, _3, … behind those that stand there already."""
    made: dict[str, None] = {}
    for name in names:
        own, number = name, 1
        while own in made:
            number += 1
            own = f"{name}_{number}"
        made[own] = None
    return list(made)


def _refuse_task(root: Path, options: ArchiveOptions, images: Sequence[ArchiveImage]) -> None:
    if not any(options.task in image.labels for image in images):
        found = [task for task in TASKS if any(task in image.labels for image in images)]
        table = f" or in {options.labels}" if options.labels else ""
        raise DatasetError(
            f"{root}: no image has a label of {options.task} in its annotations{table}; "
            f"found {', '.join(found) or 'none'}; give --task, or a table with --labels"
        )
