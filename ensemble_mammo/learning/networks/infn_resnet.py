"""The residual network of the INFN per-projection density ensemble.

Source: the ensemble's own description and training script (Keras), doi 10.1007/978-3-030-29930-9_3.
Twelve bottlenecks in four groups; with 3 input channels and 4 classes 2,249,988 trainable parameters,
12,672 running statistics and a last feature map of 256 x 21 x 21 at 650 x 650.
"""

from __future__ import annotations

from typing import Any

from timm.layers import Conv2dSame, create_pool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3
"""Of every batch norm: the default of Keras."""
MOMENTUM = 0.01
"""Of every batch norm in torch's sense: 1 - 0.99, the default of Keras."""
SLOPE = 0.3
"""Of every LeakyReLU below zero: the default of Keras."""
STEM_WIDTH = 64
GROUPS = ((64, 128, 1), (128, 256, 2), (128, 256, 2), (128, 256, 2))
"""Of each group: the width inside its bottlenecks, the width behind them, the stride of the first one."""
BLOCKS = 3
"""Bottlenecks a group."""

__all__ = ["InfnResNet", "infn_resnet"]  # timm's registry adds to it


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON, momentum=MOMENTUM)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class Bottleneck(nn.Module):
    """1x1, 3x3 (here the stride), 1x1 convolution, each with a batch norm, beside a shortcut."""

    def __init__(self, before: int, width: int, after: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1)
        self.norm1 = _norm(width)
        self.conv2 = Conv2dSame(width, width, 3, stride=stride)
        self.norm2 = _norm(width)
        self.conv3 = nn.Conv2d(width, after, 1)
        self.norm3 = _norm(after)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride=stride), _norm(after)) if project else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, before, H, W]` to `[B, after, H / stride, W / stride]`, rounded up."""
        y = _leaky(self.norm1(self.conv1(x)))
        y = _leaky(self.norm2(self.conv2(y)))
        return _leaky(self.norm3(self.conv3(y)) + self.shortcut(x))


class InfnResNet(nn.Module):
    """The network; padding is "same" as TensorFlow means it: 650 -> 325 -> 163 -> 82 -> 41 -> 21."""

    def __init__(self, num_classes: int = 4, in_chans: int = 3, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        self.num_features = self.head_hidden_size = GROUPS[-1][1]
        self.stem = nn.Sequential(
            Conv2dSame(in_chans, STEM_WIDTH, 3, stride=2),
            _norm(STEM_WIDTH),
            nn.LeakyReLU(SLOPE),
            create_pool2d("max", 3, stride=2, padding="same"),
        )
        before, groups = STEM_WIDTH, []
        for width, after, stride in GROUPS:
            first = Bottleneck(before, width, after, stride, project=True)
            rest = [Bottleneck(after, width, after, 1, project=False) for _ in range(BLOCKS - 1)]
            groups.append(nn.Sequential(first, *rest))
            before = after
        self.groups = nn.Sequential(*groups)
        self.fc = nn.Linear(self.num_features, num_classes)
        self.apply(_initialise)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The feature groups in order, as timm's parameter grouping wants them."""
        return {"stem": r"^stem", "blocks": r"^groups\.(\d+)" if coarse else r"^groups\.(\d+)\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        """The dense layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh dense layer of so many classes; other poolings than the mean are not known."""
        if global_pool not in (None, "avg"):
            raise ValueError(f"infn_resnet: global_pool is {global_pool!r}, expected 'avg'")
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)
        _initialise(self.fc)

    def forward_features(self, x: Tensor) -> Tensor:
        """From `[B, 1 or in_chans, H, W]` to `[B, 256, h, w]`; one channel is repeated to in_chans."""
        if x.shape[1] == 1:
            x = x.expand(-1, self.in_chans, -1, -1)
        return self.groups(self.stem(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From `[B, 256, h, w]` to logits `[B, classes]`, or to the pooled features `[B, 256]`."""
        x = F.dropout(x, self.drop_rate, self.training).mean(dim=(2, 3))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, 1 or in_chans, H, W]` to logits `[B, classes]`."""
        return self.forward_head(self.forward_features(x))


def _initialise(module: nn.Module) -> None:
    """Keras' defaults: Glorot's uniform weights, zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


default_cfgs = generate_default_cfgs(
    {
        "infn_resnet.untrained": {
            "input_size": (3, 650, 650),
            "pool_size": (21, 21),
            "num_classes": 4,
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "first_conv": "stem.0",
            "classifier": "fc",
        }
    }
)


@register_model
def infn_resnet(pretrained: bool = False, **kwargs: Any) -> InfnResNet:
    """The entry point for `timm.create_model('infn_resnet', in_chans=…, num_classes=…, drop_rate=…)`."""
    network: InfnResNet = build_model_with_cfg(InfnResNet, "infn_resnet", pretrained, **kwargs)
    return network
