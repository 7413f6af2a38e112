"""True classes for predictions: counts a class in file order, a table of labels, or a prepared dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, views_of
from ensemble_mammo.records.task import Task

ANY = ""
"""In a key of `Truth.labels`: whatever the level, or the exam."""

UNKNOWN = -1
"""The number given to a row that has no label."""

_PROBLEMS_SHOWN = 10

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Truth:
    """The true classes of a task: by level, subject and exam, or a row each in file order."""

    task: Task
    "whose classes they are"
    source: str
    "where they come from, as a report says it"
    labels: Mapping[Key, int] = field(default_factory=dict)
    "(level or '', subject_id, exam_id or '') -> number of the class; the more exact key decides"
    ordered: tuple[int, ...] = ()
    "numbers of the classes in file order, where there are no ids"
    learned: frozenset[str] = frozenset()
    "subjects of the dataset's splits train and val, whose figures are no test of networks that learned from them"

    remarks: tuple[str, ...] = ()
    "what a reader of figures on these classes must know, such as leaks between the dataset's splits"

    def of(self, predictions: Predictions) -> NDArray[np.int64]:
        """The true class of each row [N], as numbers from 0; `UNKNOWN` where there is no label."""
        return np.array([self._one(predictions.level, *key) for key in predictions.keys], dtype=np.int64)

    def _one(self, level: str, subject: str, exam: str) -> int:
        for key in ((level, subject, exam), (ANY, subject, exam), (level, subject, ANY), (ANY, subject, ANY)):
            if key in self.labels:
                return self.labels[key]
        return UNKNOWN

    def subjects(self) -> set[str]:
        """The subjects that have a label."""
        return {subject for _, subject, _ in self.labels}

    def placed(self, given: Sequence[Predictions]) -> Truth:
        """The same truth with ids: classes in file order get those of the rows.

        Raises:
            PredictionError: the number of rows is another, or the files have other rows or another order.
        """
        if not self.ordered:
            return self
        for p in given:
            if len(p) != len(self.ordered):
                raise PredictionError(
                    f"{self.source}: {len(self.ordered)} true classes for the {len(p)} rows of {p.level}; "
                    "the counts must add up to the number of rows"
                )
        first = given[0]
        for p in given[1:]:
            row = next((i for i, (a, b) in enumerate(zip(first.keys, p.keys, strict=True), 1) if a != b), None)
            if row is not None:
                raise PredictionError(
                    f"{self.source}: row {row} of {p.level} is another subject than row {row} of {first.level}, so "
                    "true classes in file order do not fit both; give a table of labels with subject_id"
                )
        labels = {(ANY, *key): number for key, number in zip(first.keys, self.ordered, strict=True)}
        return Truth(self.task, self.source, labels)


def truth_from_counts(text: str, task: Task) -> Truth:
    """True classes of files sorted by class: `A=14,B=51,C=50,D=13` are 14 rows of A, then 51 of B and so on.

    Raises:
        PredictionError: not of that form, an unknown class, or a class given twice.
    """
    ordered: list[int] = []
    seen: set[int] = set()
    for part in text.split(","):
        name, equals, count = (piece.strip() for piece in part.partition("="))
        if not equals or not (count.isascii() and count.isdigit()):
            raise PredictionError(f"counts {text!r}: {part.strip()!r} is not CLASS=NUMBER, as in A=14,B=51,C=50,D=13")
        try:
            number = task.index(name)
        except ValueError as error:
            raise PredictionError(f"counts {text!r}: {error}") from error
        if number in seen:
            raise PredictionError(f"counts {text!r}: class {task.classes[number]} is given twice")
        seen.add(number)
        ordered += [number] * int(count)
    if not ordered:
        raise PredictionError(f"counts {text!r}: add up to 0 rows")
    return Truth(task, f"counts {text}, in file order", ordered=tuple(ordered))


def truth_from_csv(path: Path, task: Task) -> Truth:
    """True classes from a table: columns subject_id and label, and exam_id where a subject's exams differ.

    Without exam_id (or where it is empty), the label holds for all exams of the subject. Other columns are passed over.

    Raises:
        PredictionError: no table, columns missing, and every line that cannot be used (ten are shown).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PredictionError(f"{path}: cannot be read as text: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    header = reader.fieldnames or []
    missing = [name for name in ("subject_id", "label") if name not in header]
    if missing:
        raise PredictionError(
            f"{path} line 1: column {', '.join(missing)} missing; found {', '.join(header) or 'nothing'}; "
            "expected subject_id,label and perhaps exam_id, with commas"
        )
    labels: dict[Key, int] = {}
    problems: list[str] = []
    for row in reader:
        subject, exam, label = ((row.get(name) or "").strip() for name in ("subject_id", "exam_id", "label"))
        try:
            number = task.index(label)
        except ValueError as error:
            problems.append(f"line {reader.line_num}: {error}")
            continue
        if not subject:
            problems.append(f"line {reader.line_num}: subject_id is empty")
        elif labels.setdefault((ANY, subject, exam), number) != number:
            before = task.classes[labels[ANY, subject, exam]]
            problems.append(f"line {reader.line_num}: subject {subject!r} is {label!r} here, {before!r} above")
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise PredictionError(f"{path} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)
    if not labels:
        raise PredictionError(f"{path}: holds no label")
    return Truth(task, path.name, labels)


def truth_from_dataset(dataset: Dataset, task: Task, split: str | None = None) -> Truth:
    """True classes from the label column of a prepared dataset; images without label are passed over.

    Where breasts make the subject by their mean (density), the label is the exam's. Else each level has the highest
    class among its own images: a left breast keeps its label when the right one is malignant. A subject with one
    exam has its label whatever the predictions call the exam (raw folders say `1`, datasets often a study).

    Args:
        dataset: a prepared dataset.
        task: whose label column.
        split: only the exams of this split.

    Raises:
        DatasetError: the dataset has no labels of the task.
        PredictionError: no image of the split has one.
    """
    rows = dataset.rows(split=split, task=task)
    by_exam = task.breast_to_subject == "mean"
    levels_of = {view: [level for level in LEVELS if view in views_of(level)] for view in views_of("subject")}
    labels: dict[Key, int] = {}
    for subject, exam, view, label in rows[["subject_id", "exam_id", "view", task.name]].itertuples(index=False):
        for level in [ANY] if by_exam else levels_of[view]:
            key = (level, subject, exam)
            labels[key] = max(labels.get(key, UNKNOWN), task.index(label))
    if not labels:
        raise PredictionError(
            f"{dataset.root}: no image{f' of split {split}' if split else ''} has a {task.name} label"
        )
    exams = dataset.table.groupby("subject_id")["exam_id"].nunique()
    labels |= {(level, s, ANY): n for (level, s, _), n in labels.items() if exams[s] == 1}
    learned = frozenset(rows.loc[rows["split"].isin(["train", "val"]), "subject_id"])
    source = f"{dataset.root.name or dataset.root}, column {task.name}"
    return Truth(task, source, labels, learned=learned, remarks=_leak_remarks(dataset))


def _leak_remarks(dataset: Dataset) -> tuple[str, ...]:
    leaks = leaks_of(dataset.table)
    if not leaks:
        return ()
    first = "; ".join(map(str, leaks[:3])) + (" …" if len(leaks) > 3 else "")
    return (f"LEAKAGE: {len(leaks)} in this dataset, so that figures are too good: {first}",)
