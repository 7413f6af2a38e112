"""The whole-image classifier: a patch network without its head, further blocks on its feature map, one linear layer.

Source: Shen et al., Scientific Reports 2019, doi 10.1038/s41598-019-48995-4, and its code (Keras). One description of
the PyTorch port puts the two residual blocks behind the global average pooling; both codes have them before it (their
3x3 convolutions need a map), and so they are here.

Three tops are known:

- `resnet`: two residual blocks of [512-512-1024], each of two bottlenecks, with stride 2 at the start of each block
  (the original) or 1 (the port).
- `vgg`: two blocks of one 3x3 convolution with 512 channels and a 2x2 max pooling.
- `heatmap`: the patch classifier's own last layer at every place of the map, then a small top. The original averages
  7 x 7 places (the map of a 224-pixel patch) at stride 1, applies the last layer with ReLU instead of softmax (which
  lets gradients through where the patch classifier is sure of itself), pools the maxima of 5 x 5 places, flattens,
  and adds the logits of two dense layers of 64 and 32 to those of a direct dense layer. Flattened, it knows one input
  size. Here the dense layers are 3x3 convolutions, their 32 maps and the five pooled ones (the direct way) are
  reduced to their maxima and means, and one linear layer adds both ways up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import timm
import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, group_parameters, register_model
from timm.models import checkpoint_seq as again
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.networks.names import require_known
from ensemble_mammo.learning.networks.tops import initialise, patch_head, top_blocks
from ensemble_mammo.records.task import PATCH_CLASSES

_PROBE = 128
"""Rows and columns of the image that shows which parts of a backbone make its features."""

__all__ = ["WholeImage", "whole_image"]  # timm's registry adds to it


class WholeImage(nn.Module):
    """The network. Its parameters come in the order backbone, patch_head, blocks, fc: the last two are new.

    Args:
        backbone: a convolutional network of timm whose `forward_features` give a map.
        blocks: resnet, vgg or heatmap.
        block_stride: 1 or 2, of each residual block.
        in_chans: of the images.
        num_classes: of the logits.
        drop_rate: share of pooled features dropped while training.
        backbone_pretrained: the backbone starts from timm's own weights.

    Raises:
        RecipeError: the backbone is unknown, gives no map, or has no last layer for the heatmap.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        blocks: str = "resnet",
        block_stride: int = 2,
        in_chans: int = 1,
        num_classes: int = 2,
        drop_rate: float = 0.0,
        backbone_pretrained: bool = False,
    ) -> None:
        super().__init__()
        heatmap = blocks == "heatmap"
        self.backbone = _made(backbone, in_chans, len(PATCH_CLASSES) if heatmap else 0, backbone_pretrained)
        classifier = self.backbone.get_classifier() if heatmap else None
        behind, width = _behead(self.backbone, backbone, in_chans)
        self.left_out = tuple(behind)
        self.classifier = str(self.backbone.pretrained_cfg.get("classifier", ""))
        if heatmap and not _is_alone(classifier, behind.values(), width):
            raise RecipeError(
                f"network.backbone: {backbone!r} does not end in average pooling and one linear layer, so its head "
                "cannot be laid over the map; take network.blocks = 'resnet' or 'vgg'"
            )
        self.in_chans, self.num_classes, self.drop_rate = in_chans, num_classes, drop_rate
        self.heatmap, self.grad_checkpointing = heatmap, False
        self.patch_head = patch_head(width) if heatmap else nn.Identity()
        self.blocks, self.num_features = top_blocks(blocks, width, block_stride)
        self.head_hidden_size = self.num_features * (2 if heatmap else 1)
        self.fc = nn.Linear(self.head_hidden_size, num_classes)
        for part in (self.patch_head, self.blocks, self.fc):
            part.apply(initialise)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute features a second time for the gradients instead of keeping them."""
        self.backbone.set_grad_checkpointing(enable)
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> Callable[[str], tuple[float]]:
        """The feature groups in order, as timm's parameter grouping wants them: the backbone's, then each block."""
        own = group_parameters(self.backbone, self.backbone.group_matcher(coarse=coarse), reverse=True)
        behind = max(own.values()) + 1

        def group(name: str) -> tuple[float]:
            part, _, rest = name.partition(".")
            if part == "backbone":
                return (own[rest],)
            if part == "blocks":
                return (behind + 1 + int(rest.partition(".")[0]),)
            return (behind if part == "patch_head" else float("inf"),)

        return group

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh last layer of so many classes; other poolings than the mean are not known."""
        if global_pool not in (None, "avg"):
            raise ValueError(f"whole_image: global_pool is {global_pool!r}, expected 'avg'")
        self.num_classes = num_classes
        self.fc = nn.Linear(self.head_hidden_size, num_classes)
        initialise(self.fc)

    def forward_features(self, x: Tensor) -> Tensor:
        """From `[B, in_chans, H, W]` to `[B, F, h, w]`."""
        x = self.patch_head(self.backbone.forward_features(x))
        return again(self.blocks, x) if self.grad_checkpointing else self.blocks(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From `[B, F, h, w]` to logits `[B, classes]`, or to the pooled features."""
        pooled = x.mean(dim=(2, 3))
        if self.heatmap:
            pooled = torch.cat([x.amax(dim=(2, 3)), pooled], dim=1)
        pooled = F.dropout(pooled, self.drop_rate, self.training)
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, in_chans, H, W]` to logits `[B, classes]`."""
        return self.forward_head(self.forward_features(x))


def _made(name: str, in_chans: int, classes: int, pretrained: bool) -> Any:
    require_known("network.backbone", name)
    if name == "whole_image":
        raise RecipeError("network.backbone: 'whole_image' stands on another network, such as 'resnet50'")
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_chans, num_classes=classes)
    except (TypeError, ValueError, AssertionError) as error:
        raise RecipeError(f"network.backbone: {name!r} cannot be made: {error}") from error


