"""Class activation maps: the methods of the grad-cam package, and the exact class map, from one pass of the network.

Every map is taken at the last feature map (`forward_features`). The features are computed once, without gradients;
what comes behind them (`forward_head`) is small, and is all that a method has to go through again.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import to_input

CLASS_MAP = "class-map"
"""The exact map of networks that end in average pooling and one linear layer (Zhou et al., CVPR 2016)."""

METHODS = MappingProxyType(
    {
        "grad-cam": "GradCAM",
        CLASS_MAP: "",
        "grad-cam++": "GradCAMPlusPlus",
        "grad-cam-elementwise": "GradCAMElementWise",
        "xgrad-cam": "XGradCAM",
        "layer-cam": "LayerCAM",
        "hires-cam": "HiResCAM",
        "finer-cam": "FinerCAM",
        "shapley-cam": "ShapleyCAM",
        "eigen-cam": "EigenCAM",
        "eigen-grad-cam": "EigenGradCAM",
        "seg-eigen-cam": "SegEigenCAM",
        "kpca-cam": "KPCA_CAM",
        "fem": "FEM",
        "score-cam": "ScoreCAM",
        "ablation-cam": "AblationCAM",
    }
)
"""Name on the command line -> class of the grad-cam package; empty: made here."""

CLASSLESS = frozenset({"eigen-cam", "kpca-cam", "fem"})
"""Methods whose map is the same whatever class is asked for."""

BATCH = 8
"""Images of one network that are computed at once, at most."""

_FULL = "score-cam"
"the one method that goes through the whole network again: it masks the image itself"
_ONE_BY_ONE = (_FULL, "finer-cam")
"methods that take one image a call: score-cam for its memory, finer-cam for its form"
_EPSILON = 1e-7
"as the grad-cam package adds to a map's highest value before it divides"


@dataclass(frozen=True)
class ActivationMap:
    """What speaks for a class in one image, and how the network scores it.

    Values are shown as the grad-cam package shows them: below zero cut off, the lowest taken away, divided by the
    highest. So 0 is no evidence (or the least of the image), 1 the most; all zero where nothing speaks for the class.
    """

    over_image: NDArray[np.float32]
    "[h, w] over the prepared image"
    over_input: NDArray[np.float32]
    "[H, W] over the network's input, its padding included"
    coarse: NDArray[np.float32]
    "[a, b] as it was computed, a value a cell of the last feature map"
    class_index: int
    "the class explained"
    scores: NDArray[np.float64]
    "[C] softmax scores of the image, from the same pass"


def activation_maps(
    runs: Sequence[LoadedRun],
    images: Sequence[NDArray[np.uint16]],
    classes: Sequence[int | None] | None = None,
    method: str = "grad-cam",
) -> list[ActivationMap]:
    """The class activation maps of several images, such as the four views of a subject, and their scores.

    Images of one network are computed in one batch; each image passes its network once.

    Args:
        runs: the network of each image; the same object again for images of one network.
        images: prepared images [h, w], as many.
        classes: the class that each map explains; None: the one that scores highest.
        method: one of `METHODS`.

    Returns:
        A map an image, in their order.

    Raises:
        RunError: the method does not work with a network.
    """
    wanted = list(classes) if classes is not None else [None] * len(images)
    if not len(runs) == len(images) == len(wanted):
        raise ValueError(f"{len(runs)} runs, {len(images)} images and {len(wanted)} classes: expected the same number")
    places: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(id(run), []).append(place)
    made: dict[int, ActivationMap] = {}
    for own in places.values():
        for start in range(0, len(own), BATCH):
            batch = own[start : start + BATCH]
            found = _maps(runs[batch[0]], [images[i] for i in batch], [wanted[i] for i in batch], method)
            made.update(zip(batch, found, strict=True))
    return [made[place] for place in range(len(images))]


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
        [h, w] float32 over the prepared image, values 0 (no evidence) to 1 (the map's highest); all zero when
        nothing speaks for the class.

    Raises:
        RunError: the method does not work with this network.
    """
    return activation_maps([run], [pixels], [class_index], method)[0].over_image


def _maps(
    run: LoadedRun, images: Sequence[NDArray[np.uint16]], wanted: Sequence[int | None], method: str
) -> list[ActivationMap]:
    """The maps of one batch of one network."""
    inputs = [to_input(pixels, run.recipe.input) for pixels in images]
    network: Any = run.network.eval()
    batch = torch.stack([values for values, _ in inputs]).to(next(network.parameters()).device)
    with torch.no_grad():
        features = network.forward_features(batch)
        _require_map(run, features)
        scores = torch.softmax(network.forward_head(features).double(), dim=1).cpu().numpy()
    classes = [int(own.argmax()) if index is None else index for index, own in zip(wanted, scores, strict=True)]
    if method == CLASS_MAP:
        coarse = _class_maps(run, features, classes)
    else:
        coarse = _package_maps(network, batch, features, classes, method)
    large = _scaled(F.interpolate(coarse[:, None], batch.shape[-2:], mode="bilinear", align_corners=False)[:, 0])
    cells, over_input = coarse.numpy(), large.numpy()
    return [
        ActivationMap(np.clip(placement.to_source(over_input[i]), 0, 1), over_input[i], cells[i], classes[i], scores[i])
        for i, (_, placement) in enumerate(inputs)
    ]


