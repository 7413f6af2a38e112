"""prepare: an archive becomes a dataset of 16-bit images with a manifest."""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

import ensemble_mammo
from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.fixes import with_fixes
from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.local import spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.prepared_files import ROW_FACTS, Workplace, file_of, prepare_image
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.division import Division, divided
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import beside, write_text
from ensemble_mammo.records.lesion import LESIONS, LesionRow, write_lesions
from ensemble_mammo.records.manifest import (
    DESCRIPTION,
    MANIFEST,
    Dataset,
    ImageRow,
    counts_of,
    manifest_table,
    read_dataset,
    write_table,
)
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.task import TASKS, task_named

_log = logging.getLogger(__name__)
_JOURNAL = ".prepare.jsonl"
_SOURCES = ".sources.csv"


@dataclass(frozen=True)
class PrepareOptions:
    """How an archive is read, prepared and divided."""

    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    "what files do not say of themselves"
    preparation: Preparation | None = None
    "what is done to the pixels; None: the kind's own default"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    division: Division = field(default_factory=Division)
    "how subjects are divided into splits and folds"
    full_size: bool = False
    "also write each mammogram, and the masks of its lesions, at the source's own size (for patches)"
    workers: int = 0
    "processes; 0: one a core"
    strict: bool = False
    "a file that cannot be read ends the work"
    restart: bool = False
    "an existing dataset is made anew"


