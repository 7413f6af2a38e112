"""Section: how well do readers agree with each other, and does the network agree with them as well?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.agreement import NOT_READ, Agreement, Agreements, agreements, fleiss, majority
from ensemble_mammo.merit.inputs.csv_tables import refuse
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Section, Table
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.sections.side_tables import SideTable, read_side_table
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, figure, number

NETWORK, MAJORITY, TRUE = "the network", "the majority", "the true classes"
"""Raters beside the readers."""

_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")

_METHOD = (
    "Kappa is agreement beyond chance: {kappa}. Intervals: 95 % percentile bootstrap over subjects, the same resamples "
    "for every pair, so that means and their difference are paired. Fleiss' kappa (Psychol Bull 1971) is unweighted "
    "and uses the exams that all readers read. The majority is the class that most readers of an exam named; "
    "there is none where two classes are level or fewer than two read it."
)


@dataclass(frozen=True)
class _Found:
    """What the tables, the chart and the lead are made from."""

    study: Study
    readers: tuple[str, ...]
    read: tuple[int, ...]
    "exams that each reader read"
    pairs: Agreements
    fleiss: Interval
    read_by_all: int
    notes: tuple[str, ...]

    @property
    def among(self) -> list[tuple[str, str]]:
        """The pairs of readers."""
        return list(combinations(self.readers, 2))

    @property
    def with_network(self) -> list[tuple[str, str]]:
        """The network with each reader."""
        return [(name, NETWORK) for name in self.readers]

    @property
    def kappa(self) -> str:
        """How a table heads it."""
        return "kappa, quadratic" if self.study.task.ordinal else "kappa, unweighted"


def section(study: Study) -> Section | None:
    """Agreement between readers, of the network with each of them and with their majority; None without readers.

    Raises:
        DatasetError: the table of readers cannot be read.
        PredictionError: labels that are none of the task's, or no exam in common with the predictions.
    """
    if study.options.readers is None:
        return None
    found = _found(study, study.options.readers)
    weights = (
        "Cohen's with quadratic weights (Psychol Bull 1968), in which a miss counts by its distance in classes, squared"
        if study.task.ordinal
        else "Cohen's, unweighted (Educ Psychol Meas 1960)"
    )
    return Section(
        "readers",
        "How well do readers agree, and does the network agree with them as well?",
        _lead(found),
        (_pairs_table(found), _summary_table(found)),
        (_chart(found),),
        notes=found.notes,
        method=_METHOD.format(kappa=weights),
    )


def _found(study: Study, path: Path) -> _Found:
    table = read_side_table(path, "a column a reader with its labels")
    task, top = study.task, study.top
    _check_labels(path, table, task)
    if set(table.columns) & {NETWORK, MAJORITY, TRUE}:
        raise PredictionError(f"{path} line 1: a reader cannot be called {NETWORK!r}, {MAJORITY!r} or {TRUE!r}")
    labels, notes = {}, []
    for name in table.columns:
        labels[name], torn = _labels(table, name, study)
        if torn:
            notes.append(f"{name} gives {counted(torn, 'exam')} several classes: left out")
    if not any((one != NOT_READ).any() for one in labels.values()):
        raise PredictionError(
            f"{path}: no reader read any of the {len(top.true)} exams judged (its first subject is "
            f"{next(iter(table.table['subject_id']), '')!r}, the first judged {top.rows.subject_ids[0]!r}); expected "
            "the same subject_id, and exam_id where it is given"
        )
    if table.absent(top.rows):
        notes.append(
            f"{counted(table.absent(top.rows), 'subject')} of {len(set(top.rows.subject_ids))} not in {path.name}"
        )
    by_readers = np.stack(list(labels.values()))
    count = len(task.classes)
    options = study.options
    draws = (options.resamples, options.seed)
    ratings = {**labels, NETWORK: top.predicted, TRUE: top.true}
    if len(labels) > 1:
        ratings[MAJORITY] = majority(by_readers, count)
    subjects = top.rows.subject_ids
    pairs = agreements(ratings, subjects, count, task.ordinal, draws)
    of_all, whole = fleiss(by_readers, subjects, count, draws)
    read = tuple(int((one != NOT_READ).sum()) for one in labels.values())
    notes += _truth_notes(pairs, list(labels))
    return _Found(study, tuple(labels), read, pairs, of_all, whole, tuple(notes))


def _check_labels(path: Path, table: SideTable, task: Task) -> None:
    problems = []
    seen: dict[tuple[str, str, str], int] = {}
    for line, row in enumerate(table.table.to_dict("records"), start=2):
        key = (row["subject_id"], row["exam_id"], row["view"])
        if seen.setdefault(key, line) != line:
            exam = f" exam {key[1]!r}" if key[1] else ""
            problems.append(f"line {line}: subject {key[0]!r}{exam} stands in line {seen[key]} already")
        for name in table.columns:
            try:
                task.index(row[name] or task.classes[0])
            except ValueError as error:
                problems.append(f"line {line}, reader {name}: {error}")
    refuse(path, problems)


def _labels(table: SideTable, name: str, study: Study) -> tuple[NDArray[np.int64], int]:
    """The reader's class of each row [N], and for how many the images' labels leave none."""
    task = study.task
    said = [{task.index(cell) for cell in cells} for cells in table.of(name, study.top.rows)]
    highest = task.breast_to_subject == "maximum"
    labels = [max(one) if len(one) == 1 or (one and highest) else NOT_READ for one in said]
    return np.array(labels, dtype=np.int64), 0 if highest else sum(len(one) > 1 for one in said)


def _truth_notes(pairs: Agreements, readers: Sequence[str]) -> list[str]:
    notes = []
    for name in readers:
        one = pairs.between(name, TRUE)
        if one.shared and one.percent.value == 1:
            notes.append(
                f"the true classes are those of {name} wherever {name} read: the network was judged by this reader"
            )
    return notes


def _lead(found: _Found) -> str:
    network = found.pairs.mean_kappa(found.with_network)
    count = len(found.readers)
    if count == 1:
        name = found.readers[0]
        one = found.pairs.between(name, NETWORK)
        return (
            f"The network agrees with {name} at kappa {figure(one.kappa)} on {counted(one.shared, 'exam')}. "
            "With one reader alone there is no agreement between readers to hold this against."
        )
    among = found.pairs.mean_kappa(found.among)
    if math.isnan(among.value):
        return (
            f"The {count} readers share no exams from which their agreement could be told; the network agrees with "
            f"them at kappa {figure(network)}."
        )
    many = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    other = "each other" if count == 2 else "each other, pair by pair,"
    mean = "" if count == 2 else "a mean "
    apart = found.pairs.mean_difference(found.with_network, found.among)
    return (
        f"{many} readers agree with {other} at {mean}kappa {figure(among)}; the network agrees with them at "
        f"{figure(network)}: {_verdict(apart)}."
    )


def _verdict(apart: Interval) -> str:
    if math.isnan(apart.value):
        return "the two cannot be compared, one is undefined"
    if math.isnan(apart.low):
        return "whether that is a difference beyond chance was not tested"
    difference = f"(difference {number(apart.value)}, {number(apart.low)} to {number(apart.high)})"
    if apart.high < 0:
        return f"less well than they do among themselves {difference}"
    if apart.low > 0:
        return f"better than they do among themselves {difference}"
    return f"as well as they do among themselves, as far as these exams can tell {difference}"


def _shown(found: _Found) -> list[Agreement]:
    """The pairs in the order of the table: readers, then the network, then the true classes with readers."""
    pairs = [*found.among, *found.with_network]
    if len(found.readers) > 1:
        pairs.append((NETWORK, MAJORITY))
    pairs += [(NETWORK, TRUE), *((name, TRUE) for name in found.readers)]
    return [found.pairs.between(*pair) for pair in pairs]


def _pairs_table(found: _Found) -> Table:
    rows: list[list[Cell]] = [[one.first, one.second, one.shared, one.kappa, one.percent] for one in _shown(found)]
    columns = {
        "first": "of",
        "second": "with",
        "exams": "exams both judged",
        "kappa": found.kappa,
        "percent": "same class, share",
    }
    caption = "Exams read: " + ", ".join(
        f"{name} {count}" for name, count in zip(found.readers, found.read, strict=True)
    )
    if len(found.readers) > 1:
        caption += ". Exams without a majority are left out of its row: they are the harder ones."
    return Table("readers-pairs", f"Agreement, pair by pair, level {found.study.top.level}", columns, rows, caption)


def _summary_table(found: _Found) -> Table:
    rows: list[list[Cell]] = [["the network with the readers, mean kappa", found.pairs.mean_kappa(found.with_network)]]
    if len(found.readers) > 1:
        rows = [
            ["readers among themselves, mean kappa", found.pairs.mean_kappa(found.among)],
            *rows,
            ["network minus readers, mean kappa", found.pairs.mean_difference(found.with_network, found.among)],
            [f"all readers at once, Fleiss' kappa ({counted(found.read_by_all, 'exam')} read by all)", found.fleiss],
        ]
    caption = f"Means: of the {found.kappa} of each pair; pairs without a common exam are left out."
    return Table("readers-summary", "The ceiling", {"what": "", "kappa": "kappa"}, rows, caption)


def _chart(found: _Found) -> BarChart:
    bars = [
        Bar(
            f"{one.first}, {one.second}",
            one.kappa.value,
            one.kappa.low,
            one.kappa.high,
            NETWORK in (one.first, one.second),
            counted(one.shared, "exam"),
        )
        for one in _shown(found)
    ]
    among = found.pairs.mean_kappa(found.among).value
    low = min([0.0, *(math.floor(10 * end) / 10 for bar in bars for end in (bar.value, bar.low) if end < 0)])
    reference = None if math.isnan(among) else among
    caption = "Whiskers: 95 % intervals. Marked: the network." + (
        " The line: readers among themselves, mean." if reference is not None else ""
    )
    return BarChart("readers-kappa", "Agreement", found.kappa, bars, (low, 1.0), reference, caption)
