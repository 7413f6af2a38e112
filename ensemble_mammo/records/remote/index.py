"""What is known of mirrored files: the remote file that each local one equals."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class State:
    """A local file as it is."""

    size: int
    "bytes"
    mtime_ns: int
    "when it was last changed, in nanoseconds"


@dataclass(frozen=True)
class Synced:
    """A local file at the moment when it equalled a remote one."""

    state: State
    "of the local file"
    tag: str
    "of the remote file"


def state_of(path: Path) -> State | None:
    """How a file is now; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return State(about.st_size, about.st_mtime_ns)


class Index:
    """A file of one line a change, the last one of a file holds; several processes append at once.

    A line that was cut is passed over: its file is then compared as an unknown one.
    """

    def __init__(self, path: Path) -> None:
        """Of the index in `path`, which need not exist."""
        self._path = path
        self._lock = threading.Lock()
        self._read_to = 0
        self._known: dict[str, Synced] = {}

    def known(self) -> dict[str, Synced]:
        """Files by their name in the store, with what other processes have added since the last call."""
        with self._lock:
            if self._path.is_file():
                if self._path.stat().st_size < self._read_to:  # it was written anew, or the cache taken away
                    self._read_to, self._known = 0, {}
                with self._path.open("rb") as handle:
                    handle.seek(self._read_to)
                    data = handle.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._read_to += len(whole)
                for line in whole.splitlines():
                    self._take(line)
            else:
                self._read_to, self._known = 0, {}
            return dict(self._known)

    def _take(self, line: bytes) -> None:
        with suppress(ValueError, TypeError):
            name, size, mtime_ns, tag = json.loads(line)
            if tag is None:
                self._known.pop(name, None)
            else:
                self._known[name] = Synced(State(size, mtime_ns), tag)

    def put(self, name: str, synced: Synced | None) -> None:
        """Remember that a file equals its remote one; None: it is no more."""
        state = synced.state if synced else State(0, 0)
        line = json.dumps([name, state.size, state.mtime_ns, synced.tag if synced else None]) + "\n"
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for other processes that bring files into the same folder; without effect where files cannot be locked."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
