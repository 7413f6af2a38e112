"""Tables beside the predictions (a manifest, a CSV of groups, a CSV of readers), looked up by subject and exam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.csv_tables import refuse
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import View, views_of
from ensemble_mammo.records.tables import read_text_table

IDS = ("subject_id", "exam_id", "view")
"""The columns of such a table that say whose row it is; exam_id and view may be missing or empty: any."""

UNKNOWN_GROUP = "unknown"
"""The group of an exam for which the table says nothing."""

MIXED = "mixed"
"""The group of an exam whose images differ."""


@dataclass(frozen=True)
class SideTable:
    """Rows of text by subject, exam and view."""

    name: str
    "as a report says it"
    table: pd.DataFrame
    "text columns subject_id, exam_id (empty: any), view (empty: any), and what the table is for"

    @property
    def columns(self) -> list[str]:
        """The columns that are no ids."""
        return [name for name in self.table.columns if name not in IDS]

    def of(self, column: str, rows: Predictions) -> list[frozenset[str]]:
        """What the column says of each row [N] of predictions: no value, one, or several where its images differ.

        A row of the table for the exam itself counts before one for any exam. The exam of a subject with a single
        exam may be called otherwise in the table (raw folders say `1`, datasets often a study).
        """
        wanted = {"", *map(str, views_of(rows.level))}
        said: dict[tuple[str, str], set[str]] = {}
        for subject, exam, view, cell in self.table[[*IDS, column]].itertuples(index=False):
            if view in wanted and cell:
                said.setdefault((subject, exam), set()).add(cell)
        lone = self._lone_exams(rows)
        found = []
        for subject, exam in rows.keys:
            keys = ((subject, exam), (subject, ""), (subject, lone.get(subject, exam)))
            found.append(frozenset(next((said[key] for key in keys if key in said), set())))
        return found

    def groups(self, column: str, rows: Predictions) -> list[str]:
        """The group of each row [N]: what the column says of its images, `mixed` or `unknown`."""
        return [MIXED if len(values) > 1 else next(iter(values), UNKNOWN_GROUP) for values in self.of(column, rows)]

    def absent(self, rows: Predictions) -> int:
        """How many subjects of the predictions have no row here."""
        return len(set(rows.subject_ids) - set(self.table["subject_id"]))

    def _lone_exams(self, rows: Predictions) -> Mapping[str, str]:
        """Subject -> her exam here, where she has one exam here and one in the predictions."""
        named = self.table[self.table["exam_id"] != ""]
        here = _single(zip(named["subject_id"], named["exam_id"], strict=True))
        there = _single(rows.keys)
        return {subject: exam for subject, exam in here.items() if subject in there}


def _single(keys: Iterable[tuple[str, str]]) -> dict[str, str]:
    exams: dict[str, set[str]] = {}
    for subject, exam in keys:
        exams.setdefault(subject, set()).add(exam)
    return {subject: next(iter(ones)) for subject, ones in exams.items() if len(ones) == 1}


def read_side_table(path: Path, expected: str) -> SideTable:
    """A CSV with subject_id, perhaps exam_id and view, and other columns, all as text.

    Args:
        path: the file.
        expected: what its other columns are, for error texts.

    Raises:
        DatasetError: no such file, or no table.
        PredictionError: subject_id or all other columns are missing, or lines that cannot be used, all at once.
    """
    table = read_text_table(path).fillna("")
    table.columns = [str(name).strip() for name in table.columns]
    table = table.apply(lambda cells: cells.str.strip())
    if "subject_id" not in table.columns:
        near = get_close_matches("subject_id", table.columns, n=1, cutoff=0.4)
        hint = f"; rename {near[0]!r}" if near else ""
        raise PredictionError(
            f"{path} line 1: column subject_id missing; found {', '.join(table.columns)}; expected subject_id, perhaps "
            f"exam_id, then {expected}, with commas{hint}"
        )
    if not set(table.columns) - set(IDS):
        raise PredictionError(f"{path} line 1: no column beside {', '.join(table.columns)}; expected {expected}")
    for name in ("exam_id", "view"):
        if name not in table.columns:
            table[name] = ""
    problems = [f"line {i + 2}: subject_id is empty" for i in (table["subject_id"] == "").to_numpy().nonzero()[0]]
    wrong = ~table["view"].isin(["", *map(str, View)])
    problems += [
        f"line {i + 2}: view {table['view'].iloc[i]!r} is not one of {', '.join(View)}"
        for i in wrong.to_numpy().nonzero()[0]
    ]
    problems += _contradictions(table)
    refuse(path, problems)
    return SideTable(path.name, table)


def _contradictions(table: pd.DataFrame) -> list[str]:
    """Rows of one subject, exam and view that say different things."""
    own = table.drop_duplicates()
    twice = own[own.duplicated(list(IDS), keep=False)]
    problems = []
    for (subject, exam, view), rows in twice.groupby(list(IDS), sort=False):
        where = " and ".join(str(place + 2) for place in rows.index[:2])
        what = ", ".join(filter(None, (f"subject {subject!r}", f"exam {exam!r}" if exam else "", str(view))))
        problems.append(f"lines {where}: {what} stands there twice and differs; expected one row each")
    return problems
