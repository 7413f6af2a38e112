"""Peers' CSV: the image-level and breast-level tables of the NYU meta-repository of mammography classifiers.

Formats: https://github.com/nyukat/mammography_metarepository (README, section "Predictions"; evaluation/score.py).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.columns import Columns, ids_of_name
from ensemble_mammo.merit.inputs.csv_tables import TextTable
from ensemble_mammo.merit.inputs.labels import BREAST_COLUMNS, class_numbers, index_of, level_of_cells
from ensemble_mammo.merit.inputs.readings import UNIT, Reading, ScoredRows, binary_scores
from ensemble_mammo.merit.inputs.truth import UNKNOWN, Truth
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, Side, View
from ensemble_mammo.records.task import Task

IMAGE_LEVEL, BREAST_LEVEL = "image_level.csv", "breast_level.csv"
"""The names of the files that `write_peers` writes."""

_IMAGE_COLUMNS = ("image_index", "malignant_pred")
_LABEL = "malignant_label"


def is_image_level(header: Sequence[str]) -> bool:
    """Whether these are the columns of an image-level table."""
    return set(_IMAGE_COLUMNS) <= set(header)


def is_breast_level(header: Sequence[str]) -> bool:
    """Whether these are the columns of a breast-level table."""
    return BREAST_COLUMNS.keys() <= set(header)


def read_image_level(table: TextTable, task: Task, columns: Columns) -> Reading:
    """Views, and true classes where the file has them, from `image_index,malignant_pred,malignant_label`.

    Args:
        table: the file; further columns are passed over.
        task: of two classes; the second one is that of malignant_pred.
        columns: its `pattern` reads subject and view from image_index.

    Raises:
        PredictionError: the task has more classes, and every line that cannot be used (ten are shown).
    """
    _check_two(table.path, task)
    scores = np.full((len(table), 2), np.nan)
    problems = binary_scores(table, "malignant_pred", UNIT, scores)
    problems += [(i, "malignant_pred is empty") for i, text in enumerate(table.cells["malignant_pred"]) if not text]
    labels, wrong = class_numbers(table.column(_LABEL), task, always_binary=True)
    rows = ScoredRows()
    for place, name in enumerate(table.cells["image_index"]):
        try:
            said = ids_of_name(name, columns.pattern)
            level = level_of_cells(said.view, said.side)
            if not said.subject or not level:
                raise ValueError(f"image_index {name!r} says no {'view' if said.subject else 'subject'}")
        except ValueError as error:
            problems.append((place, f"{error}; give another with --columns pattern=…"))
            continue
        rows.add(level, (said.subject, said.exam or "1"), scores[place], labels[place])
    table.refuse([*problems, *wrong])
    return _filled(table, rows).reading(task, table.path.name)


def read_breast_level(table: TextTable, task: Task, columns: Columns) -> Reading:
    """Both breasts from `index,left_malignant,right_malignant`; an empty cell is a breast without images.

    The index may also be the unnamed first column, or missing: then it is the row's place from 0, as the
    meta-repository numbers exams.

    Args:
        table: the file; further columns (left_benign, right_benign) are passed over.
        task: of two classes; the second one is that of the scores.
        columns: its `index_pattern` reads the subject from the index.

    Raises:
        PredictionError: the task has more classes, and every line that cannot be used (ten are shown).
    """
    _check_two(table.path, task)
    problems: list[tuple[int, str]] = []
    rows = ScoredRows()
    keys: list[tuple[str, str]] = []
    for place, index in enumerate(index_of(table)):
        match = re.fullmatch(columns.index_pattern, index)
        said = match.groupdict() if match else {}
        if not said.get("subject"):
            problems.append((place, f"index {index!r} does not fit the pattern {columns.index_pattern}"))
        keys.append((said.get("subject") or "", said.get("exam") or "1"))
    times = Counter(keys)
    problems += [
        (place, f"index of {key[0]!r} stands in several lines")
        for place, key in enumerate(keys)
        if key[0] and times[key] > 1
    ]
    for column, side in BREAST_COLUMNS.items():
        scores = np.full((len(table), 2), np.nan)
        problems += binary_scores(table, column, UNIT, scores)
        for key, row in zip(keys, scores, strict=True):
            if not np.isnan(row).any():
                rows.add(side, key, row)
    table.refuse(problems)
    notes = []
    if not {"index", "subject_id", ""} & set(table.header):
        notes.append(f"{table.path.name}: has no index; its rows were numbered from 0, and their order is trusted")
    return _filled(table, rows).reading(task, table.path.name, notes)


def _filled(table: TextTable, rows: ScoredRows) -> ScoredRows:
    if not rows.keys:
        raise PredictionError(f"{table.path}: holds no row of scores")
    return rows


def _check_two(path: Path, task: Task) -> None:
    if len(task.classes) != 2:
        raise PredictionError(
            f"{path}: one score an image or breast tells two classes apart, task {task.name} has "
            f"{len(task.classes)}; give another task, such as --task pathology"
        )


def write_peers(folder: Path, levels: Sequence[Predictions], truth: Truth | None = None) -> list[Path]:
    """Write image_level.csv (of the views) and breast_level.csv (of right and left), as far as there are rows for them.

    Args:
        folder: where to.
        levels: predictions of a task of two classes; those of the subject are passed over.
        truth: puts malignant_label into the image-level table, empty where unknown.

    Returns:
        The files written.

    Raises:
        PredictionError: the task has more classes, a subject has several exams, or there is no view and no breast.
        OutputError: the folder cannot be written.
    """
    views = [p for p in levels if p.level in tuple(View)]
    breasts = {Side(p.level): p for p in levels if p.level in tuple(Side)}
    _check_writable([*views, *breasts.values()])
    if not views and not breasts:
        raise PredictionError(f"{folder}: peers' tables hold views and breasts; found no predictions of either")
    written = []
    if views:
        written.append(folder / IMAGE_LEVEL)
        write_text(written[-1], _image_level(views, truth))
    if breasts:
        written.append(folder / BREAST_LEVEL)
        write_text(written[-1], _breast_level(breasts))
    return written


def _check_writable(levels: Sequence[Predictions]) -> None:
    for p in levels:
        if len(p.classes) != 2:
            raise PredictionError(f"predictions of {p.level} have {len(p.classes)} classes; peers' tables hold two")
    exams: dict[str, str] = {}
    for subject, exam in (key for p in levels for key in p.keys):
        if exams.setdefault(subject, exam) != exam:
            raise PredictionError(
                f"subject {subject!r} has several exams, for which peers' tables have no column; "
                "write the predictions of each exam on their own"
            )


def _image_level(views: Sequence[Predictions], truth: Truth | None) -> str:
    rows: list[Sequence[str]] = []
    for p in sorted(views, key=lambda p: LEVELS.index(p.level)):
        view = View(p.level)
        labels = truth.of(p) if truth else np.full(len(p), UNKNOWN)
        for subject, scores, label in zip(p.subject_ids, p.scores, labels, strict=True):
            name = f"{subject}_{view.side.letter}-{view.projection.value}"
            rows.append([name, repr(float(scores[1])), *([str(label) if label != UNKNOWN else ""] if truth else [])])
    return _csv([*_IMAGE_COLUMNS, *([_LABEL] if truth else [])], rows)


def _breast_level(breasts: Mapping[Side, Predictions]) -> str:
    score = {
        (side, subject): repr(float(row[1]))
        for side, p in breasts.items()
        for subject, row in zip(p.subject_ids, p.scores, strict=True)
    }
    subjects = dict.fromkeys(subject for p in breasts.values() for subject in p.subject_ids)
    sides = (Side.LEFT, Side.RIGHT)
    return _csv(("index", *BREAST_COLUMNS), [[s, *(score.get((side, s), "") for side in sides)] for s in subjects])


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
