"""The two tables of a join: which datasets, and how the classes of each are renamed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import Dataset, read_dataset
from ensemble_mammo.records.preparation import OF_THE_SOURCE
from ensemble_mammo.records.task import TASKS, task_named

_COLLECTION = re.compile(r"[A-Za-z0-9][\w+-]*")


@dataclass(frozen=True)
class Part:
    """One of the datasets that are joined."""

    collection: str
    "its name, which stands before its ids"
    dataset: Dataset
    "the dataset"


@dataclass(frozen=True)
class Renaming:
    """One row of the map: what becomes of a class of one collection."""

    line: int
    "its line in the map"
    collection: str
    "the part"
    task: str
    "the task whose class it is"
    label: str
    "the class"
    to_task: str
    "the task in whose column it is written"
    to_label: str
    "the class there; empty: the image becomes unlabelled"


def read_plan(path: Path) -> tuple[Part, ...]:
    """Read the plan: a CSV with the columns collection and dataset (a folder, relative to the CSV).

    Raises:
        DatasetError: rows that cannot be right, or folders that hold no dataset, all at once with their lines.
    """
    table = read_table(path, ["collection", "dataset"], advice="a plan has the columns collection and dataset")
    parts: list[Part] = []
    problems: list[str] = []
    folders: dict[Path, int] = {}
    for line, (name, text) in enumerate(_cells(table, ("collection", "dataset")), start=2):
        folder = path.parent / text
        try:
            _refuse_name(name, [part.collection for part in parts])
            if not text:
                raise ValueError("dataset is empty")
            if (first := folders.setdefault(folder.resolve(), line)) != line:
                raise ValueError(f"dataset {text!r} stands in line {first} already")
            parts.append(Part(name, read_dataset(folder)))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(path, problems)
    if len(parts) < 2:
        raise DatasetError(f"{path}: names {len(parts)} datasets, expected two or more")
    return tuple(parts)


def _refuse_name(name: str, others: Sequence[str]) -> None:
    if not _COLLECTION.fullmatch(name):
        raise ValueError(f"collection {name!r} cannot stand before ids; give letters, digits, - or _")
    if name in others:
        raise ValueError(f"collection {name!r} stands in an earlier row")
    for other in others:  # `a` with an id `b-1`, and `a-b` with an id `1`, would be one
        if name.startswith(f"{other}-") or other.startswith(f"{name}-"):
            raise ValueError(f"collection {name!r} and {other!r}: ids could clash; neither may begin like the other")


def refuse_cut(plan: Path, parts: Sequence[Part]) -> None:
    """Refuse sets of tiles or patches, whose own columns the joined dataset would not have.

    Raises:
        DatasetError: the text names each of them.
    """
    problems = [f"{part.collection} holds {cut}" for part in parts if (cut := part.dataset.cut()[0])]
    if problems:
        raise DatasetError(
            f"{plan}: {', '.join(problems)}; datasets of mammograms are joined: join those, then cut what comes of it"
        )


def refuse_preparations(plan: Path, parts: Sequence[Part]) -> None:
    """Refuse datasets whose images were prepared differently; how each source is read may differ.

    Raises:
        DatasetError: the text names each field that differs.
    """
    first = parts[0]
    own = to_mapping(first.dataset.preparation)
    problems = []
    for part in parts[1:]:
        theirs = to_mapping(part.dataset.preparation)
        differing = [
            f"{name} {theirs[name]!r}, in {first.collection} {own[name]!r}"
            for name in own
            if own[name] != theirs[name] and name not in OF_THE_SOURCE
        ]
        if differing:
            problems.append(f"{part.collection}: {', '.join(differing)}")
    if problems:
        raise DatasetError(
            f"{plan}: prepared differently ({'; '.join(problems)}); images that one network sees are prepared in one "
            "way: prepare the datasets again with the same options"
        )


def read_map(path: Path, parts: Sequence[Part]) -> tuple[Renaming, ...]:
    """Read the map: a CSV with the columns collection, task, class, to_task and to_class.

    An empty to_task is the same task, an empty to_class makes the image unlabelled in it.

    Raises:
        DatasetError: unknown collections, tasks or classes, or two rows for one class, all at once with their lines.
    """
    columns = ("collection", "task", "class", "to_task", "to_class")
    table = read_table(path, columns, advice=f"a map has the columns {', '.join(columns)}")
    known = {part.collection: part.dataset.task_names() for part in parts}
    rows: list[Renaming] = []
    problems: list[str] = []
    lines: dict[tuple[str, ...], int] = {}
    for line, cells in enumerate(_cells(table, columns), start=2):
        try:
            row = _renaming(line, cells, known)
            key = (row.collection, row.task, row.label, row.to_task)
            if (first := lines.setdefault(key, line)) != line:
                raise ValueError(f"{row.task} {row.label} of {row.collection} stands in line {first} already")
            rows.append(row)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(path, problems)
    return tuple(rows)


def _renaming(line: int, cells: Sequence[str], known: Mapping[str, Collection[str]]) -> Renaming:
    collection, task, label, to_task, to_label = cells
    if collection not in known:
        raise ValueError(f"collection {collection!r} is not one of {', '.join(known)}")
    own = task_named(task)
    if task not in known[collection]:
        have = ", ".join(known[collection]) or "no task"
        raise ValueError(f"{collection} has no labels of {task} (it has those of {have})")
    other = task_named(to_task) if to_task else own
    if other is not own and not to_label:
        raise ValueError(f"to_class is empty, so nothing goes to {to_task}; leave to_task empty to unlabel {task}")
    return Renaming(
        line, collection, task, own.class_of(label), other.name, other.class_of(to_label) if to_label else ""
    )


def renamed(part: Part, renamings: Sequence[Renaming], where: Path | None) -> pd.DataFrame:
    """A part's label columns, renamed all at once: what one row writes, no other row reads.

    Raises:
        DatasetError: a class would be written over another one.
    """
    table = part.dataset.table
    labels = pd.DataFrame({name: table[name] for name in TASKS if name in table.columns}, index=table.index)
    before = labels.copy()
    problems = []
    for row in (row for row in renamings if row.collection == part.collection):
        chosen = before[row.task] == row.label
        if row.to_task == row.task:
            labels.loc[chosen, row.task] = row.to_label
            continue
        if row.to_task not in labels.columns:
            labels[row.to_task] = ""
        there = labels[row.to_task]
        if len(clash := labels.index[chosen & (there != "") & (there != row.to_label)]):
            first = table["image_id"].iloc[clash[0]]
            problems.append(
                f"line {row.line}: image {first!r} of {part.collection} has {row.to_task} {there.iloc[clash[0]]} "
                f"already ({len(clash)} such images); a class is never written over another"
            )
            continue
        labels.loc[chosen, row.to_task] = row.to_label
    if where is not None:
        refuse(where, problems)
    return labels


def _cells(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(table[name].str.strip() for name in columns), strict=True))
