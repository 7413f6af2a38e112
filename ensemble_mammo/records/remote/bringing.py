"""Remote files brought to this machine: those that are missing or differ."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import DatasetError, EnsembleMammoError, ExecutionError, OutputError
from ensemble_mammo.records.remote.address import CACHE, is_safe, is_url
from ensemble_mammo.records.remote.index import State, Synced, one_at_a_time, state_of
from ensemble_mammo.records.remote.mirror import Mirror, mirror_of, mirrored, place_of, put
from ensemble_mammo.records.remote.store import Entry, Store, store_of

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Shows how many of a number of items are done, under a title."""

THREADS = 16
"""Files on their way at once."""
MARKS = (
    "weights.safetensors.sha256", "dataset.json", "manifest.parquet", "manifest.csv", "predictions.json",
    "run.json", "crossval.json", "sweep.json", "lesions.json", "boxes.json", "maps.json", "audit.json", "report.json",
)  # fmt: skip
"""Files that say what their folder is and that it is whole: sent last, in this order, and removed first."""
_OF_FOLDS = "crossval.json"
"What lies beside a fold-*, and says whose fold it is."

_log = logging.getLogger(__name__)
_seen: set[tuple[Path, Path]] = set()
"Command (its witness) and what was compared with the store for it, in a process that does not share the cache."


