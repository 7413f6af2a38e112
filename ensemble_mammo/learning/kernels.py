"""The kernels of a network's first convolution as a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid

KERNEL_PX = 36
"""The longer side of a kernel in the picture is at least this long, in pixels: 3x3 kernels are enlarged 12 times."""
GAP_PX = 2
"""Between kernels, in pixels."""
GREY = 0.5
"""Of the gaps, and of a kernel with the same value everywhere."""


def first_kernels(network: nn.Module) -> Tensor | None:
    """What the first convolution does to a grey image, `[K, h, w]`; None for a network without convolutions.

    A grey image is the same in all input channels, so that a kernel acts as the sum of its parts.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None else first.weight.detach().float().sum(dim=1).cpu()


def picture_of(kernels: Tensor) -> Tensor:
    """A grid, about as high as wide, of kernels, each from black at its lowest value to white at its highest.

    Args:
        kernels: `[K, h, w]`, any values.

    Returns:
        `[3, H, W]`, grey, values in 0..1.
    """
    low, high = kernels.amin((1, 2), keepdim=True), kernels.amax((1, 2), keepdim=True)
    scaled = torch.where(high > low, (kernels - low) / (high - low), GREY)
    times = math.ceil(KERNEL_PX / max(kernels.shape[1:]))
    large = scaled.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
    return make_grid(large[:, None], nrow=math.ceil(math.sqrt(len(large))), padding=GAP_PX, pad_value=GREY)
