"""Networks while they learn, and where they lie afterwards."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ensemble_mammo.console.terminal import print_notes, print_table
from ensemble_mammo.records.remote import shown

if TYPE_CHECKING:
    from ensemble_mammo.learning.state import Advance
    from ensemble_mammo.workflows.trainings import Ended
    from ensemble_mammo.workflows.watch import Progress as Far

_ROWS = 20
"""Trainings that one table shows; of more, those at work and counts of the others."""

_SHOWN = (
    "view",
    "epochs",
    "kept_epoch",
    "val_accuracy",
    "val_majority",
    "val_loss",
    "wall_seconds",
    "images_per_second",
)


def runs_table(ended: Sequence[Ended], as_json: bool) -> None:
    """Where each training's run lies and how it ended, and why some failed."""
    failed = [one for one in ended if one.error]
    rows: list[dict[str, Any]] = [_run(one) | ({"failure": one.failure} if failed else {}) for one in ended]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if rows:
        print_table("runs", list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    if failed:
        print_notes([f"{len(failed)} of {len(ended)} trainings failed; the same command trains only those"])


def _run(one: Ended) -> dict[str, Any]:
    if one.error:
        nothing = dict.fromkeys(_SHOWN, "-")
        return {"folder": shown(one.training.folder), **nothing, "view": one.training.folder.name}
    facts = {name: one.result().info.get(name) for name in _SHOWN}
    rounded = {name: round(v, 4) if isinstance(v, float) else "-" if v is None else v for name, v in facts.items()}
    return {"folder": shown(one.training.folder), **rounded}


@contextmanager
def trainings_shown() -> Iterator[tuple[Callable[[Advance], None] | None, Callable[[Sequence[Far]], None] | None]]:
    """A bar for a training in this process, a table for those in others; None where nobody sees it (the log tells)."""
    if not sys.stderr.isatty():
        yield None, None
        return
    live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)

    def show(rows: Sequence[Far]) -> None:
        if rows and not live.is_started:
            live.start()
        if live.is_started:
            live.update(trainings_table(rows) if rows else "", refresh=True)
        if not rows:
            live.stop()

    with training_bar() as progress:
        try:
            yield progress, show
        finally:
            live.stop()


def trainings_table(rows: Sequence[Far]) -> Table:
    """How far trainings are: all of them, or, where they are many, those at work and what failed; counts below."""
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    table = Table(title=f"trainings: {told}", title_justify="left", caption_justify="left")
    for heading in ("training", "where", "state", "epoch", "val accuracy", "val loss", "AUC", "images/s", "left"):
        table.add_column(heading, justify="left" if heading in ("training", "where", "state") else "right")
    shown = rows if len(rows) <= _ROWS else [row for row in rows if row.state in ("training", "failed")][:_ROWS]
    for row in shown:
        state = f"failed: {row.reason}" if row.reason else row.state
        left = f"{row.seconds_left:.0f} s" if row.state == "training" and not math.isnan(row.seconds_left) else ""
        epoch = f"{row.epoch}/{row.epochs}" if row.epoch else ""
        figures = [_figure(row.val_accuracy, 3), _figure(row.val_loss, 4), _figure(row.val_auc, 3)]
        speed = _figure(row.images_per_second, 1)
        table.add_row(*(escape(cell) for cell in (row.name, row.where, state, epoch, *figures, speed, left)))
    if len(shown) < len(rows):
        table.caption = f"and {len(rows) - len(shown)} more"
    return table


def _figure(value: float, places: int) -> str:
    return "" if math.isnan(value) else f"{value:.{places}f}"


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
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task("train", total=None)

    def show(at: Advance) -> None:
        done = (at.epoch - 1) * at.batches + at.batch
        what = f"epoch {at.epoch}/{at.epochs}, loss {at.loss:.3f}"
        if done == 1:
            progress.reset(task)
        progress.update(task, total=at.epochs * at.batches, completed=done, description=what)
        progress.start()  # with the first batch: other trainings may run in other processes

    try:
        yield show
    finally:
        progress.stop()
