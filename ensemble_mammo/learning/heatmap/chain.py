"""A network's features as a chain of stages, each with its step in pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.learning.checkpoint import LoadedRun

_TOLERANCE = 1e-4
"that two ways to the same numbers may differ by, relative and absolute"


@dataclass(frozen=True)
class Chain:
    """The features of a network, stage by stage: all of them in order are its `forward_features`."""

    stages: tuple[nn.Module, ...]
    "from the image to the last feature map"
    steps: tuple[int, ...]
    "behind each stage: pixels of the image from one cell to the next, a power of two"
    pools_by_mean: bool
    "whether the head makes of a map the mean of what it makes of each cell: average pooling, then one layer"

    def step_behind(self, stages: int) -> int:
        """Pixels of the image from one cell to the next behind so many stages; 1 before the first."""
        return self.steps[stages - 1] if stages else 1


def chain_of(run: LoadedRun) -> Chain:
    """The stages of a network's features, checked to give what `forward_features` gives.

    EfficientNet, ResNet, VGG, the networks built like them and infn_resnet are told apart into stages; any other
    network is one stage.

    Raises:
        RunError: its last features are no map whose cells divide a patch evenly.
    """
    found = _chain(run.network.eval(), run.recipe.input.height)
    if found is None:
        raise RunError(
            f"{run.folder}: the features of {run.recipe.network.name} are no map whose cells divide a patch of "
            f"{run.recipe.input.height} pixels evenly and lie 2, 4, 8, 16 … pixels apart, as dense heatmaps need; take "
            "--mode exact"
        )
    return found


def cell_logits(network: Any, features: Tensor) -> Tensor:
    """What the head makes of each cell by itself: features `[N, F, a, b]` to logits `[N, C, a, b]`."""
    count, width, rows, columns = features.shape
    cells = features.permute(0, 2, 3, 1).reshape(-1, width, 1, 1)
    logits: Tensor = network.forward_head(cells)
    return logits.reshape(count, rows, columns, -1).permute(0, 3, 1, 2)


def window_logits(network: Any, features: Tensor, cells: int) -> Tensor:
    """The mean of what the head makes of the cells of each window: features `[N, F, a, b]` to float32 `[N, C, a', b']`.

    A window is `cells` high and wide, and begins at each cell where it fits in.
    """
    return F.avg_pool2d(cell_logits(network, features).float(), cells, stride=1)


@lru_cache(maxsize=4)  # as many networks as are usually averaged: an image is quicker than this
def _chain(network: Any, size: int) -> Chain | None:
    probe = torch.rand((1, 1, size, size), generator=torch.Generator().manual_seed(0))
    probe = probe.to(next(network.parameters()).device)
    with torch.inference_mode():
        expected = network.forward_features(probe)
        twice = network.forward_features(probe.repeat(1, 1, 2, 2))
        if expected.ndim != 4 or twice.shape[-2:] != tuple(2 * cells for cells in expected.shape[-2:]):
            return None
        for stages in (_stages(network), (_Features(network),)):
            if stages and (steps := _steps(stages, probe, expected)):
                return Chain(stages, steps, _pools_by_mean(network, expected))
    return None


def _pools_by_mean(network: Any, features: Tensor) -> bool:
    """Random features tell, so that the answer does not hang on images."""
    random = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).to(features)
    try:
        apart = cell_logits(network, random).mean((2, 3))
    except (RuntimeError, RecipeError):  # a head made for maps of one size alone
        return False
    return torch.allclose(network.forward_head(random), apart, rtol=_TOLERANCE, atol=_TOLERANCE)


class _Features(nn.Module):
    """All of a network's features, as one stage."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(batch)
        return features


def _stages(network: Any) -> tuple[nn.Module, ...]:
    """The stages of networks whose build is known; empty for others. Whether they are right is checked behind."""
    builds: tuple[tuple[tuple[str, ...], Callable[[Any], Iterator[nn.Module]]], ...] = (
        (("conv_stem", "bn1", "blocks", "conv_head", "bn2"), _efficientnet),
        (("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"), _resnet),
        (("stem", "groups"), lambda net: iter((net.stem, *net.groups))),
        (("features", "pre_logits"), lambda net: _vgg(net.features)),
    )
    for names, split in builds:
        if all(isinstance(getattr(network, name, None), nn.Module) for name in names):
            return tuple(split(network))
    return ()


def _efficientnet(network: Any) -> Iterator[nn.Module]:
    yield nn.Sequential(network.conv_stem, network.bn1)
    yield from network.blocks
    yield nn.Sequential(network.conv_head, network.bn2)


def _resnet(network: Any) -> Iterator[nn.Module]:
    yield nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
    yield from (network.layer1, network.layer2, network.layer3, network.layer4)


def _vgg(features: nn.Sequential) -> Iterator[nn.Module]:
    """A stage ends with each pooling."""
    stage: list[nn.Module] = []
    for layer in features:
        stage.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            yield nn.Sequential(*stage)
            stage = []
    if stage:
        yield nn.Sequential(*stage)


def _steps(stages: tuple[nn.Module, ...], probe: Tensor, expected: Tensor) -> tuple[int, ...]:
    """Pixels a cell behind each stage; empty where the stages are not the network's features or divide no patch."""
    size, steps, values = probe.shape[-1], [], probe
    for stage in stages:
        try:
            values = stage(values)
        except RuntimeError:  # channels that do not fit: another build with the same names
            return ()
        if values.ndim != 4 or values.shape[-2] != values.shape[-1] or size % values.shape[-1]:
            return ()
        steps.append(size // values.shape[-1])
    if values.shape != expected.shape or not torch.allclose(values, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        return ()
    return tuple(steps) if all(step.bit_count() == 1 for step in steps) and steps == sorted(steps) else ()
