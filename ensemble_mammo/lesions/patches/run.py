"""patches: small squares around lesions and elsewhere become a dataset of five classes."""

from __future__ import annotations

import logging
import platform
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.local import spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.lesions.patches.images import FOLDER, Workshop, cut_image
from ensemble_mammo.lesions.patches.options import PatchOptions
from ensemble_mammo.lesions.patches.plan import Job, Plan, planned
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import (
    DESCRIPTION,
    MANIFEST,
    Dataset,
    check_table,
    counts_of,
    read_dataset,
    read_description,
    write_table,
)
from ensemble_mammo.records.patch import PATCH_COLUMNS
from ensemble_mammo.records.task import PATCH_CLASSES

_log = logging.getLogger(__name__)
_JOURNAL = ".patches.jsonl"
_SECONDS = 600.0
"""An image that takes longer is given up."""
_SAFE = re.compile(r"[\w-][\w.+-]*")


def patches(dataset: Dataset, out: Path, options: PatchOptions | None = None) -> Dataset:
    """Cut a patch set from the mammograms of a dataset.

    Args:
        dataset: prepared, with lesions; nothing in it is changed.
        out: the patch set's folder.
        options: how.

    Returns:
        The patch set, itself a dataset with the label `patch`, as `read_dataset(out)` gives it.

    Raises:
        DatasetError: no lesion there can give a patch.
        OutputError: `out` holds a patch set already, or other files.
    """
    options = options or PatchOptions()
    _refuse_target(dataset, out, options)
    plan = planned(dataset, options)
    _refuse_names(dataset, plan)
    _clear(out, options.restart)
    fingerprint = dataset.fingerprint()
    shop = Workshop(dataset.root, out, options, dataset.preparation.outside == "black")
    head = {
        "source": fingerprint,
        "options": to_mapping(replace(options, workers=0, restart=False)),
        "version": ensemble_mammo.__version__,
    }
    journal = Journal(out / _JOURNAL, head)
    rows: list[dict[str, Any]] = []
    short: Counter[str] = Counter()
    left_out = list(plan.left_out)
    with closing(journal):
        for job, made, error in _cut(plan, shop, journal):
            if made is None:
                left_out.append((job.row.image_id, error.removeprefix(f"{dataset.root}/")))
                _log.warning("%s: left out: %s", job.row.image_id, error)
            else:
                rows += made["rows"]
                short.update(made["short"])
    if not rows:
        journal.remove()
        raise DatasetError(f"{dataset.root}: no patch could be cut; first: {left_out[0][0]}: {left_out[0][1]}")
    notes = [*plan.notes, *_notes(rows, options, short, len(left_out) - len(plan.left_out))]
    for note in notes:
        _log.info("%s", note)
    _write(dataset, out, options, rows, {"notes": notes, "left_out": left_out, "source": fingerprint})
    journal.remove()
    return read_dataset(out)


def _cut(plan: Plan, shop: Workshop, journal: Journal) -> Iterator[tuple[Job, dict[str, Any] | None, str]]:
    """Each image with what was cut from it, in the order of the plan; what an interrupted call did is kept."""
    keys = {job.row.image_id: job.key(shop.root) for job in plan.jobs}
    whole: dict[str, dict[str, Any]] = {}
    for image_id, key in keys.items():
        made = journal.made(key)
        if made is not None and all((shop.out / row["file"]).is_file() for row in made["rows"]):
            whole[image_id] = made
    if whole:
        _log.info("%d of %d images are cut already", len(whole), len(plan.jobs))
    todo = [job for job in plan.jobs if job.row.image_id not in whole]
    outcomes = track(spread(partial(cut_image, shop=shop), todo, shop.options.workers, _SECONDS), len(todo), "patches")
    for job in plan.jobs:
        if job.row.image_id in whole:
            yield job, whole[job.row.image_id], ""
            continue
        outcome = next(outcomes)
        if outcome.error.startswith(str(shop.out)):  # the disk is full, or the folder cannot be written
            raise OutputError(outcome.error)
        if outcome.value is not None:
            journal.add(keys[job.row.image_id], outcome.value)
        yield job, outcome.value, outcome.error


