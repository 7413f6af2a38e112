"""The baseline beside a network: hand-made features of the same images, one linear layer a view."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import PATCH, PATCHES
from ensemble_mammo.stages.train import TrainOptions, TrainResult, train

_log = logging.getLogger(__name__)

BASELINE_RECIPE = "density/features"
"""What the baseline of every task is made by."""


def baseline_recipes(dataset: Dataset, task: str, views: Sequence[View]) -> dict[View | None, Recipe]:
    """The recipe of the baseline for each of the views that the dataset has two classes or more of.

    Raises:
        RecipeError: the dataset holds patches or tiles, which have no breast to be measured.
    """
    cut = PATCHES if task == PATCH else dataset.cut()[0]
    if cut:
        raise RecipeError(f"the baseline measures whole breasts, and {dataset.root} holds {cut}; leave it out")
    told = [view for view in views if len(_classes(dataset, view, task)) > 1]
    for view in views:
        if view not in told and len(dataset.rows(view)):
            _log.warning("%s: no baseline, its images have fewer than two classes of %s", view, task)
    return recipes_for(BASELINE_RECIPE, told, (f"task={task}",))


def _classes(dataset: Dataset, view: View, task: str) -> set[str]:
    rows = dataset.rows(view)
    return set(rows[task]) - {""} if task in rows else set()


def train_baseline(
    dataset: Dataset, recipes: Mapping[View | None, Recipe], out: Path, options: TrainOptions
) -> list[TrainResult]:
    """Fit the baseline on the same splits as the network, into `out/baseline/<VIEW>/`.

    Args:
        dataset: that the network learns from.
        recipes: as `baseline_recipes` gives them.
        out: the folder of runs.
        options: those of the network's training.
    """
    return [train(dataset, view, recipe, out / BASELINE, options) for view, recipe in recipes.items()]
