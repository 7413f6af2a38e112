"""What a network finds of a task's positive classes: recall and precision over all images, not as means of batches."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.learning.layers import layers_of
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.task import TASKS


def positive_outputs(recipe: Recipe) -> tuple[int, ...]:
    """The places of the positive classes among a network's outputs; none where the task has none."""
    parts = [(layer.task, layer.first) for layer in layers_of(recipe.network)] or [(TASKS[recipe.task], 0)]
    return tuple(
        first + place for task, first in parts for place, name in enumerate(task.classes) if name in task.positive
    )


def recall_and_precision(
    targets: NDArray[np.int64], given: NDArray[np.int64], positive: tuple[int, ...]
) -> tuple[float, float]:
    """How many positive images are found, and how many of those found are positive.

    An image is found where its most probable class is a positive one, whichever of them (Scuccimarra counts any
    abnormal class as found in five classes).

    Args:
        targets: `[N]`, the place of each image's class.
        given: `[N]`, the place of its most probable class.
        positive: the places of the positive classes.

    Returns:
        Recall, nan without positive images; precision, nan where nothing is found.
    """
    wanted, found = np.isin(targets, positive), np.isin(given, positive)
    return _share(wanted & found, wanted), _share(wanted & found, found)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return int(part.sum()) / int(whole.sum()) if whole.any() else math.nan
