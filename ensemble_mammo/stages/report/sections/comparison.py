"""Section: is one system better than another, on the same exams?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.compare import COMPARED, Contest, Drawn, beyond_chance, contest, drawn_figures
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Section, Table
from ensemble_mammo.records.subject import LEVELS
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import (
    counted,
    figure,
    figure_key,
    figure_title,
    limits,
    listed,
    number,
    p_value,
    shown_figures,
)

_QUESTION = "Is one system better than another?"

_METHOD = (
    "All systems are judged on the same exams. Intervals of differences: paired bootstrap over subjects (the same "
    "subjects are drawn on both sides; Efron & Tibshirani 1993). Its p is twice the smaller share of resamples at or "
    "beyond 0, as (k + 1) / (R + 1). Accuracy is tested by McNemar's exact test (Psychometrika 1947) where every "
    "subject has one exam, AUC by DeLong's test (Biometrics 1988), clustered by subject (Obuchowski, Biometrics 1997)."
)


@dataclass(frozen=True)
class _Compared:
    """What the tables, the chart and the lead are made from."""

    study: Study
    level: str
    "at which the tests are"
    contest: Contest


def section(study: Study) -> Section | None:
    """Every system's figures at every level, and each pair of systems tested at the highest level that all have.

    Raises:
        PredictionError: the systems have not the same rows in the same order.
    """
    if len(study.systems) < 2:
        return None
    _check_rows(study)
    shared = [level for level in LEVELS if all(level in levels for levels in study.systems.values())]
    if not shared:
        lead = "The systems have no level in common (a view, a breast or the subject), so they cannot be compared."
        return Section("comparison", _QUESTION, lead, (_figures_table(study, "", {}),), method=_METHOD)
    cases = {name: levels[shared[-1]].cases for name, levels in study.systems.items()}
    found = _Compared(study, shared[-1], contest(cases, study.options.resamples, study.options.seed))
    tables = (_figures_table(study, found.level, found.contest.drawn), _tests_table(found), _counts_table(found))
    return Section(
        "comparison",
        _QUESTION,
        _lead(found),
        tables,
        (_chart(found),),
        notes=_notes(found),
        method=_METHOD,
    )


def _check_rows(study: Study) -> None:
    (first, reference), *others = study.systems.items()
    for name, levels in others:
        for level in set(levels) & set(reference):
            ours, theirs = reference[level], levels[level]
            if ours.rows.keys != theirs.rows.keys or not np.array_equal(ours.true, theirs.true):
                raise PredictionError(
                    f"{level} of system {name}: its {counted(len(theirs.true), 'exam')} are not those of {first} "
                    f"({len(ours.true)}) in the same order, so the two cannot be compared case by case; give both "
                    "predictions of the same exams"
                )


def _figures_table(study: Study, done: str, drawn: Mapping[str, Drawn]) -> Table:
    """A row a level and system; `drawn` holds the figures of the level `done` already, by system."""
    names = list(dict.fromkeys((*shown_figures(study.task), *COMPARED)))
    rows: list[list[Cell]] = []
    for level in LEVELS:
        for system, one in ((name, levels[level]) for name, levels in study.systems.items() if level in levels):
            made = drawn[system] if level == done else _drawn(study, one)
            figures = [made.interval(name) for name in names]
            rows.append([level, system, len(one.true), *figures, floor_of(one.true)])
    columns = {"level": "level", "system": "system", "exams": "exams"}
    columns |= {figure_key(study.task, name): figure_title(study.task, name) for name in names}
    columns |= {"floor": "most frequent class"}
    return Table("comparison-figures", "Each system at each level, on the exams that all have", columns, rows)


def _drawn(study: Study, one: Judged) -> Drawn:
    return drawn_figures(one.cases, study.options.resamples, study.options.seed)


def _tests_table(found: _Compared) -> Table:
    task = found.study.task
    rows: list[list[Cell]] = [
        [
            figure_title(task, one.name),
            one.first,
            one.second,
            found.contest.drawn[one.first].values[one.name],
            found.contest.drawn[one.second].values[one.name],
            one.apart,
            one.test,
            one.p,
            one.corrected,
            one.drawn_p,
        ]
        for one in found.contest.tests
    ]
    columns = {
        "figure": "figure",
        "first": "system",
        "second": "against",
        "first_value": "of the system",
        "second_value": "of the other",
        "difference": "difference",
        "test": "test",
        "p": "p",
        "p_corrected": "p, corrected",
        "p_bootstrap": "p, bootstrap",
    }
    marked = frozenset(place for place, one in enumerate(found.contest.tests) if beyond_chance(one.corrected))
    caption = (
        "A positive difference speaks for the first system. Corrected: Holm's method over the "
        f"{counted(found.contest.tested, 'test')} of this table (every figure of every pair of systems, one test "
        "each). Marked: beyond chance after the correction."
    )
    return Table("comparison-tests", f"Differences at the level {found.level}", columns, rows, caption, marked)


def _counts_table(found: _Compared) -> Table:
    rows: list[list[Cell]] = [
        [first, second, one.both, one.first_only, one.second_only, one.neither, one.p]
        for (first, second), one in found.contest.counts.items()
    ]
    columns = {
        "first": "system",
        "second": "against",
        "both": "both right",
        "first_only": "only the first right",
        "second_only": "only the second right",
        "neither": "both wrong",
        "p": "McNemar p",
    }
    caption = "Exams by who has the true class. p is exact, two-sided, and not corrected for several pairs."
    return Table("comparison-counts", f"Who is right where, level {found.level}", columns, rows, caption)


def _chart(found: _Compared) -> BarChart:
    task = found.study.task
    ends = [abs(end) for one in found.contest.tests for end in (one.apart.value, one.apart.low, one.apart.high)]
    end = math.ceil(20 * max([0.05, *(end for end in ends if not math.isnan(end))])) / 20
    bars = [
        Bar(
            f"{one.first} - {one.second}, {figure_title(task, one.name)}",
            one.apart.value,
            one.apart.low,
            one.apart.high,
            beyond_chance(one.corrected),
            p_value(one.corrected),
        )
        for one in found.contest.tests
    ]
    caption = "Whiskers: 95 % intervals, not corrected. Right of 0 speaks for the first system. p is corrected (Holm)."
    title = f"Differences between systems, level {found.level}"
    return BarChart("comparison-differences", title, "difference", bars, (-end, end), 0.0, caption)


def _lead(found: _Compared) -> str:
    task = found.study.task
    main = shown_figures(task)[0]
    order = sorted(found.contest.drawn, key=lambda name: -np.nan_to_num(found.contest.drawn[name].values[main], nan=-2))
    best, second = order[:2]
    start = ""
    if len(order) > 2:
        top = figure(found.contest.drawn[best].interval(main))
        start = f"Of {len(order)} systems {best} has the highest {figure_title(task, main)}, {top}. "
    sentence = start + _verdict(found, best, second, main)
    others = [
        f"{a} over {b}"
        for a, b in combinations(order, 2)
        if (a, b) != (best, second) and beyond_chance(found.contest.test(a, b, main).corrected)
    ]
    if len(order) > 2:
        sentence += f" Also beyond chance: {listed(others)}." if others else " No other pair differs beyond chance."
    return sentence + _elsewhere(found, best, second, main)


def _elsewhere(found: _Compared, best: str, second: str, main: str) -> str:
    """The other figures in which the two differ beyond chance."""
    said = []
    for one in found.contest.tests:
        if {one.first, one.second} == {best, second} and one.name != main and beyond_chance(one.corrected):
            ahead = one.first if one.apart.value > 0 else one.second
            by = number(abs(one.apart.value))
            said.append(f"{figure_title(found.study.task, one.name)} ({ahead} by {by}, {p_value(one.corrected)})")
    return f" They do differ beyond chance in {listed(said)}." if said else ""


def _verdict(found: _Compared, best: str, second: str, name: str) -> str:
    """`A is better than B in accuracy by 0.03 (-0.01 to 0.07): not beyond chance (McNemar p = 0.21; …)`."""
    test = found.contest.test(best, second, name)
    apart = test.apart if test.first == best else Interval(-test.apart.value, -test.apart.high, -test.apart.low)
    title = figure_title(found.study.task, name)
    counts = found.contest.counts[test.first, test.second]
    alone = {test.first: counts.first_only, test.second: counts.second_only}
    who = f"{counted(alone[best], 'exam')} only {best} has right, {alone[second]} only {second}"
    why = (
        f"({test.test.split(',')[0]} {p_value(test.p)}, corrected for {found.contest.tested} tests "
        f"{p_value(test.corrected)}; {who})"
    )
    if math.isnan(apart.value):
        return f"{best} and {second} cannot be compared in {title}: it is undefined for one of them {why}."
    if apart.value == 0:
        return f"{best} and {second} have the same {title}, {number(found.contest.drawn[best].values[name])} {why}."
    ahead = f"by {number(apart.value)}{limits(apart)}"
    if beyond_chance(test.corrected):
        return f"{best} is better than {second} in {title} {ahead}, beyond chance {why}."
    return f"{best} and {second} do not differ in {title} beyond chance: {best} lies ahead {ahead} {why}."


def _notes(found: _Compared) -> tuple[str, ...]:
    one = next(iter(found.study.systems.values()))[found.level]
    notes = []
    if found.contest.clustered:
        notes.append(
            f"{counted(len(set(one.rows.subject_ids)), 'subject')} have {len(one.true)} exams: McNemar's test takes "
            "exams as independent, so its p cannot be trusted here; accuracy is tested by the bootstrap over subjects"
        )
    if not found.study.options.resamples:
        notes.append("no resamples were asked for, so differences have no intervals and no bootstrap p")
    undefined = [one for one in found.contest.tests if math.isnan(one.p)]
    if undefined and found.study.options.resamples:
        names = [f"{figure_title(found.study.task, one.name)} of {one.first} and {one.second}" for one in undefined]
        notes.append(
            f"{listed(names)}: not tested, since it is undefined (all exams of one class, or called one class) or "
            "leaves nothing to estimate its spread from (both rank all exams right)"
        )
    return tuple(notes)