def _require_map(run: LoadedRun, features: Tensor) -> None:
    """Refuse networks whose last features are no map, such as transformers'."""
    channels = getattr(run.network, "num_features", features.shape[1])
    if features.ndim != 4 or (features.shape[1] != channels and features.shape[-1] == channels):
        raise RunError(
            f"{run.folder}: the features of {run.recipe.network.name} are {list(features.shape)}, expected a map "
            "[B, F, h, w]; activation maps need a convolutional network"
        )


def _class_maps(run: LoadedRun, features: Tensor, classes: Sequence[int]) -> Tensor:
    """The weights of the class times the last feature map: no backward pass (Zhou et al., CVPR 2016)."""
    layer = _last_layer(run, features)
    with torch.no_grad():
        weights = layer.weight[torch.as_tensor(classes, device=features.device)]
        # Grad-CAM's weights are mean gradients: those of the class over the number of cells
        raw = torch.einsum("bf,bfhw->bhw", weights, features) / features[0, 0].numel()
    return _scaled(_scaled(raw.float().cpu()))  # twice, as the package does: so the small number leaves no trace


def _last_layer(run: LoadedRun, features: Tensor) -> nn.Linear:
    """The one layer behind the pooling, if that is all that the network's head does.

    Whether it is, random features tell: what holds for them does not hang on the images.

    Raises:
        RunError: the network ends otherwise.
    """
    network: Any = run.network
    layer = network.get_classifier() if hasattr(network, "get_classifier") else None
    if isinstance(layer, nn.Linear) and layer.in_features == features.shape[1]:
        random = torch.randn((2, *features.shape[1:]), generator=torch.Generator().manual_seed(0)).to(features)
        with torch.no_grad():
            if torch.allclose(network.forward_head(random), layer(random.mean((2, 3))), rtol=1e-4, atol=1e-4):
                return layer
    raise RunError(
        f"{run.folder}: {run.recipe.network.name} does not end in average pooling and one linear layer, so it has no "
        "exact class map; take --method grad-cam, which works with every convolutional network"
    )


class _Split(nn.Module):
    """A network, or what lies behind its features, with a named place where the features pass."""

    def __init__(self, network: Any, whole: bool) -> None:
        super().__init__()
        self.network = network
        self.whole = whole
        self.features = nn.Identity()

    def forward(self, batch: Tensor) -> Tensor:
        features = self.network.forward_features(batch) if self.whole else batch
        return self.network.forward_head(self.features(features))


def _package_maps(network: Any, batch: Tensor, features: Tensor, classes: Sequence[int], method: str) -> Tensor:
    """The maps `[B, a, b]` of a method of the grad-cam package, at the features' own resolution."""
    if method in _ONE_BY_ONE and len(batch) > 1:
        alone = [
            _package_maps(network, batch[i : i + 1], features[i : i + 1], classes[i : i + 1], method)
            for i in range(len(batch))
        ]
        return torch.cat(alone)
    import pytorch_grad_cam as package
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = _Split(network, method == _FULL)
    given = batch if method == _FULL else features.detach().requires_grad_(True)
    with _quiet(), _learning(network, method == "shapley-cam"):
        explain = getattr(package, METHODS[method])(model=model, target_layers=[model.features])
        if method == "finer-cam":
            raw = explain(given, None, target_idx=classes[0])
        else:
            explain.get_target_width_height = lambda _: tuple(features.shape[:1:-1])
            raw = explain(given, [ClassifierOutputTarget(index) for index in classes])
    return _scaled(torch.from_numpy(np.nan_to_num(np.asarray(raw, dtype=np.float32))))


@contextlib.contextmanager
def _learning(network: nn.Module, learns: bool) -> Iterator[None]:
    """Let parameters ask for gradients, or not (most methods need those of the features alone); then as before."""
    before = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.requires_grad_(learns)
    try:
        yield
    finally:
        for parameter, learnt in before:
            parameter.requires_grad_(learnt)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's own progress bars."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _scaled(raw: Tensor) -> Tensor:
    """Maps `[B, h, w]` as the grad-cam package shows them: cut off at zero, the lowest to 0, the highest to 1."""
    above = raw.clamp(min=0)
    above = above - above.amin((1, 2), keepdim=True)
    return above / (_EPSILON + above.amax((1, 2), keepdim=True))
