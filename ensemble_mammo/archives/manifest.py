"""A dataset of the user's own: a CSV with one row an image, lesions.csv beside it, all checked on the way in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.manifest_lesions import lesions_beside
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.division import VALIDATION_SHARE
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, labels_of_lesions
from ensemble_mammo.records.manifest import MANIFEST
from ensemble_mammo.records.naming import facts_of_cells
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

MANIFEST_COLUMNS = ("file", "subject_id", "view")
"""The columns without which a CSV is no manifest."""
_IDS = ("image_id", "subject_id", "exam_id")
_FACTS = ("manufacturer", "device", "age", "implant", "pixel_spacing_mm", "collection")
_SAFE = re.compile(r"[^\s/\\:*?\"<>|.\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]*")
_SPLITS = {"": "", "validation": "val", "training": "train"} | {name: name for name in SPLITS}
_YES = {"": False, "yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
_ADVICE = "a manifest has the columns file, subject_id and view, and a column a task"


def list_manifest(path: Path, options: ArchiveOptions) -> Listing:
    """List the images of a CSV (or of the manifest.csv in a folder), lesions included.

    A task's column decides alone, empty cells included; a task without a column is told from lesions, where it can be.

    Raises:
        DatasetError: no such file, a task without labels, or rows that cannot be right, all at once with their lines.
    """
    csv = path / MANIFEST if path.is_dir() else path
    if options.labels or options.views:
        raise DatasetError(f"{csv}: labels and views of this kind are columns of the manifest; leave both tables out")
    table = read_table(csv, MANIFEST_COLUMNS, advice=_ADVICE)
    table = table.apply(lambda column: column.str.strip())
    table.insert(0, "line", range(2, len(table) + 2))
    out = table["leave_out"] != "" if "leave_out" in table.columns else pd.Series(False, table.index)
    left_out = list(zip(table["file"][out], table.get("leave_out", table["file"])[out], strict=True))
    rows = table[~out].reset_index(drop=True)
    if rows.empty:
        raise DatasetError(
            f"{csv}: holds no image" + (f"; {len(left_out)} rows are to be left out" if left_out else "")
        )
    checked = _checked(csv, rows)
    dropped = set(table["image_id"][out]) if "image_id" in table.columns else set()
    lesions = lesions_beside(csv.parent, dict(zip(checked.image_ids, checked.paths, strict=True)), dropped)
    _refuse_two_ways(csv, rows, checked, lesions)
    tasks = [name for name in TASKS if name in rows.columns]
    if options.task not in tasks and not lesions and not any(checked.masks):
        have = ", ".join(tasks) or "no task at all"
        raise DatasetError(
            f"{csv} line 1: no column {options.task!r} (found labels of: {have}); add it, or give --task"
        )
    images = [_image(place, rows, checked, lesions, tasks) for place in range(len(rows))]
    if options.task not in tasks and not any(options.task in image.labels for image in images):
        raise DatasetError(f"{csv} line 1: no column {options.task!r}, and its lesions tell none; give --task")
    hidden = "hide" in rows.columns and (rows["hide"] == "yes").any()
    return Listing(
        tuple(images),
        tuple(left_out),
        notes=tuple(_notes(rows, checked)),
        validation_share=VALIDATION_SHARE,
        hidden=bool(hidden),
    )


@dataclass
class _Checked:
    """The columns of a manifest as they are meant, a value a row."""

    paths: list[Path] = field(default_factory=list)
    image_ids: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    turned: list[bool] = field(default_factory=list)
    masks: list[Path | None] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, list[str]] = field(default_factory=dict)


def _checked(csv: Path, rows: pd.DataFrame) -> _Checked:
    """Every column read; whatever is wrong in any of them is said at once, in the order of the lines."""
    problems: list[tuple[int, str]] = []
    empty = pd.Series([""] * len(rows))

    def column(name: str) -> pd.Series:
        return rows[name] if name in rows.columns else empty

    def each(name: str, parse: Callable[[str], object]) -> list[object]:
        values = []
        for line, text in zip(rows["line"], column(name), strict=True):
            try:
                values.append(parse(text))
            except ValueError as error:
                problems.append((line, str(error)))
                values.append(None)
        return values

    found = _Checked()
    folder = csv.parent
    found.paths = each("file", cache(lambda text: _existing(folder, text, "file")))  # type: ignore[assignment]
    found.masks = each("mask", cache(lambda text: _existing(folder, text, "mask") if text else None))  # type: ignore[assignment]
    found.splits = each("split", cache(lambda text: _known(text.lower(), _SPLITS, "split")))  # type: ignore[assignment]
    found.turned = each("turn", cache(lambda text: _known(text.lower(), _YES, "turn")))  # type: ignore[assignment]
    each("subject_id", lambda text: _id(text, "subject_id", required=True))
    each("exam_id", lambda text: _id(text, "exam_id"))
    each("image_id", lambda text: _id(text, "image_id"))
    view = cache(_view)
    for line, text, side in zip(rows["line"], rows["view"], column("laterality"), strict=True):
        try:
            found.views.append(view(text, side))
        except ValueError as error:
            problems.append((line, str(error)))
    for name in (name for name in TASKS if name in rows.columns):
        of = TASKS[name].class_of
        found.labels[name] = each(name, cache(lambda text, of=of: of(text) if text else ""))  # type: ignore[assignment]
    for name in (name for name in _FACTS if name in rows.columns):
        found.facts[name] = each(name, cache(lambda text, name=name: _fact(text, name)))  # type: ignore[assignment]
    found.image_ids = _image_ids(rows, column("image_id"))
    first: dict[str, int] = {}
    for line, name in zip(rows["line"], found.image_ids, strict=True):
        if first.setdefault(name, line) != line:
            problems.append((line, f"image_id {name!r} stands in line {first[name]} already"))
    refuse(csv, [f"line {line}: {text}" for line, text in sorted(problems)])
    return found


def _existing(folder: Path, text: str, what: str) -> Path:
    if not text:
        raise ValueError(f"{what} is empty, expected a path relative to the manifest")
    path = folder / text
    if not path.is_file():
        raise ValueError(f"{what} {text!r} is not there ({path})")
    return path


def _known(text: str, names: Mapping[str, object], what: str) -> object:
    if text not in names:
        raise ValueError(f"{what} {text!r} is not one of {', '.join(name for name in names if name)}")
    return names[text]


def _id(text: str, what: str, required: bool = False) -> None:
    if not text and required:
        raise ValueError(f"{what} is empty")
    if text and not _SAFE.fullmatch(text):
        raise ValueError(f'{what} {text!r} cannot be part of a file name; leave / \\ : * ? " < > | out')


def _view(text: str, side: str) -> View:
    stated = facts_of_cells(text, side)
    if stated.projection is None or stated.side is None or stated.other:
        raise ValueError(f"view {' '.join(filter(None, (text, side)))!r} is not one of {', '.join(View)}")
    return View.of(stated.projection, stated.side)


def _fact(text: str, name: str) -> str:
    if name in ("age", "pixel_spacing_mm") and text:
        try:
            number = float(text)
        except ValueError as error:
            raise ValueError(f"{name} {text!r} is no number") from error
        if not 0 < number < (150 if name == "age" else 100):
            raise ValueError(f"{name} {text!r} cannot be right")
    if name == "implant" and text:
        return "YES" if _known(text.lower(), {n: v for n, v in _YES.items() if n}, name) else "NO"
    return text


def _image_ids(rows: pd.DataFrame, stated: pd.Series) -> list[str]:
    """As stated; else the file's name without ending, or its whole path where several have that name."""
    stems = [Path(text).stem for text in rows["file"]]
    counts = Counter(stems)
    flat = (re.sub(r"[/\\:]+", "-", text.rpartition(".")[0] or text).strip("-.") for text in rows["file"])
    return [own or (stem if counts[stem] == 1 else whole) for own, stem, whole in zip(stated, stems, flat, strict=True)]


