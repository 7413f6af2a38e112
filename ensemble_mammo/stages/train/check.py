"""What `train` refuses before it reads an image."""

from __future__ import annotations

import torch

from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.start import start_of
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.train.begin import with_layers
from ensemble_mammo.stages.train.options import TrainOptions
from ensemble_mammo.stages.train.rows import require_enough, rows_of


def require_trainable(dataset: Dataset, view: View | None, recipe: Recipe, options: TrainOptions) -> None:
    """Refuse, before several trainings begin, a dataset or a recipe that this one could not use.

    Leaks between the folds of a cross-validation are not looked for.

    Raises:
        DatasetError: no labels, too few images or classes, or leaks between the splits that are not allowed.
        RecipeError: the recipe does not fit the dataset, or names no network.
        WeightsError: pre-trained weights are missing or do not fit.
    """
    if options.train_subjects is None and not options.allow_leakage:
        refuse_leaks(leaks_of(dataset.table), dataset.root)
    recipe = with_layers(recipe, dataset)
    require_enough(rows_of(dataset, view, recipe, options), dataset, view, recipe)
    start = start_of(recipe.network)
    if not recipe.train.imitate:
        network = start.network if start else recipe.network
        with torch.random.fork_rng(devices=[]):
            create_network(network, len(TASKS[recipe.task].classes), recipe.input.size)
