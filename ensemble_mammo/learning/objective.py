"""What training lowers and how the weights move: loss, class weights, optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.learning.layers import layers_of, outputs_of
from ensemble_mammo.records.recipe import LossRecipe, Recipe, TrainRecipe
from ensemble_mammo.records.task import TASKS, Task


@dataclass(frozen=True)
class Aims:
    """What the outputs shall be for an image of each class, where that is more than its class alone."""

    shares: Tensor
    "`[O, O]`, row: the output of the image's class; the share of the target that each output gets"
    own: Tensor
    "`[O, O]`, bool, row: the output of the image's class; the outputs of the same last layer, which alone compete"

    def to(self, device: torch.device) -> Aims:
        """The same on a device."""
        return Aims(self.shares.to(device), self.own.to(device))


def aims_of(recipe: Recipe, classes: int) -> Aims | None:
    """The aims of a recipe with soft targets or several last layers; None where targets are plain classes.

    A neighbour in the order of classes gets `soft_targets` times what the class gets; what `label_smoothing` spreads
    is spread within the layer.
    """
    loss, layers = recipe.loss, layers_of(recipe.network)
    if not (layers or loss.soft_targets):
        return None
    size = outputs_of(recipe.network, classes)
    shares, own = torch.zeros(size, size), torch.zeros(size, size, dtype=torch.bool)
    for outputs in [layer.outputs for layer in layers] or [slice(0, size)]:
        places = torch.arange(outputs.start, outputs.stop)
        apart = (places[:, None] - places[None, :]).abs()
        block = (apart == 0).float() + loss.soft_targets * (apart == 1).float()
        block = block / block.sum(dim=1, keepdim=True)
        shares[outputs, outputs] = block * (1 - loss.label_smoothing) + loss.label_smoothing / len(places)
        own[outputs, outputs] = True
    return Aims(shares, own)


def within_layer(logits: Tensor, targets: Tensor, aims: Aims | None) -> Tensor:
    """Logits `[B, O]` with minus infinity for outputs of other last layers than that of the image's class."""
    return logits if aims is None else logits.masked_fill(~aims.own[targets], -torch.inf)


def summed_loss(
    logits: Tensor, targets: Tensor, class_weights: Tensor, label_smoothing: float, aims: Aims | None = None
) -> tuple[Tensor, float]:
    """The cross-entropy of a batch, added up over its images, and the weight to divide it by for their mean.

    Args:
        logits: `[B, O]`, one an output.
        targets: `[B]`, the place of each image's class among the outputs.
        class_weights: `[O]`.
        label_smoothing: share of the target spread evenly over the classes.
        aims: soft targets or several last layers, the smoothing in them; images then weigh by their own class.
    """
    weight = class_weights[targets].sum().item()
    if aims is None:
        loss = F.cross_entropy(logits, targets, class_weights, label_smoothing=label_smoothing, reduction="sum")
        return loss, weight
    told = within_layer(logits, targets, aims).log_softmax(dim=1)
    each = -(aims.shares[targets] * told.masked_fill(~aims.own[targets], 0)).sum(dim=1)
    return (each * class_weights[targets]).sum(), weight


def loss_weights(targets: NDArray[np.int64], classes: int, recipe: Recipe) -> Tensor:
    """The weight of each output's images in the loss `[O]`; their mean over the training images is 1.

    Several last layers weigh by their images to the power of 1 - `balance`, and their classes within as
    `class_weights` and `positive_weight` have it. An output without images counts as one of weight 1 before that.
    """
    loss, task = recipe.loss, TASKS[recipe.task]
    layers = layers_of(recipe.network)
    if layers:
        weights = torch.ones(layers[-1].outputs.stop)
        for layer in layers:
            inside = targets[(targets >= layer.first) & (targets < layer.outputs.stop)] - layer.first
            own = balanced_weights(inside, len(layer.task.classes), loss) * positive_weights(layer.task, loss)
            weights[layer.outputs] = own * max(len(inside), 1) ** -loss.balance
    else:
        weights = balanced_weights(targets, classes, loss)
        if loss.positive_weight != 1:
            weights = weights * positive_weights(task, loss)
    return weights / weights[torch.from_numpy(targets)].mean() if layers or loss.positive_weight != 1 else weights


def positive_weights(task: Task, loss: LossRecipe) -> Tensor:
    """`positive_weight` for each positive class of a task, 1 for the others, `[C]`."""
    return torch.tensor([loss.positive_weight if name in task.positive else 1.0 for name in task.classes])


def balanced_weights(targets: NDArray[np.int64], classes: int, recipe: LossRecipe) -> Tensor:
    """The weight of each class `[C]`: 1, or for `balanced` such that each class present weighs the same.

    Their mean over the training images is 1; a class without images weighs 1.
    """
    if recipe.class_weights == "none":
        return torch.ones(classes)
    counts = np.bincount(targets, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(targets) / (max(present, 1) * np.maximum(counts, 1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32)


def make_optimizer(parameters: Sequence[tuple[str, nn.Parameter]], recipe: TrainRecipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters that learn; its rate is set each epoch."""
    if recipe.dense_weight_decay >= 0:
        return _with_dense_decay(parameters, recipe)
    if recipe.optimizer == "sgd":
        values = [parameter for _, parameter in parameters]
        return torch.optim.SGD(values, lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam([p for _, p in parameters], lr=0.0, weight_decay=recipe.weight_decay, fused=True)
    groups = [
        {"params": [p for _, p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in parameters if p.ndim <= 1], "weight_decay": 0.0},  # biases and norms
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def _with_dense_decay(parameters: Sequence[tuple[str, nn.Parameter]], recipe: TrainRecipe) -> torch.optim.Optimizer:
    """The optimizer with one decay for convolutions, another for dense layers, and none for biases and norms."""
    decays = {1: 0.0, 2: recipe.dense_weight_decay}
    groups = [
        {"params": own, "weight_decay": decays.get(ndim, recipe.weight_decay)}
        for ndim in range(1, 6)
        if (own := [parameter for _, parameter in parameters if max(parameter.ndim, 1) == ndim])
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=0.0, fused=True)


def take_step(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
    """Move the weights by their gradients, scaled down to `clip_norm` where it is more than 0, and clear them."""
    if clip_norm > 0:
        scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
