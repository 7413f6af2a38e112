"""What the accuracy of a training is to be seen beside: that of naming the most frequent class, and whether it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.learning.layers import layers_of
from ensemble_mammo.learning.state import SEVERAL, State
from ensemble_mammo.records.recipe import NetworkRecipe


def floor_facts(
    state: State, targets: NDArray[np.int64], network: NetworkRecipe, names: Sequence[str]
) -> dict[str, Any]:
    """What run.json says beside `val_accuracy`.

    Args:
        state: of the training.
        targets: `[N]`, the place of each validation image's class among the outputs; below 0: classes are not looked
            at.
        network: of the recipe.
        names: what each output stands for.

    Returns:
        `val_majority`, the accuracy of always naming the most frequent class (of each last layer), nan without
        classes; and `warnings` where the kept network names one class for every image while there are several.
    """
    if not len(targets) or targets.min() < 0:
        return {"val_majority": math.nan}
    counts = np.bincount(targets, minlength=len(names))
    parts = [layer.outputs for layer in layers_of(network)] or [slice(None)]
    majority = sum(int(counts[part].max()) for part in parts) / len(targets)
    found: dict[str, Any] = {"val_majority": majority}
    if state.kept_only != SEVERAL and np.count_nonzero(counts) > 1:
        found["warnings"] = [
            f"the kept network names {names[state.kept_only]} for each of the {len(targets)} validation images, of "
            f"which {counts[state.kept_only]} are: it tells nothing apart"
        ]
    return found
