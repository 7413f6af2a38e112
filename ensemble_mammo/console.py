"""What the command line shows: tables on a terminal, JSON when asked for, a bar while networks learn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.problem import PROBLEMS
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import SUBJECT, View, views_of
from ensemble_mammo.records.task import PATCH_CLASSES, TASKS

if TYPE_CHECKING:
    from ensemble_mammo.learning.state import Advance
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.merit.sections import Cell
    from ensemble_mammo.stages.audit import Audit
    from ensemble_mammo.stages.predict import Scores
    from ensemble_mammo.stages.report import Report
    from ensemble_mammo.stages.train import TrainResult
    from ensemble_mammo.workflows.reproduce import Reproduction
    from ensemble_mammo.workflows.sweep import Sweep

_PIPED_WIDTH = 120
_EXAMS_SHOWN = 20
_TOLD = ("comparison", "baseline", "images", "subgroups", "lesions-found", "planning")
"""Sections of a report whose answer stands on the terminal too: what was asked for, and what must not be missed."""


def _console(piped_width: int = _PIPED_WIDTH) -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=piped_width)


def _table(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]], wide: bool = False) -> None:
    table = Table(title=escape(title), title_justify="left")
    for i, name in enumerate(heading):
        table.add_column(escape(name), justify="left" if i == 0 else "right", no_wrap=wide and i == 0)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    _console(_PIPED_WIDTH * 2 if wide else _PIPED_WIDTH).print(table)


def dataset_table(dataset: Dataset, task_name: str = "") -> None:
    """Images, subjects and classes (of the task named, else of the first) a view and split."""
    names = [name for name in (task_name, *dataset.task_names()) if name in dataset.task_names()]
    task = TASKS[names[0]] if names else None
    classes = task.classes if task else ()
    rows = []
    for view in View:
        for split in SPLITS:
            part = dataset.rows(view, split)
            if len(part):
                counts = [str(int((part[task.name] == name).sum())) for name in classes] if task else []
                rows.append([view.value, split, str(len(part)), str(part["subject_id"].nunique()), *counts])
    _table("dataset", ["view", "split", "images", "subjects", *classes], rows)


def patch_table(description: Mapping[str, Any]) -> None:
    """Patches of each class a split, as dataset.json of a patch set has them."""
    counts: Mapping[str, Mapping[str, int]] = description["patches"]["counts"]
    title = f"patch set {description['patches']['set']}"
    rows = [
        [split, *(str(counts[split][name]) for name in PATCH_CLASSES)] for split in (*SPLITS, "all") if split in counts
    ]
    _table(title, ["split", *PATCH_CLASSES], rows)


def tile_table(description: Mapping[str, Any]) -> None:
    """Tiles of each class a split, as dataset.json of a tile set has them, and its notes."""
    said: Mapping[str, Any] = description["tiles"]
    rows = []
    for split, counts in ((split, said["counts"][split]) for split in (*SPLITS, "all") if split in said["counts"]):
        whole = counts["normal"] + counts["abnormal"]
        rows.append([split, str(counts["normal"]), str(counts["abnormal"]), f"{counts['normal'] / whole:.3f}"])
    _table(f"tile set {said['set']}, {said['size_px']} pixels", ["split", "normal", "abnormal", "normal share"], rows)
    for note in description["notes"]:
        _console().print(note, markup=False)


def audit_table(found: Audit, out: Path, as_json: bool, fixed: Path | None = None) -> None:
    """How many problems of each kind, gravest first, where the contact sheet is, and what follows a fix."""
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
        return
    rows = [[f"{severity}: {PROBLEMS[code].title}", code, str(n), first] for severity, code, n, first in found.counts()]
    if rows:
        _table(
            f"audit of {found.root}: {found.files} files ({found.source})",
            ["problem", "code", "how many", "first"],
            rows,
        )
    else:
        _console().print(f"audit of {found.root}: nothing found in {found.files} files", markup=False)
    for one in found.problems:
        if one.code == "archive":
            _console().print(f"archive: {one.found}", markup=False)
    probes = [
        [f"{p.target} from {p.probe}", f"{p.value:.2f} ({p.low:.2f} to {p.high:.2f})", f"{p.whole:.2f}", p.severity]
        for p in found.shortcuts
    ]
    if probes:
        _table("shortcuts: AUC, chance 0.5", ["what is told from what", "AUC (95 %)", "whole image", "verdict"], probes)
    leaks = found.leaks[:_EXAMS_SHOWN]
    for leak in leaks:
        _console().print(f"leak: {leak}", markup=False)
    if len(found.leaks) > len(leaks):
        _console().print(f"… and {len(found.leaks) - len(leaks)} more leaks in audit.json", markup=False)
    _console().print(f"contact sheet: {out / 'audit.html'}", markup=False)
    if fixed:
        _console().print(f"{found.fixes} decisions in {fixed / 'fixes.csv'}", markup=False)
        loose = f"next: ensemble-mammo prepare manifest {fixed} --out DATASET"
        again = (
            f"next: ensemble-mammo prepare {found.source} {found.root} --fixes {fixed / 'fixes.csv'} … --out DATASET"
        )
        ready = f"the corrected dataset, which can be trained on as it is: {fixed}"
        _console().print({"dataset": ready, "files": loose, "manifest": loose}.get(found.source, again), markup=False)


def scores_table(scores: Scores, models: Sequence[Path], fusion: Fusion, as_json: bool) -> None:
    """A table a view, a breast and the subject, for each exam; notes behind it."""
    from ensemble_mammo.stages.predict import as_json as document

    if as_json:
        print(json.dumps(document(scores, models, fusion), indent=2))
        return
    levels = scores.levels()
    exams = list(dict.fromkeys(key for table in levels for key in table.keys))
    sets = ["set"] if scores.sets else []  # of a calibration: the classes that cannot be ruled out
    for key in exams[:_EXAMS_SHOWN]:
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
        _table(
            f"{key[0]}{exam}{_unsure(scores, key)}",
            ["level", scores.task.name, *scores.task.classes, *sets, "images", "views"],
            rows,
        )
    if len(exams) > _EXAMS_SHOWN:
        _console().print(f"… and {len(exams) - _EXAMS_SHOWN} more exams; --out writes them all", markup=False)
    _notes(scores.notes)


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
        _console().print(warning, markup=False)
    heading, *rows = report.table()
    _table(f"figures of merit, {report.task.name}: value (95 % interval)", heading, rows)
    if called := called_in_words(report):
        _console().print(f"called: {called}", markup=False)
    for section in report.sections:
        if section.name in _TOLD:
            _console().print(f"{section.name}: {section.lead}", markup=False)
    _notes([note for note in report.notes if note not in one_class(report)])
    _console().print(f"report: {out / 'report.html'}", markup=False)


def reproduction_tables(found: Reproduction) -> None:
    """Published beside obtained, a table each."""
    _console().print(f"{found.title}\nsource: {found.source}", markup=False)
    for table in found.tables:
        rows = [[_cell(cell) for cell in row] for row in table.rows]
        _table(table.title, list(table.columns.values()), rows)
        if table.caption:
            _console().print(table.caption, markup=False)
    _notes(found.notes)


def sweep_tables(found: Sweep, out: Path, as_json: bool) -> None:
    """Figures of every point, means over seeds where there are some, then warnings and what failed."""
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
        return
    for title, heading, rows in found.shown():
        _table(title, heading, rows, wide=True)
    _notes(found.remarks())
    _console().print(f"tables: {out / 'sweep.md'}, sweep.csv, sweep.json", markup=False)


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


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        _console().print(f"note: {note}", markup=False)


def runs_table(results: Sequence[TrainResult], as_json: bool) -> None:
    """Where each view's run lies and how it ended."""
    rows: list[dict[str, Any]] = [_run(result) for result in results]
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        _table("runs", list(rows[0]), [[str(value) for value in row.values()] for row in rows])


def _run(result: TrainResult) -> dict[str, Any]:
    shown = (
        "view",
        "epochs",
        "kept_epoch",
        "val_accuracy",
        "val_majority",
        "val_loss",
        "wall_seconds",
        "images_per_second",
    )
    facts = {name: result.info.get(name) for name in shown}
    rounded = {name: round(v, 4) if isinstance(v, float) else "-" if v is None else v for name, v in facts.items()}
    return {"folder": str(result.folder), **rounded}


@contextmanager
def training_bar() -> Iterator[Callable[[Advance], None] | None]:
    """A bar with the time left while networks learn; None where nobody sees it (epochs are logged anyway)."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("train", total=None)

        def show(at: Advance) -> None:
            done = (at.epoch - 1) * at.batches + at.batch
            what = f"epoch {at.epoch}/{at.epochs}, loss {at.loss:.3f}"
            if done == 1:
                progress.reset(task)
            progress.update(task, total=at.epochs * at.batches, completed=done, description=what)

        yield show
