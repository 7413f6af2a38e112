"""Prediction tables of any make: which column holds what, and how an image's name gives subject and side."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.csv_tables import TextTable
from ensemble_mammo.merit.inputs.labels import class_numbers, level_of_cells
from ensemble_mammo.merit.inputs.readings import UNIT, Reading, ScoredRows, binary_scores, class_scores
from ensemble_mammo.records.naming import facts_of_name
from ensemble_mammo.records.subject import SUBJECT
from ensemble_mammo.records.task import Task

IMAGE_PATTERN = r"(?i)(?P<subject>.+)_(?P<side>L|R|left|right)[-_](?P<projection>CC|MLO)"
"""How an image's name gives subject and view unless told otherwise: `0_L-CC`."""

INDEX_PATTERN = r"(?P<subject>.+)"
"""How the index of a row of both breasts gives the subject unless told otherwise: all of it."""

GROUPS = ("subject", "exam", "side", "projection", "view")
"""The named groups that a pattern may have."""

_COLUMN_FIELDS = ("subject", "exam", "view", "side", "image", "score", "label")
_RANGE = re.compile(r"\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(?::|\.\.|-)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*", re.I)
_FOLDERS = re.compile(r"^.*[/\\]")
_PICTURE = re.compile(r"\.(png|jpe?g|dcm|dicom|tiff?|pgm|webp|bmp|npy|hdf5)$", re.I)


