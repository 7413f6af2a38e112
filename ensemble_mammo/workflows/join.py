"""Several datasets joined into one; their images are linked, never decoded again."""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.lesion import LESION_COLUMNS, LESIONS
from ensemble_mammo.records.manifest import (
    COLUMNS,
    MANIFEST,
    Dataset,
    check_table,
    counts_of,
    read_dataset,
    write_table,
)
from ensemble_mammo.records.shards import INDEX, SHARDS, members_among
from ensemble_mammo.records.splits import SPLITS, deal
from ensemble_mammo.records.task import TASKS, highest_labels, task_named
from ensemble_mammo.workflows.beside import linked, made_beside, refuse_target
from ensemble_mammo.workflows.join_map import (
    Part,
    Renaming,
    read_map,
    read_plan,
    refuse_cut,
    refuse_preparations,
    renamed,
)

_log = logging.getLogger(__name__)
_FILES = {"file": "images", "full_file": "full"}
_MASKS = {"mask": "masks", "full_mask": "full-masks"}


@dataclass(frozen=True)
class JoinOptions:
    """How datasets are joined."""

    labels: Path | None = None
    "CSV (collection, task, class, to_task, to_class): how classes are renamed; None: they stay"
    task: str = "density"
    "whose classes stratify where subjects are dealt anew"
    division: Division = field(default_factory=Division)
    "with shares, splits are dealt anew, with folds, folds are; else they stay as in the parts"
    restart: bool = False
    "an existing dataset is made anew"


def join(plan: Path, out: Path, options: JoinOptions | None = None) -> Dataset:
    """Join prepared datasets into one, with a column `collection` that says where each image came from.

    Ids get the collection's name before them. Images and masks are hard links (copies where links cannot be made);
    shards are linked as they are, so that the JSON in them says what it said in the parts.

    Args:
        plan: CSV with the columns collection and dataset.
        out: the new dataset's folder.
        options: how.

    Raises:
        DatasetError: tables that cannot be right, parts that were prepared differently or hold tiles or patches, or a
            task that no part has.
        OutputError: `out` holds a dataset already, or lies inside a part (or a part in it).
    """
    options = options or JoinOptions()
    task_named(options.task)
    parts = read_plan(plan)
    refuse_target(out, [part.dataset.root for part in parts], options.restart)
    refuse_cut(plan, parts)
    refuse_preparations(plan, parts)
    renamings = read_map(options.labels, parts) if options.labels else ()
    sources, table = _joined_images(parts, renamings, options.labels)
    masks, lesions = _joined_lesions(parts)
    table = _divided(plan, table, options)
    check_table(table, str(out / MANIFEST))
    notes = _notes(parts, table)
    for note in notes:
        _log.warning("%s", note)
    with made_beside(out) as made:
        for source, target in (*sources, *masks):
            linked(source, made / target)
        write_folders(Dataset(made, table, parts[0].dataset.preparation))
        if len(lesions):
            write_text(made / LESIONS, lesions.to_csv(index=False, lineterminator="\n"))
        description = _description(plan, parts, renamings, options, table, lesions) | {"notes": notes}
        write_table(made, table, description, parquet=bool(members_among(table["file"]).any()))
    return read_dataset(out)


def _joined_images(
    parts: Sequence[Part], renamings: Sequence[Renaming], where: Path | None
) -> tuple[list[tuple[Path, str]], pd.DataFrame]:
    """(source file, its place in the new dataset), and the manifest."""
    tables: list[pd.DataFrame] = []
    links: list[tuple[Path, str]] = []
    for part in parts:
        old = part.dataset.table
        new = old[list(COLUMNS)].copy()
        for name in ("image_id", "subject_id"):
            new[name] = f"{part.collection}-" + old[name]
        inner = old["collection"].where(old["collection"] == "", "-" + old["collection"])
        new["collection"] = part.collection + inner
        for column, folder in _FILES.items():
            new[column] = _places(part, old[column], folder, new["view"], new["image_id"])
            links += _pairs(part, old[column], new[column])
        tables.append(pd.concat([new, renamed(part, renamings, where)], axis=1))
    table = pd.concat(tables, ignore_index=True).fillna("")
    return links, table[[*COLUMNS, *(name for name in TASKS if name in table.columns)]]


def _joined_lesions(parts: Sequence[Part]) -> tuple[list[tuple[Path, str]], pd.DataFrame]:
    tables: list[pd.DataFrame] = []
    links: list[tuple[Path, str]] = []
    for part in parts:
        old = part.dataset.lesions().reset_index(drop=True)
        new = old[list(LESION_COLUMNS)].copy()
        for name in ("lesion_id", "image_id", "subject_id"):
            new[name] = (f"{part.collection}-" + old[name]).where(old[name] != "", "")
        for column, folder in _MASKS.items():
            new[column] = _places(part, old[column], folder, new["view"], new["lesion_id"])
            links += _pairs(part, old[column], new[column])
        tables.append(new)
    return links, pd.concat(tables, ignore_index=True)


