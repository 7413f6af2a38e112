"""Hand-made features of the segmented breast and one linear layer: the baseline that a network has to beat.

What is measured stands in `measures`. Nothing in it is learned; what is learned are the mean and the deviation that
each feature is standardised by (`standardise`), and the linear layer. It takes prepared images as they are, values in
0..1 and black outside the breast.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.learning.networks.measures import NAMES, measured

__all__ = ["HandFeatures", "hand_features"]  # timm's registry adds to it


REMEMBERED = 50_000
"""Images whose features are kept in memory at most: some 30 MB."""
_measured: dict[bytes, Tensor] = {}


class HandFeatures(nn.Module):
    """The network; its only parameters are those of the last layer."""

    centre: Tensor
    scale: Tensor

    def __init__(self, num_classes: int = 4, in_chans: int = 1, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.in_chans, self.num_classes, self.drop_rate = in_chans, num_classes, drop_rate
        self.num_features = self.head_hidden_size = len(NAMES)
        self.register_buffer("centre", torch.zeros(self.num_features))
        self.register_buffer("scale", torch.ones(self.num_features))
        self.fc = nn.Linear(self.num_features, num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002 - as timm calls it
        """The feature groups in order, as timm's parameter grouping wants them: there is but the last layer."""
        return {"stem": r"^fc"}

    def get_classifier(self) -> nn.Module:
        """The linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh linear layer of so many classes; other poolings than the mean are not known."""
        if global_pool not in (None, "avg"):
            raise ValueError(f"hand_features: global_pool is {global_pool!r}, expected 'avg'")
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take off a mean `[F]` of what `forward_head(…, pre_logits=True)` gives, and divide by a deviation `[F]`."""
        self.centre += mean.to(self.centre) * self.scale
        self.scale *= deviation.to(self.scale)

    @torch.no_grad()
    def forward_features(self, x: Tensor) -> Tensor:
        """From `[B, 1, H, W]`, values in 0..1, to `[B, F, 1, 1]`, without gradients.

        Measured on the processor, one image after the other: the same numbers on every device and in every batch. An
        image measured before (in another fold, or mirrored) is not measured again.
        """
        images = x[:, 0].detach().float().cpu()
        return torch.stack([_known(image) for image in images]).to(x.device)[:, :, None, None]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From `[B, F, 1, 1]` to logits `[B, classes]`, or to the standardised features `[B, F]`."""
        pooled = (x.float().mean(dim=(2, 3)) - self.centre) / self.scale
        pooled = F.dropout(pooled, self.drop_rate, self.training)
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, 1, H, W]` to logits `[B, classes]`."""
        return self.forward_head(self.forward_features(x))


def _known(image: Tensor) -> Tensor:
    """The features of an image `[H, W]`, turned so that most of its light is on the left."""
    half = image.shape[1] // 2
    left, right = image[:, :half].sum(dtype=torch.float64), image[:, -half:].sum(dtype=torch.float64)
    turned = image.flip(1) if right > left else image.contiguous()
    key = hashlib.sha256(turned.numpy().tobytes()).digest() + bytes(str(tuple(turned.shape)), "ascii")
    if key not in _measured:
        while len(_measured) >= REMEMBERED:
            _measured.pop(next(iter(_measured)))
        _measured[key] = measured(turned)
    return _measured[key]


default_cfgs = generate_default_cfgs(
    {
        "hand_features.untrained": {
            "input_size": (1, 384, 224),
            "num_classes": 4,
            "mean": (0.0,),
            "std": (1.0,),
            "first_conv": "",
            "classifier": "fc",
        }
    }
)


@register_model
def hand_features(pretrained: bool = False, **kwargs: Any) -> HandFeatures:
    """The entry point for `timm.create_model('hand_features', in_chans=1, num_classes=…)`."""
    network: HandFeatures = build_model_with_cfg(HandFeatures, "hand_features", pretrained, **kwargs)
    return network
