"""Work in processes of this machine: one that dies or hangs costs its item, never the run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.worker import Worker, ready, value_or_error

Item = TypeVar("Item")
Value = TypeVar("Value")

_WINDOW = 4
"""Items a worker that may be finished ahead of the one whose turn it is: memory stays flat."""
_GPUS = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that a process sees."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item."""

    item: Item
    "the item"
    value: Value | None
    "the function's answer; None when it failed"
    error: str = ""
    "why it failed, one sentence; empty when it did not"


@dataclass(frozen=True)
class Share:
    """What the work on one item uses at once."""

    cores: int = 1
    "processor cores"
    gpus: int = 0
    "GPUs"


ONE_CORE = Share()
"""What the work on a file uses."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread_locally(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    workers: int = 0,
    seconds: float = 60.0,
    share: Share = ONE_CORE,
) -> Iterator[Outcome[Item, Value]]:
    """Apply a function to items in processes of this machine, as `engine.spread` says.

    Where the share has GPUs, each process sees its own alone; `workers` says for how many there are enough.
    Outcomes of work without a limit in time, which is long and answers little, are not held back by one that is late.

    Raises:
        ExecutionError: the share has more cores, or all workers together more GPUs, than the machine.
    """
    count = max(1, min(_room(workers, share), len(items)))
    ahead = _WINDOW * count if math.isfinite(seconds) else len(items)
    pool = [Worker(function, seconds, _environment(place, share)) for place in range(count)]
    waiting: dict[int, Outcome[Item, Value]] = {}
    given = due = 0
    try:
        while due < len(items):
            for worker in pool:  # before anything is yielded: whoever takes the outcomes may take his time
                if worker.free and given < len(items) and given - due < ahead:
                    worker.give(given, items[given])
                    given += 1
            if due in waiting:
                yield waiting.pop(due)
                due += 1
                continue
            for worker in ready(pool):
                place, value, error = worker.answer()
                waiting[place] = Outcome(items[place], value, error)
    finally:
        for worker in pool:
            worker.end()
        for worker in pool:
            worker.stop()


def one_by_one(function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Outcome[Item, Value]]:
    """What `engine.spread` gives, made in this process: within a worker, which has no workers of its own."""
    return (Outcome(item, *value_or_error(function, item)) for item in items)


def _room(workers: int, share: Share) -> int:
    """How many items there is room for at once."""
    have = cores()
    if share.cores > have:
        raise ExecutionError(f"{share.cores} cores asked for each, this machine has {have}; ask for fewer")
    room = workers or have // max(1, share.cores)
    if share.gpus and _GPUS in os.environ:
        seen = len(_visible()) // share.gpus
        if not seen:
            raise ExecutionError(f"{_GPUS} is {os.environ[_GPUS]!r}: no room for {share.gpus} GPUs each")
        return min(room, seen)
    return room


def _visible() -> list[str]:
    return [name.strip() for name in os.environ.get(_GPUS, "").split(",") if name.strip()]


def _environment(place: int, share: Share) -> dict[str, str]:
    """What a worker's environment has of its own: the GPUs that it sees."""
    if not share.gpus:
        return {}
    own = range(place * share.gpus, (place + 1) * share.gpus)
    seen = _visible()
    return {_GPUS: ",".join(seen[number] if seen else str(number) for number in own)}
