"""The baseline beside a network: hand-made features of the same images, one linear layer a view."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import PATCH, PATCHES

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
