"""Features of a frozen network: what an ImageNet network sees in an image, without any training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble_mammo.learning.device import resolve_device, resolve_precision
from ensemble_mammo.learning.images import fit
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.weights import PACKAGED
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe

_ASPECT = 7 / 12
"width over height of the input: 768 x 448, 384 x 224; a breast fits in"
_STEP = 32
"the input's sides are multiples of what the network shrinks by"
# (x - 127) / 128 of values 0..255, as the packaged weights were trained
_MEAN, _STD = 127 / 255, 128 / 255


@dataclass(frozen=True)
class FrozenOptions:
    """Which network looks at the images, at which size, where."""

    height: int = 768
    "rows of the input, in pixels; the columns follow (7/12 of it, to a multiple of 32)"
    device: str = "auto"
    "auto, cpu or cuda"
    batch: int = 8
    "images computed at once"
    network: str = PACKAGED
    "a network that timm.create_model knows"
    pretrained: str = "package"
    "where its weights come from: package (ImageNet), hub, or none (random: for tests)"
    precision: str = "auto"
    "auto (bfloat16 where the processor or GPU has it: two to three times as fast, features equal to 1 %) or float32"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.height < _STEP:
            raise ValueError(f"height is {self.height}, expected {_STEP} pixels or more")
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}, expected 1 or more")

    @property
    def input(self) -> InputRecipe:
        """The input: the aspect kept, the image centred on black."""
        width = max(_STEP, round(self.height * _ASPECT / _STEP) * _STEP)
        return InputRecipe(self.height, width, "pad", _MEAN, _STD)


class FrozenNetwork:
    """A network that learns nothing; its features are the mean and the maximum of each channel of each stage."""

    def __init__(self, options: FrozenOptions | None = None) -> None:
        """Make the network and bring its weights to the device.

        Raises:
            WeightsError: the weights cannot be had.
            TrainingError: there is no such device.
        """
        self.options = options or FrozenOptions()
        self.device = resolve_device(self.options.device)
        self.precision = resolve_precision(self.options.precision, self.device)
        recipe = NetworkRecipe(self.options.network, self.options.pretrained, in_channels=3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = create_network(recipe, classes=2).eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)
        self.network.requires_grad_(False)

    def features(
        self, images: Iterable[NDArray[np.uint16]], advance: Callable[[int], object] = lambda _: None
    ) -> Iterator[NDArray[np.float32]]:
        """The features of each image, in order; only a batch of images is held at once.

        Args:
            images: prepared mammograms `[h, w]` of any sizes.
            advance: told how many images are done after each batch.

        Yields:
            `[F]`: mean, then maximum, of the channels of every stage.
        """
        source = iter(images)
        while batch := [fit(pixels, self.options.input)[0] for pixels in islice(source, self.options.batch)]:
            yield from self._computed(torch.stack(batch))
            advance(len(batch))

    def _computed(self, batch: Tensor) -> NDArray[np.float32]:
        """Features `[B, F]` of inputs `[B, 1, H, W]` with values in 0..1."""
        lower = torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
        with torch.inference_mode(), lower:
            values = (batch.to(self.device).repeat(1, 3, 1, 1) - _MEAN) / _STD
            values = values.contiguous(memory_format=torch.channels_last)
            stages = self.network.forward_intermediates(values, intermediates_only=True)  # type: ignore[operator]
            parts = [stage.float().mean((2, 3)) for stage in stages] + [stage.float().amax((2, 3)) for stage in stages]
            return np.asarray(torch.cat(parts, 1).cpu().numpy(), np.float32)
