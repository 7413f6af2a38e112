"""Softmax scores of prepared images under trained networks: one path for predict, fusion and cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import fit, normalise


def scores_of(
    runs: Sequence[LoadedRun], images: Sequence[NDArray[np.uint16]], flips: bool = False
) -> NDArray[np.float64]:
    """The softmax scores of a batch of images, averaged over the runs of their view.

    Args:
        runs: one, those of several folds, or several models; each makes its own input.
        images: prepared images [h, w].
        flips: scores are the mean over the image, its two mirror images and the image upside down and mirrored.

    Returns:
        [N, C], each row adding up to 1.
    """
    device = next(runs[0].network.parameters()).device
    inputs = {
        recipe: normalise(torch.stack([fit(pixels, recipe)[0] for pixels in images]), recipe).to(device)
        for recipe in dict.fromkeys(run.recipe.input for run in runs)
    }
    turned: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3)) if flips else ((),)
    total = np.zeros((len(images), len(runs[0].classes)))
    with torch.inference_mode():
        for run in runs:
            batch = inputs[run.recipe.input]
            for axes in turned:
                logits = run.network(batch.flip(axes) if axes else batch)
                total += torch.softmax(logits.double(), dim=1).cpu().numpy()
    return total / (len(runs) * len(turned))
