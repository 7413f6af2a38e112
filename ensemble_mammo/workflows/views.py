"""One network a view, or a pooled one, and hand-made features beside them: trained together on the same splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.baseline import baseline_recipes
from ensemble_mammo.workflows.spreading import Spreading
from ensemble_mammo.workflows.trained import trained
from ensemble_mammo.workflows.trainings import Ended, require_startable, trainings_of


def train_views(
    dataset: Dataset,
    recipes: Mapping[View | None, Recipe],
    out: Path,
    options: TrainOptions,
    baseline: bool = False,
    spreading: Spreading | None = None,
) -> list[Ended]:
    """Train every recipe into `out/<VIEW>/`, and the baseline of these views into `out/baseline/<VIEW>/`.

    Args:
        dataset: what is learned from.
        recipes: resolved for each view; of a pooled network under None.
        out: the folder of runs.
        options: of each training.
        baseline: fit hand-made features too.
        spreading: where the trainings run, and how many at once.

    Returns:
        One a training, finished or failed.

    Raises:
        EnsembleMammoError: why no training could begin, or, of a single one, why it failed.
    """
    trainings = trainings_of(recipes, out, options)
    if baseline:
        views = [view for view in View if view in recipes or None in recipes]
        beside = baseline_recipes(dataset, next(iter(recipes.values())).task, views)
        trainings += trainings_of(beside, out / BASELINE, options, f"{BASELINE}/")
    require_startable(dataset, trainings)
    ended = list(trained(dataset, trainings, spreading))
    if len(ended) == 1 and ended[0].error is not None:
        raise ended[0].error
    return ended
