"""Where predictions come from: files whose names say their level, `LEVEL=path`, or a folder of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.predictions import Predictions, level_of_name, read_predictions
from ensemble_mammo.records.subject import LEVELS, View
from ensemble_mammo.records.task import Task


@dataclass(frozen=True)
class Source:
    """A prediction file and the level that its rows are of."""

    level: str
    "a view, 'right', 'left' or 'subject'"
    path: Path
    "our CSV, or a plain text file"

    def sha256(self) -> str:
        """SHA-256 of the file as it is."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def read(self, task: Task) -> Predictions:
        """The predictions in it.

        Raises:
            PredictionError: the file is no prediction file of the task.
        """
        return read_predictions(self.path, self.level, task.classes)


def sources_of(given: Sequence[str | Path]) -> list[Source]:
    """The prediction files that arguments name, in the order given.

    Args:
        given: files whose names say their level (`predictions_ccr.txt`, `CC_R.csv`), `CC_R=any/file.txt`, or folders,
            of which the files of the views are taken (`CC_R.csv` before `predictions_ccr.txt`).

    Raises:
        PredictionError: an unknown level, a name that says none, a folder without any view, a level given twice.
    """
    found = [source for one in given for source in _sources_of_one(str(one))]
    if not found:
        raise PredictionError("no prediction file given: name the files of the views, or their folder")
    seen: dict[str, Path] = {}
    for source in found:
        if source.level in seen:
            raise PredictionError(
                f"{source.path}: level {source.level} is given already by {seen[source.level]}; give each level once"
            )
        seen[source.level] = source.path
    return found


def _sources_of_one(text: str) -> list[Source]:
    path = Path(text)
    if path.is_dir():
        return _sources_in(path)
    head, equals, tail = text.partition("=")
    if equals and not path.exists():
        named = {level.lower(): level for level in LEVELS}
        if head.lower() not in named:
            raise PredictionError(f"{text}: level {head!r} is not one of {', '.join(LEVELS)}")
        return [Source(named[head.lower()], _existing(Path(tail)))]
    level = level_of_name(_existing(path))
    if level is None:
        raise PredictionError(
            f"{path}: the name says no level (as CC_R.csv or predictions_ccr.txt would); give it as LEVEL={path}, "
            f"LEVEL one of {', '.join(LEVELS)}"
        )
    return [Source(level, path)]


def _sources_in(folder: Path) -> list[Source]:
    found = []
    for view in View:
        names = (f"{view}.csv", f"predictions_{view.suffix}.csv", f"predictions_{view.suffix}.txt")
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is not None:
            found.append(Source(view.value, path))
    if not found:
        raise PredictionError(
            f"{folder}: holds no predictions of a view; expected CC_R.csv or predictions_ccr.txt and the like"
        )
    return found


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PredictionError(f"{path}: no such file")
    return path
