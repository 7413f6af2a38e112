"""The folds of a cross-validation: who is in which, and what the training of one of them is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.learning.schedule import needs_validation
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.splits import deal
from ensemble_mammo.records.task import task_named
from ensemble_mammo.stages.train import TrainOptions


@dataclass(frozen=True)
class Folds:
    """What the folds of a dataset follow from."""

    count: int
    "how many"
    tasks: tuple[str, ...]
    "whose labels are dealt out evenly; the first is the recipe's"
    seed: int
    "of the dealing, where the manifest has no folds of its own"


@dataclass(frozen=True)
class Fold:
    """One of them, to be held out."""

    number: int
    "from 0"
    folds: Folds
    "all of them"


def dealt(dataset: Dataset, folds: Folds) -> dict[str, int]:
    """subject_id -> fold: those of the manifest where it has as many, else dealt by the seed.

    Raises:
        DatasetError: fewer labelled subjects than folds.
    """
    labels: dict[str, str] = {}
    for name in folds.tasks:
        own = dataset.subject_labels(task_named(name)) if name in dataset.task_names() else {}
        labels |= {s: f"{name} {label}" for s, label in own.items() if label and s not in labels}
    if len(labels) < folds.count:
        raise DatasetError(
            f"{dataset.root}: {len(labels)} subjects with a {folds.tasks[0]} label for {folds.count} folds"
        )
    table = dataset.table[dataset.table["subject_id"].isin(sorted(labels))]
    if set(table["fold"]) == {str(k) for k in range(folds.count)}:
        return {s: int(k) for s, k in zip(table["subject_id"], table["fold"], strict=True)}
    return deal(labels, [1 / folds.count] * folds.count, folds.seed)


def of_fold(options: TrainOptions, fold: Fold, fold_of: Mapping[str, int], recipe: Recipe) -> TrainOptions:
    """The options of the training that never sees a fold; the next fold is for validation where the recipe wants it."""
    validation = (fold.number + 1) % fold.folds.count if needs_validation(recipe.train) else -1
    return replace(
        options,
        train_subjects=frozenset(s for s, own in fold_of.items() if own not in (fold.number, validation)),
        val_subjects=frozenset(s for s, own in fold_of.items() if own == validation),
    )
