"""A journal of work on files: what an interrupted call has done, so that the next one goes on from there."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ensemble_mammo.records import remote
from ensemble_mammo.records.files import write_text

_log = logging.getLogger(__name__)


class Journal:
    """One line of JSON an item, flushed as soon as the item is done.

    A journal of other work (another head) is thrown away; a last line that was cut is passed over.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], private: bool = False) -> None:
        """Read the journal in `path`, or begin it.

        Args:
            path: the file.
            head: what the work depends on, as JSON has it.
            private: whether its owner alone may read it.
        """
        self._path = path
        self._head = dict(head)
        self._made: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self._read()
        whole = [json.dumps(self._head), *(json.dumps({"key": k, "made": m}) for k, m in self._made.items())]
        write_text(path, "\n".join(whole) + "\n")
        if private:
            path.chmod(0o600)
        self._handle = path.open("a", encoding="utf-8")

    def _read(self) -> None:
        lines = self._path.read_text(encoding="utf-8").splitlines()
        try:
            if lines and json.loads(lines[0]) == self._head:
                for line in lines[1:]:
                    entry = json.loads(line)
                    self._made[entry["key"]] = entry["made"]
        except (ValueError, KeyError, TypeError):
            _log.info("the last line of %s is cut; its item is done again", self._path.name)

    def made(self, key: str) -> dict[str, Any] | None:
        """What an earlier call made of an item; None where it did not come to it."""
        return self._made.get(key)

    def add(self, key: str, made: Mapping[str, Any]) -> None:
        """Remember an item that is done."""
        self._handle.write(json.dumps({"key": key, "made": made}) + "\n")
        self._handle.flush()
        remote.grown(self._path)

    def close(self) -> None:
        """No more items come; what was remembered stays on disk."""
        self._handle.close()

    def remove(self) -> None:
        """The work is whole, or nothing came of it: the journal goes, and its folder if that is empty."""
        self._path.unlink()
        with suppress(OSError):
            self._path.parent.rmdir()
