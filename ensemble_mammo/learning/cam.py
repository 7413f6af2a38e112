"""Class activation maps through the grad-cam package, on `forward_features`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import to_input

METHODS = MappingProxyType(
    {
        "grad-cam": "GradCAM",
        "grad-cam++": "GradCAMPlusPlus",
        "xgrad-cam": "XGradCAM",
        "layer-cam": "LayerCAM",
        "hires-cam": "HiResCAM",
        "eigen-cam": "EigenCAM",
        "score-cam": "ScoreCAM",
        "ablation-cam": "AblationCAM",
    }
)
"""Name on the command line -> class of the grad-cam package."""


class _AtFeatures(nn.Module):
    """A network split where its last feature map is, so that no layer needs a name."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.features = nn.Identity()

    def forward(self, batch: Tensor) -> Tensor:
        return self.network.forward_head(self.features(self.network.forward_features(batch)))


def activation_map(
    run: LoadedRun, pixels: NDArray[np.uint16], class_index: int, method: str = "grad-cam"
) -> NDArray[np.float32]:
    """The class activation map of a prepared image.

    Args:
        run: the trained network of the image's view.
        pixels: the prepared image [h, w].
        class_index: the class that the map explains.
        method: one of `METHODS`.

    Returns:
        [h, w] float32 over the prepared image, values 0 (no evidence) to 1 (the map's highest), zero in
        the padding; all zero when nothing speaks for the class.
    """
    import pytorch_grad_cam as package
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    batch, placement = to_input(pixels, run.recipe.input)
    device = next(run.network.parameters()).device
    model = _AtFeatures(run.network).eval()
    frozen = [(parameter, parameter.requires_grad) for parameter in run.network.parameters()]
    for parameter, _ in frozen:
        parameter.requires_grad_(True)
    try:
        with getattr(package, METHODS[method])(model=model, target_layers=[model.features]) as explain:
            raw = explain(batch[None].to(device), [ClassifierOutputTarget(class_index)])[0]
    finally:
        for parameter, learns in frozen:
            parameter.requires_grad_(learns)
    return np.clip(placement.to_source(np.asarray(raw, dtype=np.float32)), 0, 1).astype(np.float32)
