"""A Ray cluster joined for a while: one that runs, or one of this machine that lives as long as the work."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.local import ONE_CORE, Share, cores

_PROBE_SECONDS = 5.0
"""How long an address may take to answer."""
_CLIENT_PORT = 10001
"""Of ray:// addresses that name none (Ray's own default)."""
_KINDS = "HOST:PORT is for its own nodes, ray://HOST:10001 for other machines"
_LONGEST = 40
"""Characters of a temporary folder that leave room for the names of Ray's sockets (107 in all)."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How HTTP/2, which Ray speaks, begins (RFC 9113, 3.4): the preface and empty settings."""
_SETTINGS = 4
"""Type of the frame that a server of HTTP/2 answers with."""


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster offers."""

    cores: int
    "processor cores, as Ray was told"
    gpus: int
    "GPUs"

    def room(self, share: Share) -> int:
        """How many such shares it holds."""
        held = self.cores // max(1, share.cores)
        return min(held, self.gpus // share.gpus) if share.gpus else held


@contextmanager
def joined(address: str = "", workers: int = 0, share: Share = ONE_CORE) -> Iterator[None]:
    """Be part of a cluster; one that this process is part of already is used, and left as it is.

    Args:
        address: of a running cluster, which goes on afterwards; empty: one of this machine, which ends afterwards.
        workers: how many at once a cluster of this machine makes room for; 0: as many as it has cores.
        share: what each of them uses.

    Raises:
        ExecutionError: no Ray here, or no cluster there.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    with _sigterm_as_it_was(), _stay(ray, address, workers, share):
        yield


@contextmanager
def _stay(ray: Any, address: str, workers: int, share: Share) -> Iterator[None]:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        _probe(address)
        _begin(ray, f"--address {address}: cannot join the Ray cluster ({_KINDS})", address=address, **quiet)
        own = None
    else:
        own = _folder()
        have = cores()
        room = have if share.cores > have else max(have, workers * share.cores)
        # memory that runs short ends a process, as with processes of this machine: Ray would try for ever
        settings = {"num_cpus": room, "include_dashboard": False, "_system_config": {"memory_monitor_refresh_ms": 0}}
        _begin(ray, "no Ray cluster of this machine", address="local", _temp_dir=str(own), **settings, **quiet)
    begun = session()
    try:
        yield
    finally:
        if session() == begun:
            ray.shutdown()
        if own:
            shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    """Give back the handler of SIGTERM, in place of which Ray puts its own for good."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        _hear_sigterm_by(before)


def _hear_sigterm_by(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def session() -> str:
    """What tells one stay in a cluster from the next: a generator may be closed when its own is over."""
    ray = _ray()
    return str(ray.get_runtime_context().get_job_id()) if ray.is_initialized() else ""


def nodes() -> list[Node]:
    """The machines of the cluster that are alive."""
    found = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    return [Node(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in found]


def fitting(share: Share, workers: int, address: str) -> int:
    """How many items run at once.

    Raises:
        ExecutionError: not one, or fewer than asked for.
    """
    found = nodes()
    name = f"the Ray cluster {address}".rstrip()
    room = sum(node.room(share) for node in found)
    if not any(node.cores for node in found):
        raise ExecutionError(f"{name} has no CPU for work; start a node with ray start --num-cpus")
    if not room:
        largest = "; ".join(f"{one.cores} cores and {one.gpus} GPUs" for one in sorted(set(found), key=_size)[-3:])
        raise ExecutionError(
            f"{name} has no node with {share.cores} cores and {share.gpus} GPUs for each (its largest: {largest}); "
            "ask for less, or add a node"
        )
    if workers > room:
        raise ExecutionError(f"{name} has room for {room} at once, {workers} workers asked for; give --workers 0")
    return workers or room


def one_line(error: object) -> str:
    """What an error says, on one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _size(node: Node) -> tuple[int, int]:
    return node.gpus, node.cores


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # those of work that was given up; all others are taken
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ExecutionError("--engine ray needs Ray: pip install ensemble-mammo[ray]") from None
    return ray


def _begin(ray: Any, problem: str, **settings: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Ray Client connection timed out", UserWarning)  # an error follows
            before = signal.getsignal(signal.SIGTERM)
            ray.init(**settings)
            if callable(before):  # somebody's own; else Ray's, which ends the cluster of the command
                _hear_sigterm_by(before)
    except (Exception, SystemExit) as error:  # Ray leaves the process where its cluster does not answer
        ray.shutdown()
        if "_temp_dir" in settings:
            shutil.rmtree(settings["_temp_dir"], ignore_errors=True)
        raise ExecutionError(f"{problem}: {one_line(error)}") from None


def _folder() -> Path:
    """A folder of its own for a cluster's sockets and logs."""
    where = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="ray-", dir=where if len(where) <= _LONGEST else "/tmp")).resolve()


def _probe(address: str) -> None:
    """Refuse an address where nothing of Ray answers: Ray itself waits for minutes, and may end the process."""
    if address == "auto":
        found = os.environ.get("RAY_ADDRESS") or _noted()
        if not found or found == "auto":
            return
        address = found
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address.startswith("ray://") and not host:
        host, port = port, str(_CLIENT_PORT)
    if not host or not port.isdigit() or "/" in host:
        raise ExecutionError(f"--address {address}: expected auto, HOST:PORT or ray://HOST:PORT")
    advice = "start one with ray start --head, or leave --address out"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS) as line:
            line.settimeout(_PROBE_SECONDS)
            line.sendall(_HELLO)
            heard = line.recv(9)
    except (OSError, OverflowError) as error:
        raise ExecutionError(f"--address {address}: no Ray cluster answers ({one_line(error)}); {advice}") from None
    if os.environ.get("RAY_USE_TLS", "0") == "0" and (len(heard) < 4 or heard[3] != _SETTINGS):
        raise ExecutionError(f"--address {address}: what answers there is no Ray cluster; {advice}")


def _noted() -> str:
    """The address of the cluster that was started last on this machine."""
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    try:
        return note.read_text().strip()
    except OSError:
        return ""
