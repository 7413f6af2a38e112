"""prepare: an archive becomes a dataset of 16-bit images with a manifest."""

from __future__ import annotations

import logging
import platform
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

import ensemble_mammo
from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.local import spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.prepared import prepare_file
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.manifest import MANIFEST, Dataset, ImageRow, manifest_table, read_dataset, write_table
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.splits import SPLITS, deal
from ensemble_mammo.records.task import TASKS, Task, task_named

_log = logging.getLogger(__name__)
_JOURNAL = ".prepare.jsonl"
_SOURCES = ".sources.csv"
_ROW_FACTS = [
    "manufacturer",
    "device",
    "age",
    "implant",
    "pixel_spacing_mm",
    "source_height",
    "source_width",
    "crop_top",
    "crop_left",
    "crop_height",
    "crop_width",
]


@dataclass(frozen=True)
class PrepareOptions:
    """How an archive is read, prepared and divided."""

    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    "what files do not say of themselves"
    preparation: Preparation = field(default_factory=Preparation)
    "what is done to the pixels"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    "shares of training, validation and test subjects (80/10/10 as in the INFN work)"
    folds: int = 0
    "number of cross-validation folds written to the manifest; 0: none"
    seed: int = 0
    "of the division"
    workers: int = 0
    "processes; 0: one a core"
    strict: bool = False
    "a file that cannot be read ends the work"
    restart: bool = False
    "an existing dataset is made anew"

    def __post_init__(self) -> None:
        """Refuse shares and folds that make no division."""
        if any(share < 0 for share in self.split) or not abs(sum(self.split) - 1) <= 1e-6:
            raise ValueError(f"split {':'.join(f'{s:g}' for s in self.split)} does not add up to 1")
        if self.folds == 1 or self.folds < 0:
            raise ValueError(f"folds is {self.folds}, expected 0 or at least 2")


def prepare(kind: str, path: Path, out: Path, options: PrepareOptions | None = None) -> Dataset:
    """Turn an archive into a dataset folder.

    Args:
        kind: `folders`, `dicom` or `inbreast`.
        path: the archive's folder; nothing in it is changed.
        out: the dataset's folder.
        options: how.

    Returns:
        The dataset, as `read_dataset(out)` gives it. `dataset.json` lists the files left out and why; where
        PatientIDs became pseudonyms, `<out>.sources.csv` does, and names the source of each image.

    Raises:
        DatasetError: nothing usable there; with `strict`, a file that cannot be read.
        OutputError: `out` holds a dataset already, or lies inside the archive.
    """
    options = options or PrepareOptions()
    if kind not in KINDS:
        raise DatasetError(f"archive kind {kind!r} is not one of {', '.join(KINDS)}")
    _refuse_target(path, out, options)
    listing = KINDS[kind](path, replace(options.archive, key=options.archive.key or _beside(out, ".key")))
    for note in listing.notes:
        _log.info("%s", note)
    _refuse_torn(listing.images)
    if options.strict and listing.unreadable:
        _refuse_unreadable(path / listing.unreadable[0][0], listing.unreadable[0][1])
    _clear(out, options.restart)
    head = {"preparation": to_mapping(options.preparation), "version": ensemble_mammo.__version__}
    journal = Journal(out / _JOURNAL, head)
    prepared: dict[str, dict[str, Any]] = {}
    left_out = list(listing.left_out)
    with closing(journal):
        for image, made, error in _prepared(listing, out, options, journal):
            if made is not None:
                prepared[image.image_id] = made
                continue
            left_out.append((image.source, error))
            if options.strict:
                _refuse_unreadable(image.path, error)
    if not prepared:
        journal.remove()
        raise DatasetError(f"{path}: no file could be prepared; first: {left_out[0][0]}: {left_out[0][1]}")
    kept = [image for image in listing.images if image.image_id in prepared]
    rows = [_row(image, prepared[image.image_id], listing.hidden) for image in kept]
    notes = Counter(note for image in kept for note in prepared[image.image_id]["notes"])
    labels = {task: [image.labels.get(task, "") for image in kept] for task in _tasks(kept, options)}
    rows = _divided(rows, labels, task_named(options.archive.task), options)
    _say(left_out, notes)
    description = _description(kind, options, rows) | {
        "notes": list(listing.notes),
        "image_notes": dict(notes.most_common()),
    }
    if listing.hidden:
        _write_sources(_beside(out, _SOURCES), kept, left_out)
        reasons = Counter(reason for _, reason in left_out).most_common()
        description["left_out"] = [{"reason": reason, "count": count} for reason, count in reasons]
    else:
        description["archive"] = str(path.resolve())
        description["left_out"] = [{"source": source, "reason": reason} for source, reason in left_out]
    table = manifest_table(rows, labels, str(out / MANIFEST))
    write_folders(Dataset(out, table, options.preparation))
    write_table(out, table, description)
    journal.remove()
    return read_dataset(out)