def _write(
    dataset: Dataset, out: Path, options: PatchOptions, rows: Sequence[Mapping[str, Any]], said: Mapping[str, Any]
) -> None:
    """Write what makes the folder a dataset, the manifest last."""
    table = pd.DataFrame([[row[name] for name in (*PATCH_COLUMNS, "patch")] for row in rows])
    table.columns = pd.Index([*PATCH_COLUMNS, "patch"])
    check_table(table, str(out / MANIFEST))
    _sweep(out, set(table["file"]))
    source = read_description(dataset.root)
    preparation = replace(dataset.preparation, height=options.image_height_px, width=0)
    description: dict[str, Any] = {
        "format": 1,
        "task": "patch",
        "preparation": to_mapping(preparation),
        "counts": counts_of(table, [row for row in table["lesion_id"].unique() if row]),
        "patches": {
            "set": options.set,
            "size_px": options.patch_px,
            "image_height_px": options.image_height_px,
            "overlap": options.overlap,
            "background_overlap": options.background_overlap,
            "per_lesion": options.per_lesion,
            "hard_negatives": options.hard_negatives,
            "findings": list(options.findings),
            "birads": options.birads,
            "seed": options.seed,
            "source": said["source"],
            "counts": _counts(table),
        },
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        "notes": said["notes"],
        "left_out": [{"image_id": name, "reason": reason} for name, reason in said["left_out"]],
    }
    description |= {name: source[name] for name in ("split", "folds", "seed", "kind", "archive") if name in source}
    write_table(out, table, description)


def _counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """split (`all` where there is none) -> class -> patches."""
    found = {}
    for split, part in table.groupby(table["split"].where(table["split"] != "", "all"), sort=True):
        found[str(split)] = {name: int((part["patch"] == name).sum()) for name in PATCH_CLASSES}
    return found


def _notes(
    rows: Sequence[Mapping[str, Any]], options: PatchOptions, short: Mapping[str, int], failed: int
) -> list[str]:
    notes = []
    asked: dict[str, float] = {}
    for row in rows:
        if row["least_overlap"]:
            asked[row["lesion_id"]] = min(float(row["least_overlap"]), asked.get(row["lesion_id"], 1.0))
    lowered = [least for least in asked.values() if least < options.overlap]
    if lowered:
        notes.append(
            f"the overlap asked for was lowered for {len(lowered)} of {len(asked)} lesions, to {min(lowered):.4g} at "
            "the lowest: 1000 draws had failed"
        )
    if short["background"]:
        notes.append(f"{short['background']} background patches found no place off the lesions")
    if short["hard-negative"]:
        notes.append(f"{short['hard-negative']} hard negatives found no blob and are random background")
    if failed:
        notes.append(f"{failed} images left out: they could not be read")
    return notes


def _refuse_target(dataset: Dataset, out: Path, options: PatchOptions) -> None:
    ours = (out / _JOURNAL).is_file() or _is_patch_set(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder; give another --out")
    if out.resolve().is_relative_to(dataset.root.resolve()) or dataset.root.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{out}: the dataset {dataset.root} and the patch set lie in one another; give another --out")
    if out.is_dir() and not ours and any(not one.name.startswith(".") for one in out.iterdir()):
        raise OutputError(f"{out}: holds files that are no patch set; give a new or an empty folder with --out")
    if ours and (out / MANIFEST).exists() and not options.restart:
        raise OutputError(f"{out}: holds a patch set already; give another --out, or --restart to make it anew")


def _is_patch_set(out: Path) -> bool:
    try:
        return "patches" in read_description(out)
    except DatasetError:
        return False


def _refuse_names(dataset: Dataset, plan: Plan) -> None:
    """Ids become names of files."""
    wrong = [target.lesion_id for job in plan.jobs for target in job.targets if not _SAFE.fullmatch(target.lesion_id)]
    if wrong:
        raise DatasetError(
            f"{dataset.root / 'lesions.csv'}: lesion_id {wrong[0]!r} cannot name a file; letters, digits and - _ . +"
        )


def _clear(out: Path, restart: bool) -> None:
    """Take away what an earlier call made, if it is to be made anew, and files that it left half-written."""
    if (out / _JOURNAL).exists():
        for half in (out / FOLDER).rglob(".*.png"):
            half.unlink()
    if restart:
        for name in (MANIFEST, _JOURNAL, DESCRIPTION):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / FOLDER, ignore_errors=True)


def _sweep(out: Path, kept: set[str]) -> None:
    """Take away patches of an interrupted call with other options."""
    for path in (out / FOLDER).rglob("*.png"):
        if path.relative_to(out).as_posix() not in kept:
            path.unlink()