@dataclass(frozen=True)
class Columns:
    """The columns of a prediction table, by what they hold; '' where there is none."""

    subject: str = ""
    "ids of subjects; else they come from `image`"
    exam: str = ""
    "ids of exams; '1' without it"
    view: str = ""
    "CC_R, R-CC, RCC, …, or CC and MLO with the side in a column of its own"
    side: str = ""
    "R, L, right, left; without a view the row is of the breast, without both of the subject"
    image: str = ""
    "names of images, from which `pattern` reads what no column says"
    score: str = ""
    "score of the positive class, of tasks of two classes"
    scores: tuple[str, ...] = ()
    "a column a class, in the order of the task's classes, instead of `score`"
    label: str = ""
    "true classes: the task's labels, or 0 and 1"
    pattern: str = IMAGE_PATTERN
    "regular expression for the whole of an image's name, with the groups subject, exam, side, projection or view"
    index_pattern: str = INDEX_PATTERN
    "the same for the index of a row of both breasts, with the groups subject and exam"
    score_range: tuple[float, float] = UNIT
    "(low, high) of `score`; brought to 0..1 linearly"

    def __post_init__(self) -> None:
        """Refuse what cannot be read.

        Raises:
            PredictionError: scores without ids or ids without scores, a pattern or range that is none.
        """
        low, high = self.score_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise PredictionError(f"columns: score_range {low:g}:{high:g} is not LOW:HIGH, LOW below HIGH")
        for name, allowed in (("pattern", GROUPS), ("index_pattern", ("subject", "exam"))):
            _checked_pattern(name, getattr(self, name), allowed)
        if self.score and self.scores:
            raise PredictionError("columns: give score (two classes) or scores (a column a class), not both")
        if self.scores and self.score_range != UNIT:
            raise PredictionError("columns: score_range goes with score; scores of several classes add up to 1")
        named = any(getattr(self, name) for name in _COLUMN_FIELDS)
        if named and not (self.score or self.scores):
            raise PredictionError("columns: no score column named; add score=NAME, or scores=A+B+C with one a class")
        if (self.score or self.scores) and not (self.subject or self.image):
            raise PredictionError("columns: nothing says the subject; add subject=NAME, or image=NAME with a pattern")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are named; none where only patterns are given."""
        return tuple(filter(None, (*(getattr(self, name) for name in _COLUMN_FIELDS), *self.scores)))


def _checked_pattern(name: str, pattern: str, allowed: Sequence[str]) -> None:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise PredictionError(f"columns: {name} {pattern!r} is no regular expression: {error}") from error
    unknown = [group for group in groups if group not in allowed]
    if unknown or not groups:
        raise PredictionError(
            f"columns: {name} {pattern!r} has {'the groups ' + ', '.join(unknown) if unknown else 'no named group'}; "
            f"expected groups such as (?P<subject>…), named {', '.join(allowed)}"
        )


def columns_of(text: str) -> Columns:
    """Columns from a text such as `subject=patient_id,view=view,score=cancer_prob,label=cancer`.

    Several score columns stand as `scores=A+B+C+D`, a range as `score_range=1:10`. A pattern may hold commas.

    Raises:
        PredictionError: not of that form, an unknown field or one given twice.
    """
    known = [one.name for one in fields(Columns)]
    given: dict[str, str] = {}
    for part in re.split(rf",(?=\s*\w+\s*=|\s*(?:{'|'.join(known)})\b)", text.strip()):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise PredictionError(f"columns {text!r}: {part.strip()!r} is not FIELD=COLUMN, as in subject=patient_id")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PredictionError(f"columns {text!r}: {name!r} is not one of {', '.join(known)}{hint}")
        if name in given:
            raise PredictionError(f"columns {text!r}: {name} is given twice")
        given[name] = value
    scores = tuple(one.strip() for one in given.pop("scores", "").split("+") if one.strip())
    score_range = _range_of(given.pop("score_range", "0:1"))
    return Columns(**given, scores=scores, score_range=score_range)


def _range_of(text: str) -> tuple[float, float]:
    match = _RANGE.fullmatch(text)
    try:
        return (float(match[1]), float(match[2])) if match else (math.nan, math.nan)
    except ValueError:
        return math.nan, math.nan


@dataclass(frozen=True)
class NameIds:
    """What the name of an image, or the index of a row, says; '' where it says nothing."""

    subject: str = ""
    "the subject"
    exam: str = ""
    "the exam"
    view: str = ""
    "view or projection, as written"
    side: str = ""
    "side, as written"


def ids_of_name(name: str, pattern: str) -> NameIds:
    """What a name says by a pattern that fits all of it, or all but its folders and the ending of a picture.

    With the default pattern, names of known kinds (INFN, INbreast) are understood too.

    Raises:
        ValueError: the pattern does not fit.
    """
    whole = _PICTURE.sub("", name)
    match = (
        re.fullmatch(pattern, name) or re.fullmatch(pattern, whole) or re.fullmatch(pattern, _FOLDERS.sub("", whole))
    )
    if match is None and pattern == IMAGE_PATTERN:
        facts = facts_of_name(whole + ".png")
        if facts.subject_id and facts.view:
            return NameIds(facts.subject_id, facts.exam_id or "", facts.view.value)
    if match is None:
        raise ValueError(f"{name!r} does not fit the pattern {pattern}")
    groups = {group: text or "" for group, text in match.groupdict().items()}
    view = groups.get("view") or groups.get("projection", "")
    return NameIds(groups.get("subject", ""), groups.get("exam", ""), view, groups.get("side", ""))


def read_columns(table: TextTable, task: Task, columns: Columns, level: str = "") -> Reading:
    """The predictions of a table whose columns are named.

    Args:
        table: the file.
        task: its classes.
        columns: which column holds what.
        level: of rows that say neither view nor side; the subject where it is empty.

    Raises:
        PredictionError: columns missing, and every line that cannot be used (ten are shown).
    """
    path = table.path
    table.require(columns.names, "the columns named by --columns")
    _check_width(path, columns, task)
    if not len(table):
        raise PredictionError(f"{path}: holds no row of scores")
    scores = np.full((len(table), len(task.classes)), np.nan)
    if columns.score:
        problems = binary_scores(table, columns.score, columns.score_range, scores)
        problems += [(i, f"{columns.score} is empty") for i, text in enumerate(table.cells[columns.score]) if not text]
    else:
        problems = class_scores(table, columns.scores, scores)
    labels, wrong = class_numbers(table.column(columns.label), task)
    rows = ScoredRows()
    for place, label in enumerate(labels):
        try:
            key, own = _ids(table, place, columns)
        except ValueError as error:
            problems.append((place, str(error)))
            continue
        rows.add(own or level or SUBJECT, key, scores[place], label)
    table.refuse([*problems, *wrong])
    return rows.reading(task, path.name, _range_note(path, columns))


def _check_width(path: Path, columns: Columns, task: Task) -> None:
    if columns.score and len(task.classes) != 2:
        raise PredictionError(
            f"{path}: one score column for the {len(task.classes)} classes of task {task.name}; "
            "give scores=A+B+C with a column a class, or another task"
        )
    if columns.scores and len(columns.scores) != len(task.classes):
        raise PredictionError(
            f"{path}: {len(columns.scores)} score columns for the {len(task.classes)} classes of task {task.name} "
            f"({', '.join(task.classes)})"
        )


def _ids(table: TextTable, place: int, columns: Columns) -> tuple[tuple[str, str], str]:
    subject, exam, view, side, image = (
        table.column(name)[place] for name in (columns.subject, columns.exam, columns.view, columns.side, columns.image)
    )
    if columns.image:
        said = _said_of(image, columns, bool(subject))
        subject, exam = subject or said.subject, exam or said.exam
        if not view and not side:
            view, side = said.view, said.side
    if not subject:
        raise ValueError(f"{columns.subject or columns.image} says no subject")
    return (subject, exam or "1"), level_of_cells(view, side)


def _said_of(image: str, columns: Columns, is_subject_known: bool) -> NameIds:
    try:
        return ids_of_name(image, columns.pattern)
    except ValueError:
        if not is_subject_known or columns.pattern != IMAGE_PATTERN:
            raise
        facts = facts_of_name(image)
        return NameIds(view=facts.view.value if facts.view else "")


def _range_note(path: Path, columns: Columns) -> list[str]:
    if columns.score_range == UNIT:
        return []
    low, high = columns.score_range
    return [
        f"{path.name}: scores of {low:g} to {high:g} were brought to 0 to 1 linearly; they are no probabilities, so "
        "calibration, Brier score and figures at the threshold 0.5 are those of rescaled scores"
    ]