def _write_sources(path: Path, kept: Sequence[ArchiveImage], left_out: Sequence[tuple[str, str]]) -> None:
    rows = [(image.image_id, image.source, "") for image in kept] + [("", *one) for one in left_out]
    table = pd.DataFrame(rows, columns=["image_id", "source", "reason"])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    path.chmod(0o600)


def _refuse_target(path: Path, out: Path, options: PrepareOptions) -> None:
    if (out / MANIFEST).exists() and not options.restart:
        raise OutputError(f"{out}: holds a dataset already; give another --out, or --restart to make it anew")
    if out.resolve().is_relative_to(path.resolve()):
        raise OutputError(f"{out}: lies inside the archive {path}; an archive is never changed, give another --out")
    if path.resolve().is_relative_to(out.resolve()) and path.is_dir():
        raise OutputError(f"{out}: the archive {path} lies inside it; give another --out")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder; give another --out")
    key = options.archive.key
    if key is not None and key.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{key}: the key of the pseudonyms never lies inside the dataset; name a file beside it")


def _beside(folder: Path, ending: str) -> Path:
    folder = folder.resolve()
    return folder.with_name(folder.name + ending)


def _clear(out: Path, restart: bool) -> None:
    """Take away what an earlier call made, if it is to be made anew, and files that it left half-written."""
    if (out / _JOURNAL).exists():
        for half in (out / "images").rglob(".*.png"):
            half.unlink()
        shutil.rmtree(out / "folders", ignore_errors=True)
    if restart and ((out / MANIFEST).exists() or (out / _JOURNAL).exists()):
        (out / MANIFEST).unlink(missing_ok=True)
        (out / _JOURNAL).unlink(missing_ok=True)
        _beside(out, _SOURCES).unlink(missing_ok=True)
        for name in ("images", "folders"):
            shutil.rmtree(out / name, ignore_errors=True)


def _refuse_torn(images: Sequence[ArchiveImage]) -> None:
    stated: dict[str, set[str]] = {}
    for image in images:
        stated.setdefault(image.subject_id, set()).add(image.split)
    torn = sorted(subject for subject, splits in stated.items() if len(splits) > 1)
    if torn:
        splits = ", ".join(split or "none" for split in sorted(stated[torn[0]]))
        raise DatasetError(
            f"subject {torn[0]!r} stands in the splits {splits} of the archive ({len(torn)} such subjects): "
            "one subject belongs to one split"
        )


def _refuse_unreadable(path: Path, reason: str) -> NoReturn:
    raise DatasetError(f"{path}: {reason} (--strict; without it the file is left out)")


def _prepared(
    listing: Listing, out: Path, options: PrepareOptions, journal: Journal
) -> Iterator[tuple[ArchiveImage, dict[str, Any] | None, str]]:
    """Each image with what was made of it, those of an interrupted call first without doing them again."""
    todo = []
    for image in listing.images:
        made = journal.made(_key(image))
        if made is None or not (out / _file_of(image)).is_file():
            todo.append(image)
        else:
            yield image, made, ""
    if len(todo) < len(listing.images):
        _log.info("%d of %d images are prepared already", len(listing.images) - len(todo), len(listing.images))
    work = partial(_prepare_one, out=out, preparation=options.preparation, limits=options.limits)
    outcomes = spread(work, todo, options.workers, options.limits.seconds)
    for outcome in track(outcomes, len(todo), "prepare"):
        image = outcome.item
        if outcome.value is not None:
            journal.add(_key(image), outcome.value)
        yield image, outcome.value, outcome.error.removeprefix(f"{image.path}: ")


