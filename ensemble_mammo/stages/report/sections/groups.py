"""Which group each exam is in: by the columns of the dataset, and of a CSV of groups."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.subgroups import age_band
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.stages.report.sections.side_tables import SideTable, read_side_table
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted

KNOWN = ("manufacturer", "device", "age", "implant", "density", "collection")
"""The columns of a dataset that make subgroups unless others are named."""


def group_columns(study: Study) -> tuple[dict[str, list[str]], list[str]]:
    """The columns with two groups or more: column -> the group of each row [N] of the top level; and notes.

    Raises:
        DatasetError: the table of groups cannot be read.
        PredictionError: it has not the columns asked for, or knows none of the subjects.
    """
    options, rows = study.options, study.top.rows
    known = [name for name in KNOWN if name != study.task.name]
    sources: list[tuple[SideTable, list[str]]] = []
    if options.dataset is not None:
        table = SideTable("the dataset", options.dataset.table)
        sources.append((table, [name for name in known if name in table.columns]))
    if options.groups is not None:
        given = _read_groups(options.groups, rows)
        sources.append((given, given.columns))
    if options.by:
        _check_by(options.by, [table for table, _ in sources])
        sources = [(table, [name for name in options.by if name in table.columns]) for table, _ in sources]
    columns: dict[str, list[str]] = {}
    for table, names in sources:  # a table given on purpose comes last and counts before the dataset
        for name in names:
            groups = table.groups(name, rows)
            columns[name] = [age_band(one) for one in groups] if name == "age" else groups
    alone = [f"{name}: all exams are in one group, {columns[name][0]}" for name in options.by if _lone(columns[name])]
    several = {name: groups for name, groups in columns.items() if not _lone(groups)}
    order = {name: place for place, name in enumerate(dict.fromkeys((*options.by, *known, *several)))}
    return {name: several[name] for name in sorted(several, key=order.__getitem__)}, [*_absent(sources, rows), *alone]


def _lone(groups: Sequence[str]) -> bool:
    return len(set(groups)) < 2


def _absent(sources: Sequence[tuple[SideTable, list[str]]], rows: Predictions) -> list[str]:
    subjects = len(set(rows.subject_ids))
    return [
        f"{counted(table.absent(rows), 'subject')} of {subjects} not found in {table.name}: the group is unknown"
        for table, _ in sources
        if table.absent(rows)
    ]


def _read_groups(path: Path, rows: Predictions) -> SideTable:
    given = read_side_table(path, "the columns that make groups")
    if given.table.empty:
        raise PredictionError(f"{path}: holds no row; expected one a subject")
    subjects = len(set(rows.subject_ids))
    if given.absent(rows) == subjects:
        raise PredictionError(
            f"{path}: knows none of the {subjects} subjects judged (its first is "
            f"{given.table['subject_id'].iloc[0]!r}, the first judged {rows.subject_ids[0]!r}); expected the same ids"
        )
    return given


def _check_by(by: Sequence[str], tables: Sequence[SideTable]) -> None:
    if not tables:
        raise PredictionError(
            f"groups by {', '.join(by)}: nothing says which group a subject is in; give a dataset, or a CSV of groups"
        )
    have = list(dict.fromkeys(name for table in tables for name in table.columns))
    problems = []
    for name in (name for name in by if name not in have):
        near = get_close_matches(name, have, n=1)
        problems.append(f"no column {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if problems:
        where = " and ".join(table.name for table in tables)
        raise PredictionError(f"groups by {', '.join(by)}: {'; '.join(problems)}; {where}: found {', '.join(have)}")
