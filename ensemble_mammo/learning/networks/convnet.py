"""The small ConvNet of Scuccimarra's models 1.0.0.29, 35, 45 and 46: one network, whose recipes differ in the input.

Nine 3x3 convolutions in five groups, each group with a pooling, then two dense layers of 2048: with 1 channel and
2 classes at 299 x 299, where the last map is 512 x 5 x 5, 32,193,250 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import Conv2dSame, create_pool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ensemble_mammo.learning.networks.flattened import SIZE, Convolution, FlattenedNetwork, configured, same_cells

GROUPS = ((32, 32, 32), (64, 64), (128, 128), (256,), (512,))
"""Output channels of the convolutions; a max pooling of stride 2 follows each group."""
FIRST_POOL, POOL = 3, 2
"""Places that a pooling sees in each direction: the first one, the others."""
POOL_DROP_RATE = 0.1
"""Dropout behind each pooling."""

__all__ = ["ConvNet", "convnet_1_0_0"]  # timm's registry adds to it


class ConvNet(FlattenedNetwork):
    """The network; padding is "same" as TensorFlow means it: 299 -> 150 -> 75 -> 38 -> 19 -> 10 -> 5."""

    name = "convnet_1_0_0"
    width = GROUPS[-1][-1]
    dense_widths = (2048, 2048)
    least = 33  # fewer, and the last pooling would have one place to choose from

    def __init__(
        self,
        num_classes: int = 2,
        in_chans: int = 1,
        img_size: int | Sequence[int] = SIZE,
        drop_rate: float = 0.5,
        pool_drop_rate: float = POOL_DROP_RATE,
    ) -> None:
        before, groups = in_chans, []
        for number, widths in enumerate(GROUPS):
            layers: list[nn.Module] = []
            for place, after in enumerate(widths):
                stride = 1 if number or place else 2
                layers.append(Convolution(Conv2dSame(before, after, 3, stride=stride, bias=False)))
                before = after
            layers.append(create_pool2d("max", POOL if number else FIRST_POOL, stride=2, padding="same"))
            groups.append(nn.Sequential(*layers, nn.Dropout(pool_drop_rate)))
        super().__init__(groups, num_classes, in_chans, img_size, drop_rate)

    @staticmethod
    def cells(length: int) -> int:
        """Places of the last map along a side of so many pixels."""
        return same_cells(length, 1 + len(GROUPS))


default_cfgs = generate_default_cfgs({"convnet_1_0_0.untrained": configured("features.0.0.0")})


@register_model
def convnet_1_0_0(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """The entry point for `timm.create_model('convnet_1_0_0', img_size=…, num_classes=…, drop_rate=…)`."""
    network: ConvNet = build_model_with_cfg(ConvNet, "convnet_1_0_0", pretrained, **kwargs)
    return network