def untracked(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Show nothing."""
    del total, what
    yield from items


def fetch(track: Track = untracked) -> None:
    """Bring the files of all mirrors that were named since the last call.

    Raises:
        DatasetError: nothing lies where something is to be read.
        ExecutionError: the store cannot be reached or read.
        OutputError: the disk of the cache is too small.
    """
    for mirror in mirrored():
        if not mirror.here or mirror.whole:
            continue
        remote = bring(mirror, mirror.folder, track)
        if not mirror.writes and not mirror.folder.exists():
            raise DatasetError(f"{mirror.url}: nothing lies there; check the URL")
        marks = tuple(name for name in remote if name.rpartition("/")[2] in MARKS) if mirror.writes else ()
        put(replace(mirror, whole=True, marks=marks))


def present(path: Path) -> Path:
    """A file of a mirrored folder, brought if it is not here; any other path as it is.

    Raises:
        ExecutionError: the store cannot be reached or read.
    """
    mirror = mirror_of(path)
    if mirror is None or (path.exists() if mirror.here else (mirror.witness, path) in _seen):
        return path
    name = mirror.name(path)
    entry = store_of(mirror.address).entry(name)
    if entry is not None and not _is_kept(path, mirror.index.known().get(name), entry):
        _get(store_of(mirror.address), mirror, name, entry)
    _seen.add((mirror.witness, path))
    return path


def brought(text: str | Path) -> Path:
    """The local path of a path or URL that is to be read, its files brought.

    Raises:
        DatasetError: nothing lies there.
        ExecutionError: the store cannot be reached or read.
    """
    place = place_of(text)
    if is_url(text):
        fetch()
        present_all(place)
    return place


def present_all(folder: Path) -> Path:
    """A mirrored folder with all its files, where this process does not share the cache; any other path as it is.

    Raises:
        ExecutionError: the store cannot be reached or read.
    """
    mirror = mirror_of(folder)
    if mirror is not None and not mirror.here and (mirror.witness, folder) not in _seen:
        bring(mirror, folder)
        _seen.add((mirror.witness, folder))
    return folder


def brought_back(folder: Path) -> Path:
    """A mirrored folder with what other machines have sent to it since; any other path as it is.

    Raises:
        ExecutionError: the store cannot be reached or read.
    """
    if (mirror := mirror_of(folder)) is not None:
        bring(mirror, folder)
    return folder


def bring(mirror: Mirror, folder: Path, track: Track = untracked) -> dict[str, Entry]:
    """Make a folder of a mirror (or the file of that name) equal to the remote one; what lies there.

    What was changed here and not sent stays, unless the remote file has changed too.
    """
    with one_at_a_time(mirror.cache):
        store = store_of(mirror.address)
        remote = _listed(mirror, store, mirror.name(folder))
        known = mirror.index.known()
        kept = {name for name, entry in remote.items() if _is_kept(mirror.files / name, known.get(name), entry)}
        wanted = {name: entry for name, entry in remote.items() if name not in kept}
        _refuse_size(mirror, wanted)
        _drop(mirror, folder, known, remote)
        _say_unsent(mirror, folder, known, remote)
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(_get, store, mirror, name, entry) for name, entry in wanted.items()]
            try:
                for job in track(as_completed(jobs), len(jobs), f"bring {mirror.url}"):
                    job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return remote


def _listed(mirror: Mirror, store: Store, path: str) -> dict[str, Entry]:
    """The remote files that belong here: those of the folder, and what lies beside it."""
    path = "" if path == "." else path
    found = store.find(path)
    last = path.rpartition("/")[2]
    beside = [mirror.name(one) for one in mirror.beside] if mirror.files / path == mirror.folder else []
    if last.startswith("fold-"):
        beside.append(f"{path.rpartition('/')[0]}/{_OF_FOLDS}".lstrip("/"))
    found.update({name: entry for name in beside if (entry := store.entry(name)) is not None})
    kept = {name: entry for name, entry in found.items() if not is_local_alone(name.removeprefix(path))}
    if wrong := next((name for name in kept if not is_safe(name)), None):
        raise ExecutionError(f"{store.root}/{wrong}: this name cannot be one of a file here; rename it")
    return kept


def is_local_alone(name: str) -> bool:
    """Whether a file is never sent: in a hidden folder, or half written under a name of its own."""
    *folders, last = name.split("/")
    parts = last.split(".")
    half = last.startswith(".") and any(len(part) == 8 and part.replace("_", "a").isalnum() for part in parts[2:])
    return half or any(folder.startswith(".") for folder in folders)


def _is_kept(path: Path, synced: Synced | None, entry: Entry) -> bool:
    """Whether the local file stays: the remote one is as it was when they were equal."""
    return synced is not None and synced.tag == entry.tag and path.is_file()


def _drop(mirror: Mirror, folder: Path, known: Mapping[str, Synced], remote: Mapping[str, Entry]) -> None:
    """Take away local files whose remote ones are gone, and folders that they leave empty."""
    for name, synced in known.items():
        path = mirror.files / name
        if name in remote or not path.is_relative_to(folder):
            continue
        state = state_of(path)
        if state is None or state == synced.state:
            mirror.index.put(name, None)
            path.unlink(missing_ok=True)
    for root, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(root).rmdir()


def _say_unsent(mirror: Mirror, folder: Path, known: Mapping[str, Synced], remote: Mapping[str, Entry]) -> None:
    def is_unsent(path: Path) -> bool:
        name = mirror.name(path)
        own = known.get(name)
        if name not in remote:
            return True
        return own is not None and own.state != state_of(path) and own.tag == remote[name].tag

    unsent = [path for path in local_files(folder) if is_unsent(path)]
    if unsent:
        _log.warning(
            "%s: %d files of an earlier command, such as %s, are here and were not sent; a command that writes there "
            "sends them",
            mirror.url, len(unsent), unsent[0].name,
        )  # fmt: skip


def local_files(folder: Path) -> list[Path]:
    """The files of a folder that belong to its remote one too."""
    if folder.is_file():
        return [folder]
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root) / name for name in sorted(names) if not is_local_alone(name)]
    return found


def _refuse_size(mirror: Mirror, wanted: Mapping[str, Entry]) -> None:
    size = sum(entry.size for entry in wanted.values())
    free = shutil.disk_usage(mirror.cache).free
    if size > free:
        raise OutputError(
            f"{mirror.url}: {size / 1e9:.1f} GB are to be brought, the disk of {mirror.cache.parent} has "
            f"{free / 1e9:.1f} GB left; free some, or set {CACHE}"
        )


def _get(store: Store, mirror: Mirror, name: str, entry: Entry) -> None:
    path = mirror.files / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(prefix=f".{path.name}."[:80], dir=path.parent)
        os.close(handle)
        place = Path(half)
        try:
            store.get(name, place)
            if place.stat().st_size != entry.size:
                raise ExecutionError(
                    f"{store.root}/{name}: {place.stat().st_size:,} bytes came, {entry.size:,} were listed; it is "
                    "being written, or was cut: try again"
                )
            if entry.modified is not None:
                os.utime(place, (entry.modified, entry.modified))
            state = state_of(place) or State(0, 0)
            place.replace(path)
        finally:
            place.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, EnsembleMammoError):
            raise
        raise OutputError(
            f"{store.root}/{name}: cannot be written to the cache, {path.parent} ({error.strerror or error}); free the "
            f"disk, or set {CACHE}"
        ) from error
    mirror.index.put(name, Synced(state, entry.tag))
