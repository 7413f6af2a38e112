"""What makes the folder of tiles a dataset: manifest.csv and dataset.json."""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.execution.cut_set import CutSet
from ensemble_mammo.lesions.tiles.options import TileOptions
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.manifest import MANIFEST, Dataset, check_table, counts_of, read_description, write_table
from ensemble_mammo.records.task import TILES
from ensemble_mammo.records.tile import TILE_COLUMNS, TILE_LABELS

_log = logging.getLogger(__name__)


def source_notes(dataset: Dataset, normals: Dataset | None) -> list[str]:
    """What is to be said of normal tiles that come from another dataset."""
    if normals is None:
        return []
    own, theirs = to_mapping(dataset.preparation), to_mapping(normals.preparation)
    names = [name for name in own if name not in ("height", "width") and own[name] != theirs[name]]
    differing = [f"{name} {own[name]!r} and {theirs[name]!r}" for name in names]
    said = f", prepared otherwise ({'; '.join(differing)})" if differing else ""
    return [
        f"normal tiles come from another dataset{said}: what tells the two sources apart tells normal from abnormal too"
    ]


def write_set(
    dataset: Dataset,
    folder: CutSet,
    made: tuple[TileOptions, int],
    rows: Sequence[Mapping[str, Any]],
    said: Mapping[str, Any],
) -> None:
    """Write what makes the folder a dataset, the manifest last."""
    (options, size), names = made, [*TILE_COLUMNS, *TILE_LABELS]
    table = pd.DataFrame([[row[name] for name in names] for row in rows])
    table.columns = pd.Index(names)
    check_table(table, str(folder.root / MANIFEST))
    folder.sweep(set(table["file"]))
    notes = list(said["notes"])
    if leaks := leaks_of(table):
        notes.append(f"leaks between the splits: {leaks[0]}, …; train refuses them without --allow-leakage")
    for note in notes:
        _log.info("%s", note)
    source = read_description(dataset.root)
    description: dict[str, Any] = {
        "format": 1,
        "task": "abnormality",
        "preparation": to_mapping(replace(dataset.preparation, height=size, width=size)),
        "counts": counts_of(table, [row for row in table["lesion_id"].unique() if row]),
        TILES: options.decisive()
        | {
            "size_px": size,
            "bounds": None if said["bounds"] is None else to_mapping(said["bounds"]),
            "source": said["source"],
            "normals": said["normals"],
            "counts": _counts(table),
        },
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        "notes": notes,
        "left_out": [{"image_id": name, "reason": reason} for name, reason in said["left_out"]],
    }
    description |= {name: source[name] for name in ("folds", "seed", "kind", "archive") if name in source}
    description["split"] = options.split if options.split != "dataset" else source.get("split", "")
    write_table(folder.root, table, description)


def _counts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """split (`all` where there is none) -> tiles of each class, and lesion tiles of each method."""
    found = {}
    for split, part in table.groupby(table["split"].where(table["split"] != "", "all"), sort=True):
        methods = Counter(part.loc[part["kind"] == "lesion", "method"])
        five = Counter(part["abnormality5"])
        found[str(split)] = {
            "normal": int((part["abnormality"] == "normal").sum()),
            "abnormal": int((part["abnormality"] == "abnormal").sum()),
            "abnormality5": {name or "unknown": five[name] for name in sorted(five)},
            "methods": dict(sorted(methods.items())),
        }
    return found
