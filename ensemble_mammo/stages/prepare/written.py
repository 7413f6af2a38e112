"""What makes a folder of prepared images a dataset: its rows, what dataset.json says, the manifest last."""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.imaging.prepared_files import ROW_FACTS, file_of
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.division import divided
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import beside, write_text
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import MANIFEST, Dataset, ImageRow, counts_of, manifest_table, write_table
from ensemble_mammo.records.task import TASKS, task_named
from ensemble_mammo.stages.prepare.options import PrepareOptions
from ensemble_mammo.stages.prepare.packing import Packing
from ensemble_mammo.stages.prepare.target import SOURCES

_log = logging.getLogger(__name__)


def write(
    out: Path,
    listing: Listing,
    made_of: Mapping[str, dict[str, Any]],
    options: PrepareOptions,
    origin: Mapping[str, str],
    packing: Packing | None,
) -> None:
    """Divide the subjects and write what makes the folder a dataset, the manifest last.

    Args:
        out: the dataset's folder; images and masks are there.
        listing: the archive's, with all that was left out.
        made_of: image_id -> what was made of it.
        options: of the call.
        origin: kind and place of the archive; empty texts stay out.
        packing: of the images into shards; None: each is a file.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    kept = [image for image in listing.images if image.image_id in made_of]
    rows = [row_of(image, made_of[image.image_id], listing.hidden, options.full_size) for image in kept]
    labels = {task: [image.labels.get(task, "") for image in kept] for task in _tasks(kept, options)}
    task = task_named(options.archive.task)
    rows = divided(rows, labels[task.name], task, options.division, listing.validation_share)
    drawn = {image.image_id: lesions_of(made_of[image.image_id]) for image in kept}
    lesions = [lesion for own in drawn.values() for lesion in own]
    notes = Counter(note for image in kept for note in made_of[image.image_id]["notes"])
    _say(listing.left_out, notes, lesions)
    packed: dict[str, Any] = {}
    if packing is not None:
        rows, lesions = packing.finish(rows, [image.labels for image in kept], drawn)
        packed = {"shards": {"count": len(packing.shards), "size": packing.limit}}
    table = manifest_table(rows, labels, str(out / MANIFEST))
    description = (
        _description(options, table, lesions)
        | packed
        | {
            **{name: text for name, text in origin.items() if text},
            "notes": list(listing.notes),
            "image_notes": dict(notes.most_common()),
            "left_out": _left_out(listing),
        }
    )
    if listing.hidden:
        _write_sources(beside(out, SOURCES), kept, listing.left_out)
    assert options.preparation is not None
    write_folders(Dataset(out, table, options.preparation))
    if lesions:
        write_lesions(out, lesions)
    write_table(out, table, description, parquet=packing is not None)


def lesions_of(made: Mapping[str, Any]) -> list[LesionRow]:
    """The lesions of an image, of what was made of it."""
    return [LesionRow(**row) for row in made["lesions"]]


def _left_out(listing: Listing) -> list[dict[str, Any]]:
    """The files left out and why; where ids are hidden, the reasons alone."""
    if not listing.hidden:
        return [{"source": source, "reason": reason} for source, reason in listing.left_out]
    reasons = Counter(reason for _, reason in listing.left_out).most_common()
    return [{"reason": reason, "count": count} for reason, count in reasons]


def row_of(image: ArchiveImage, made: Mapping[str, Any], hidden: bool, full_size: bool) -> ImageRow:
    """The row of an image, naming loose files; its split as the archive states it."""
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


def _write_sources(path: Path, kept: Sequence[ArchiveImage], left_out: Sequence[tuple[str, str]]) -> None:
    rows = [(image.image_id, image.source, "") for image in kept] + [("", *one) for one in left_out]
    table = pd.DataFrame(rows, columns=["image_id", "source", "reason"])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    path.chmod(0o600)


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
