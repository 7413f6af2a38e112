"""CSV tables that come beside an archive: labels, and views of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.naming import facts_of_name
from ensemble_mammo.records.subject import Projection, Side
from ensemble_mammo.records.task import Task

_PROBLEMS_SHOWN = 10


def read_table(path: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """Read a CSV as text, its column names stripped of spaces.

    Raises:
        DatasetError: no such file, not a table, or columns missing.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path}: not a table: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DatasetError(
            f"{path} line 1: column {', '.join(missing)} missing; found {', '.join(table.columns)}; "
            "name the columns with --label-column, --subject-column, --file-column, --exam-column"
        )
    return table


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise one DatasetError that holds all problems of a file, if there are any."""
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise DatasetError(f"{path} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)


@dataclass(frozen=True)
class FileKeyed:
    """Values of a table by file, found by relative path, by name, or by name without ending."""

    values: dict[str, tuple[str, ...]]

    def of(self, source: str) -> tuple[str, ...] | None:
        """The values of a file given relative to the archive; None when the table does not know it."""
        path = Path(source)
        for key in (path.as_posix(), path.name, path.stem):
            if key in self.values:
                return self.values[key]
        return None


def read_views(path: Path) -> FileKeyed:
    """Read a CSV of views: columns `file` (or `image_id`) and `view`, and `laterality` where there is one.

    Returns:
        file -> (projection or "", side or ""): what a row does not say stays empty.

    Raises:
        DatasetError: columns missing, or a view that is none.
    """
    table = read_table(path, ["view"])
    name = next((column for column in ("file", "image_id") if column in table.columns), None)
    if name is None:
        raise DatasetError(f"{path} line 1: no column file or image_id; found {', '.join(table.columns)}")
    sides = table["laterality"] if "laterality" in table.columns else pd.Series([""] * len(table))
    values: dict[str, tuple[str, ...]] = {}
    problems = []
    known: dict[tuple[str, str], tuple[str, ...]] = {}
    for line, (file, view, side) in enumerate(zip(table[name].str.strip(), table["view"], sides, strict=True), start=2):
        if (view, side) not in known:
            facts = facts_of_name(f"{view} {side}".strip().replace(".", " "))
            known[view, side] = (facts.projection or "", facts.side or "")
        found = known[view, side]
        if values.setdefault(file, found) != found:
            problems.append(f"line {line}: file {file!r} stands in an earlier row with another view")
    refuse(path, problems)
    return FileKeyed(values)


def view_parts(values: tuple[str, ...] | None) -> tuple[Projection | None, Side | None]:
    """The projection and side of one answer of `read_views`."""
    if values is None:
        return None, None
    return (Projection(values[0]) if values[0] else None), (Side(values[1]) if values[1] else None)


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
    table = read_table(path, [*keys, label_column])
    for name in keys:
        table[name] = table[name].str.strip()
    labels: dict[tuple[str, ...], str] = {}
    problems = []
    parsed = _parsed(task.class_of)
    for line, (key, text) in enumerate(
        zip(table[list(keys)].itertuples(index=False, name=None), table[label_column], strict=True), start=2
    ):
        label, problem = parsed(text.strip())
        if problem:
            problems.append(f"line {line}: {problem}")
        elif label and labels.setdefault(key, label) != label:
            problems.append(f"line {line}: {', '.join(key)} is {label}, but {labels[key]} in an earlier row")
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
