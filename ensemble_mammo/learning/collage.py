"""Patches judged side by side: many in one image, their features cut apart before the head.

A fully convolutional pass over a mammogram sees around each patch what lies there, where a patch on its own has the
zeros of the convolutions' padding. A network that learns from both, with strangers around its patches, learns to
judge a patch by its own pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ensemble_mammo.errors import RecipeError


def judged_side_by_side(network: nn.Module, batch: Tensor) -> Tensor:
    """The logits of patches that lie in one large image.

    Args:
        network: with `forward_features` to a map and `forward_head`.
        batch: `[B, 1, H, W]`, normalised; H and W are multiples of the network's stride.

    Returns:
        `[B, C]`, in the order of the batch.

    Raises:
        RecipeError: the features of a patch are no whole number of places.
    """
    number, _, height, width = batch.shape
    columns = math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    whole = torch.cat([batch, batch[: rows * columns - number]]) if rows * columns > number else batch
    sheet = (
        whole.reshape(rows, columns, height, width).permute(0, 2, 1, 3).reshape(1, 1, rows * height, columns * width)
    )
    features = network.forward_features(sheet.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
    down, across = features.shape[-2] / rows, features.shape[-1] / columns
    if down != int(down) or across != int(across) or height % down or width % across:
        raise RecipeError(
            f"train.collage: a patch of {height} x {width} pixels has {down:g} x {across:g} places in the features; "
            "take an input whose height and width are multiples of the network's stride, or collage = 0"
        )
    channels, high, wide = features.shape[1], int(down), int(across)
    # [1, F, rows * h, columns * w] -> [rows, columns, F, h, w]
    apart = features.reshape(channels, rows, high, columns, wide).permute(1, 3, 0, 2, 4)
    own = apart.reshape(rows * columns, channels, high, wide)[:number]
    logits: Tensor = network.forward_head(own)  # type: ignore[operator]
    return logits