def _behead(network: Any, name: str, in_chans: int) -> tuple[dict[str, nn.Module], int]:
    """Take off what stands behind the features: its modules, and the channels of the features.

    Which parts those are differs from network to network (VGG's hidden layers, for one), so one image is sent
    through and the parts that it never meets go.
    """
    met: set[int] = set()
    hooks = [m.register_forward_hook(lambda module, *_: met.add(id(module))) for m in network.modules()]
    learns = network.training
    image = torch.zeros(1, in_chans, _PROBE, _PROBE, device=next(network.parameters()).device)
    try:
        with torch.no_grad():
            features = network.eval().forward_features(image)
    except Exception as error:  # transformers of one input size and others raise whatever their layers raise
        raise RecipeError(f"network.backbone: {name!r} takes no image of another size: {error}") from error
    finally:
        network.train(learns)
        for hook in hooks:
            hook.remove()
    shape = list(getattr(features, "shape", []))
    if len(shape) != 4 or shape[1] != network.num_features:
        raise RecipeError(
            f"network.backbone: the features of {name!r} are {shape}, expected a map [B, F, h, w]; "
            "take a convolutional network, such as 'resnet50'"
        )
    parts = dict(network.named_children())
    behind = {part: child for part, child in parts.items() if not any(id(m) in met for m in child.modules())}
    for part in behind:
        setattr(network, part, nn.Identity())
    return behind, shape[1]


def _is_alone(classifier: Any, behind: Iterable[nn.Module], width: int) -> bool:
    """Whether one linear layer is all that learns behind features of so many channels."""
    learning = [parameter for module in behind for parameter in module.parameters()]
    own = {id(parameter) for parameter in classifier.parameters()}
    return getattr(classifier, "in_features", 0) == width and all(id(parameter) in own for parameter in learning)


default_cfgs = generate_default_cfgs(
    {
        "whole_image.untrained": {
            "input_size": (1, 1152, 896),
            "num_classes": 2,
            "mean": (0.0,),
            "std": (1.0,),
            "first_conv": "backbone",
            "classifier": "fc",
        }
    }
)


@register_model
def whole_image(pretrained: bool = False, **kwargs: Any) -> WholeImage:
    """The entry point for `timm.create_model('whole_image', backbone=…, blocks=…, block_stride=…, in_chans=…)`.

    `pretrained` means timm's own weights of the backbone; the new layers are always fresh.
    """
    network: WholeImage = build_model_with_cfg(
        WholeImage, "whole_image", False, backbone_pretrained=pretrained, **kwargs
    )
    return network
