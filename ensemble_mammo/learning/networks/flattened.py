"""Networks whose dense layers stand on the whole last map, flattened: what Scuccimarra's three have in common.

Source: E. Scuccimarra, ConvNets for classifying DDSM mammograms (2018), and the published scripts of that work for what
its text leaves open: dropout before the first dense layer too, and the batch norms' constants. Two things differ. No
layer has a bias that a batch norm takes away again. The first weights of convolutions are He's, as those of the dense
layers are there; the scripts' small ones (deviation 0.05) give so small a variance that the running statistics, which
begin at 1, are right only after some thousand steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError

SIZE = 299
"""Rows and columns of the tiles of the work."""
EPSILON = 1e-8
"""Of every batch norm; far less than the default, which would count beside the variance of images in 0..1."""
MOMENTUM = 0.01
"""Of the batch norms behind convolutions, in torch's sense (TensorFlow: 0.99)."""
DENSE_MOMENTUM = 0.1
"""Of those behind dense layers (TensorFlow: 0.9)."""


class MapNorm(nn.BatchNorm2d):
    """Batch norm of a map; a single value a channel is judged by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, C, h, w]` to the same."""
        return super().forward(x) if _enough(self, x) else _as_known(self, x)


class DenseNorm(nn.BatchNorm1d):
    """Batch norm behind a dense layer; a single image, such as an epoch's last, is judged by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, F]` to the same."""
        return super().forward(x) if _enough(self, x) else _as_known(self, x)


class Convolution(nn.Sequential):
    """A convolution, its batch norm and ReLU."""

    def __init__(self, kernel: nn.Conv2d) -> None:
        super().__init__(kernel, MapNorm(kernel.out_channels, EPSILON, MOMENTUM), nn.ReLU(inplace=True))


class FlattenedNetwork(nn.Module):
    """Features to the last map, the map flattened, dense layers, and the last layer; made for one size of input."""

    name: ClassVar[str]
    "timm's"
    width: ClassVar[int]
    "channels of the last map"
    dense_widths: ClassVar[tuple[int, ...]]
    "outputs of the dense layers before the last one"
    least: ClassVar[int]
    "pixels that an input needs in each direction"

    def __init__(
        self,
        features: Iterable[nn.Module],
        num_classes: int,
        in_chans: int,
        img_size: int | Sequence[int],
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.in_chans, self.num_classes, self.drop_rate = in_chans, num_classes, drop_rate
        rows, columns = (img_size, img_size) if isinstance(img_size, int) else img_size
        if min(rows, columns) < self.least:
            raise RecipeError(
                f"input: {rows} rows x {columns} columns are too small for {self.name}, which needs at least "
                f"{self.least} in each direction; take larger inputs, or another network"
            )
        self.img_size = (rows, columns)
        self.map_size = (self.cells(rows), self.cells(columns))
        self.num_features, self.head_hidden_size = self.width, self.dense_widths[-1]
        self.features = nn.Sequential(*features)
        before = self.width * self.map_size[0] * self.map_size[1]
        layers: list[nn.Module] = [nn.Dropout(drop_rate)]
        for after in self.dense_widths:
            layers += [nn.Linear(before, after, bias=False), DenseNorm(after, EPSILON, DENSE_MOMENTUM)]
            layers += [nn.ReLU(inplace=True), nn.Dropout(drop_rate)]
            before = after
        self.dense = nn.Sequential(*layers)
        self.apply(_initialise)
        self.fc = self._last(num_classes)

    @staticmethod
    def cells(length: int) -> int:
        """Places of the last map along a side of so many pixels."""
        raise NotImplementedError

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002 - as timm calls it
        """The feature groups in order, as timm's parameter grouping wants them; the dense layers come last."""
        return {"blocks": r"^features\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh last layer of so many classes; there is no pooling to choose."""
        if global_pool not in (None, ""):
            raise ValueError(f"{self.name}: global_pool is {global_pool!r}, expected none: the map is flattened")
        self.num_classes = num_classes
        self.fc = self._last(num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """From `[B, 1 or in_chans, H, W]` to the last map `[B, F, h, w]`; one channel is repeated to in_chans."""
        if x.shape[1] == 1:
            x = x.expand(-1, self.in_chans, -1, -1)
        return self.features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From `[B, F, h, w]` to logits `[B, classes]`, or to what the last layer sees `[B, D]`.

        Raises:
            RecipeError: the map has another size than the dense layers were made for.
        """
        if x.shape[2:] != self.map_size:
            raise RecipeError(
                f"{self.name}: the last map is {_times(x.shape[2:])}, expected {_times(self.map_size)}, that of "
                f"{_times(self.img_size)} pixels; give it inputs of that size"
            )
        x = self.dense(x.flatten(1))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, 1 or in_chans, H, W]` to logits `[B, classes]`.

        Raises:
            RecipeError: H and W are not what the network was made for.
        """
        if x.shape[2:] != self.img_size:
            raise RecipeError(
                f"{self.name}: the input is {_times(x.shape[2:])} pixels, the network was made for "
                f"{_times(self.img_size)}; give it inputs of that size, or train one for this size"
            )
        return self.forward_head(self.forward_features(x))

    def _last(self, num_classes: int) -> nn.Module:
        """A fresh last layer; none for no classes, as timm means them."""
        if not num_classes:
            return nn.Identity()
        layer = nn.Linear(self.head_hidden_size, num_classes)
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)
        return layer


def configured(first_convolution: str) -> dict[str, Any]:
    """What timm is told of such a network.

    Args:
        first_convolution: the name of its first convolution's module.
    """
    return {
        "input_size": (1, SIZE, SIZE),
        "fixed_input_size": True,
        "num_classes": 2,
        "mean": (0.0,),
        "std": (1.0,),
        "first_conv": first_convolution,
        "classifier": "fc",
    }


def same_cells(length: int, halvings: int) -> int:
    """Places that are left of a length after so many layers of stride 2 whose padding is "same"."""
    return -(-length // 2**halvings)


def _times(size: Sequence[int]) -> str:
    return " x ".join(str(length) for length in size)


def _enough(norm: nn.modules.batchnorm._BatchNorm, x: Tensor) -> bool:
    """Whether there is more than one value a channel, or nothing to be learned from them."""
    return not norm.training or x.numel() > x.shape[1]


def _as_known(norm: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
    """The normalisation of prediction, whatever the mode."""
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _initialise(module: nn.Module) -> None:
    """He's normal weights."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
