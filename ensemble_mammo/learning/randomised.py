"""Does a map hang on what was learnt? The check with shuffled weights (Adebayo et al., NeurIPS 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.learning.cam import ActivationMap, activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.faithfulness import area_of_input
from ensemble_mammo.learning.images import fit, normalise

SHUFFLED = {
    "last layer": 0.0,
    "last quarter": 0.25,
    "last half": 0.5,
    "last three quarters": 0.75,
    "all layers": 1.0,
}
"""Steps of the cascade, from the output back to the input -> share of the layers that is shuffled."""

_C1, _C2 = 0.01**2, 0.03**2
"constants of the structural similarity for values from 0 to 1 (Wang et al., IEEE Trans. Image Process. 13, 600, 2004)"


@dataclass(frozen=True)
class Likeness:
    """How alike the map of the trained network is to that of one whose weights were shuffled."""

    spearman: float
    "rank correlation over the map's cells, -1 to 1; nan where one map is even"
    ssim: float
    "structural similarity, the whole map as one window, -1 to 1; nan where no cell is left to compare"


def randomisation_check(
    run: LoadedRun,
    pixels: NDArray[np.uint16],
    made: ActivationMap,
    method: str,
    area: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> dict[str, Likeness]:
    """How much of a map is left when the network's weights are shuffled (Adebayo et al., NeurIPS 2018).

    From the last layer back to the first, the values of each weight tensor are shuffled within it, so that their
    spread stays, and the batch norms behind them are measured anew on the image (else the signal dies out on its way
    through many layers, and every map is even). A map that does not change shows the image, not what was learnt. The
    network is put back bit for bit.

    Args:
        run: the network that the map was made with.
        pixels: the prepared image [h, w].
        made: its map; the class stays.
        method: that it was made by.
        area: [h, w]: only cells of the map that touch it are compared; None: all that touch the image.
        seed: of the shuffling.

    Returns:
        Step of `SHUFFLED` -> likeness of the two maps at their own resolution.
    """
    values, placement = fit(pixels, run.recipe.input)
    inside = torch.from_numpy(area_of_input(area, placement, values.shape[-2:]).astype(np.float32))
    cells = F.adaptive_max_pool2d(inside[None], made.coarse.shape)[0].numpy() > 0
    batch = normalise(values, run.recipe.input)[None].to(next(run.network.parameters()).device)
    found = {}
    for step, share in SHUFFLED.items():
        with shuffled(run.network, share, seed, batch):
            other = activation_maps([run], [pixels], [made.class_index], method)[0]
        found[step] = likeness(made.coarse[cells], other.coarse[cells])
    return found


@contextmanager
def shuffled(network: nn.Module, share: float, seed: int, batch: Tensor | None = None) -> Iterator[None]:
    """Shuffle the weights of the last layers, each tensor within itself; put everything back at the end.

    Args:
        network: the network, in evaluation mode.
        share: of the layers that have weights, counted from the output, at least one.
        seed: of the shuffling.
        batch: [B, 1, H, W] on which the batch norms among these layers are measured anew; None: they stay.
    """
    layers = [one for one in network.modules() if any(True for _ in one.parameters(recurse=False))]
    chosen = layers[len(layers) - max(1, round(share * len(layers))) :]
    weights = [parameter for layer in chosen for parameter in layer.parameters(recurse=False)]
    norms = [layer for layer in chosen if isinstance(layer, nn.BatchNorm2d)]
    kept = [*weights, *(buffer for norm in norms for buffer in norm.buffers(recurse=False))]
    before = [tensor.detach().clone() for tensor in kept]
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for parameter in weights:
                places = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[places].view(parameter.shape))
            if batch is not None and norms:
                _measure(network, norms, batch)
        yield
    finally:
        with torch.no_grad():
            for tensor, own in zip(kept, before, strict=True):
                tensor.copy_(own)


def _measure(network: nn.Module, norms: Sequence[nn.BatchNorm2d], batch: Tensor) -> None:
    """Let batch norms take mean and spread from these images and their mirror images (one value has no spread)."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        network(torch.cat([batch, batch.flip(-1)]))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum


def likeness(first: NDArray[np.floating], second: NDArray[np.floating]) -> Likeness:
    """How alike two maps are, value by value [N].

    The structural similarity is that of Wang et al. (2004), all values as one window: maps have few cells.
    """
    from scipy.stats import spearmanr

    if not len(first):
        return Likeness(math.nan, math.nan)
    even = len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0
    rank = math.nan if even else float(spearmanr(first, second).statistic)
    x, y = first.astype(np.float64), second.astype(np.float64)
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    luminance = (2 * x.mean() * y.mean() + _C1) / (x.mean() ** 2 + y.mean() ** 2 + _C1)
    return Likeness(rank, float(luminance * (2 * covariance + _C2) / (x.var() + y.var() + _C2)))
