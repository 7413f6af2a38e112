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
from ensemble_mammo.records.recipe import Recipe, TrainRecipe


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
    train, layers = recipe.train, layers_of(recipe.network)
    if not (layers or train.soft_targets):
        return None
    size = outputs_of(recipe.network, classes)
    shares, own = torch.zeros(size, size), torch.zeros(size, size, dtype=torch.bool)
    for outputs in [layer.outputs for layer in layers] or [slice(0, size)]:
        places = torch.arange(outputs.start, outputs.stop)
        apart = (places[:, None] - places[None, :]).abs()
        block = (apart == 0).float() + train.soft_targets * (apart == 1).float()
        block = block / block.sum(dim=1, keepdim=True)
        shares[outputs, outputs] = block * (1 - train.label_smoothing) + train.label_smoothing / len(places)
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
    `class_weights` has it. An output without images weighs 1.
    """
    layers = layers_of(recipe.network)
    if not layers:
        return balanced_weights(targets, classes, recipe.train)
    weights = torch.ones(layers[-1].outputs.stop)
    for layer in layers:
        inside = targets[(targets >= layer.first) & (targets < layer.outputs.stop)] - layer.first
        own = balanced_weights(inside, len(layer.task.classes), recipe.train)
        weights[layer.outputs] = own * max(len(inside), 1) ** -recipe.train.balance
    return weights / weights[torch.from_numpy(targets)].mean()


def balanced_weights(targets: NDArray[np.int64], classes: int, recipe: TrainRecipe) -> Tensor:
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
