"""Local changes sent to where they belong: each file as it is written, the rest when the command ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ensemble_mammo.errors import EnsembleMammoError, ExecutionError, OutputError
from ensemble_mammo.records.remote.bringing import (
    MARKS,
    THREADS,
    Track,
    is_local_alone,
    local_files,
    untracked,
)
from ensemble_mammo.records.remote.index import Synced, state_of
from ensemble_mammo.records.remote.mirror import Mirror, end, mirror_of, mirrored
from ensemble_mammo.records.remote.store import Store, store_of

_AGAIN_SECONDS = 60.0
"""After a file that could not be sent, how long none is tried as it is written: the end tries them all."""
_APART_SECONDS = 30.0
_APART_TIMES = 20.0
"""A file that grows is sent so often, or so many times as rarely as its sending takes."""

_log = logging.getLogger(__name__)
_marks: dict[str, set[Path]] = {}
"URL -> files of MARKS that stand there"
_not_before: dict[str, float] = {}
"URL -> when a file is to be sent again as it is written"
_grown: dict[Path, float] = {}
"File that grows -> when it is to be sent next."


def written(path: Path) -> None:
    """Send a file that was just written, if it lies in a mirrored folder that is written to.

    A file of `MARKS` goes after all else that changed in its folder; one that was removed here goes from there before
    anything else is sent. What cannot be sent stays and is sent at the end.

    Raises:
        ExecutionError: it cannot be sent, and this machine's cache is not that of the command.
    """
    mirror = mirror_of(path, writes=True)
    if mirror is None:
        return
    path = Path(os.path.abspath(path))  # noqa: PTH100
    if _is_local_alone(mirror, path) or (mirror.here and time.monotonic() < _not_before.get(mirror.url, 0.0)):
        return
    try:
        _remove_marks(mirror)
        if path.name in MARKS and mirror.here:
            _send_changes(mirror, path.parent, path)
        else:
            _send(store_of(mirror.address), mirror, path)
    except (ExecutionError, OutputError) as error:
        if not mirror.here:
            raise
        _not_before[mirror.url] = time.monotonic() + _AGAIN_SECONDS
        _log.warning("%s; tried again at the end of the command", error)


def _is_local_alone(mirror: Mirror, path: Path) -> bool:
    inside = path.is_relative_to(mirror.folder)
    return is_local_alone(path.relative_to(mirror.folder).as_posix() if inside else path.name)


def grown(path: Path) -> None:
    """Send a file to which lines are added, if its time has come and it lies in a folder that is written to."""
    began = time.monotonic()
    if began < _grown.get(path, 0.0) or mirror_of(path, writes=True) is None:
        return
    if path in _grown:
        written(path)
    _grown[path] = time.monotonic() + max(_APART_SECONDS, _APART_TIMES * (time.monotonic() - began))


def hand_over(folder: Path) -> None:
    """Send what changed in a folder on another machine than that of the command, which is to see it.

    Raises:
        ExecutionError: it cannot be sent.
    """
    mirror = mirror_of(folder, writes=True)
    if mirror is not None and not mirror.here:
        _send_changes(mirror, folder, None)


def settle(track: Track = untracked, sends: bool = True) -> None:
    """Send all that changed in folders that are written to, remove what was removed here; then mirror nothing.

    Raises:
        ExecutionError: something could not be sent; it stays in the cache, and the same command sends it.
    """
    try:
        for mirror in mirrored():
            if sends and mirror.writes and (mirror.whole or not mirror.here):
                _settle(mirror, track)
    finally:
        end()
        _marks.clear()
        _not_before.clear()
        _grown.clear()


def _settle(mirror: Mirror, track: Track) -> None:
    try:
        _send_changes(mirror, mirror.folder, None, track)
    except (ExecutionError, OutputError) as error:
        raise ExecutionError(
            f"{error}; what was not sent stays in {mirror.cache}{os.sep}files, and the same command sends it"
        ) from error


def _send_changes(mirror: Mirror, folder: Path, last: Path | None, track: Track = untracked) -> None:
    """Send what changed in a folder, marks last; `last` is sent whether or not it changed."""
    known = mirror.index.known()
    beside = mirror.beside if folder == mirror.folder else []
    there = [*local_files(folder), *(path for path in beside if path.is_file())]
    changed, same = [], {}
    for path in there:
        synced = known.get(mirror.name(path))
        about = path.stat()
        if synced is not None and synced.state == state_of(path) and path != last:
            if about.st_nlink > 1:
                same[(about.st_dev, about.st_ino)] = mirror.name(path)
        elif mirror.here or about.st_mtime >= mirror.since:
            changed.append(path)
    names = {mirror.name(path) for path in there}
    gone = [name for name in known if name not in names and (mirror.files / name).is_relative_to(folder)]
    gone = gone if mirror.whole and mirror.here else []
    if not (changed or gone):
        return
    if last is None:
        _log.info("%s: %d files to send, %d to remove", mirror.url, len(changed), len(gone))
    store = store_of(mirror.address)
    _remove_marks(mirror)
    _remove(store, mirror, gone, known)
    plain = [path for path in changed if path.name not in MARKS]
    _send_many(store, mirror, plain, same, track)
    for path in sorted(set(changed) - set(plain), key=lambda path: (-len(path.parts), MARKS.index(path.name))):
        _send(store, mirror, path)


def _send_many(store: Store, mirror: Mirror, paths: list[Path], same: dict[tuple[int, int], str], track: Track) -> None:
    """Send files at once; those that are one file under several names (hard links) are sent once and copied there."""
    firsts, copies = [], []
    for path in paths:
        about = path.stat()
        key = (about.st_dev, about.st_ino)
        if about.st_nlink > 1 and key in same:
            copies.append((path, same[key]))
        else:
            firsts.append(path)
            if about.st_nlink > 1:
                same[key] = mirror.name(path)
    failed: list[EnsembleMammoError] = []
    for work in (
        [(_send, store, mirror, path) for path in firsts],
        [(_copy, store, mirror, path, source) for path, source in copies],
    ):
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(*one) for one in work]
            try:
                for job in track(jobs, len(jobs), f"send to {mirror.url}"):
                    if (error := job.exception()) is not None:
                        if not isinstance(error, ExecutionError | OutputError):
                            raise error
                        failed.append(error)
                        if len(failed) > THREADS:  # no use in waiting for all others
                            raise failed[0]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if failed:
        more = f" (and {len(failed) - 1} other files)" if len(failed) > 1 else ""
        raise ExecutionError(f"{failed[0]}{more}")


def _send(store: Store, mirror: Mirror, path: Path) -> None:
    before = state_of(path)
    if before is None:  # it was removed again meanwhile
        return
    name = mirror.name(path)
    entry = store.put(path, name)
    if state_of(path) == before and entry.modified is not None and path.stat().st_nlink == 1:
        with suppress(OSError):  # as whoever brings it will see it
            os.utime(path, (entry.modified, entry.modified))
            before = state_of(path) or before
    mirror.index.put(name, Synced(before, entry.tag))
    if path.name in MARKS:
        _marks_of(mirror).add(path)


def _copy(store: Store, mirror: Mirror, path: Path, source: str) -> None:
    before = state_of(path)
    if before is None:
        return
    try:
        entry = store.copy(source, mirror.name(path))
    except ExecutionError:  # it may be gone there
        _send(store, mirror, path)
        return
    mirror.index.put(mirror.name(path), Synced(before, entry.tag))


def _marks_of(mirror: Mirror) -> set[Path]:
    """The files of `MARKS` that stand in the remote folder, as far as is known."""
    if mirror.url not in _marks:
        _marks[mirror.url] = {mirror.files / name for name in mirror.marks if mirror.here}
    return _marks[mirror.url]


def _remove_marks(mirror: Mirror) -> None:
    """Remove marks that were removed here, before anything else changes there: a folder in the making is not whole."""
    removed = [path for path in _marks_of(mirror) if not path.exists()]
    if removed:
        _remove(store_of(mirror.address), mirror, [mirror.name(path) for path in removed], mirror.index.known())
        _marks_of(mirror).difference_update(removed)


def _remove(store: Store, mirror: Mirror, names: list[str], known: Mapping[str, Synced]) -> None:
    """Remove remote files that are as they were when last seen from here; others stay."""

    def remove(name: str) -> None:
        entry = store.entry(name)
        if entry is not None and name in known and entry.tag != known[name].tag:
            _log.warning("%s/%s: was written by somebody else meanwhile and stays there", store.root, name)
        elif entry is not None:
            store.remove(name)
        mirror.index.put(name, None)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(remove, names):
            pass
