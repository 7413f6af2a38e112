"""True classes for predictions: counts in file order, class folders, a table, the files themselves, or a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.class_folders import ClassRows, class_rows
from ensemble_mammo.merit.inputs.labels import ANY, Key, differing_remark, labels_of_table, raised
from ensemble_mammo.merit.inputs.readings import Reading, labels_together
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.predictions import Predictions, view_predictions
from ensemble_mammo.records.subject import LEVELS, View, views_of
from ensemble_mammo.records.task import Task

__all__ = [
    "ANY",
    "UNKNOWN",
    "Truth",
    "truth_from_counts",
    "truth_from_csv",
    "truth_from_dataset",
    "truth_from_folders",
    "truth_from_readings",
]

UNKNOWN = -1
"""The number given to a row that has no label."""


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

    rows: Mapping[str, ClassRows] = field(default_factory=dict)
    "view -> the images of its class folders, in file order; empty where the classes come from elsewhere"

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

    def named(self, given: Sequence[Predictions]) -> list[Predictions]:
        """Predictions without ids get those of the files in the class folders, so that views are joined by them.

        Several images of one view of an exam are averaged. Predictions that have ids, and those whose files' names
        say no subject, stay as they are.

        Raises:
            PredictionError: a view has another number of rows than its class folders have files.
        """
        found = []
        for p in given:
            rows = None if p.identified else self._rows_of(p)
            keyed = rows is not None and bool(rows.keys)
            found.append(view_predictions(View(p.level), p.classes, rows.keys, p.scores) if rows and keyed else p)
        return found

    def _rows_of(self, p: Predictions) -> ClassRows | None:
        if not self.rows:
            return None
        if p.level not in self.rows:
            raise PredictionError(
                f"{self.source}: no folder of {p.level}, whose file carries no ids; found {', '.join(self.rows)}"
            )
        rows = self.rows[p.level]
        if len(rows) != len(p):
            raise PredictionError(
                f"{rows.folder}: {len(rows)} images for the {len(p)} rows of {p.level}; each row must be one image: "
                "give the folders that the predictions were made on, or the true classes as A=14,B=51,… or as a table"
            )
        return rows

    def placed(self, given: Sequence[Predictions]) -> Truth:
        """The same truth with ids: classes in file order get those of the rows.

        Raises:
            PredictionError: the number of rows is another, or the files have other rows or another order.
        """
        in_order = {p.level: (p, self.ordered, self.source) for p in given if self.ordered}
        for p in given:
            if not p.identified and (rows := self._rows_of(p)) is not None:
                in_order[p.level] = (p, rows.numbers, rows.folder)
        if not in_order:
            return self
        for p, numbers, source in in_order.values():
            if len(p) != len(numbers):
                raise PredictionError(
                    f"{source}: {len(numbers)} true classes for the {len(p)} rows of {p.level}; "
                    "the counts must add up to the number of rows"
                )
        (first, numbers, _), *others = in_order.values()
        for p, own, _ in others:
            self._refuse_other_rows(first, numbers, p, own)
        labels = {(ANY, *key): number for key, number in zip(first.keys, numbers, strict=True)}
        return replace(self, labels={**self.labels, **labels}, ordered=())

    def _refuse_other_rows(
        self, first: Predictions, numbers: Sequence[int], other: Predictions, others: Sequence[int]
    ) -> None:
        ours, theirs = list(zip(first.keys, numbers, strict=True)), list(zip(other.keys, others, strict=True))
        row = next((i for i, pair in enumerate(zip_longest(ours, theirs), 1) if pair[0] != pair[1]), None)
        if row is not None:
            raise PredictionError(
                f"{self.source}: row {row} of {other.level} is another subject than row {row} of {first.level}, so "
                "true classes in file order do not fit both; give a table of labels with subject_id, or files with ids"
            )


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

    Without exam_id (or where it is empty), the label holds for all exams of the subject. Where breasts differ, a
    column `side`, `view` or `level` says of what the row is (see `raised`). Other columns are passed over. The
    breast-level layout `index,left_malignant,right_malignant` of 0 and 1 is read too.

    Raises:
        PredictionError: no table, columns missing, and every line that cannot be used (ten are shown).
    """
    stated, notes = labels_of_table(path, task)
    if not stated:
        raise PredictionError(f"{path}: holds no label")
    labels, differing = raised(stated, task)
    return Truth(task, path.name, labels, remarks=(*notes, *differing_remark(differing, task)))


def truth_from_readings(readings: Sequence[Reading], task: Task) -> Truth:
    """True classes out of the prediction files themselves, of one system or of several.

    Raises:
        PredictionError: no file holds any, or two files contradict each other.
    """
    stated = labels_together(readings, task)
    if not stated:
        raise PredictionError(
            "the prediction files hold no true classes; give them by a table of labels, a dataset, class folders, or "
            "in file order as A=14,B=51,C=50,D=13"
        )
    labels, differing = raised(stated, task)
    return Truth(task, "labels in the prediction files", labels, remarks=differing_remark(differing, task))


def truth_from_folders(root: Path, task: Task, split: str = "") -> Truth:
    """True classes from the tree `<root>/<VIEW>/[<split>/]<CLASS>/<files>` that plain files were predicted on.

    The rows of a file stand in the order in which Keras lists such a tree: class folders by name, then files by name.
    Where the files' names give ids, `Truth.named` puts them onto the rows.

    Args:
        root: the tree.
        task: its classes name the folders.
        split: which of several splits; empty: the only one, else `test`.

    Raises:
        PredictionError: no such tree, or folders that are no classes.
    """
    rows = class_rows(root, task, split)
    stated: dict[Key, int] = {}
    for view, one in rows.items():
        for key, number in zip(one.keys, one.numbers, strict=False):
            stated[view, *key] = max(stated.get((view, *key), number), number)
    labels, differing = raised(stated, task)
    remarks = differing_remark(differing, task)
    if list(task.classes) != sorted(task.classes):
        remarks += (
            f"class folders were listed by name ({', '.join(sorted(task.classes))}), as Keras does; the columns of the "
            f"files are taken as {', '.join(task.classes)}",
        )
    return Truth(task, f"class folders of {root.name or root}", labels, remarks=remarks, rows=rows)


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
