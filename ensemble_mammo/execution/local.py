"""Work on files in worker processes: one that dies or hangs costs its file, never the run."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from ensemble_mammo.errors import EnsembleMammoError

Item = TypeVar("Item")
Value = TypeVar("Value")

_START_SECONDS = 120.0
"""How long a worker may take to import and answer for the first time, on top of its item's own limit."""
_WINDOW = 4
"""Items a worker that may be finished ahead of the one whose turn it is: memory stays flat."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of two settings of glibc's mallopt (malloc.h)."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item."""

    item: Item
    "the item"
    value: Value | None
    "the function's answer; None when it failed"
    error: str = ""
    "why it failed, one sentence; empty when it did not"


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    function: Callable[[Item], Value], items: Sequence[Item], workers: int = 0, seconds: float = 60.0
) -> Iterator[Outcome[Item, Value]]:
    """Apply a function to items in worker processes; outcomes come in the order of the items.

    Args:
        function: importable by name (not a closure); its argument and answer travel between processes.
        items: what it is applied to.
        workers: number of processes; 0: one a core.
        seconds: an item that takes longer is given up and its worker replaced.

    Yields:
        One outcome an item. An exception, a worker that dies (a decoder may crash natively) and one
        that hangs each become the error text of that item alone.
    """
    count = max(1, min(workers or cores(), len(items)))
    pool = [_Worker(function, seconds) for _ in range(count)]
    waiting: dict[int, Outcome[Item, Value]] = {}
    given = due = 0
    try:
        while due < len(items):
            for worker in pool:
                if worker.free and given < len(items) and given - due < _WINDOW * count:
                    worker.give(given, items[given])
                    given += 1
            for worker in _ready(pool):
                place, value, error = worker.answer()
                waiting[place] = Outcome(items[place], value, error)
            while due in waiting:
                yield waiting.pop(due)
                due += 1
    finally:
        for worker in pool:
            worker.stop()


def _ready(pool: list[_Worker]) -> list[_Worker]:
    busy = [worker for worker in pool if not worker.free]
    pause = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    answered = set(wait([worker.pipe for worker in busy], pause))
    now = time.monotonic()
    return [worker for worker in busy if worker.pipe in answered or now >= worker.deadline]


class _Worker:
    """A process that answers one item at a time, started again when it died or hung."""

    def __init__(self, function: Callable[[Any], Any], seconds: float) -> None:
        self.function = function
        self.seconds = seconds
        self.place = -1
        self.deadline = 0.0
        self.process: BaseProcess | None = None
        self.pipe: Connection

    @property
    def free(self) -> bool:
        return self.place < 0

    def give(self, place: int, item: Any) -> None:
        allowed = self.seconds
        if self.process is not None and not self.process.is_alive():
            self.stop()
        if self.process is None:
            allowed += _START_SECONDS
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(self.function, theirs), daemon=True)
            with _main_left_alone(self.function):
                self.process.start()
            theirs.close()
        self.place = place
        self.deadline = time.monotonic() + allowed
        with suppress(BrokenPipeError):  # it died just now: `answer` finds that out
            self.pipe.send(item)

    def answer(self) -> tuple[int, Any, str]:
        place, self.place = self.place, -1
        if not self.pipe.poll():
            self.stop()
            return place, None, f"gave no answer within {self.seconds:g} s and was given up"
        try:
            value, error = self.pipe.recv()
        except (EOFError, OSError):
            return place, None, f"its worker process died ({self._end()}); the file is probably damaged"
        return place, value, error

    def _end(self) -> str:
        process = self.process
        self.stop()
        code = process.exitcode if process else None
        if code is not None and code < 0:
            return signal.Signals(-code).name
        return f"exit status {code}"

    def stop(self) -> None:
        if self.process is None:
            return
        self.pipe.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process = None


@contextmanager
def _main_left_alone(function: Callable[[Any], Any]) -> Iterator[None]:
    """Keep a new process from running the caller's script again: a script needs no `if __name__ == "__main__"`.

    Python does so to find what the script defines; a function of an importable module needs it not.
    """
    main: Any = sys.modules["__main__"]
    inner = function.func if isinstance(function, partial) else function
    if inner.__module__ == "__main__":
        yield
        return
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        for name in hidden:
            setattr(main, name, None)
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


def _keep_freed_memory() -> None:
    """Let the C library hand the memory that one item freed to the next (a fifth of the time, as images are large).

    glibc gives large blocks back to the system at once, and fresh pages are dear. Elsewhere nothing is changed.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_freed_memory()
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[Any, str] = (function(item), "")
        except EnsembleMammoError as error:
            answer = (None, str(error))
        except Exception as error:
            answer = (None, f"{type(error).__name__}: {error}")
        try:
            pipe.send(answer)
        except BrokenPipeError:  # nobody waits for it any more
            return
