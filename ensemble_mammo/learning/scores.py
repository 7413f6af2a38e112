"""Softmax scores of prepared images under trained networks: one path for predict, fusion and cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import fit, normalise


def scores_of(runs: Sequence[LoadedRun], images: Sequence[NDArray[np.uint16]]) -> NDArray[np.float64]:
    """The softmax scores of a batch of images, averaged over the runs of their view.

    Args:
        runs: one, or those of several folds; all with one input.
        images: prepared images [h, w].

    Returns:
        [N, C], each row adding up to 1.
    """
    recipe = runs[0].recipe.input
    device = next(runs[0].network.parameters()).device
    batch = normalise(torch.stack([fit(pixels, recipe)[0] for pixels in images]), recipe).to(device)
    total = np.zeros((len(images), len(runs[0].classes)))
    with torch.inference_mode():
        for run in runs:
            total += torch.softmax(run.network(batch).double(), dim=1).cpu().numpy()
    return total / len(runs)
