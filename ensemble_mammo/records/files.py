"""Files written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensemble_mammo.errors import EnsembleMammoError, OutputError
from ensemble_mammo.records import remote


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
