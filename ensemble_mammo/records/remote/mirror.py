"""Remote folders as local ones: which are mirrored where, in this process and in those that it starts."""

from __future__ import annotations

import functools
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.records.remote.address import CACHE, Address, address_of, cache_of, local_path
from ensemble_mammo.records.remote.index import Index

OWN_FILES_ALONE = 0o700
"""Permissions of the cache: what is mirrored may be of patients."""
_BESIDE = (".key", ".sources.csv")
"Endings of what lies beside a dataset under its name, and never in it."
_RECIPE, _PLAN = ".toml", ".json"


@dataclass(frozen=True)
class Mirror:
    """A remote folder or file, and its place in the local cache; it may travel to other processes and machines."""

    url: str
    "as it was given"
    cache: Path
    "of its store: index, lock, and files/ under their remote names"
    writes: bool
    "whether what changes in it here is sent"
    witness: Path
    "a file that stands while the command runs that brought the files: who sees it shares the cache"
    whole: bool = False
    "whether all its files were brought, so that one that is missing was removed here"
    marks: tuple[str, ...] = ()
    "remote files that say that their folder is whole, by their name in the store"
    here: bool = True
    "whether this process shares the cache of that command"
    since: float = 0.0
    "where it does not: when this process took it over, in seconds since 1970"

    @property
    def address(self) -> Address:
        """The parts of its URL."""
        return address_of(self.url)

    @property
    def files(self) -> Path:
        """The folder of the whole store."""
        return self.cache / "files"

    @property
    def folder(self) -> Path:
        """The place of what the URL names."""
        return self.files / self.address.path

    @property
    def beside(self) -> list[Path]:
        """What is written beside what the URL names: key and sources of a dataset, the JSON of a plan."""
        folder = self.folder
        if not self.writes or folder == self.files:
            return []
        return [folder.with_name(folder.name + e) for e in _BESIDE] + [folder.with_suffix(_PLAN)] * (
            folder.suffix == _RECIPE
        )

    @property
    def index(self) -> Index:
        """What is known of its files."""
        return _index(self.cache / "index.jsonl")

    def name(self, path: Path) -> str:
        """What a local file is called in the store."""
        return path.relative_to(self.files).as_posix()

    def holds(self, path: Path) -> bool:
        """Whether a path lies in it, or is one of `beside`."""
        return path.is_relative_to(self.folder) or path in self.beside


_mirrors: dict[tuple[str, bool], Mirror] = {}


@functools.cache
def _index(path: Path) -> Index:
    return Index(path)


def place_of(text: str | Path, writes: bool = False) -> Path:
    """The local path of a path or URL; that of a remote URL is mirrored from now on, its files not yet brought.

    Args:
        text: a path; `file://`; or a URL that fsspec knows, such as `s3://bucket/folder`.
        writes: whether what changes there shall be sent.

    Raises:
        ExecutionError: a URL that is not taken, or the cache cannot be made.
    """
    here = local_path(text)
    if here is not None:
        return here
    address = address_of(text)
    if writes and not address.path:
        raise ExecutionError(f"{address.url}: is all of a store; name a folder in it to write to")
    known = _mirrors.get((address.url, writes))
    if known is None:
        cache = cache_of(address)
        witness = next((one.witness for one in _mirrors.values()), cache.parent / f"command-{secrets.token_hex(8)}")
        known = Mirror(address.url, cache, writes, witness)
        try:
            known.files.mkdir(parents=True, exist_ok=True)
            cache.parent.chmod(OWN_FILES_ALONE)
            witness.touch(OWN_FILES_ALONE & 0o600)
        except OSError as error:
            raise ExecutionError(
                f"{cache}: the cache cannot be made ({error.strerror or error}); set {CACHE}"
            ) from error
        put(known)
    return known.folder


def mirrored() -> tuple[Mirror, ...]:
    """All that are mirrored in this process."""
    return tuple(_mirrors.values())


def mirrors() -> tuple[Mirror, ...]:
    """All that are mirrored, to be handed to `use` in another process; `memory://` is of this one alone."""
    return tuple(one for one in _mirrors.values() if one.address.protocol != "memory")


def put(mirror: Mirror) -> None:
    """Take a mirror in place of the one of its URL."""
    _mirrors[(mirror.url, mirror.writes)] = mirror


def use(given: tuple[Mirror, ...]) -> None:
    """Take over the mirrors of the command that this process works for, on the same machine or another one.

    Where the cache is not shared with that command, files are brought when they are asked for (`present`), and a file
    that cannot be sent is an error at once.
    """
    _mirrors.clear()
    for mirror in given:
        put(replace(mirror, here=mirror.witness.exists(), since=time.time()))


def end() -> None:
    """Nothing is mirrored any more; the command is over."""
    for mirror in _mirrors.values():
        if mirror.here:
            mirror.witness.unlink(missing_ok=True)
    _mirrors.clear()


def mirror_of(path: Path, writes: bool | None = None) -> Mirror | None:
    """The innermost mirror that holds a path; of those that write or do not, where that is said."""
    if not _mirrors:
        return None
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes, links stay: the cache has none
    found = [one for one in _mirrors.values() if writes in (None, one.writes) and one.holds(whole)]
    return max(found, key=lambda one: len(one.url), default=None)


def shown(path: Path | str) -> str:
    """A path as users know it: the URL of what is mirrored."""
    return worded(str(path))


def worded(text: str) -> str:
    """A text with URLs in place of the cache's paths."""
    for mirror in _mirrors.values():
        text = text.replace(f"{mirror.files}/", f"{mirror.address.root}/").replace(
            str(mirror.files), mirror.address.root
        )
    return text
