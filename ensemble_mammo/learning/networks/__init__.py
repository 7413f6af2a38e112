"""Networks, made by name: timm's and ours, grey images repeated where a network wants three channels."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import timm
from torch import Tensor, nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning import weights
from ensemble_mammo.learning.networks import infn_resnet
from ensemble_mammo.records.recipe import NetworkRecipe

__all__ = ["create_network", "infn_resnet"]


def create_network(recipe: NetworkRecipe, classes: int) -> nn.Module:
    """Make a recipe's network, its first weights in place, fresh in its last layer.

    It takes `[B, 1, H, W]`, also where the recipe says 3 channels, and gives logits `[B, classes]`;
    `forward_head(forward_features(x))` is the same. The weights depend on torch's seed alone.

    Raises:
        RecipeError: timm knows no such network, or it cannot be made with these channels.
        WeightsError: the pre-trained weights are missing or do not fit.
    """
    if not timm.is_model(recipe.name):
        raise RecipeError(f"network.name: {recipe.name!r} is not known to timm{_near(recipe.name)}")
    options: dict[str, Any] = {
        "in_chans": recipe.in_channels,
        "num_classes": classes,
        "drop_rate": recipe.dropout,
    }
    if recipe.pretrained == "hub":
        network = weights.from_hub(recipe.name, options)
    else:
        try:
            network = timm.create_model(recipe.name, pretrained=False, **options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise RecipeError(f"network.name: {recipe.name!r} cannot be made: {error}") from error
        if recipe.pretrained != "none":
            weights.load_pretrained(network, recipe)
    if recipe.pretrained in ("package", "hub"):
        _quiet_head(network)
    if recipe.in_channels > 1:
        _repeat_grey(network, recipe.in_channels)
    return network


def _quiet_head(network: nn.Module) -> None:
    """Start the last layer near zero, so that pre-trained features meet no strong opinions.

    timm draws it from ±1/sqrt(classes), made for a thousand of them: with four, the first logits have a
    deviation of 5 and the first steps undo what was pre-trained.
    """
    for layer in network.get_classifier().modules():  # type: ignore[operator]
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


def _repeat_grey(network: nn.Module, channels: int) -> None:
    """Let the stem's first convolution repeat a grey image, whichever way the network is entered."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))

    def repeat(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        image = inputs[0]
        return (image.expand(-1, channels, -1, -1) if image.shape[1] == 1 else image, *inputs[1:])

    first.register_forward_pre_hook(repeat)


def _near(name: str) -> str:
    near = get_close_matches(name, timm.list_models(), n=3) or timm.list_models(f"*{name}*")[:3]
    return f"; did you mean {' or '.join(near)}?" if near else "; `timm.list_models()` names all"
