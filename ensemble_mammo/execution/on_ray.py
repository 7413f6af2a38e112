"""Work spread over a Ray cluster: Ray decides where; each item is worked on as in a process of this machine."""

from __future__ import annotations

import logging
import math
import os
import pickle
import platform
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ensemble_mammo
from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.local import ONE_CORE, Outcome, Share
from ensemble_mammo.execution.ray_cluster import fitting, joined, nodes, one_line, session
from ensemble_mammo.execution.versions import difference, versions
from ensemble_mammo.execution.worker import Worker, ready
from ensemble_mammo.records import remote

Item = TypeVar("Item")
Value = TypeVar("Value")

_WINDOW = 4
"""Items there is room for at once, times this, may be ahead of the one whose turn it is: memory stays flat."""
_TRIES = 10
"""How often an item is begun whose worker or node dies."""
_log = logging.getLogger(__name__)
_QUIET_SECONDS = 60.0
"""After so long without an answer that is said, and again."""
_FREED_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Pauses in which a cluster may say that work which has just ended holds nothing any more."""
_LOOK_SECONDS = 2.0
"""How often the cluster's nodes are counted."""
_PATIENCE_SECONDS = 300.0
"""How long a cluster may be without any room, as after the death of a node that another will replace."""


def spread_on_ray(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    workers: int = 0,
    seconds: float = 60.0,
    address: str = "",
    share: Share = ONE_CORE,
) -> Iterator[Outcome[Item, Value]]:
    """Apply a function to items on a Ray cluster, as `engine.spread` says.

    An item whose worker or node dies is begun again elsewhere, without a word. The nodes see the same paths.

    Raises:
        ExecutionError: no Ray, no cluster at the address, no room there, or a node with other versions.
    """
    if not items:
        return
    with joined(address, workers, share):
        yield from _spread(function, items, seconds, _Room(workers, share, address))


class _Room:
    """How many items the cluster has room for at once, as nodes come and go."""

    def __init__(self, workers: int, share: Share, address: str) -> None:
        self.workers, self.share, self.address = workers, share, address
        self.count = fitting(share, workers, address)
        self.looked = self.last_seen = self.heard = time.monotonic()

    def now(self) -> int:
        """The number, counted again every few seconds."""
        moment = time.monotonic()
        if moment - self.looked > _LOOK_SECONDS:
            self.looked = moment
            found = sum(node.room(self.share) for node in nodes())
            if found:
                self.count, self.last_seen = min(self.workers or found, found), moment
            elif moment - self.last_seen > _PATIENCE_SECONDS:
                raise ExecutionError(
                    f"the Ray cluster {self.address}: no node with room is left for {_PATIENCE_SECONDS:g} s; "
                    "add one, and give the same command again"
                )
        return self.count

    def greet(self) -> None:
        """Say that others hold the cluster, where they do: this call's work waits until they end."""
        for pause in _FREED_SECONDS:
            if self._is_free():
                return
            time.sleep(pause)
        _log.warning(
            "the Ray cluster %s: waiting for room, others hold its %d cores and %d GPUs; Ctrl-C ends",
            self.address, sum(node.cores for node in nodes()), sum(node.gpus for node in nodes()),
        )  # fmt: skip

    def _is_free(self) -> bool:
        """Whether one share is left of all nodes together."""
        import ray

        free = ray.available_resources()
        return bool(free.get("CPU", 0) >= self.share.cores and free.get("GPU", 0) >= self.share.gpus)

    def listen(self, answers: Sequence[Any]) -> None:
        """Say that nothing comes back, where nothing does: others may hold the cluster."""
        import ray

        moment = time.monotonic()
        if not answers and moment - self.heard < _QUIET_SECONDS:
            return
        if not answers:
            free, cores = (one.get("CPU", 0) for one in (ray.available_resources(), ray.cluster_resources()))
            _log.warning(
                "the Ray cluster %s: nothing came back for %.0f s (free: %.0f of %.0f cores; others may hold the rest)",
                self.address, moment - self.heard, free, cores,
            )  # fmt: skip
        self.heard = moment


def _spread(
    function: Callable[[Item], Value], items: Sequence[Item], seconds: float, room: _Room
) -> Iterator[Outcome[Item, Value]]:
    import ray

    share = room.share
    begin = ray.remote(num_cpus=share.cores, num_gpus=share.gpus, max_retries=_TRIES - 1)(_answered).remote
    work = ray.put(_Work.of(function, seconds).packed())
    begun: dict[Any, tuple[int, Item]] = {}
    waiting: dict[int, Outcome[Item, Value]] = {}
    given = due = 0
    stay = session()
    room.greet()
    try:
        while due < len(items):
            ahead = _WINDOW * room.now() if math.isfinite(seconds) else len(items)
            at_once = room.workers or ahead
            while given < len(items) and given - due < ahead and len(begun) < at_once:
                item = items[given]
                begun[begin(work, item)] = given, item
                given += 1
            if due in waiting:
                yield waiting.pop(due)
                due += 1
                continue
            answers = _finished(list(begun))
            if math.isfinite(seconds):  # a training may take days
                room.listen(answers)
            for answer in answers:
                place, item = begun.pop(answer)
                waiting[place] = Outcome(item, *_taken(answer))
    finally:
        for answer in begun if session() == stay else ():
            ray.cancel(answer)


