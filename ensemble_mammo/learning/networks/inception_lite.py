"""Scuccimarra's Inception: Inception v4 with half the filters, and dense layers in place of its average pooling.

The blocks are those of timm's `inception_v4` (Szegedy et al. 2016), padding included, each convolution with half the
outputs. The work gives no sizes for its two dense layers: they are those of its VGG here, 1024 and 512. Its script
`inception_v4.05` drops some blocks and keeps the average pooling; this network follows the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.inception_v4 import (
    InceptionA,
    InceptionB,
    InceptionC,
    Mixed3a,
    Mixed4a,
    Mixed5a,
    ReductionA,
    ReductionB,
)
from torch import nn

from ensemble_mammo.learning.networks.flattened import SIZE, Convolution, FlattenedNetwork, configured

STEM = (32, 32, 64)
"""Output channels of the first convolutions in Inception v4, before they are halved."""
BLOCKS = (4, 7, 3)
"""Of Inception A, B and C."""
REDUCTIONS = 4
"""Layers of stride 2 behind the first one: two in the stem, then the reductions A and B."""

__all__ = ["InceptionLite", "inception_lite"]  # timm's registry adds to it


class Halved(Convolution):
    """A convolution as timm's blocks ask for it, with half the channels on both sides."""

    def __init__(self, before: int, after: int, kernel_size: Any, stride: int = 1, padding: Any = 0, **_: Any) -> None:
        super().__init__(nn.Conv2d(before // 2, after // 2, kernel_size, stride, padding, bias=False))


class InceptionLite(FlattenedNetwork):
    """The network; almost nothing is padded where the stride is 2: 299 -> 149 -> 147 -> 73 -> 71 -> 35 -> 17 -> 8."""

    name = "inception_lite"
    width = 1536 // 2
    dense_widths = (1024, 512)
    least = 75  # fewer, and no place of the last map is left

    def __init__(
        self,
        num_classes: int = 2,
        in_chans: int = 1,
        img_size: int | Sequence[int] = SIZE,
        drop_rate: float = 0.5,
    ) -> None:
        first, second, third = STEM
        stem = Convolution(nn.Conv2d(in_chans, first // 2, 3, 2, bias=False))
        blocks: list[nn.Module] = [Halved(first, second, 3), Halved(second, third, 3, padding=1)]
        blocks += [block(Halved) for block in (Mixed3a, Mixed4a, Mixed5a)]
        a, b, c = BLOCKS
        blocks += [*(InceptionA(Halved) for _ in range(a)), ReductionA(Halved)]
        blocks += [*(InceptionB(Halved) for _ in range(b)), ReductionB(Halved)]
        blocks += [InceptionC(Halved) for _ in range(c)]
        super().__init__([stem, *blocks], num_classes, in_chans, img_size, drop_rate)

    @staticmethod
    def cells(length: int) -> int:
        """Places of the last map along a side of so many pixels."""
        length = _half(length) - 2  # behind the first two convolutions
        for number in range(REDUCTIONS):
            length = _half(length) - 2 * (number == 0)  # Mixed4a ends in a convolution without padding
        return length


def _half(length: int) -> int:
    """What a convolution or pooling of 3 places and stride 2 leaves of a length, without padding."""
    return (length - 3) // 2 + 1


default_cfgs = generate_default_cfgs({"inception_lite.untrained": configured("features.0.0")})


@register_model
def inception_lite(pretrained: bool = False, **kwargs: Any) -> InceptionLite:
    """The entry point for `timm.create_model('inception_lite', img_size=…, num_classes=…, drop_rate=…)`."""
    network: InceptionLite = build_model_with_cfg(InceptionLite, "inception_lite", pretrained, **kwargs)
    return network
