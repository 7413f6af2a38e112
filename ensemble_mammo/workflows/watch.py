"""How far trainings in other processes are: read, every second, from what they write into their run folders."""

from __future__ import annotations

import csv
import logging
import math
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble_mammo.records.files import write_text

WAITING, TRAINING, FINISHED, FAILED = "waiting", "training", "finished", "failed"
"""What a training may be."""

_HISTORY = "history.csv"
_AT_WORK = ".training"
"""Lies in a run folder while another process trains there, and names that process."""
_SECONDS = 1.0
"""Between two looks."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far one training is."""

    name: str
    "of the training"
    folder: Path
    "of its run"
    epochs: int
    "that its recipe has"
    state: str = WAITING
    "waiting, training, finished or failed"
    where: str = ""
    "machine and process"
    epoch: int = 0
    "epochs done"
    val_accuracy: float = math.nan
    "of the last epoch"
    val_loss: float = math.nan
    "of the last epoch"
    val_auc: float = math.nan
    "of the last epoch"
    images_per_second: float = math.nan
    "in the last epoch"
    seconds_left: float = math.nan
    "at the mean pace so far, if no epoch is left out"
    reason: str = ""
    "why it failed"

    def line(self) -> str:
        """What a log says of it."""
        if self.state == FAILED:
            return f"{self.name}: failed: {self.reason}"
        if self.state == TRAINING:
            return f"{self.name}: training ({self.where})"
        judged = "" if math.isnan(self.val_accuracy) else f", val {self.val_loss:.4f} / {self.val_accuracy:.3f}"
        judged += "" if math.isnan(self.val_auc) else f", AUC {self.val_auc:.3f}"
        return f"{self.name}: finished, {self.epoch} epochs{judged}, {self.images_per_second:.1f} images/s"


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Let a run folder say that this process trains there."""
    write_text(folder / _AT_WORK, f"{platform.node()} {os.getpid()}\n")
    try:
        yield
    finally:
        forget(folder)


def forget(folder: Path) -> None:
    """Take away what a process that trained there may have left; a folder that holds nothing else goes with it."""
    with suppress(OSError):
        (folder / _AT_WORK).unlink()
        folder.rmdir()


class Watch:
    """The progress of several trainings; `watched` makes one."""

    def __init__(self, rows: Sequence[Progress], show: Callable[[Sequence[Progress]], None] | None) -> None:
        self.rows = {row.name: row for row in rows}
        self._show = show
        self._lock = threading.Lock()
        self._hidden = False

    def look(self) -> None:
        """Read how far those are that have not ended, and show it."""
        with self._lock:
            for row in [row for row in self.rows.values() if row.state in (WAITING, TRAINING)]:
                self._put(_looked(row))
            if self._show is not None and not self._hidden:
                self._show(list(self.rows.values()))

    def ended(self, name: str, reason: str, before: bool = False) -> None:
        """Note that a training has ended, in an earlier call perhaps, and why it failed, if it did."""
        with self._lock:
            row = self.rows[name]
            forget(row.folder)
            self._put(replace(_read(row), state=FAILED if reason else FINISHED, reason=reason), said=not before)

    def hide(self, hidden: bool) -> None:
        """Show nothing while something else is shown, or go on showing."""
        with self._lock:
            self._hidden = hidden
            if self._show is not None and hidden:
                self._show([])

    def _put(self, row: Progress, said: bool = True) -> None:
        if said and self._show is None and row.state != self.rows[row.name].state:
            _log.log(logging.WARNING if row.state == FAILED else logging.INFO, "%s", row.line())
        self.rows[row.name] = row


@contextmanager
def watched(rows: Sequence[Progress], show: Callable[[Sequence[Progress]], None] | None) -> Iterator[Watch]:
    """Watch trainings from a thread until the block ends."""
    for row in rows:
        forget(row.folder)
    watch, over = Watch(rows, show), threading.Event()

    def look_on() -> None:
        while not over.wait(_SECONDS):
            watch.look()

    thread = threading.Thread(target=look_on, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        watch.hide(True)


def _looked(row: Progress) -> Progress:
    """A row as its folder tells it now."""
    try:
        where = (row.folder / _AT_WORK).read_text(encoding="utf-8")
    except OSError:
        return row
    return replace(_read(row), state=TRAINING, where=" ".join(where.split()))


def _read(row: Progress) -> Progress:
    """A row with what the history of its run tells."""
    try:
        with (row.folder / _HISTORY).open(encoding="utf-8", newline="") as file:
            history = [{name: float(value) for name, value in one.items()} for one in csv.DictReader(file)]
        last = history[-1]
        mean = sum(one["seconds"] for one in history) / len(history)
        return replace(
            row,
            epoch=len(history),
            val_accuracy=last["val_accuracy"],
            val_loss=last["val_loss"],
            val_auc=last["val_auc"],
            images_per_second=last["images_per_second"],
            seconds_left=max(0, row.epochs - len(history)) * mean,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):  # none yet, or being written
        return row
