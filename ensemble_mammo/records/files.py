"""Files written whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ensemble_mammo.errors import EnsembleMammoError, OutputError, RunError
from ensemble_mammo.records import remote

_log = logging.getLogger(__name__)

_USED = ".used"
"""In a folder that several processes may use at once: each holds a shared lock of it."""
_ALONE = ".lock.training"
"""In a folder that one process has alone, which holds its lock; a name that is never sent to remote stores."""
_PATIENCE_SECONDS = 90.0
"""How long a process is waited for that may be about to end: one told to stop has 60 s."""


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, else remove it.

    Where `path` lies in the mirror of a remote folder, the file is then sent there.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    os.close(handle)
    place = Path(name)
    try:
        yield place
        place.chmod(0o666 & ~_umask())
        place.replace(path)
    except OSError as error:
        if isinstance(error, EnsembleMammoError):
            raise
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        place.unlink(missing_ok=True)
    remote.written(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all; where it names files of mirrored folders, by their URLs."""
    with written_beside(path) as place:
        place.write_text(remote.worded(text), encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file, whole or not at all, and flush it to the disk."""
    with written_beside(path) as place, place.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def beside(folder: Path, ending: str) -> Path:
    """What lies beside a folder under its name and an ending: `<dataset>.key`."""
    folder = folder.resolve()
    return folder.with_name(folder.name + ending)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name: a hard link, or a copy where links cannot be made; what stood there is replaced.

    Raises:
        OutputError: the source is missing, or the target's folder cannot be written.
    """
    source = remote.present(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written from {source}: {error.strerror or error}") from error


@contextmanager
def in_use(folder: Path) -> Iterator[Callable[[], bool]]:
    """Let others see that a folder is used here; what is given tells whether nobody else uses it.

    Where files cannot be locked, nobody else is seen. An empty folder does not stay.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    handle = None
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _USED, os.O_RDWR | os.O_CREAT, 0o666)
        _lock(handle, shared=True)
    try:
        yield lambda: handle is None or _lock(handle)
    finally:
        with suppress(OSError):
            if handle is not None and _lock(handle) and [one.name for one in folder.iterdir()] == [_USED]:
                (folder / _USED).unlink()
                folder.rmdir()
        for one in new:
            with suppress(OSError):
                one.rmdir()
        if handle is not None:
            os.close(handle)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; one that is about to end is waited for.

    Raises:
        RunError: another process goes on training there.
    """
    path = folder / _ALONE
    handle = _lock_of(path)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def _lock_of(path: Path) -> int | None:
    """The locked file, open; None where there can be none."""
    until, said = time.monotonic() + _PATIENCE_SECONDS, False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # what is written next says so
            return None
        if _lock(handle) and _is_at(handle, path):
            return handle
        os.close(handle)
        if time.monotonic() > until:
            raise RunError(f"{path.parent}: another process trains here; wait until it ends, or give another --out")
        if not said:
            _log.warning("%s: another process trains here; waiting %.0f s for it", path.parent, _PATIENCE_SECONDS)
            said = True
        time.sleep(0.2)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file still has that name: whoever held it before removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _lock(handle: int, shared: bool = False) -> bool:
    """Lock an open file; False where another process holds it, True also where files cannot be locked."""
    try:
        import fcntl

        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
