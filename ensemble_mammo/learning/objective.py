"""What training lowers and how the weights move: loss, class weights, optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.records.recipe import TrainRecipe


def summed_loss(logits: Tensor, targets: Tensor, class_weights: Tensor, label_smoothing: float) -> tuple[Tensor, float]:
    """The cross-entropy of a batch, added up over its images, and the weight to divide it by for their mean.

    Args:
        logits: `[B, C]`.
        targets: `[B]`, the place of each image's class.
        class_weights: `[C]`.
        label_smoothing: share of the target spread evenly over the classes.
    """
    loss = F.cross_entropy(logits, targets, class_weights, label_smoothing=label_smoothing, reduction="sum")
    return loss, class_weights[targets].sum().item()


def balanced_weights(targets: NDArray[np.int64], classes: int, recipe: TrainRecipe) -> Tensor:
    """The weight of each class `[C]`: 1, or for `balanced` such that each class present weighs the same.

    Their mean over the training images is 1; a class without images weighs 1.
    """
    if recipe.class_weights == "none":
        return torch.ones(classes)
    counts = np.bincount(targets, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(targets) / (present * np.maximum(counts, 1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32)


def make_optimizer(parameters: Sequence[tuple[str, nn.Parameter]], recipe: TrainRecipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters that learn; its rate is set each epoch."""
    if recipe.optimizer == "sgd":
        values = [parameter for _, parameter in parameters]
        return torch.optim.SGD(values, lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam([p for _, p in parameters], lr=0.0, weight_decay=recipe.weight_decay)
    groups = [
        {"params": [p for _, p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in parameters if p.ndim <= 1], "weight_decay": 0.0},  # biases and norms
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0)


def take_step(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
    """Move the weights by their gradients, scaled down to `clip_norm` where it is more than 0, and clear them."""
    if clip_norm > 0:
        scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
