"""Section: does a group of exams (a device, an age band) fail behind a good average?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ensemble_mammo.merit.compare import beyond_chance, corrected
from ensemble_mammo.merit.definitions import FIGURES
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Section, Table
from ensemble_mammo.merit.subgroups import FEWEST_SUBJECTS, Subgroup, subgroups
from ensemble_mammo.stages.report.sections.groups import group_columns
from ensemble_mammo.stages.report.sections.subgroup_scores import score_tables
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, figure, figure_key, figure_title, number, p_value

_NAN = Interval(math.nan, math.nan, math.nan)

_METHOD = (
    "Each figure of a group has a 95 % percentile bootstrap interval. The difference of a group to all other exams is "
    "computed in the same resamples of subjects; p is twice the smaller share of resamples at or beyond 0, as "
    "(k + 1) / (R + 1), corrected by Holm's method (Scand J Stat 1979) over all groups shown. Marked: the main figure "
    "lies below that of the others beyond the corrected test (p < 0.05), or its whole interval lies below the figure "
    f"of all exams. A group of fewer than {FEWEST_SUBJECTS} subjects is counted but has no figure."
)


@dataclass(frozen=True)
class _Row:
    """A group of one column."""

    column: str
    group: Subgroup
    corrected: float = math.nan
    failing: bool = False


@dataclass(frozen=True)
class _Found:
    """Everything that the tables, charts and the lead are made from."""

    study: Study
    main: str
    beside: str
    "a second figure whose difference is shown"
    overall: Interval
    rows: tuple[_Row, ...]
    notes: tuple[str, ...]


def section(study: Study) -> Section | None:
    """Every group of every column that has two or more; None where there is no such column.

    Raises:
        DatasetError: the table of groups cannot be read.
        PredictionError: it has not the columns asked for, or knows none of the subjects.
    """
    columns, notes = group_columns(study)
    if not columns:
        lead = "No column that was named parts the exams into two groups or more."
        title = "Does a group of exams fail behind the average?"
        return Section("subgroups", title, lead, notes=tuple(notes)) if study.options.by else None
    found = _found(study, columns, notes)
    return Section(
        "subgroups",
        "Does a group of exams fail behind the average?",
        _lead(found),
        (_summary(found), _details(found), *score_tables(study, columns)),
        tuple(_chart(found, column) for column in columns),
        notes=_notes(found),
        method=_METHOD,
    )


def _found(study: Study, columns: dict[str, list[str]], notes: list[str]) -> _Found:
    two = len(study.task.classes) == 2
    main, beside = ("auc", "accuracy") if two else ("accuracy", "kappa")
    options, cases = study.options, study.top.cases
    overall = study.figures[study.top.level][main]
    rows = [
        _Row(column, group)
        for column, groups in columns.items()
        for group in subgroups(cases, groups, (main, beside), options.resamples, options.seed, study.task.classes)
    ]
    holm = corrected([row.group.p.get(main, math.nan) for row in rows])
    rows = [_judged(row, p, main, overall.value) for row, p in zip(rows, holm, strict=True)]
    tests = sum(not math.isnan(p) for p in holm)
    if options.resamples and 2 * tests / (options.resamples + 1) >= 0.05:
        notes = [
            *notes,
            f"{options.resamples} resamples are too few for {tests} corrected tests: no group could come out beyond "
            f"chance; ask for {40 * tests} or more",
        ]
    return _Found(study, main, beside, overall, tuple(rows), tuple(notes))


def _judged(row: _Row, p: float, main: str, overall: float) -> _Row:
    own, apart = row.group.figures.get(main, _NAN), row.group.differences.get(main, _NAN)
    failing = (apart.value < 0 and beyond_chance(p)) or own.high < overall
    return replace(row, corrected=p, failing=bool(failing))


def _lead(found: _Found) -> str:
    title = figure_title(found.study.task, found.main)
    failing = [row for row in found.rows if row.failing and found.main in row.group.others]
    if failing:
        worst = min(
            failing, key=lambda row: (not beyond_chance(row.corrected), row.group.differences[found.main].value)
        )
        more = [f"{row.column} {row.group.name}" for row in failing if row is not worst]
        return _worst_sentence(found, worst) + (f" Also marked: {', '.join(more)}." if more else "")
    shown = [row for row in found.rows if row.group.figures]
    if not shown:
        return f"No group has the {FEWEST_SUBJECTS} subjects that a figure needs, so nothing can be said about groups."
    if not found.study.options.resamples:
        return f"{len(shown)} groups are shown without intervals, so whether one fails beyond chance was not tested."
    small = sorted(shown, key=lambda row: row.group.exams)[:2]
    sizes = " and ".join(f"{row.column} {row.group.name}, {counted(row.group.exams, 'exam')}" for row in small)
    return (
        f"None of {len(shown)} groups lies below the others in {title} beyond chance. A small group can still hide a "
        f"failure: the smallest are {sizes}."
    )


def _worst_sentence(found: _Found, row: _Row) -> str:
    own, others = row.group.figures[found.main], row.group.others[found.main]
    verdict = (
        f"({p_value(row.corrected)} after correction): the average hides a group that does worse"
        if beyond_chance(row.corrected)
        else "and its whole interval lies below the figure of all exams. After correction for several groups this can "
        f"still be chance ({p_value(row.corrected)})"
    )
    return (
        f"{row.column.capitalize()} {row.group.name}: {figure_title(found.study.task, found.main)} {figure(own)} on "
        f"{counted(row.group.exams, 'exam')}, against {number(others)} on all others {verdict}."
    )


def _mix(found: _Found, group: Subgroup) -> str:
    return ", ".join(f"{name} {count}" for name, count in zip(found.study.task.classes, group.mix, strict=True))


def _floor(group: Subgroup) -> float:
    """The accuracy of always naming the class that is most frequent in the group."""
    return max(group.mix) / group.exams if group.exams else math.nan


def _summary(found: _Found) -> Table:
    task = found.study.task
    shown = list(dict.fromkeys((found.main, found.beside, "recall")))
    columns = {"column": "column", "group": "group", "exams": "exams", "subjects": "subjects", "mix": "true classes"}
    columns |= {figure_key(task, name): figure_title(task, name) for name in shown}
    columns["floor"] = "most frequent class"
    columns |= {
        "others": f"{figure_title(task, found.main)}, all others",
        "difference": f"difference in {figure_title(task, found.main)}",
        "p": "p",
        "p_corrected": "p, corrected",
        f"difference_{found.beside}": f"difference in {figure_title(task, found.beside)}",
        "remark": "remark",
    }
    rows: list[list[Cell]] = []
    for row in found.rows:
        group = row.group
        rows.append(
            [
                row.column,
                group.name,
                group.exams,
                group.subjects,
                _mix(found, group),
                *(group.figures.get(name, _NAN) for name in shown),
                _floor(group),
                group.others.get(found.main, math.nan),
                group.differences.get(found.main, _NAN),
                group.p.get(found.main, math.nan),
                row.corrected,
                group.differences.get(found.beside, _NAN),
                group.reason or ("below the others" if row.failing else ""),
            ]
        )
    tests = sum(not math.isnan(row.corrected) for row in found.rows)
    caption = (
        f"{figure_title(task, found.main)} of all: {figure(found.overall)}. Differences: the group minus all other "
        f"exams. p is corrected by Holm's method over the {counted(tests, 'group')} tested."
    )
    marked = frozenset(place for place, row in enumerate(found.rows) if row.failing)
    return Table("subgroups", f"Groups, level {found.study.top.level}", columns, rows, caption, marked)


def _details(found: _Found) -> Table:
    task = found.study.task
    have = dict.fromkeys(name for row in found.rows for name in row.group.figures)
    names = [*(name for name in FIGURES if name in have), *(name for name in have if name not in FIGURES)]
    columns = {"column": "column", "group": "group", "exams": "exams", "subjects": "subjects"}
    columns |= {figure_key(task, name): figure_title(task, name) for name in names} | {"floor": "most frequent class"}
    rows: list[list[Cell]] = []
    for row in found.rows:
        figures = [row.group.figures.get(name, _NAN) for name in names]
        rows.append([row.column, row.group.name, row.group.exams, row.group.subjects, *figures, _floor(row.group)])
    caption = f"No figure: {FEWEST_SUBJECTS} subjects are needed, or a class is absent from the group."
    marked = frozenset(place for place, row in enumerate(found.rows) if row.failing)
    return Table("subgroups-all", "Every figure of every group", columns, rows, caption, marked)


def _chart(found: _Found, column: str) -> BarChart:
    title = figure_title(found.study.task, found.main)
    bars = []
    for row in (row for row in found.rows if row.column == column):
        own = row.group.figures.get(found.main, _NAN)
        note = counted(row.group.exams, "exam") + (f", {row.group.reason}" if row.group.reason else "")
        bars.append(Bar(row.group.name, own.value, own.low, own.high, row.failing, note))
    caption = f"Whiskers: 95 % intervals. The line: {title} of all exams, {number(found.overall.value)}."
    key = "".join(letter if letter.isalnum() else "-" for letter in column.lower())
    return BarChart(
        f"subgroups-{key}", f"{title} by {column}", title, bars, reference=found.overall.value, caption=caption
    )


def _notes(found: _Found) -> tuple[str, ...]:
    small = [row for row in found.rows if not row.group.figures]
    notes = [*found.notes]
    if small:
        exams = sum(row.group.exams for row in small)
        notes.append(
            f"{counted(len(small), 'group')} of fewer than {FEWEST_SUBJECTS} subjects (together {exams} exams) "
            "counted, without figures"
        )
    if len(small) < len(found.rows):
        notes.append(
            "a group can be hard because of its classes rather than its device: look at its true classes, and at "
            "the macro recall, in which each class counts the same"
        )
    return tuple(notes)
