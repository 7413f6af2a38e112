"""Networks, made by name: timm's and ours, grey images repeated where a network wants three channels."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning import weights
from ensemble_mammo.learning.layers import outputs_of
from ensemble_mammo.learning.networks import convnet, hand_features, inception_lite, infn_resnet, vgg_lite, whole_image
from ensemble_mammo.learning.networks.convnet import ConvNet
from ensemble_mammo.learning.networks.inception_lite import InceptionLite
from ensemble_mammo.learning.networks.names import require_known
from ensemble_mammo.learning.networks.vgg_lite import VGGLite
from ensemble_mammo.records.recipe import NetworkRecipe

FLATTENED = tuple(kind.name for kind in (ConvNet, VGGLite, InceptionLite))
"""Networks whose dense layers stand on the flattened map, so that they are made for one size of input."""
__all__ = ["convnet", "create_network", "hand_features", "inception_lite", "infn_resnet", "vgg_lite", "whole_image"]


def create_network(recipe: NetworkRecipe, classes: int, size: tuple[int, int] | None = None) -> nn.Module:
    """Make a recipe's network, its first weights in place, fresh in its last layer.

    It takes `[B, 1, H, W]`, also where the recipe says 3 channels, and gives logits `[B, classes]`, or with several
    last layers those of all, `[B, O]`;
    `forward_head(forward_features(x))` is the same. The weights depend on torch's seed alone.

    Args:
        recipe: which network.
        classes: of its task.
        size: rows and columns of the input, for networks whose dense layers stand on the flattened map; None: the
            network's own.

    Raises:
        RecipeError: timm knows no such network, or it cannot be made with these channels.
        WeightsError: the pre-trained weights are missing or do not fit.
    """
    require_known("network.name", recipe.name)
    if recipe.start_part == "features" and recipe.pretrained != "run":
        raise RecipeError(
            "network.start_part = 'features': no run whose features it could begin with; name one with --start RUN"
        )
    options: dict[str, Any] = {
        "in_chans": recipe.in_channels,
        "num_classes": outputs_of(recipe, classes),
        "drop_rate": recipe.dropout,
    }
    if recipe.name == weights.WHOLE_IMAGE:
        options |= _of_whole_image(recipe)
    if recipe.name in FLATTENED and size is not None:
        options["img_size"] = size
    if recipe.pretrained == "hub":
        network = weights.from_hub(recipe.name, options)
    else:
        try:
            network = timm.create_model(recipe.name, pretrained=False, **options)
        except RecipeError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:
            raise RecipeError(f"network.name: {recipe.name!r} cannot be made: {error}") from error
        if recipe.pretrained == "run":
            _quiet_head(network)
        if recipe.pretrained != "none":
            weights.load_pretrained(network, recipe)
    if recipe.pretrained in ("package", "hub"):
        _quiet_head(network)
    if recipe.in_channels > 1:
        _repeat_grey(network, recipe.in_channels)
    if recipe.checkpointing:
        _checkpoint(network, recipe)
    return network


def _of_whole_image(recipe: NetworkRecipe) -> dict[str, Any]:
    """What only the whole-image classifier is told."""
    if not recipe.backbone:
        raise RecipeError(
            "network.backbone is empty; whole_image needs the timm network that it stands on, such as 'resnet50', or a "
            "run to start from (train --start RUN)"
        )
    require_known("network.backbone", recipe.backbone)
    return {"backbone": recipe.backbone, "blocks": recipe.blocks, "block_stride": recipe.block_stride}


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
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise RecipeError(f"network.in_channels is {channels}, and the network has no convolution; set it to 1")

    def repeat(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        image = inputs[0]
        return (image.expand(-1, channels, -1, -1) if image.shape[1] == 1 else image, *inputs[1:])

    first.register_forward_pre_hook(repeat)


def _checkpoint(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Let features be computed a second time for the gradients, and batch norms count them once.

    Without the second half, running statistics would move twice a step.
    """
    try:
        network.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AttributeError, AssertionError) as error:
        raise RecipeError(
            f"network.checkpointing: {recipe.backbone or recipe.name!r} cannot compute its features a second time; "
            "set it to false, and take smaller batches with train.accumulate"
        ) from error

    def hold(module: Any, _: object) -> None:
        if module.training and torch._C._current_graph_task_id() >= 0:  # a backward pass is at work: the second time
            module.momentum_before, module.momentum = module.momentum, 0.0
            module.num_batches_tracked.sub_(1)

    def release(module: Any, *_: object) -> None:
        if hasattr(module, "momentum_before"):
            module.momentum = module.momentum_before
            del module.momentum_before

    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            module.register_forward_pre_hook(hold)
            module.register_forward_hook(release, always_call=True)