def _finished(begun: list[Any]) -> list[Any]:
    """Answers that are there; at most some seconds are waited for the first of them."""
    import ray

    first, _ = ray.wait(begun, num_returns=1, timeout=_LOOK_SECONDS)
    if not first:
        return []
    finished, _ = ray.wait(begun, num_returns=len(begun), timeout=0)
    return list(finished or first)


def _taken(answer: Any) -> tuple[Any, str]:
    """Value and error text of one answer."""
    import ray
    from ray import exceptions as errors

    try:
        value, error = pickle.loads(ray.get(answer))
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
        return None, f"its worker or node died in each of {_TRIES} tries ({type(error).__name__})"
    except errors.RayTaskError as error:
        what = one_line(error.cause or str(error).strip().splitlines()[-1])
        raise ExecutionError(f"a node of the Ray cluster cannot do the work: {what}; {_same()}") from None
    except (errors.RayError, ConnectionError) as error:
        raise ExecutionError(f"the Ray cluster is lost: {one_line(error)}; give the same command again") from None
    if isinstance(value, _Refused):
        raise ExecutionError(f"{value.text}; {_same()}")
    return value, error


def _same() -> str:
    return f"every node needs ensemble-mammo {ensemble_mammo.__version__} and the packages that this machine has"


@dataclass(frozen=True)
class _Refused:
    """What a node answers that cannot do the work."""

    text: str
    "why, with the node's name"


@dataclass(frozen=True)
class _Work:
    """What is done with each item; travels to the nodes once."""

    name: str
    "tells this call of `spread` from others"
    function: bytes
    "pickled: loaded where the item is worked on"
    seconds: float
    "that one item may take"
    folder: str
    "that relative paths start from"
    path: tuple[str, ...]
    "where Python looks for modules, last"
    mirrors: tuple[remote.Mirror, ...]
    "remote folders that paths lie in"

    @staticmethod
    def of(function: Callable[[Any], Any], seconds: float) -> _Work:
        """The work of a function."""
        packed, path = pickle.dumps(function), tuple(sys.path)
        return _Work(uuid.uuid4().hex, packed, seconds, str(Path.cwd()), path, remote.mirrors())

    def packed(self) -> tuple[dict[str, str], bytes]:
        """With the versions beside it, which a node of another version can read."""
        return versions(), pickle.dumps(self)


_kept: dict[tuple[str, str | None], Worker] = {}
"""Of a Ray worker: its one process, with the work and the GPUs that it was started for."""


def _answered(packed: tuple[dict[str, str], bytes], item: Any) -> bytes:
    """Run by Ray: one item, worked on in a process beside this one, so that Ray's worker never dies of a file."""
    theirs, work = packed
    if differs := difference(theirs):
        return pickle.dumps((_Refused(differs), ""))
    worker = _worker(pickle.loads(work))
    worker.give(0, item)
    try:
        while not ready([worker]):
            pass
        _, value, error = worker.answer()
    except BaseException:  # cancelled
        _kept.clear()
        worker.end()
        worker.stop()
        raise
    return pickle.dumps((value, error))


def _worker(work: _Work) -> Worker:
    key = work.name, os.environ.get("CUDA_VISIBLE_DEVICES")
    if key not in _kept:
        for other in _kept.values():
            other.end()
            other.stop()
        _kept.clear()
        remote.use(work.mirrors)  # which a process takes over as it starts
        _kept[key] = Worker(_AtHome(work), work.seconds, {})
    return _kept[key]


class _AtHome:
    """A function that is loaded as its process starts, where paths and modules are those of the command."""

    def __init__(self, work: _Work) -> None:
        self.work = work

    def __reduce__(self) -> tuple[Callable[[_Work], Any], tuple[_Work]]:
        return _loaded, (self.work,)

    def __call__(self, item: Any) -> Any:
        """Apply it; once loaded, it stands alone."""
        return _loaded(self.work)(item)


def _loaded(work: _Work) -> Callable[[Any], Any]:
    sys.path.extend(one for one in work.path if one not in sys.path)
    if Path(work.folder).is_dir():
        os.chdir(work.folder)
    try:
        function: Callable[[Any], Any] = pickle.loads(work.function)
    except Exception as error:
        return partial(_refuse, text=f"node {platform.node()} cannot load the work: {one_line(error)}")
    return function


def _refuse(item: Any, text: str) -> _Refused:
    del item
    return _Refused(text)
