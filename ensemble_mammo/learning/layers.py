"""Last layers of a network that learns from several collections at once: which outputs are whose.

What a B is differs from reader to reader and from digitiser to digitiser; with a last layer a collection, the
features are learned from all, and each collection keeps its own limits between classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.records.task import TASKS, Task


@dataclass(frozen=True)
class Layer:
    """The last layer of one collection."""

    collection: str
    "whose images it judges"
    task: Task
    "by which they are learned"
    first: int
    "the place of its first class among the network's outputs"

    @property
    def outputs(self) -> slice:
        """Its places among the network's outputs."""
        return slice(self.first, self.first + len(self.task.classes))


def layers_of(recipe: NetworkRecipe) -> tuple[Layer, ...]:
    """The last layers of a run's network, in the order of its outputs; none where it has but one."""
    layers: list[Layer] = []
    for text in recipe.layers:
        collection, _, task = text.rpartition(":")
        layers.append(Layer(collection, TASKS[task], layers[-1].outputs.stop if layers else 0))
    return tuple(layers)


def layers_telling(recipe: NetworkRecipe, task: Task) -> tuple[Layer, ...]:
    """Those of a run's last layers that tell a task."""
    return tuple(layer for layer in layers_of(recipe) if layer.task == task)


def outputs_of(recipe: NetworkRecipe, classes: int) -> int:
    """How many outputs a network has: those of all its last layers, or one a class."""
    layers = layers_of(recipe)
    return layers[-1].outputs.stop if layers else classes


def output_names(recipe: NetworkRecipe, classes: Sequence[str]) -> tuple[str, ...]:
    """What each output stands for: a class, or `COLLECTION:CLASS`."""
    layers = layers_of(recipe)
    return tuple(f"{layer.collection}:{name}" for layer in layers for name in layer.task.classes) or tuple(classes)


def head_name(network: nn.Module) -> str:
    """What the last layer of a network is called among its tensors, such as `classifier`."""
    head = network.get_classifier()  # type: ignore[operator]
    return next(name for name, module in network.named_modules() if module is head)


def merged(tensors: Mapping[str, Tensor], head: str, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The tensors with one last layer in place of several: the mean of some, or the one that is given.

    The mean of linear layers gives the mean of their logits.

    Args:
        tensors: of a network with several last layers.
        head: what its last layer is called.
        layers: one, or several with the same classes.
    """
    result = dict(tensors)
    for part in ("weight", "bias"):
        whole = tensors[f"{head}.{part}"]
        result[f"{head}.{part}"] = torch.stack([whole[layer.outputs] for layer in layers]).mean(dim=0)
    return result
