"""True classes by level, subject and exam: how those of images and breasts go up and down, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.csv_tables import TextTable, read_table
from ensemble_mammo.records.naming import facts_of_cells
from ensemble_mammo.records.subject import LEVELS, SUBJECT, Projection, Side, View, views_of
from ensemble_mammo.records.task import Task

ANY = ""
"""In a key of labels: whatever the level, or the exam."""

OTHER = "other"
"""What `level_of_cells` says of a projection that is neither CC nor MLO."""

Key = tuple[str, str, str]
"""(level or '', subject_id, exam_id or '')."""

BREAST_COLUMNS: Mapping[str, str] = {"left_malignant": Side.LEFT.value, "right_malignant": Side.RIGHT.value}
"""The columns of a table with a row an exam and a column a breast -> the breast."""

_NOTHING = ("", "nan", "none", "na")
_BINARY = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


@cache
def level_of_cells(view: str, side: str = "", level: str = "") -> str:
    """The level that the cells of a row say: `R-CC` is CC_R, `L` alone the left breast; '' where all are empty.

    Raises:
        ValueError: a word that is no view, side or level, a projection without side, or two that contradict.
    """
    if level:
        named = {name.lower(): name for name in LEVELS}
        if level.lower() in named:
            return str(named[level.lower()])
        view = view or level
    view, side = (text if text.strip().lower() not in _NOTHING else "" for text in (view, side))
    stated = facts_of_cells(view, side)
    if stated.other:
        return OTHER
    if stated.projection and stated.side:
        return View.of(Projection(stated.projection), stated.side).value
    if stated.projection:
        raise ValueError(f"view {view!r} says no side: give it there, or in a column of its own")
    return stated.side.value if stated.side else ANY


def class_numbers(
    texts: Sequence[str], task: Task, always_binary: bool = False
) -> tuple[list[int | None], list[tuple[int, str]]]:
    """The class of each label, None where it is empty, and the places and texts of those that are none.

    Of two classes, a column of 0 and 1 (or false and true) means the negative and the positive class, whatever else
    the task calls `1`; a column of 1 alone does so if it must, or where `always_binary` says that it holds no others.
    """
    lowered = {text.lower() for text in texts if text}
    binary = len(task.classes) == 2 and bool(lowered) and lowered <= _BINARY.keys()
    if binary and not always_binary and not any(_BINARY[text] == 0 for text in lowered):
        binary = not all(_is_label(text, task) for text in lowered)
    found: list[int | None] = []
    problems = []
    for place, text in enumerate(texts):
        number = None
        if text and binary:
            number = _BINARY[text.lower()]
        elif text:
            try:
                number = task.index(text)
            except ValueError as error:
                problems.append((place, str(error)))
        found.append(number)
    return found, problems


def _is_label(text: str, task: Task) -> bool:
    try:
        task.index(text)
    except ValueError:
        return False
    return True


def raised(stated: Mapping[Key, int], task: Task) -> tuple[dict[Key, int], int]:
    """Labels of images and breasts as those of all levels.

    In a task whose subject is the mean of her views (density) an exam has one class: the highest that is stated.
    In the others a breast without a label of its own has the highest of its views, the subject the highest of her
    breasts, and a view without one has what is stated of its breast; what is stated of a level itself stays.

    Args:
        stated: (level, subject, exam) -> number of the class; level '' holds for all levels of the exam.
        task: its classes and rule.

    Returns:
        The labels, and of how many exams (by mean) the stated classes differed.
    """
    exams: dict[tuple[str, str], dict[str, int]] = {}
    for (level, subject, exam), number in stated.items():
        exams.setdefault((subject, exam), {})[level] = number
    labels: dict[Key, int] = {}
    differing = 0
    for key, own in exams.items():
        if task.breast_to_subject == "mean":
            differing += len(set(own.values())) > 1
            own = {ANY: max(own.values())}  # noqa: PLW2901
        elif own.keys() != {ANY}:
            _raise_within(own)
        labels |= {(level, *key): number for level, number in own.items()}
    return labels, differing


def _raise_within(own: dict[str, int]) -> None:
    for side in Side:
        seen = [own[view] for view in views_of(side) if view in own]
        if side in own:
            for view in views_of(side):
                own.setdefault(view.value, own[side])
        elif seen:
            own[side.value] = max(seen)
    seen = [own[side] for side in Side if side in own]
    if seen and ANY not in own:
        own.setdefault(SUBJECT, max(seen))


def differing_remark(differing: int, task: Task) -> tuple[str, ...]:
    """What to say of exams whose images or breasts have several classes in a task of one class an exam."""
    if not differing:
        return ()
    return (f"in {differing} exams the labels of images or breasts differ: the highest {task.name} was taken",)


def labels_of_table(path: Path, task: Task) -> tuple[dict[Key, int], tuple[str, ...]]:
    """The labels of a CSV as it states them (see `truth_from_csv`), and what must be noted.

    Raises:
        PredictionError: no table, columns missing, and every line that cannot be used (ten are shown).
    """
    table = read_table(path)
    if BREAST_COLUMNS.keys() <= set(table.header) and "label" not in table.header:
        return _of_breast_columns(table, task), ()
    table.require(("subject_id", "label"), "subject_id,label and perhaps exam_id and level, view or side, with commas")
    numbers, problems = class_numbers(table.column("label"), task)
    labels: dict[Key, int] = {}
    others = 0
    wrong = {place for place, _ in problems}
    rows = zip(*(table.column(name) for name in ("subject_id", "exam_id", "view", "side", "level")), strict=True)
    for place, (subject, exam, *cells) in enumerate(rows):
        number = numbers[place]
        if place in wrong:
            continue
        if number is None:
            problems.append((place, f"label '' is not one of {', '.join(task.classes)} (task {task.name})"))
        elif not subject:
            problems.append((place, "subject_id is empty"))
        else:
            try:
                level = level_of_cells(*cells)
            except ValueError as error:
                problems.append((place, str(error)))
                continue
            others += level == OTHER
            if level != OTHER and (text := _put(labels, (level, subject, exam), number, task)):
                problems.append((place, f"{text[0]} is {table.column('label')[place]!r} here, {text[1]!r} above"))
    table.refuse(problems)
    notes = (f"{path.name}: {others} labels of projections other than CC and MLO passed over",) if others else ()
    return labels, notes


def _put(labels: dict[Key, int], key: Key, number: int, task: Task) -> tuple[str, str] | None:
    """Put one label in; if another stands there, say of whom and which. A view has the highest of its images."""
    level, subject, _ = key
    if level in tuple(View):
        labels[key] = max(labels.get(key, number), number)
        return None
    before = labels.setdefault(key, number)
    if before == number:
        return None
    return f"{level} breast of subject {subject!r}" if level else f"subject {subject!r}", task.classes[before]


def _of_breast_columns(table: TextTable, task: Task) -> dict[Key, int]:
    if len(task.classes) != 2:
        raise PredictionError(
            f"{table.path} line 1: {' and '.join(BREAST_COLUMNS)} are labels of two classes, task {task.name} has "
            f"{len(task.classes)}; give a table with subject_id and label"
        )
    subjects = index_of(table)
    labels: dict[Key, int] = {}
    problems: list[tuple[int, str]] = []
    for column, side in BREAST_COLUMNS.items():
        for place, (subject, text) in enumerate(zip(subjects, table.cells[column], strict=True)):
            if not text:
                continue
            if text.lower() not in _BINARY:
                problems.append((place, f"{column} {text!r} is not 0 or 1"))
            elif not subject:
                problems.append((place, "index is empty"))
            elif labels.setdefault((side, subject, ANY), _BINARY[text.lower()]) != _BINARY[text.lower()]:
                problems.append((place, f"{column} of {subject!r} is {text} here and another above"))
    table.refuse(problems)
    return labels


def index_of(table: TextTable) -> Sequence[str]:
    """The index of each row: column `index` or subject_id, an unnamed first column, else the row's place from 0."""
    for name in ("index", "subject_id"):
        if name in table.cells:
            return table.cells[name]
    return table.cells[""] if table.header[:1] == ("",) else [str(place) for place in range(len(table))]