def _refuse_two_ways(
    csv: Path, rows: pd.DataFrame, checked: _Checked, lesions: Mapping[str, Sequence[ArchiveLesion]]
) -> None:
    refuse(
        csv,
        [
            f"line {line}: a mask, but lesions.csv has lesions of image {name!r} too; give one of the two"
            for line, name, mask in zip(rows["line"], checked.image_ids, checked.masks, strict=True)
            if mask is not None and name in lesions
        ],
    )


def _image(
    place: int, rows: pd.DataFrame, checked: _Checked, lesions: Mapping[str, Sequence[ArchiveLesion]], tasks: list[str]
) -> ArchiveImage:
    name, mask = checked.image_ids[place], checked.masks[place]
    stated = {task: checked.labels[task][place] for task in tasks}
    own = tuple(lesions.get(name, ()))
    if mask is not None:
        own = (ArchiveLesion("1", (Outline("mask", masks=(mask,)),), pathology=stated.get("pathology", "")),)
    told = {task: label for task, label in labels_of_lesions(own).items() if task not in stated}
    facts = {column: values[place] for column, values in checked.facts.items() if values[place]}
    if _PREPARED in rows.columns:
        facts.pop("pixel_spacing_mm", None)
    return ArchiveImage(
        checked.paths[place],
        str(rows["file"].iat[place]),
        name,
        str(rows["subject_id"].iat[place]),
        (str(rows["exam_id"].iat[place]) if "exam_id" in rows.columns else "") or "1",
        checked.views[place],
        told | {task: label for task, label in stated.items() if label},
        checked.splits[place],
        own,
        facts,
        checked.turned[place],
    )


_PREPARED = "crop_height"
"a column that the manifest of a prepared dataset has"


def _notes(rows: pd.DataFrame, checked: _Checked) -> list[str]:
    notes = []
    if _PREPARED in rows.columns and any(checked.facts.get("pixel_spacing_mm", ())):
        notes.append("pixel_spacing_mm is that of the first sources, not of these images: it is not carried over")
    if set(checked.splits) == {"train", "test"}:
        notes.append(f"no validation is stated: {VALIDATION_SHARE:.0%} of the training subjects become it")
    if "fold" in rows.columns and (rows["fold"] != "").any():
        notes.append("the column fold is not read; folds are dealt anew with --folds")
    if count := sum(checked.turned):
        notes.append(f"{count} images are turned, as the manifest says")
    return notes
