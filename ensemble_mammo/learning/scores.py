"""Softmax scores of prepared images under trained networks: one path for predict, fusion and cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import fit, normalise
from ensemble_mammo.records.recipe import InputRecipe

Fitted = Mapping[tuple[int, int, str], Tensor]
"""(rows, columns, way of fitting) -> an image at that size, `[1, H, W]` in 0..1."""


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
    return scores_of_fitted(runs, [fitted_for(runs, pixels) for pixels in images], flips)


def fitted_for(runs: Iterable[LoadedRun], pixels: NDArray[np.uint16]) -> Fitted:
    """A prepared image at each size that the runs take."""
    recipes = {_size(run.recipe.input): run.recipe.input for run in runs}
    return {size: fit(pixels, recipe)[0] for size, recipe in recipes.items()}


def scores_of_fitted(runs: Sequence[LoadedRun], images: Sequence[Fitted], flips: bool = False) -> NDArray[np.float64]:
    """What `scores_of` gives, of images that `fitted_for` made."""
    device = next(runs[0].network.parameters()).device
    inputs = {
        recipe: normalise(torch.stack([image[_size(recipe)] for image in images]), recipe).to(device)
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


def _size(recipe: InputRecipe) -> tuple[int, int, str]:
    return recipe.height, recipe.width, recipe.fit
