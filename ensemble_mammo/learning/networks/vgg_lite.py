"""The VGG-16 of Scuccimarra's benchmark: half the resolution from the first layer on, and smaller dense layers.

The convolutions of VGG-16 (Simonyan and Zisserman 2015, configuration D), the first of stride 2, a batch norm behind
every layer, dense layers of 1024 and 512. The text of the work says no more; its last script has fewer channels
(64, 96, 128, 256, 384 in the five groups).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import Conv2dSame, create_pool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ensemble_mammo.learning.networks.flattened import SIZE, Convolution, FlattenedNetwork, configured, same_cells

GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Of each group: the output channels, the 3x3 convolutions; a 2x2 max pooling follows."""

__all__ = ["VGGLite", "vgg_lite"]  # timm's registry adds to it


class VGGLite(FlattenedNetwork):
    """The network; padding is "same" as TensorFlow means it: 299 -> 150 -> 75 -> 38 -> 19 -> 10 -> 5."""

    name = "vgg_lite"
    width = GROUPS[-1][0]
    dense_widths = (1024, 512)
    least = 33  # fewer, and the last pooling would have one place to choose from

    def __init__(
        self,
        num_classes: int = 2,
        in_chans: int = 1,
        img_size: int | Sequence[int] = SIZE,
        drop_rate: float = 0.5,
    ) -> None:
        before, groups = in_chans, []
        for number, (after, count) in enumerate(GROUPS):
            layers: list[nn.Module] = []
            for place in range(count):
                stride = 1 if number or place else 2
                layers.append(Convolution(Conv2dSame(before, after, 3, stride=stride, bias=False)))
                before = after
            groups.append(nn.Sequential(*layers, create_pool2d("max", 2, stride=2, padding="same")))
        super().__init__(groups, num_classes, in_chans, img_size, drop_rate)

    @staticmethod
    def cells(length: int) -> int:
        """Places of the last map along a side of so many pixels."""
        return same_cells(length, 1 + len(GROUPS))


default_cfgs = generate_default_cfgs({"vgg_lite.untrained": configured("features.0.0.0")})


@register_model
def vgg_lite(pretrained: bool = False, **kwargs: Any) -> VGGLite:
    """The entry point for `timm.create_model('vgg_lite', img_size=…, num_classes=…, drop_rate=…)`."""
    network: VGGLite = build_model_with_cfg(VGGLite, "vgg_lite", pretrained, **kwargs)
    return network
