"""Where work on many items runs: processes of this machine, or a Ray cluster; the same results from either."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.local import ONE_CORE, Outcome, Share, spread_locally
from ensemble_mammo.records import remote
from ensemble_mammo.records.ranges import expect

Item = TypeVar("Item")
Value = TypeVar("Value")

ENGINES = ("local", "ray")
"""What may be asked for."""
_LATE_SECONDS = (0.5, 2.0, 5.0)
"""Pauses in which a file of another machine may come to be seen."""


@dataclass(frozen=True)
class Engine:
    """What work is spread by."""

    name: str = "local"
    "local: processes of this machine; ray: a Ray cluster"
    address: str = ""
    "of a running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; empty: one of this machine alone, for the command"

    def __post_init__(self) -> None:
        """Refuse another engine, and an address of processes."""
        expect("engine", self.name, ENGINES)
        if self.address and self.name != "ray":
            raise ValueError(f"address {self.address} goes with engine = ray")


LOCAL = Engine()
"""Processes of this machine."""


def running(engine: Engine, workers: int = 0) -> AbstractContextManager[None]:
    """Have the engine stand ready for several calls of `spread`: a cluster is joined once, before anything is written.

    Args:
        engine: which.
        workers: how many will work at once; 0: as many as there is room for.

    Raises:
        ExecutionError: the engine is not installed, or cannot be reached.
    """
    if engine.name == "ray":
        from ensemble_mammo.execution.ray_cluster import joined

        return joined(engine.address, workers)
    return nullcontext()


def refuse_lost(path: Path) -> None:
    """Refuse to go on where a file was written that is not seen here: another machine wrote it to its own disk.

    Raises:
        ExecutionError: after some seconds, as shared storage may show a new file late.
    """
    for pause in (*_LATE_SECONDS, 0):
        if remote.present(path).is_file():
            return
        time.sleep(pause)
    raise ExecutionError(
        f"{path}: was written, but is not seen here: all nodes need the output folder at the same path, "
        "on storage that they share"
    )


def spread(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    workers: int = 0,
    seconds: float = 60.0,
    engine: Engine = LOCAL,
    share: Share = ONE_CORE,
) -> Iterator[Outcome[Item, Value]]:
    """Apply a function to items in worker processes; outcomes come in the order of the items.

    Args:
        function: importable by name (not a closure); its argument and answer travel between processes.
        items: what it is applied to.
        workers: how many work at once; 0: as many as there is room for.
        seconds: an item that takes longer is given up and its worker replaced; infinite: never.
        engine: where they run.
        share: what each item's work uses.

    Yields:
        One outcome an item. An exception, a worker that dies (a decoder may crash natively) and one
        that hangs each become the error text of that item alone.

    Raises:
        ExecutionError: the engine is not installed, cannot be reached, or has no room for one such share.
    """
    if engine.name == "ray":
        from ensemble_mammo.execution.on_ray import spread_on_ray

        return spread_on_ray(function, items, workers, seconds, engine.address, share)
    return spread_locally(function, items, workers, seconds, share)
