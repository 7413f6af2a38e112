"""The last layer fitted in one go: a multinomial logistic regression on what the network sees in unchanged images.

Nothing but the last layer changes, so it costs one look at each training image. Of hand-made features it makes the
baseline, of a network with ImageNet weights its frozen features, of a trained run a last layer for another task.
"""

from __future__ import annotations

import logging
import math
import warnings
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.images import batches_of, read_batches
from ensemble_mammo.learning.loop import computed, evaluate
from ensemble_mammo.learning.objective import summed_loss
from ensemble_mammo.learning.state import Advance, Lesson, Samples, Setting, State

log = logging.getLogger(__name__)
NEVER = -1e4
"""The logit of a class that no training image has: its probability is 0."""
FLAT = 1e-6
"""A feature that varies by less than this share of its size is constant: it is not divided by its deviation."""
STEPS = 10_000
"""Of the solver, at most."""


def logistic_lesson() -> Lesson:
    """What `loop.fit` does with `train.fit = "logistic"`: one epoch that fits the last layer."""
    return Lesson(fit_last_layer, evaluate)


def fit_last_layer(state: State, samples: Samples, setting: Setting) -> tuple[float, float]:
    """Fit the network's last layer; what standardised the features is folded into it, or kept in its buffers.

    Returns:
        Mean loss (without the penalty) and accuracy over the training images.

    Raises:
        RecipeError: the network does not end in one linear layer on pooled features.
    """
    network = state.network
    layer = _linear(network, setting)
    features = pooled_features(network, samples, setting).double()
    mean, deviation = features.mean(0), features.std(0, correction=0)
    deviation = torch.where(deviation > FLAT * features.abs().amax(0).clamp(min=FLAT), deviation, 1.0)
    each = setting.class_weights.cpu().double().numpy()[samples.targets]
    weight, bias = logistic_regression(
        ((features - mean) / deviation).numpy(),
        samples.targets,
        layer.out_features,
        setting.recipe.train.fit_strength,
        each,
    )
    if callable(keep := getattr(network, "standardise", None)):
        keep(mean, deviation)
        features = (features - mean) / deviation
    else:
        weight = weight / deviation
        bias = bias - weight @ mean
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    logits, targets = features @ weight.T + bias, torch.from_numpy(samples.targets)
    loss, total = summed_loss(logits, targets, setting.class_weights.cpu().double(), 0.0)
    return loss.item() / total, (logits.argmax(1) == targets).double().mean().item()


@torch.inference_mode()
def pooled_features(network: nn.Module, samples: Samples, setting: Setting) -> Tensor:
    """What the last layer is given for each image, `[N, F]` float32 on the processor: never augmented.

    Raises:
        RecipeError: it is not one row an image.
    """
    network.eval()
    batches = batches_of(range(len(samples.targets)), setting.recipe.train.batch_size)
    rows = []
    for number, values in enumerate(read_batches(samples.images, batches, setting.workers, setting.device)):
        pooled = computed(partial(_pooled, network), values, setting)
        if pooled.shape != (len(values), network.get_classifier().in_features):  # type: ignore[operator]
            raise _unfit(setting, f"its last layer is given {list(pooled.shape[1:])} an image")
        rows.append(pooled.cpu())
        if setting.progress is not None:
            setting.progress(Advance(1, 1, number + 1, len(batches), math.nan))
    return torch.cat(rows)


def _pooled(network: nn.Module, batch: Tensor) -> Tensor:
    pooled: Tensor = network.forward_head(network.forward_features(batch), pre_logits=True)  # type: ignore[operator]
    return pooled


def logistic_regression(
    features: NDArray[np.float64], targets: NDArray[np.int64], classes: int, strength: float, each: NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Weights `[C, F]` and biases `[C]` that lower the cross-entropy plus |weights|² / 2 C (scikit-learn, L-BFGS).

    Args:
        features: `[N, F]`, standardised.
        targets: `[N]`, the place of each image's class.
        classes: how many there are; one without images gets the logit NEVER.
        strength: C, the inverse of the penalty's strength.
        each: `[N]`, the weight of each image.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=STEPS, tol=1e-6).fit(features, targets, each)
    if any(issubclass(one.category, ConvergenceWarning) for one in said):
        log.warning("the last layer is not yet at its best after %d steps; take a lower train.fit_strength", STEPS)
    present = torch.from_numpy(model.classes_)
    own, constant = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(present) == 2:  # scikit-learn gives the difference of the two logits
        own, constant = torch.cat([-own, own]) / 2, torch.cat([-constant, constant]) / 2
    weight = torch.zeros(classes, features.shape[1], dtype=torch.float64)
    bias = torch.full((classes,), NEVER, dtype=torch.float64)
    weight[present], bias[present] = own, constant
    return weight, bias


def _linear(network: nn.Module, setting: Setting) -> nn.Linear:
    layer = network.get_classifier()  # type: ignore[operator]
    if isinstance(layer, nn.Linear) and layer.bias is not None:
        return layer
    raise _unfit(setting, f"it ends in {type(layer).__name__}")


def _unfit(setting: Setting, found: str) -> RecipeError:
    return RecipeError(
        f"train.fit = 'logistic' fits one linear layer on pooled features, and {setting.recipe.network.name!r} is "
        f"otherwise: {found}; take another network, or train.fit = 'steps'"
    )
