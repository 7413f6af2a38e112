"""Scores, reports, reproductions and sweeps as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_mammo.console.terminal import EXAMS_SHOWN, print_notes, print_table, terminal
from ensemble_mammo.records.subject import SUBJECT, views_of

if TYPE_CHECKING:
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.merit.sections import Cell
    from ensemble_mammo.stages.predict import Scores
    from ensemble_mammo.stages.report import Report
    from ensemble_mammo.workflows.reproduce import Reproduction
    from ensemble_mammo.workflows.sweep import Sweep

_TOLD = ("comparison", "baseline", "images", "subgroups", "lesions-found", "planning")
"""Sections of a report whose answer stands on the terminal too: what was asked for, and what must not be missed."""


def scores_table(scores: Scores, models: Sequence[Path], fusion: Fusion, as_json: bool) -> None:
    """A table a view, a breast and the subject, for each exam; notes behind it."""
    from ensemble_mammo.stages.predict import as_json as document

    if as_json:
        print(json.dumps(document(scores, models, fusion), indent=2))
        return
    levels = scores.levels()
    exams = list(dict.fromkeys(key for table in levels for key in table.keys))
    sets = ["set"] if scores.sets else []  # of a calibration: the classes that cannot be ruled out
    for key in exams[:EXAMS_SHOWN]:
        rows = []
        for table in levels:
            if key in table.keys:
                i = table.keys.index(key)
                values = [f"{score:.3f}" for score in table.scores[i]]
                best = scores.called(table)[i]
                held = [" ".join(scores.sets[table.level][i]) or "none"] if table.level in scores.sets else ["-"]
                present = _present(table.level, table.views[i])
                rows.append([table.level, best, *values, *(held if sets else []), f"{table.images[i]}", present])
        exam = f", exam {key[1]}" if key[1] != "1" else ""
        print_table(
            f"{key[0]}{exam}{_unsure(scores, key)}",
            ["level", scores.task.name, *scores.task.classes, *sets, "images", "views"],
            rows,
        )
    if len(exams) > EXAMS_SHOWN:
        terminal().print(f"… and {len(exams) - EXAMS_SHOWN} more exams; --out writes them all", markup=False)
    print_notes(scores.notes)


def _unsure(scores: Scores, key: tuple[str, str]) -> str:
    """`: UNSURE, B or C` where the set of the top level holds several classes or none."""
    top = scores.levels()[-1]
    if top.level not in scores.sets or key not in top.keys:
        return ""
    held = scores.sets[top.level][top.keys.index(key)]
    return "" if len(held) == 1 else f": UNSURE, {' or '.join(held) or 'no class is usual enough'}"


def _present(level: str, views: str) -> str:
    missing = [view.value for view in views_of(level) if view.value not in views.split("+")]
    if missing:
        return f"{views} (MISSING {', '.join(missing)})"
    return "all four" if level == SUBJECT else views


def report_table(report: Report, out: Path, as_json: bool) -> None:
    """The figures of each level, and where the page is."""
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
        return
    from ensemble_mammo.merit.pages.overview import called_in_words, one_class

    for warning in one_class(report):
        terminal().print(warning, markup=False)
    heading, *rows = report.table()
    print_table(f"figures of merit, {report.task.name}: value (95 % interval)", heading, rows)
    if called := called_in_words(report):
        terminal().print(f"called: {called}", markup=False)
    for section in report.sections:
        if section.name in _TOLD:
            terminal().print(f"{section.name}: {section.lead}", markup=False)
    print_notes([note for note in report.notes if note not in one_class(report)])
    terminal().print(f"report: {out / 'report.html'}", markup=False)


def reproduction_tables(found: Reproduction) -> None:
    """Published beside obtained, a table each."""
    terminal().print(f"{found.title}\nsource: {found.source}", markup=False)
    for table in found.tables:
        rows = [[_cell(cell) for cell in row] for row in table.rows]
        print_table(table.title, list(table.columns.values()), rows)
        if table.caption:
            terminal().print(table.caption, markup=False)
    print_notes(found.notes)


def sweep_tables(found: Sweep, out: Path, as_json: bool) -> None:
    """Figures of every point, means over seeds where there are some, then warnings and what failed."""
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
        return
    for title, heading, rows in found.shown():
        print_table(title, heading, rows, wide=True)
    print_notes(found.remarks())
    terminal().print(f"tables: {out / 'sweep.md'}, sweep.csv, sweep.json", markup=False)


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return (
            f"{cell:.0f}"
            if cell.is_integer() and abs(cell) >= 2
            else f"{cell:.6g}"
            if abs(cell) >= 1e-3
            else f"{cell:.1e}"
        )
    return str(cell)
