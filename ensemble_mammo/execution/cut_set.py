"""A set of squares cut from a dataset, as a folder that is written whole or gone on with: patches, tiles."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.engine import refuse_lost
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.local import Outcome
from ensemble_mammo.records.manifest import DESCRIPTION, MANIFEST, read_description
from ensemble_mammo.records.shards import state

_log = logging.getLogger(__name__)
_SAFE = re.compile(r"[\w-][\w.+-]*")
Item = TypeVar("Item")
Made = dict[str, Any]


@dataclass(frozen=True)
class CutSet:
    """The folder of a set of squares."""

    root: Path
    "the folder"
    name: str
    "patches or tiles: the folder of its images, and what it is called in dataset.json"
    said: str
    "what errors call it, such as patch set"

    @property
    def journal(self) -> Path:
        """Remembers what is done while the set is being made."""
        return self.root / f".{self.name}.jsonl"

    @property
    def images(self) -> Path:
        """Holds the squares."""
        return self.root / self.name

    def refuse(self, dataset: Path, restart: bool) -> None:
        """Refuse a folder that holds something else, or a whole set that is not to be made anew.

        Args:
            dataset: the folder that squares are cut from.
            restart: an existing set is made anew.

        Raises:
            OutputError: what is wrong with the folder.
        """
        out, said = self.root, self.said
        ours = self.journal.is_file() or self._described()
        if out.exists() and not out.is_dir():
            raise OutputError(f"{out}: is a file, expected a folder; give another --out")
        if out.resolve().is_relative_to(dataset.resolve()) or dataset.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{out}: the dataset {dataset} and the {said} lie in one another; give another --out")
        if out.is_dir() and not ours and any(not one.name.startswith(".") for one in out.iterdir()):
            raise OutputError(f"{out}: holds files that are no {said}; give a new or an empty folder with --out")
        if ours and (out / MANIFEST).exists() and not restart:
            raise OutputError(f"{out}: holds a {said} already; give another --out, or --restart to make it anew")

    def _described(self) -> bool:
        try:
            return self.name in read_description(self.root)
        except DatasetError:
            return False

    def clear(self, restart: bool) -> None:
        """Take away what an earlier call made, if it is to be made anew, and files that it left half-written."""
        if self.journal.exists():
            for half in self.images.rglob(".*.png"):
                half.unlink()
        if restart:
            for path in (self.root / MANIFEST, self.journal, self.root / DESCRIPTION):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.images, ignore_errors=True)

    def sweep(self, kept: set[str]) -> None:
        """Take away squares of an interrupted call with other options.

        Args:
            kept: files of the set, relative to its folder.
        """
        for path in self.images.rglob("*.png"):
            if path.relative_to(self.root).as_posix() not in kept:
                path.unlink()


def key_of(image_id: str, work: object, root: Path, files: Sequence[str]) -> str:
    """What says that this is the work that an earlier call did: the work in words, the files' size and time."""
    digest = hashlib.sha256(repr(work).encode())
    for name in files:
        digest.update(repr((name, state(root / name))).encode())
    return f"{image_id}|{digest.hexdigest()[:16]}"


def gone_on_with(
    keyed: Sequence[tuple[str, Item]],
    start: Callable[[Sequence[Item]], Iterator[Outcome[Item, Made]]],
    journal: Journal,
    cut: CutSet,
) -> Iterator[tuple[Item, Made | None, str]]:
    """Each item with what was made of it, in order; what an interrupted call did is kept.

    Args:
        keyed: keys of the journal and items; what is made of one may name files in `rows`, which must be there still.
        start: begins the work on the items that are not done.
        journal: what is done.
        cut: the set that is made.

    Raises:
        OutputError: the set's folder cannot be written.
    """
    whole: dict[str, Made] = {}
    for key, _ in keyed:
        made = journal.made(key)
        if made is not None and all((cut.root / row["file"]).is_file() for row in made.get("rows", [])):
            whole[key] = made
    todo = [item for key, item in keyed if key not in whole]
    if whole:
        _log.info("%d of %d images are done already", len(whole), len(keyed))
    outcomes = start(todo)
    for key, item in keyed:
        if key in whole:
            yield item, whole[key], ""
            continue
        outcome = next(outcomes)
        if outcome.error.startswith(f"{cut.root}/"):  # the disk is full, or the folder cannot be written
            raise OutputError(outcome.error)
        if outcome.value is not None:
            for row in outcome.value.get("rows", [])[:1]:
                refuse_lost(cut.root / row["file"])
            journal.add(key, outcome.value)
        yield item, outcome.value, outcome.error


def refuse_names(table: Path, column: str, names: Sequence[str]) -> None:
    """Refuse ids that cannot name a file.

    Raises:
        DatasetError: the first of them.
    """
    wrong = [name for name in names if not _SAFE.fullmatch(name)]
    if wrong:
        raise DatasetError(f"{table}: {column} {wrong[0]!r} cannot name a file; letters, digits and - _ . +")
