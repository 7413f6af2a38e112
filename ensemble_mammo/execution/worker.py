"""A process of this machine that works on items one by one, and is replaced when it dies or hangs."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ensemble_mammo.errors import EnsembleMammoError
from ensemble_mammo.records import remote

_START_SECONDS = 120.0
"""How long a worker may take to start, before its first item's own limit begins."""
_GRACE_SECONDS = 60.0
"""How long a worker that is told to end may take: a training writes its state, other work just ends."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of two settings of glibc's mallopt (malloc.h)."""


def ready(pool: list[Worker]) -> list[Worker]:
    """Those that have answered, died or taken too long; waits until there is something to be heard."""
    busy = [worker for worker in pool if not worker.free]
    pause = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    answered = set(wait([worker.pipe for worker in busy], pause if math.isfinite(pause) else None))
    for worker in busy:
        if worker.starting and worker.pipe in answered:
            worker.begin()
            answered.remove(worker.pipe)
    now = time.monotonic()
    return [worker for worker in busy if worker.pipe in answered or now >= worker.deadline]


class Worker:
    """A process that answers one item at a time, started again when it died or hung."""

    def __init__(self, function: Callable[[Any], Any], seconds: float, environment: dict[str, str]) -> None:
        self.function = function
        self.seconds = seconds
        self.environment = environment
        self.place = -1
        self.deadline = 0.0
        self.starting = False
        self.process: BaseProcess | None = None
        self.pipe: Connection

    @property
    def free(self) -> bool:
        """Whether it has nothing to do."""
        return self.place < 0

    def give(self, place: int, item: Any) -> None:
        """Let it work on the item of a place; its process is started if there is none."""
        allowed = self.seconds
        if self.process is not None and not self.process.is_alive():
            self.stop()
        if self.process is None:
            allowed += _START_SECONDS
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            words = (self.function, theirs, self.environment, remote.mirrors())
            self.process = context.Process(target=_serve, args=words, daemon=True)
            with _main_left_alone(self.function):
                self.process.start()
            theirs.close()
            self.starting = True
        self.place = place
        self.deadline = time.monotonic() + allowed
        with suppress(BrokenPipeError):  # it died just now: `answer` finds that out
            self.pipe.send(item)

    def begin(self) -> None:
        """The process has started: its item's own limit begins."""
        self.starting = False
        self.deadline = time.monotonic() + self.seconds
        with suppress(EOFError, OSError):  # it died at once: `answer` finds that out
            self.pipe.recv()

    def answer(self) -> tuple[int, Any, str]:
        """Place, value and error of the item that it worked on; for those that `ready` names."""
        place, self.place = self.place, -1
        if not self.pipe.poll():
            if self.process is not None:
                self.process.kill()
            self.stop()
            return place, None, f"gave no answer within {self.seconds:g} s and was given up"
        try:
            value, error = self.pipe.recv()
        except (EOFError, OSError):
            return place, None, f"its worker process died ({self._end()})"
        return place, value, error

    def _end(self) -> str:
        process = self.process
        self.stop()
        code = process.exitcode if process else None
        if code == -signal.SIGKILL:
            return "SIGKILL; the machine may have run out of memory"
        if code is not None and code < 0:
            return f"{signal.Signals(-code).name}; the file is probably damaged"
        return f"exit status {code}"

    def end(self) -> None:
        """Tell the process to end: a free one sees its pipe closed, a busy one gets SIGTERM."""
        if self.process is None:
            return
        self.pipe.close()
        if not self.free:
            self.process.terminate()

    def stop(self) -> None:
        """Wait until the process has ended, in the last resort by force."""
        if self.process is None:
            return
        self.pipe.close()
        self.process.join(0.2 if self.free else _GRACE_SECONDS)
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


def _end_with_parent() -> None:
    """Get SIGTERM where the process that gives the items dies: nobody goes on alone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(
    function: Callable[[Any], Any], pipe: Connection, environment: dict[str, str], mirrors: tuple[remote.Mirror, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    remote.use(mirrors)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _keep_freed_memory()
    with suppress(BrokenPipeError):
        pipe.send("begun")
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send(value_or_error(function, item))
        except BrokenPipeError:  # nobody waits for it any more
            return


def value_or_error(function: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    """What a function makes of an item, or why it fails."""
    try:
        return function(item), ""
    except EnsembleMammoError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