def _prepare_one(image: ArchiveImage, out: Path, preparation: Preparation, limits: Limits) -> dict[str, Any]:
    file = prepare_file(image.path, preparation, limits)
    target = out / _file_of(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png16(target, file.prepared.pixels)
    facts = {name: getattr(file.facts, name, None) for name in _ROW_FACTS}
    facts |= asdict(file.prepared.placement)
    notes = [*file.facts.notes, *file.prepared.notes]
    made = {name: "" if facts.get(name) is None else facts[name] for name in _ROW_FACTS}
    return made | {"source_sha256": file.sha256, "notes": notes}


def _key(image: ArchiveImage) -> str:
    """What says that an image is the one that an earlier call prepared."""
    state = image.path.stat()
    return f"{image.source}|{image.image_id}|{image.view}|{state.st_size}|{state.st_mtime_ns}"


def _file_of(image: ArchiveImage) -> str:
    return f"images/{image.view}/{image.image_id}.png"


def _row(image: ArchiveImage, made: Mapping[str, Any], hidden: bool) -> ImageRow:
    facts = {name: str(made[name]) for name in _ROW_FACTS}
    return ImageRow(
        image.image_id,
        image.subject_id,
        image.exam_id,
        image.view.value,
        _file_of(image),
        image.split,
        source="" if hidden else image.source,
        source_sha256=made["source_sha256"],
        **facts,
    )


def _tasks(images: Sequence[ArchiveImage], options: PrepareOptions) -> list[str]:
    found = {task for image in images for task in image.labels} | {options.archive.task}
    return [name for name in TASKS if name in found]


def _divided(
    rows: list[ImageRow], labels: Mapping[str, Sequence[str]], task: Task, options: PrepareOptions
) -> list[ImageRow]:
    """The rows with splits and folds: by subject, stratified by class; splits that the archive states stay."""
    place = {"": -1} | {name: i for i, name in enumerate(task.classes)}
    subjects: dict[str, str] = {}
    free: dict[str, str] = {}
    for row, label in zip(rows, labels[task.name], strict=True):
        subjects[row.subject_id] = max(subjects.get(row.subject_id, ""), label, key=place.__getitem__)
        if not row.split:
            free[row.subject_id] = subjects[row.subject_id]
    dealt = {subject: SPLITS[part] for subject, part in deal(free, options.split, options.seed).items()}
    folds = deal(subjects, [1 / options.folds] * options.folds, options.seed) if options.folds else {}
    divided = []
    for row in rows:
        split = row.split or dealt[row.subject_id]
        fold = str(folds.get(row.subject_id, ""))
        divided.append(replace(row, split=split, fold=fold))
    return divided


def _description(kind: str, options: PrepareOptions, rows: list[ImageRow]) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": kind,
        "task": options.archive.task,
        "preparation": to_mapping(options.preparation),
        "split": list(options.split),
        "folds": options.folds,
        "seed": options.seed,
        "counts": {
            "images": len(rows),
            "subjects": len({row.subject_id for row in rows}),
            "exams": len({(row.subject_id, row.exam_id) for row in rows}),
            "views": dict(sorted(Counter(row.view for row in rows).items())),
            "splits": dict(sorted(Counter(row.split for row in rows).items())),
        },
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
    }


def _say(left_out: list[tuple[str, str]], notes: Counter[str]) -> None:
    if left_out:
        _log.warning("files left out: %d", len(left_out))
        for reason, count in Counter(reason for _, reason in left_out).most_common(8):
            first = next(source for source, own in left_out if own == reason)
            more = f" (and {count - 1} more like it)" if count > 1 else ""
            _log.warning("  %s: %s%s", first, reason, more)
    for note, count in notes.most_common(8):
        _log.info("%d images: %s", count, note)
