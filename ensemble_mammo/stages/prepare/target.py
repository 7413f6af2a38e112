"""Where a dataset may be written, and what an earlier call left there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.records.archive import ArchiveImage
from ensemble_mammo.records.files import beside
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import DESCRIPTION, MANIFEST, MANIFEST_PARQUET, manifest_of
from ensemble_mammo.records.shards import SHARDS
from ensemble_mammo.stages.prepare.options import PrepareOptions
from ensemble_mammo.stages.prepare.packing import LOOSE

JOURNAL = ".prepare.jsonl"
"""Remembers what is done while a dataset is being made."""
SOURCES = ".sources.csv"
"""Ending of the table, beside a dataset, that names the source of each image."""


def refuse_target(path: Path, out: Path, options: PrepareOptions) -> None:
    """Refuse a folder that holds something else, or a dataset that is not to be made anew, or lies in the archive.

    Raises:
        OutputError: what is wrong with it.
    """
    ours = (out / DESCRIPTION).is_file() or (out / JOURNAL).is_file()
    if manifest_of(out) is not None and ours and not options.restart:
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


def refuse_images(out: Path, images: Sequence[ArchiveImage], options: PrepareOptions) -> None:
    """Refuse subjects in two splits, and images of the dataset that is to be made anew (tables name any file)."""
    if not (options.archive.as_released or options.division.shares):
        _refuse_torn(images)
    whole = out.resolve()
    inside = [image for image in images if image.path.resolve().is_relative_to(whole)] if options.restart else []
    if inside:
        raise OutputError(
            f"{out}: holds {len(inside)} images of the archive, such as {inside[0].source}; give another --out"
        )


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


def take_away_halves(out: Path) -> None:
    """Take away files that a process which died left half-written."""
    for name in LOOSE:
        for half in (out / name).rglob(".*.png"):
            half.unlink(missing_ok=True)


def clear(out: Path, restart: bool, shards: bool) -> None:
    """Take away what an earlier call made, if it is to be made anew, and files that it left half-written.

    Args:
        out: the dataset's folder.
        restart: what is there is made anew.
        shards: images are packed; shards that an earlier call made may be gone on with.
    """
    if (out / JOURNAL).exists():
        take_away_halves(out)
        shutil.rmtree(out / "folders", ignore_errors=True)
        if not shards:
            shutil.rmtree(out / SHARDS, ignore_errors=True)
    if restart and (manifest_of(out) is not None or (out / JOURNAL).exists()):
        for name in (MANIFEST, MANIFEST_PARQUET):
            (out / name).unlink(missing_ok=True)
        (out / JOURNAL).unlink(missing_ok=True)
        beside(out, SOURCES).unlink(missing_ok=True)
        (out / LESIONS).unlink(missing_ok=True)
        for name in (*LOOSE, "folders", SHARDS):
            shutil.rmtree(out / name, ignore_errors=True)
