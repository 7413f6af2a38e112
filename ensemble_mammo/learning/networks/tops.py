"""What the whole-image classifier puts on a backbone's feature map: residual, VGG or heatmap blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.records.task import PATCH_CLASSES

WIDTHS = (512, 1024)
"""Of a bottleneck: inside, and behind it (Shen et al.: [512-512-1024])."""
BLOCKS = 2
"""Residual blocks, and VGG blocks."""
BOTTLENECKS = 2
"""A residual block."""
PATCH_CELLS = 7
"""Places that the heatmap averages in each direction: a patch of 224 pixels at stride 32."""
HEATMAP_POOL = 5
"""Places whose highest value the heatmap keeps, in each direction."""
HEATMAP_WIDTHS = (64, 32)
"""Of the layers on the heatmap."""


def _convolution(before: int, after: int, size: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without bias and its batch norm."""
    return [nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after)]


class Bottleneck(nn.Module):
    """1x1 (here the stride, as in the original), 3x3, 1x1 convolution with batch norms, beside a shortcut."""

    def __init__(self, before: int, stride: int, project: bool) -> None:
        super().__init__()
        inside, after = WIDTHS
        self.body = nn.Sequential(
            *_convolution(before, inside, 1, stride),
            nn.ReLU(inplace=True),
            *_convolution(inside, inside, 3),
            nn.ReLU(inplace=True),
            *_convolution(inside, after, 1),
        )
        self.shortcut = nn.Sequential(*_convolution(before, after, 1, stride)) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, before, h, w]` to `[B, 1024, h / stride, w / stride]`, rounded up."""
        return F.relu(self.body(x) + self.shortcut(x))


class HeatmapTop(nn.Module):
    """Highest values of the heatmap's neighbourhoods, and two layers of convolutions over them."""

    def __init__(self) -> None:
        super().__init__()
        first, second = HEATMAP_WIDTHS
        self.pool = nn.MaxPool2d(HEATMAP_POOL, ceil_mode=True)
        self.layers = nn.Sequential(
            *_convolution(len(PATCH_CLASSES), first, 3),
            nn.ReLU(inplace=True),
            *_convolution(first, second, 3),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, 5, h, w]` to `[B, 37, h / 5, w / 5]`, rounded up."""
        pooled = self.pool(x)
        return torch.cat([self.layers(pooled), pooled], dim=1)


def patch_head(width: int) -> nn.Sequential:
    """The last layer of the patch network over the map, each place the mean of its neighbourhood."""
    pool = nn.AvgPool2d(PATCH_CELLS, stride=1, padding=PATCH_CELLS // 2, count_include_pad=False)
    return nn.Sequential(pool, nn.Conv2d(width, len(PATCH_CLASSES), 1), nn.ReLU())


def top_blocks(kind: str, width: int, stride: int) -> tuple[nn.Sequential, int]:
    """The new blocks on a map of so many channels, and the channels behind them."""
    if kind == "heatmap":
        return nn.Sequential(HeatmapTop()), HEATMAP_WIDTHS[-1] + len(PATCH_CLASSES)
    made = []
    for number in range(BLOCKS):
        if kind == "resnet":
            first = Bottleneck(WIDTHS[1] if number else width, stride, project=True)
            rest = [Bottleneck(WIDTHS[1], 1, project=False) for _ in range(BOTTLENECKS - 1)]
            made.append(nn.Sequential(first, *rest))
        else:
            layers = _convolution(WIDTHS[0] if number else width, WIDTHS[0], 3)
            made.append(nn.Sequential(*layers, nn.ReLU(inplace=True), nn.MaxPool2d(2, ceil_mode=True)))
    return nn.Sequential(*made), WIDTHS[1] if kind == "resnet" else WIDTHS[0]


def initialise(module: nn.Module) -> None:
    """He's normal initialisation, as in the original."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