def prepare(kind: str, path: Path, out: Path, options: PrepareOptions | None = None) -> Dataset:
    """Turn an archive into a dataset folder.

    Args:
        kind: one of `archives.KINDS`, such as `folders`, `dicom` or `cbis-ddsm`.
        path: the archive's folder (or its manifest); nothing in it is changed.
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
        near = get_close_matches(kind, [*KINDS, "join"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DatasetError(f"archive kind {kind!r} is not one of {', '.join(KINDS)}, join{hint}")
    preparation = options.preparation or KINDS[kind].preparation
    options = replace(options, preparation=preparation)
    place = Workplace(out, preparation, options.limits, options.full_size)
    _refuse_target(path, out, options)
    listing = _listed(kind, path, out, options)
    _clear(out, options.restart)
    head = {
        "preparation": to_mapping(preparation),
        "full_size": options.full_size,
        "version": ensemble_mammo.__version__,
    }
    journal = Journal(out / _JOURNAL, head)
    made_of: dict[str, dict[str, Any]] = {}
    left_out = list(listing.left_out)
    with closing(journal):
        for image, made, error in _prepared(listing, place, options.workers, journal):
            if made is not None:
                made_of[image.image_id] = made
                continue
            left_out.append((image.source, error))
            if options.strict:
                _refuse_unreadable(image.path, error)
    if not made_of:
        journal.remove()
        raise DatasetError(f"{path}: no file could be prepared; first: {left_out[0][0]}: {left_out[0][1]}")
    archive = "" if listing.hidden else str(path.resolve())
    _write(out, replace(listing, left_out=tuple(left_out)), made_of, options, {"kind": kind, "archive": archive})
    journal.remove()
    return read_dataset(out)


def _listed(kind: str, path: Path, out: Path, options: PrepareOptions) -> Listing:
    """What the archive lists, with the fixes of an audit, and nothing in it that forbids to go on."""
    key = options.archive.key or beside(out, ".key")
    listing = KINDS[kind].listing(path, replace(options.archive, key=key))
    if options.archive.fixes:
        listing = with_fixes(listing, options.archive.fixes)
    for note in listing.notes:
        _log.info("%s", note)
    _refuse_images(out, listing.images, options)
    if options.strict and listing.unreadable:
        _refuse_unreadable(path / listing.unreadable[0][0], listing.unreadable[0][1])
    return listing


def _write(
    out: Path, listing: Listing, made_of: Mapping[str, dict[str, Any]], options: PrepareOptions, origin: dict[str, str]
) -> None:
    """Divide the subjects and write what makes the folder a dataset, the manifest last."""
    assert options.preparation is not None
    kept = [image for image in listing.images if image.image_id in made_of]
    rows = [_row(image, made_of[image.image_id], listing.hidden, options.full_size) for image in kept]
    labels = {task: [image.labels.get(task, "") for image in kept] for task in _tasks(kept, options)}
    task = task_named(options.archive.task)
    rows = divided(rows, labels[task.name], task, options.division, listing.validation_share)
    lesions = [LesionRow(**row) for image in kept for row in made_of[image.image_id]["lesions"]]
    notes = Counter(note for image in kept for note in made_of[image.image_id]["notes"])
    _say(listing.left_out, notes, lesions)
    table = manifest_table(rows, labels, str(out / MANIFEST))
    description = _description(options, table, lesions) | {
        **{name: text for name, text in origin.items() if text},
        "notes": list(listing.notes),
        "image_notes": dict(notes.most_common()),
    }
    if listing.hidden:
        _write_sources(beside(out, _SOURCES), kept, listing.left_out)
        reasons = Counter(reason for _, reason in listing.left_out).most_common()
        description["left_out"] = [{"reason": reason, "count": count} for reason, count in reasons]
    else:
        description["left_out"] = [{"source": source, "reason": reason} for source, reason in listing.left_out]
    write_folders(Dataset(out, table, options.preparation))
    if lesions:
        write_lesions(out, lesions)
    write_table(out, table, description)


def _write_sources(path: Path, kept: Sequence[ArchiveImage], left_out: Sequence[tuple[str, str]]) -> None:
    rows = [(image.image_id, image.source, "") for image in kept] + [("", *one) for one in left_out]
    table = pd.DataFrame(rows, columns=["image_id", "source", "reason"])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    path.chmod(0o600)


def _refuse_target(path: Path, out: Path, options: PrepareOptions) -> None:
    ours = (out / DESCRIPTION).is_file() or (out / _JOURNAL).is_file()
    if (out / MANIFEST).exists() and ours and not options.restart:
        raise OutputError(f"{out}: holds a dataset already; give another --out, or --restart to make it anew")
    if out.resolve().is_relative_to(path.resolve()):
        raise OutputError(f"{out}: lies inside the archive {path}; an archive is never changed, give another --out")
    if path.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{out}: the archive {path} lies inside it; give another --out")
    if out.is_dir() and not ours and any(not one.name.startswith(".") for one in out.iterdir()):
        raise OutputError(
            f"{out}: holds files that are no dataset of prepare's; give a new or an empty folder with --out"
        )
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder; give another --out")
    key = options.archive.key
    if key is not None and key.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{key}: the key of the pseudonyms never lies inside the dataset; name a file beside it")


def _refuse_images(out: Path, images: Sequence[ArchiveImage], options: PrepareOptions) -> None:
    """Refuse subjects in two splits, and images of the dataset that is to be made anew (tables name any file)."""
    if not (options.archive.as_released or options.division.shares):
        _refuse_torn(images)
    whole = out.resolve()
    inside = [image for image in images if image.path.resolve().is_relative_to(whole)] if options.restart else []
    if inside:
        raise OutputError(
            f"{out}: holds {len(inside)} images of the archive, such as {inside[0].source}; give another --out"
        )


def _clear(out: Path, restart: bool) -> None:
    """Take away what an earlier call made, if it is to be made anew, and files that it left half-written."""
    if (out / _JOURNAL).exists():
        for name in ("images", "masks", "full", "full-masks"):
            for half in (out / name).rglob(".*.png"):
                half.unlink()
        shutil.rmtree(out / "folders", ignore_errors=True)
    if restart and ((out / MANIFEST).exists() or (out / _JOURNAL).exists()):
        (out / MANIFEST).unlink(missing_ok=True)
        (out / _JOURNAL).unlink(missing_ok=True)
        beside(out, _SOURCES).unlink(missing_ok=True)
        (out / LESIONS).unlink(missing_ok=True)
        for name in ("images", "folders", "masks", "full", "full-masks"):
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
            "one subject belongs to one split; --as-released takes them so (a leak, which audit names and train "
            "refuses), --split deals all anew"
        )


def _refuse_unreadable(path: Path, reason: str) -> NoReturn:
    raise DatasetError(f"{path}: {reason} (--strict; without it the file is left out)")


def _prepared(
    listing: Listing, place: Workplace, workers: int, journal: Journal
) -> Iterator[tuple[ArchiveImage, dict[str, Any] | None, str]]:
    """Each image with what was made of it, those of an interrupted call first without doing them again."""
    todo = []
    for image in listing.images:
        made = journal.made(_key(image))
        if made is None or not (place.out / file_of(image)).is_file():
            todo.append(image)
        else:
            yield image, made, ""
    if len(todo) < len(listing.images):
        _log.info("%d of %d images are prepared already", len(listing.images) - len(todo), len(listing.images))
    outcomes = spread(partial(prepare_image, place=place), todo, workers, place.limits.seconds)
    for outcome in track(outcomes, len(todo), "prepare"):
        image = outcome.item
        if outcome.value is not None:
            journal.add(_key(image), outcome.value)
        yield image, outcome.value, outcome.error.removeprefix(f"{image.path}: ")


def _key(image: ArchiveImage) -> str:
    """What says that an image is the one that an earlier call prepared."""
    state = image.path.stat()
    drawn = hashlib.sha256(repr((image.lesions, image.facts)).encode()).hexdigest()[:16] if image.lesions else ""
    turned = "|turned" if image.turned else ""
    return f"{image.source}|{image.image_id}|{image.view}|{state.st_size}|{state.st_mtime_ns}|{drawn}{turned}"


def _row(image: ArchiveImage, made: Mapping[str, Any], hidden: bool, full_size: bool) -> ImageRow:
    facts = {name: str(made[name]) for name in ROW_FACTS} | dict(image.facts)
    return ImageRow(
        image.image_id,
        image.subject_id,
        image.exam_id,
        image.view.value,
        file_of(image),
        image.split,
        source="" if hidden else image.source,
        source_sha256=made["source_sha256"],
        full_file=file_of(image, "full") if full_size else "",
        **facts,
    )


def _tasks(images: Sequence[ArchiveImage], options: PrepareOptions) -> list[str]:
    found = {task for image in images for task in image.labels} | {options.archive.task}
    return [name for name in TASKS if name in found]


def _description(options: PrepareOptions, table: pd.DataFrame, lesions: Sequence[LesionRow]) -> dict[str, Any]:
    division = options.division
    return {
        "format": 1,
        "task": options.archive.task,
        "preparation": to_mapping(options.preparation),
        "split": list(division.shares) if division.shares else "as the archive states, else 80:10:10",
        "folds": division.folds,
        "seed": division.seed,
        "counts": counts_of(table, [row.mask for row in lesions]),
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
    }


def _say(left_out: Sequence[tuple[str, str]], notes: Counter[str], lesions: Sequence[LesionRow]) -> None:
    if left_out:
        _log.warning("files left out: %d", len(left_out))
        for reason, count in Counter(reason for _, reason in left_out).most_common(8):
            first = next(source for source, own in left_out if own == reason)
            more = f" (and {count - 1} more like it)" if count > 1 else ""
            _log.warning("  %s: %s%s", first, reason, more)
    for note, count in notes.most_common(8):
        _log.info("%d images: %s", count, note)
    bare = [row for row in lesions if not row.mask]
    if bare:
        _log.warning("lesions without a mask: %d of %d", len(bare), len(lesions))
        for note, count in Counter(row.note for row in bare).most_common(8):
            first = next(row.lesion_id for row in bare if row.note == note)
            _log.warning("  %s: %s%s", first, note, f" (and {count - 1} more like it)" if count > 1 else "")