def _places(part: Part, files: pd.Series, folder: str, views: pd.Series, ids: pd.Series) -> pd.Series:
    """Where files of a part come to lie; a shard is taken as it is, under the collection's name."""
    loose = (f"{folder}/" + views + "/" + ids + ".png").where(files != "", "")
    return loose.where(~members_among(files), f"{SHARDS}/{part.collection}-" + files.str.removeprefix(f"{SHARDS}/"))


def _pairs(part: Part, old: pd.Series, new: pd.Series) -> Iterator[tuple[Path, str]]:
    """(file, its place in the new dataset), each file once."""
    root, packed = part.dataset.root, members_among(old)
    for source, target in zip(old[~packed], new[~packed], strict=True):
        if source:
            yield root / source, target
    shards = pd.DataFrame({"old": old[packed], "new": new[packed]}).map(lambda name: name.rpartition("/")[0])
    for source, target in shards.drop_duplicates().itertuples(index=False):
        for ending in ("", INDEX) if (root / f"{source}{INDEX}").is_file() else ("",):
            yield root / f"{source}{ending}", f"{target}{ending}"


def _divided(plan: Path, table: pd.DataFrame, options: JoinOptions) -> pd.DataFrame:
    """Splits and folds dealt anew where asked for: each has its share of every class of every collection."""
    division = options.division
    if division.shares is None and not division.folds:
        return table
    task = task_named(options.task)
    if task.name not in table.columns:
        have = ", ".join(name for name in TASKS if name in table.columns) or "no task"
        raise DatasetError(f"{plan}: none of its datasets has labels of {task.name} (found {have}); give --task")
    place = {"": -1} | {name: i for i, name in enumerate(task.classes)}
    collections = table.groupby("subject_id")["collection"].first()
    highest = highest_labels(zip(table["subject_id"], table[task.name], strict=True), task)
    strata = {subject: f"{place[label]:03d} {collections[subject]}" for subject, label in highest.items()}
    table = table.copy()
    if division.shares is not None:
        parts = deal(strata, division.shares, division.seed)
        table["split"] = table["subject_id"].map({subject: SPLITS[part] for subject, part in parts.items()})
    if division.folds:
        folds = deal(strata, [1 / division.folds] * division.folds, division.seed)
        table["fold"] = table["subject_id"].map({subject: str(fold) for subject, fold in folds.items()})
    return table


def _notes(parts: Sequence[Part], table: pd.DataFrame) -> list[str]:
    notes = []
    known = table[table["source_sha256"] != ""]
    shared = known.groupby("source_sha256").agg({"collection": "nunique", "split": "nunique", "image_id": list})
    shared = shared[shared["collection"] > 1]
    if len(shared):
        torn = int((shared["split"] > 1).sum())
        first = " and ".join(shared["image_id"].iloc[0])
        notes.append(
            f"{len(shared)} source files stand in several collections, such as {first}, as different subjects; "
            f"{torn} of them in different splits: leave one of them out"
        )
    own = to_mapping(parts[0].dataset.preparation)
    others = [(part.collection, to_mapping(part.dataset.preparation)) for part in parts[1:]]
    read = [f"{name}: {key} {it[key]!r}" for name, it in others for key in own if it[key] != own[key]]
    if read:
        notes.append(
            f"read otherwise than {parts[0].collection}, whose preparation stands for the whole: {', '.join(read)}"
        )
    folds = {part.collection: part.dataset.table["fold"].replace("", pd.NA).nunique() for part in parts}
    if len(set(folds.values())) > 1 and table["fold"].eq("").any():
        notes.append(f"folds differ: {', '.join(f'{name} has {count}' for name, count in folds.items())}; give --folds")
    full = {part.collection: bool((part.dataset.table["full_file"] != "").all()) for part in parts}
    if len(set(full.values())) > 1:
        notes.append(f"only {', '.join(name for name, has in full.items() if has)} has images at full size")
    return notes


def _description(
    plan: Path,
    parts: Sequence[Part],
    renamings: Sequence[Renaming],
    options: JoinOptions,
    table: pd.DataFrame,
    lesions: pd.DataFrame,
) -> dict[str, Any]:
    division = options.division
    return {
        "format": 1,
        "kind": "join",
        "archive": str(plan.resolve()),
        "task": options.task,
        "preparation": to_mapping(parts[0].dataset.preparation),
        "parts": [
            {
                "collection": part.collection,
                "dataset": str(part.dataset.root.resolve()),
                "fingerprint": part.dataset.fingerprint(),
                "images": len(part.dataset.table),
            }
            for part in parts
        ],
        "labels": [asdict(row) for row in renamings],
        "split": list(division.shares) if division.shares else "as in the parts",
        "folds": division.folds or "as in the parts",
        "seed": division.seed,
        "counts": counts_of(table, lesions["mask"].tolist())
        | {"collections": dict(sorted(Counter(table["collection"]).items()))},
        "left_out": [],
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
    }
