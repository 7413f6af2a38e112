"""Where predictions come from: files and folders, of one system or of several, and what stands in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.columns import Columns, read_columns
from ensemble_mammo.merit.inputs.csv_tables import header_of, read_table
from ensemble_mammo.merit.inputs.peers import (
    BREAST_LEVEL,
    IMAGE_LEVEL,
    is_breast_level,
    is_image_level,
    read_breast_level,
    read_image_level,
)
from ensemble_mammo.merit.inputs.readings import Reading
from ensemble_mammo.merit.inputs.truth import Truth, truth_from_readings
from ensemble_mammo.records.naming import only_view_words
from ensemble_mammo.records.predictions import Predictions, level_of_name, read_predictions
from ensemble_mammo.records.subject import LEVELS, View
from ensemble_mammo.records.task import Task

UNNAMED = ""
"""The name of the one system that is given without a name."""

_LEVELS = {level.lower(): str(level) for level in LEVELS}


@dataclass(frozen=True)
class Source:
    """A prediction file and the level that its rows are of."""

    level: str
    "a view, 'right', 'left' or 'subject'; '' where its rows must say it"
    path: Path
    "our CSV, a plain text file, peers' CSV, or a CSV whose columns are named"
    is_told: bool = False
    "whether the level was given as LEVEL=path: rows of other levels are passed over then"

    def sha256(self) -> str:
        """SHA-256 of the file as it is."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def read(self, task: Task, columns: Columns | None = None) -> Reading:
        """What stands in it; its header says of which kind a CSV is.

        Raises:
            PredictionError: the file is no prediction file of the task.
        """
        if self.path.suffix.lower() != ".csv":
            return Reading((read_predictions(self.path, self.level, task.classes),))
        header = header_of(self.path)
        named = columns.names if columns else ()
        if columns and named and set(named) <= set(header):
            found = read_columns(read_table(self.path), task, columns, self.level)
        elif is_image_level(header):
            found = read_image_level(read_table(self.path), task, columns or Columns())
        elif is_breast_level(header):
            found = read_breast_level(read_table(self.path), task, columns or Columns())
        else:
            return self._own(header, task, columns)
        return self._of_level(found)

    def _own(self, header: Sequence[str], task: Task, columns: Columns | None) -> Reading:
        ours = "subject_id" in header and bool(set(task.classes) & set(header))
        if columns and columns.names and not ours:
            read_table(self.path).require(columns.names, "the columns named by --columns")
        if not self.level and ours:
            raise PredictionError(f"{self.path}: {_says_no_level(self.path)}")
        if not self.level:
            found = ", ".join(name or "(unnamed)" for name in header) or "nothing"
            raise PredictionError(
                f"{self.path} line 1: found {found}; expected subject_id and the classes {', '.join(task.classes)}, "
                "image_index and malignant_pred, or left_malignant and right_malignant; name the columns of another "
                "table with --columns, as in subject=patient_id,view=view,score=cancer_prob"
            )
        return Reading((read_predictions(self.path, self.level, task.classes),))

    def _of_level(self, found: Reading) -> Reading:
        if not self.is_told:
            return found
        own = found.only(self.level)
        if not own.predictions:
            levels = ", ".join(p.level for p in found.predictions) or "no level"
            raise PredictionError(f"{self.path}: given as {self.level}, but its rows are of {levels}; give it as it is")
        return own


def read_sources(sources: Sequence[Source], task: Task, columns: Columns | None = None) -> list[Reading]:
    """What stands in each file of one system.

    Raises:
        PredictionError: a damaged file, or a level that two files hold.
    """
    readings = []
    owner: dict[str, Path] = {}
    for source in sources:
        reading = source.read(task, columns)
        for p in reading.predictions:
            if p.level in owner:
                raise PredictionError(
                    f"{source.path}: level {p.level} is given already by {owner[p.level]}; give each level once"
                )
            owner[p.level] = source.path
        readings.append(reading)
    return readings


def predictions_of(readings: Sequence[Reading]) -> list[Predictions]:
    """The predictions of files read, in the order of `LEVELS`."""
    return sorted((p for one in readings for p in one.predictions), key=lambda p: LEVELS.index(p.level))


def truth_from_files(given: Sequence[str | Path], task: Task, columns: Columns | None = None) -> Truth:
    """True classes out of the prediction files themselves, as arguments name them.

    Raises:
        PredictionError: as `systems_of`, and where no file holds any or two contradict each other.
    """
    systems = systems_of(given)
    return truth_from_readings([source.read(task, columns) for own in systems.values() for source in own], task)


