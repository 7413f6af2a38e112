"""patches: small squares around lesions and elsewhere become a dataset of five classes."""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.cut_set import CutSet, gone_on_with, refuse_names
from ensemble_mammo.execution.engine import running, spread
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.local import Outcome
from ensemble_mammo.execution.progress import track
from ensemble_mammo.lesions.patches.images import Workshop, cut_image
from ensemble_mammo.lesions.patches.options import PatchOptions
from ensemble_mammo.lesions.patches.plan import Job, Plan, planned
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import (
    MANIFEST,
    Dataset,
    check_table,
    counts_of,
    read_dataset,
    read_description,
    write_table,
)
from ensemble_mammo.records.patch import PATCH_COLUMNS
from ensemble_mammo.records.task import PATCH_CLASSES, PATCHES

_log = logging.getLogger(__name__)
_SECONDS = 600.0
"""An image that takes longer is given up."""


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
    folder = CutSet(out, PATCHES, "patch set")
    folder.refuse(dataset.root, options.restart)
    with running(options.engine, options.workers):
        return _made(dataset, folder, options)


def _made(dataset: Dataset, folder: CutSet, options: PatchOptions) -> Dataset:
    plan = planned(dataset, options)
    refuse_names(dataset.root / LESIONS, "lesion_id", [one.lesion_id for job in plan.jobs for one in job.targets])
    folder.clear(options.restart)
    fingerprint = dataset.fingerprint()
    shop = Workshop(dataset.root, folder.root, options, dataset.preparation.outside == "black")
    head = {
        "source": fingerprint,
        "options": options.decisive(),
        "version": ensemble_mammo.__version__,
    }
    journal = Journal(folder.journal, head)
    rows: list[dict[str, Any]] = []
    short: Counter[str] = Counter()
    left_out = list(plan.left_out)
    with closing(journal):
        for job, made, error in _cut(plan, shop, journal, folder):
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
    _write(dataset, folder, options, rows, {"notes": notes, "left_out": left_out, "source": fingerprint})
    journal.remove()
    return read_dataset(folder.root)


def _cut(
    plan: Plan, shop: Workshop, journal: Journal, folder: CutSet
) -> Iterator[tuple[Job, dict[str, Any] | None, str]]:
    """Each image with what was cut from it, in the order of the plan; what an interrupted call did is kept."""
    keyed = [(job.key(shop.root), job) for job in plan.jobs]

    def start(todo: Sequence[Job]) -> Iterator[Outcome[Job, dict[str, Any]]]:
        outcomes = spread(partial(cut_image, shop=shop), todo, shop.options.workers, _SECONDS, shop.options.engine)
        return track(outcomes, len(todo), "patches")

    return gone_on_with(keyed, start, journal, folder)


def _write(
    dataset: Dataset, folder: CutSet, options: PatchOptions, rows: Sequence[Mapping[str, Any]], said: Mapping[str, Any]
) -> None:
    """Write what makes the folder a dataset, the manifest last."""
    table = pd.DataFrame([[row[name] for name in (*PATCH_COLUMNS, "patch")] for row in rows])
    table.columns = pd.Index([*PATCH_COLUMNS, "patch"])
    check_table(table, str(folder.root / MANIFEST))
    folder.sweep(set(table["file"]))
    source = read_description(dataset.root)
    preparation = replace(dataset.preparation, height=options.image_height_px, width=0)
    description: dict[str, Any] = {
        "format": 1,
        "task": "patch",
        "preparation": to_mapping(preparation),
        "counts": counts_of(table, [row for row in table["lesion_id"].unique() if row]),
        PATCHES: {
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
    write_table(folder.root, table, description)


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
