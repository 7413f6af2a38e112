"""Images in tar shards: a member is named as if the shard were a folder, and read with one seek.

`shards/000003.tar/<image_id>.png` is the member `<image_id>.png` of `shards/000003.tar`. Beside a shard lies its index,
`000003.tar.index`: lines of one length, sorted by name, each with name, first byte and size of a member. It is looked
up where it lies, so that it costs no memory and no time to load; a shard without a right one is read through once.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import re
import tarfile
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_mammo.records.remote import present

if TYPE_CHECKING:  # processes that decode need no pandas, and start without it in half the time
    import pandas as pd

SHARDS = "shards"
"""The folder of a dataset that holds them."""
TAR = ".tar"
"""Ending of a shard."""
INDEX = ".index"
"""Ending of a shard's index, after that of the shard."""

_log = logging.getLogger(__name__)
_BLOCK = 512
"""Bytes of a tar header; it stands right before the member (POSIX ustar)."""
_OCTAL = 8**11 - 1
"""The largest size that a header has in octal digits."""
_OPEN = 64
"""Shards that are kept open."""
_NUMBERS = 34
"""Characters of a line of the index behind the name: two numbers of 16 digits, with a space before each."""


def in_shard(path: Path) -> bool:
    """Whether a path names a member of a shard."""
    shard, _ = os.path.split(path)
    return shard.endswith(TAR) and not os.path.isdir(shard)  # noqa: PTH112


def content(path: Path) -> bytes:
    """The bytes of a file, or of a member of a shard.

    Raises:
        FileNotFoundError: no such file, shard or member.
        OSError: it cannot be read, or the shard is damaged.
    """
    return _shard(path).read(path.name) if in_shard(path) else present(path).read_bytes()


def state(path: Path) -> tuple[int, int] | None:
    """Size, and time of the last change in nanoseconds, of a file or a member; None where there is none."""
    if not in_shard(path):
        about = path.stat() if present(path).is_file() else None
        return about and (about.st_size, about.st_mtime_ns)
    try:
        shard = _shard(path)
        return shard.place(path.name)[1], shard.state[1]
    except FileNotFoundError:
        return None


def place(path: Path) -> tuple[int, int]:
    """First byte and size of a member in its shard.

    Raises:
        FileNotFoundError: no such shard or member.
    """
    return _shard(path).place(path.name)


def exists(path: Path) -> bool:
    """Whether there is such a file, or such a member."""
    return state(path) is not None


def members_among(files: pd.Series) -> pd.Series:
    """Which of the files that a table names, relative to a dataset, are members of shards."""
    return files.str.contains(rf"{re.escape(TAR)}/[^/]+$")


def as_if_loose(table: pd.DataFrame) -> pd.Series:
    """The column `file` of a manifest as `prepare` writes it without shards: data are the same in either form."""
    loose = "images/" + table["view"] + "/" + table["image_id"] + ".png"
    return table["file"].where(~members_among(table["file"]), loose)


def files_behind(root: Path, names: Iterable[str]) -> list[str]:
    """The files below a folder that hold what is named, each once: themselves, or shards and their indexes."""
    found: dict[str, None] = {}
    for name in filter(None, names):
        shard = name.rpartition("/")[0]
        if shard in found:
            continue
        if not in_shard(root / name):
            found[name] = None
            continue
        found[shard] = None
        if (root / f"{shard}{INDEX}").is_file():
            found[f"{shard}{INDEX}"] = None
    return list(found)


def index_of(members: Iterable[tuple[str, int, int]], size: int) -> bytes:
    """The index of a shard.

    Args:
        members: name, first byte and size of each.
        size: bytes of the whole shard; stands in the first line, which has no name.
    """
    named = sorted([(b"", 0, size), *((name.encode(), first, length) for name, first, length in members)])
    width = max(len(name) for name, _, _ in named)
    return b"".join(b"%-*b %16d %16d\n" % (width, *line) for line in named)


def _shard(path: Path) -> _Shard:
    """The shard of a member, as it is now."""
    shard, _ = os.path.split(path)
    present(Path(shard))
    about = os.stat(shard)  # noqa: PTH116
    return _opened(shard, about.st_size, about.st_mtime_ns)


class _Shard:
    """An open shard and where its members lie; closed when nobody reads from it any more."""

    def __init__(self, path: Path, size: int, changed: int) -> None:
        self.path, self.state = path, (size, changed)
        self.file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.index = _written_index(path, size) or _scanned_index(path, size, changed)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self.file)

    def place(self, name: str) -> tuple[int, int]:
        """First byte and size of a member."""
        wanted, line = name.encode(), self.index.find(b"\n") + 1
        end = line - _NUMBERS - 1

        def named(number: int) -> bytes:
            return bytes(self.index[number * line : number * line + end]).rstrip()

        count = len(self.index) // line
        found = bisect_left(range(count), wanted, lo=1, key=named)
        if found < count and named(found) == wanted:
            with suppress(ValueError):  # of a line that is damaged
                first, size = map(int, bytes(self.index[found * line + end : (found + 1) * line]).split())
                return first, size
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.path}/{name}")

    def read(self, name: str) -> bytes:
        """The bytes of a member; the tar header before it must be its own, else the index is not trusted."""
        known = False
        for scanned in (False, True):
            if scanned:
                self.index = _scanned_index(self.path, *self.state)
            with suppress(FileNotFoundError):
                first, size = self.place(name)
                known = True
                if not _BLOCK <= first <= first + size <= self.state[0]:
                    continue
                if _is_header(os.pread(self.file, _BLOCK, first - _BLOCK), name, size):
                    return os.pread(self.file, size, first)
        if known:
            raise OSError(f"its shard {self.path.name} is damaged there")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.path}/{name}")


@lru_cache(_OPEN)
def _opened(path: str, size: int, changed: int) -> _Shard:
    return _Shard(Path(path), size, changed)


def _is_header(block: bytes, name: str, size: int) -> bool:
    """Whether a tar header is that of a member: name in its first 100 bytes, size in octal digits from the 125th."""
    with suppress(ValueError):
        return block[: tarfile.LENGTH_NAME].rstrip(tarfile.NUL) == name.encode()[: tarfile.LENGTH_NAME] and (
            size > _OCTAL or int(block[124:136].rstrip(b" \0"), 8) == size
        )
    return False


def _written_index(path: Path, size: int) -> mmap.mmap | None:
    """The index beside a shard; None where there is none, or where it is not of this shard."""
    try:
        with present(path.with_name(path.name + INDEX)).open("rb") as handle:
            index = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    line = index.find(b"\n") + 1
    if line <= _NUMBERS or len(index) % line or index[:line].split() != [b"0", b"%d" % size]:
        return None
    return index


@lru_cache(1024)
def _scanned_index(path: Path, size: int, _changed: int) -> bytes:
    """The index of a shard, of this size and time, that has no right one; nothing is written."""
    _log.warning("%s: its index is missing or damaged; the shard is read through", path)
    members: list[tuple[str, int, int]] = []
    with suppress(tarfile.TarError), tarfile.open(path, "r:") as shard:  # what stands before the damage is kept
        members.extend((one.name, one.offset_data, one.size) for one in shard if one.isreg())
    return index_of(members, size)
