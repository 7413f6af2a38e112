"""What a plan must know of a dataset: how much there is, of which classes, how large, and where from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import MANIFEST, Dataset, read_description
from ensemble_mammo.records.png16 import png_shape
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.task import TASKS, Task, highest_labels

CROSSVALIDATED_BELOW = 2000
"""Subjects: a tenth of fewer is a test set of less than 200, whose accuracy is known to 7 points or worse (95 %)."""
SIZES_READ = 500
"""Images whose size is read: a median of so many is known to a few pixels."""


@dataclass(frozen=True)
class Fingerprint:
    """A dataset as a plan sees it. Counts of classes are of the images that a training may learn from."""

    data: str
    "SHA-256 over ids, views, labels and splits, as a cross-validation keeps it"
    task: str
    "what is told apart"
    layers: tuple[str, ...]
    "of a joined dataset: the tasks of its collections' last layers; empty: one last layer"
    images: int
    "in the dataset"
    learned: int
    "images with a label that a training may learn from: all of them in a cross-validation, else those of split train"
    subjects: int
    "with a label, of those images"
    exams: int
    "of those images"
    views: Mapping[str, int]
    "images to learn from a view"
    classes: Mapping[str, int]
    "images a class; a second task of a joined dataset has its name before the class"
    class_subjects: Mapping[str, int]
    "subjects a class, by their highest one"
    view_classes: Mapping[str, Mapping[str, int]]
    "images a class, view by view"
    splits: Mapping[str, int]
    "images with a label a split"
    folds: int
    "folds that the manifest has; 0: none"
    crossvalidated: bool
    "whether the plan is for a cross-validation: too few subjects for a test split, or no split train"
    height: int
    "rows of a prepared image, median, in pixels"
    width: int
    "columns, median"
    aspect: float
    "width / height, median"
    aspects: tuple[float, float]
    "of the 5th and the 95th of a hundred images"
    sizes_read: int
    "images whose size was read for it"
    bits: int
    "of a prepared pixel"
    spacing_mm: float | None
    "pixel spacing of the sources in millimetres, median; None: not known"
    spacing_known: int
    "images with one"
    collections: Mapping[str, int]
    "images a collection of a joined dataset"
    machines: Mapping[str, int]
    "images a manufacturer and model"
    kind: str
    "kind of archive that it was prepared from"
    preparation: Mapping[str, Any]
    "what was done to the pixels"

    @property
    def rarest(self) -> tuple[str, int]:
        """The class with the fewest subjects, and how many."""
        return min(self.class_subjects.items(), key=lambda item: item[1])

    @property
    def imbalance(self) -> float:
        """Images of the most frequent class to those of the rarest one."""
        return max(self.classes.values()) / min(self.classes.values())

    @property
    def smallest_view(self) -> int:
        """Images to learn from of the view that has the fewest."""
        return min(self.views.values())


def task_of(dataset: Dataset, name: str) -> Task:
    """The task asked for, else the one that the dataset was prepared for, else the first with a column.

    Raises:
        DatasetError: the dataset has no labels of it, or holds patches or tiles.
    """
    if cut := dataset.cut()[0]:
        raise DatasetError(
            f"{dataset.root}: holds {cut}, and a plan is for whole mammograms; take a shipped recipe, such as "
            + ("cancer/patch-lite" if cut == "patches" else "abnormality/tile-lite")
        )
    stated = str(read_description(dataset.root).get("task", ""))
    names = dataset.task_names()
    task = TASKS[name or (stated if stated in names else next(iter(names), stated or "density"))]
    dataset.require(task)
    return task


def read_fingerprint(dataset: Dataset, task: Task) -> Fingerprint:
    """Look at a dataset's manifest and at the sizes of some of its images.

    Raises:
        DatasetError: no image with a label, one class alone, or an image that is missing.
    """
    table = dataset.table
    layers = _layers(dataset, task)
    labels = _labels(table, task, layers)
    known = labels != ""
    if not known.any():
        raise DatasetError(f"{dataset.root / MANIFEST}: no image has a label of {task.name}; nothing can be learned")
    crossvalidated = (
        table["subject_id"][known].nunique() < CROSSVALIDATED_BELOW or not (known & (table["split"] == "train")).any()
    )
    chosen = known if crossvalidated else known & (table["split"] == "train")
    own, own_labels = table[chosen], labels[chosen]
    classes = Counter(own_labels)
    if len(classes) < 2:
        raise DatasetError(
            f"{dataset.root / MANIFEST}: all {len(own)} images to learn from are {next(iter(classes))} ({task.name}); "
            "expected two classes or more"
        )
    heights, widths = _sizes(dataset, own)
    aspects = widths / heights
    spacing = pd.to_numeric(own["pixel_spacing_mm"], errors="coerce").dropna()
    return Fingerprint(
        data=dataset.fingerprint(),
        task=task.name,
        layers=layers,
        images=len(table),
        learned=len(own),
        subjects=own["subject_id"].nunique(),
        exams=len(own[["subject_id", "exam_id"]].drop_duplicates()),
        views=dict(sorted(Counter(own["view"]).items())),
        classes=_in_order(classes, task),
        class_subjects=_in_order(_of_subjects(own, own_labels, task), task),
        view_classes={
            view: _in_order(Counter(own_labels[own["view"] == view]), task) for view in sorted(set(own["view"]))
        },
        splits={name: int((known & (table["split"] == name)).sum()) for name in SPLITS},
        folds=_folds(table[known]),
        crossvalidated=crossvalidated,
        height=int(np.median(heights)),
        width=int(np.median(widths)),
        aspect=round(float(np.median(aspects)), 4),
        aspects=(round(float(np.quantile(aspects, 0.05)), 4), round(float(np.quantile(aspects, 0.95)), 4)),
        sizes_read=len(heights),
        bits=16,
        spacing_mm=round(float(spacing.median()), 5) if len(spacing) else None,
        spacing_known=len(spacing),
        collections=dict(sorted(Counter(name for name in own["collection"] if name).items())),
        machines=_machines(own),
        kind=str(read_description(dataset.root).get("kind", "")),
        preparation=to_mapping(dataset.preparation),
    )


def _layers(dataset: Dataset, task: Task) -> tuple[str, ...]:
    """The tasks of the last layers where several datasets were joined: the task, and what stands in for it."""
    table = dataset.table
    collections = {name for name in table["collection"] if name}
    if len(collections) < 2:
        return ()
    without = {name for name in collections if (table[task.name][table["collection"] == name] == "").all()}
    stand_ins = [
        name
        for name in dataset.task_names()
        if TASKS[name].ordinal == task.ordinal
        and name != task.name
        and (table[name][table["collection"].isin(without)] != "").any()
    ]
    return (task.name, *stand_ins)


def _labels(table: pd.DataFrame, task: Task, layers: tuple[str, ...]) -> pd.Series:
    """The class of each row, empty for none; of another task than the plan's with that task's name before it."""
    labels = table[task.name].copy()
    for name in layers[1:]:
        theirs = table[name]
        without = table["collection"].map(labels.ne("").groupby(table["collection"]).any()).eq(False)
        labels = labels.where(~(without & (theirs != "")), name + " " + theirs)
    return labels


def _of_subjects(rows: pd.DataFrame, labels: pd.Series, task: Task) -> Counter[str]:
    own = labels.isin(list(task.classes))
    highest = highest_labels(zip(rows["subject_id"][own], labels[own], strict=True), task)
    others = dict(zip(rows["subject_id"][~own], labels[~own], strict=True))
    return Counter((others | highest).values())


def _in_order(counts: Mapping[str, int], task: Task) -> dict[str, int]:
    """Classes as the task has them, then those of other tasks."""
    names = [name for name in task.classes if counts.get(name)]
    return {name: int(counts[name]) for name in [*names, *sorted(set(counts) - set(names))]}


def _sizes(dataset: Dataset, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths of images evenly taken from the manifest, in pixels."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SIZES_READ)).round().astype(int))
    shapes = np.array([png_shape(dataset.root / rows["file"].iloc[i]) for i in places], dtype=float)
    return shapes[:, 0], shapes[:, 1]


def _folds(rows: pd.DataFrame) -> int:
    """How many folds the manifest has; 0 where some image has none."""
    found = set(rows["fold"])
    return len(found) if found == {str(k) for k in range(len(found))} and len(found) > 1 else 0


def _machines(rows: pd.DataFrame) -> dict[str, int]:
    named = [" ".join(filter(None, pair)) for pair in zip(rows["manufacturer"], rows["device"], strict=True)]
    return dict(sorted(Counter(name for name in named if name).items()))