def sources_of(given: Sequence[str | Path]) -> list[Source]:
    """The prediction files of one system that arguments name, in the order given.

    Args:
        given: files whose names say their level (`predictions_ccr.txt`, `CC_R.csv`), CSV whose rows say it,
            `CC_R=any/file.txt`, or folders, of which the files of the views are taken (`CC_R.csv` before
            `predictions_ccr.txt`), else image_level.csv and breast_level.csv.

    Raises:
        PredictionError: an unknown level, a name that says none, a folder without any view, a level given twice,
            or a system's name.
    """
    systems = systems_of(given)
    if named := [name for name in systems if name != UNNAMED]:
        raise PredictionError(f"{named[0]}=…: level {named[0]!r} is not one of {', '.join(LEVELS)}")
    return systems[UNNAMED]


def systems_of(given: Sequence[str | Path]) -> dict[str, list[Source]]:
    """The systems that arguments name, each with its files, in the order given; one without a name is called ''.

    Args:
        given: as `sources_of`; or `NAME=…` in front of any of these, as often as a system has files: `A=folder`,
            `A=CC_R.csv`, `A=CC_R=any/file.txt`. The name of a level always means the level.

    Raises:
        PredictionError: as `sources_of`; named and unnamed systems together; a name that looks like a level.
    """
    systems: dict[str, list[Source]] = {}
    for one in given:
        name, sources = _argument(str(one))
        systems.setdefault(name, []).extend(sources)
    if not systems:
        raise PredictionError("no prediction file given: name the files of the views, or their folder")
    if UNNAMED in systems and len(systems) > 1:
        named = [name for name in systems if name != UNNAMED]
        raise PredictionError(
            f"{systems[UNNAMED][0].path} has no system's name, {named[0]}=… has; name all systems (A=… B=…) or "
            f"none{_near(named[0])}"
        )
    for name, sources in systems.items():
        _refuse_twice(name, sources)
    return systems


def _refuse_twice(name: str, sources: Sequence[Source]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        if source.level in seen:
            of = f" of {name}" if name else ""
            raise PredictionError(
                f"{source.path}: level {source.level}{of} is given already by {seen[source.level]}; "
                "give each level once"
            )
        if source.level:
            seen[source.level] = source.path


def _argument(text: str) -> tuple[str, list[Source]]:
    head, equals, tail = text.partition("=")
    if not equals or Path(text).exists():
        return UNNAMED, _sources_at(text)
    if head.lower() in _LEVELS:
        return UNNAMED, [Source(_LEVELS[head.lower()], _existing(Path(tail)), True)]
    if not head.strip() or only_view_words(head):
        raise PredictionError(
            f"{text}: level {head!r} is not one of {', '.join(LEVELS)}{_near(head)}; a "
            "system's name must not look like a level"
        )
    level, equals, path = tail.partition("=")
    if equals and not Path(tail).exists():
        if level.lower() not in _LEVELS:
            raise PredictionError(f"{text}: level {level!r} is not one of {', '.join(LEVELS)}{_near(level)}")
        return head, [Source(_LEVELS[level.lower()], _existing(Path(path)), True)]
    return head, _sources_at(tail, head)


def _near(name: str) -> str:
    """`; did you mean …?` where a name is nearly that of a level."""
    view = level_of_name(Path(f"{name}.txt"))
    near = [view] if view else get_close_matches(name.lower(), _LEVELS, n=1, cutoff=0.7)
    if not near and name.lower() in ("r", "l"):
        near = ["right" if name.lower() == "r" else "left"]
    return f"; did you mean {_LEVELS[near[0].lower()]}=…?" if near else ""


def _sources_at(text: str, system: str = UNNAMED) -> list[Source]:
    path = Path(text)
    if path.is_dir():
        return _sources_in(path)
    level = level_of_name(_existing(path)) or ""
    if not level and path.suffix.lower() != ".csv":
        raise PredictionError(f"{path}: {_says_no_level(path, system)}{_near(system) if system else ''}")
    return [Source(level, path)]


def _says_no_level(path: Path, system: str = UNNAMED) -> str:
    front = f"{system}=" if system else ""
    return (
        f"the name says no level (as CC_R.csv or predictions_ccr.txt would); give it as {front}LEVEL={path}, "
        f"LEVEL one of {', '.join(LEVELS)}"
    )


def _sources_in(folder: Path) -> list[Source]:
    found = []
    for view in View:
        names = (f"{view}.csv", f"predictions_{view.suffix}.csv", f"predictions_{view.suffix}.txt")
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is not None:
            found.append(Source(view.value, path))
    if not found:
        found = [Source("", folder / name) for name in (IMAGE_LEVEL, BREAST_LEVEL) if (folder / name).is_file()]
    if not found:
        raise PredictionError(
            f"{folder}: holds no predictions of a view; expected CC_R.csv or predictions_ccr.txt and the like, "
            f"or {IMAGE_LEVEL} and {BREAST_LEVEL}"
        )
    return found


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PredictionError(f"{path}: no such file")
    return path
