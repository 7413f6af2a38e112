"""SIGTERM, as a cluster sends it before it takes a machine away: the training saves and ends, to be gone on with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TEMPORARY = 75
"""The exit status of a stopped command: EX_TEMPFAIL of sysexits.h, try again."""


class Stopped(SystemExit):
    """The training was asked to stop and has saved what it needs; unless caught, the process ends with `TEMPORARY`."""

    def __init__(self) -> None:
        super().__init__(TEMPORARY)

    def __str__(self) -> str:
        return "SIGTERM"


def stop_at_once() -> None:
    """From now on raise `Stopped` wherever SIGTERM comes, once; outside the main thread nothing is changed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)


def no_longer_stopped() -> None:
    """Let SIGTERM pass where it would raise `Stopped`: what is left to do is to end."""
    if signal.getsignal(signal.SIGTERM) is _stop:
        signal.signal(signal.SIGTERM, _pass)


@contextmanager
def sigterm_as_before() -> Iterator[None]:
    """Give back the handler of SIGTERM at the end."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _stop(_: int, __: FrameType | None) -> None:
    no_longer_stopped()
    raise Stopped


def _pass(_: int, __: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN not inherited by the processes of other programs."""


@contextmanager
def asked_to_stop(at_once: bool = False, to_the_end: bool = False) -> Iterator[Callable[[], bool]]:
    """Tell whether SIGTERM has come; outside the main thread, where Python hears no signals, it never has.

    Args:
        at_once: raise `Stopped` wherever it comes, for work that never asks.
        to_the_end: after an error let SIGTERM pass for good: torchrun sends it to all processes as soon as one ends,
            and another still has to say why.

    Raises:
        Stopped: at the end, where it came and nobody asked.
    """
    came = threading.Event()

    def hear(_: int, __: FrameType | None) -> None:
        came.set()
        if at_once:
            raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield came.is_set
    except BaseException:
        if not to_the_end:
            signal.signal(signal.SIGTERM, before)
        raise
    signal.signal(signal.SIGTERM, before)
    if came.is_set():
        raise Stopped
