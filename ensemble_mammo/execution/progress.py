"""Progress of long work: a bar with the time left on a terminal, plain lines when piped."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
Advance = Callable[[int, str], None]

_log = logging.getLogger(__name__)
_LINE_SECONDS = 15.0
"""Plain lines come at most so often."""


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items, showing how many of `total` are done and the time left."""
    with counting(total, what) as advance:
        for item in items:
            yield item
            advance(1, "")


@contextmanager
def counting(total: int, what: str) -> Iterator[Advance]:
    """Give a function `advance(steps, note)` that shows the progress of work of `total` steps."""
    if sys.stderr.isatty() and _log.isEnabledFor(logging.INFO):
        with _bar(total, what) as advance:
            yield advance
    else:
        yield _lines(total, what)


@contextmanager
def _bar(total: int, what: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, note="")
        yield lambda steps, note: progress.update(task, advance=steps, note=note)


def _lines(total: int, what: str) -> Advance:
    done = 0
    shown = time.monotonic()
    began = shown

    def advance(steps: int, note: str) -> None:
        nonlocal done, shown
        done += steps
        now = time.monotonic()
        if now - shown >= _LINE_SECONDS and done < total:
            shown = now
            left = (now - began) / max(done, 1) * (total - done)
            _log.info("%s: %d of %d, about %.0f s left %s", what, done, total, left, note)

    return advance
