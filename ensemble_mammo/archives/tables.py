"""CSV tables that come beside an archive: labels, and views of files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.naming import StatedView, facts_of_cells
from ensemble_mammo.records.tables import read_text_table
from ensemble_mammo.records.task import Task

Value = TypeVar("Value")
_PROBLEMS_SHOWN = 10


def read_table(path: Path, columns: Sequence[str], separator: str = ",", advice: str = "") -> pd.DataFrame:
    """Read a CSV as text, its column names stripped of spaces.

    Raises:
        DatasetError: no such file, not a table, or columns missing; the text ends with the advice then.
    """
    table = read_text_table(path, separator)
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        found = f"column {', '.join(missing)} missing; found {', '.join(table.columns)}"
        if len(table.columns) == 1 and separator == "," and ";" in table.columns[0]:
            found += "; columns stand apart by semicolons, expected commas"
        raise DatasetError(f"{path} line 1: " + "; ".join(filter(None, (found, advice))))
    return table


def refuse_task(root: Path, release: str, tasks: Sequence[str], wanted: str) -> None:
    """Raise a DatasetError if a release has no labels of the task that is wanted."""
    if wanted not in tasks:
        raise DatasetError(f"{root}: {release} has labels of {', '.join(tasks)}, none of {wanted}; give another --task")


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise one DatasetError that holds all problems of a file, if there are any."""
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise DatasetError(f"{path} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)


@dataclass(frozen=True)
class FileKeyed(Generic[Value]):
    """Values of a table by file: its relative path, its name, or its name without ending."""

    table: Path
    "the table, for error texts"
    values: dict[str, Value]
    "by what the table calls a file"

    def of(self, sources: Collection[str]) -> dict[str, Value]:
        """The values of those files, given relative to the archive, that the table knows.

        Raises:
            DatasetError: a name in the table that several of the files have.
        """
        found: dict[str, Value] = {}
        owners: dict[str, str] = {}
        paths = set(sources)
        for source in sources:
            short = [name for name in (Path(source).name, Path(source).stem) if name not in paths]
            key = next((key for key in (source, *short) if key in self.values), None)
            if key is None:
                continue
            if (first := owners.setdefault(key, source)) != source:
                raise DatasetError(
                    f"{self.table}: {key!r} may be {first} or {source}; give paths relative to the archive"
                )
            found[source] = self.values[key]
        return found


def read_views(path: Path) -> FileKeyed[StatedView]:
    """Read a CSV of views: columns `file` (or `image_id`) and `view`, and `laterality` where there is one.

    Raises:
        DatasetError: columns missing, a view that is none, or two views for one file, with their lines.
    """
    table = read_table(path, ["view"], advice="a views table has the columns file (or image_id) and view")
    name = next((column for column in ("file", "image_id") if column in table.columns), None)
    if name is None:
        raise DatasetError(f"{path} line 1: no column file or image_id; found {', '.join(table.columns)}")
    sides = table["laterality"] if "laterality" in table.columns else pd.Series([""] * len(table))
    values: dict[str, StatedView] = {}
    problems = []
    stated = cache(facts_of_cells)
    for line, (file, view, side) in enumerate(zip(table[name].str.strip(), table["view"], sides, strict=True), start=2):
        try:
            found = stated(view, side)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if values.setdefault(file, found) != found:
            problems.append(f"line {line}: file {file!r} stands in an earlier row with another view")
    refuse(path, problems)
    return FileKeyed(path, values)


def read_labels(
    path: Path, task: Task, label_column: str, keys: Sequence[str]
) -> tuple[dict[tuple[str, ...], str], pd.DataFrame]:
    """Read the labels of a task, keyed by the values of some columns.

    Args:
        path: the CSV.
        task: whose classes the labels are; empty cells are unknown.
        label_column: where the labels stand.
        keys: the columns of the key, such as patient_id alone, or patient_id and study_uid.

    Raises:
        DatasetError: unknown labels, or two labels for one key, with their lines.
    """
    advice = "name the columns with --label-column, --subject-column, --file-column, --exam-column"
    table = read_table(path, [*keys, label_column], advice=advice)
    for name in keys:
        table[name] = table[name].str.strip()
    labels: dict[tuple[str, ...], str] = {}
    lines: dict[tuple[str, ...], int] = {}
    problems = []
    parsed = _parsed(task.class_of)
    for line, (key, text) in enumerate(
        zip(table[list(keys)].itertuples(index=False, name=None), table[label_column], strict=True), start=2
    ):
        label, problem = parsed(text.strip())
        if problem:
            problems.append(f"line {line}: {problem}")
        elif label and labels.setdefault(key, label) != label:
            problems.append(f"line {line}: label {label}, but {labels[key]} for the same in line {lines[key]}")
        elif label:
            lines.setdefault(key, line)
    refuse(path, problems)
    return labels, table


def _parsed(class_of: Callable[[str], str]) -> Callable[[str], tuple[str, str]]:
    known: dict[str, tuple[str, str]] = {"": ("", "")}

    def parse(text: str) -> tuple[str, str]:
        if text not in known:
            try:
                known[text] = (class_of(text), "")
            except ValueError as error:
                known[text] = ("", str(error))
        return known[text]

    return parse
