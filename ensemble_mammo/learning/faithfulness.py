"""Does a map show what the score hangs on? Deletion and insertion of pixels in the map's order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ensemble_mammo.learning.cam import ActivationMap
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import FitPlacement, fit, normalise

FILLS = ("blur", "black")
"""What stands where pixels were deleted."""


@dataclass(frozen=True)
class CurveOptions:
    """How pixels are taken away and brought back."""

    steps: int = 20
    "parts that the pixels are removed in"
    random_orders: int = 4
    "orders drawn at random that the map's order is compared with"
    deletion_fill: str = "blur"
    "blur: the image blurred; black: the lowest value (insertion always begins with the blurred image)"
    blur: float = 0.05
    "deviation of the Gaussian blur, as a share of the input's rows"
    block_px: int = 0
    "sides of the squares that go together, in pixels of the input; 0: half a cell of the map"
    batch_size: int = 16
    "images computed at once"
    seed: int = 0
    "of the random orders, and of the order among squares of equal value"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.deletion_fill not in FILLS:
            raise ValueError(f"deletion fill {self.deletion_fill!r} is not one of {', '.join(FILLS)}")
        if min(self.steps, self.random_orders, self.batch_size) < 1 or self.block_px < 0 or self.blur <= 0:
            raise ValueError("steps, random orders and batch size must be 1 or more, the blur above 0")


@dataclass(frozen=True)
class Faithfulness:
    """Areas under the curves of the class's score; all nan, with the reason, where the map gives no order."""

    deletion: float
    "removing the highest of the map first: low is good"
    deletion_random: float
    "the mean over random orders"
    insertion: float
    "bringing the highest of the map back first: high is good"
    insertion_random: float
    "the mean over random orders"
    reason: str = ""
    "why they are nan"


def faithfulness(
    run: LoadedRun,
    pixels: NDArray[np.uint16],
    made: ActivationMap,
    area: NDArray[np.bool_] | None = None,
    options: CurveOptions | None = None,
) -> Faithfulness:
    """Deletion and insertion of a map (Petsiuk et al., BMVC 2018), beside orders drawn at random.

    Squares of pixels, half a cell of the map wide, are replaced in the order of the map's mean in them; the random
    orders take the same squares, so that both make edges of one kind. Only squares that touch the area count: were the
    background among them, any map would look better than chance.

    Args:
        run: the network that the map was made with.
        pixels: the prepared image [h, w].
        made: its map.
        area: [h, w], True where pixels are removed, such as the breast; None: the whole image.
        options: steps, random orders, fill.
    """
    options = options or CurveOptions()
    values, placement = fit(pixels, run.recipe.input)
    inside = area_of_input(area, placement, values.shape[-2:])
    squares, count = _squares(inside, options.block_px or max(1, values.shape[-2] // made.coarse.shape[0] // 2))
    if not made.over_input[inside].any() or count < 2:
        return Faithfulness(
            math.nan, math.nan, math.nan, math.nan, "the map gives no order: it is zero everywhere, or one square wide"
        )
    blurred = _blurred(values, options.blur)
    judge = _Judge(run, made.class_index, squares, count, options)
    deleted = blurred if options.deletion_fill == "blur" else torch.zeros_like(values)
    rng = np.random.default_rng(options.seed)
    order = _order(made.over_input, squares, count, rng)
    random = [rng.permutation(count) for _ in range(options.random_orders)]
    deletion, *deletions = judge.areas(values, deleted, [order, *random])
    # an order drawn at random, taken backwards, is one too: with one fill, what it deletes it inserts
    same = options.deletion_fill == "blur"
    insertion, *insertions = judge.areas(blurred, values, [order] if same else [order, *random])
    by_chance = float(np.mean(deletions))
    return Faithfulness(deletion, by_chance, insertion, by_chance if same else float(np.mean(insertions)))


@dataclass(frozen=True)
class _Judge:
    """The class's score while squares of one image are replaced by those of another."""

    run: LoadedRun
    class_index: int
    squares: NDArray[np.int64]
    "[H, W] number of the square that a pixel is in; -1: in none"
    count: int
    options: CurveOptions

    def areas(self, first: Tensor, last: Tensor, orders: Sequence[NDArray[np.int64]]) -> list[float]:
        """The area under the curve of each order, from the image `first` to the image `last` [1, H, W]."""
        steps = min(self.options.steps, self.count)
        cuts = np.round(np.linspace(0, self.count, steps + 1)).astype(np.int64)
        sizes = np.bincount(self.squares[self.squares >= 0], minlength=self.count)
        ends = self._scores(first, last, [np.full(self.count, own) for own in (False, True)])
        between = [_reached(order, cut) for order in orders for cut in cuts[1:-1]]
        inner = self._scores(first, last, between).reshape(len(orders), steps - 1)
        found = []
        for order, own in zip(orders, inner, strict=True):
            shares = np.concatenate(([0], sizes[order].cumsum()))[cuts] / sizes.sum()
            found.append(float(np.trapezoid(np.concatenate(([ends[0]], own, [ends[1]])), shares)))
        return found

    def _scores(self, first: Tensor, last: Tensor, replaced: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """The class's softmax score with these squares [count] replaced: one a set of squares."""
        device = next(self.run.network.parameters()).device
        scores: list[NDArray[np.float64]] = [np.empty(0)]
        for start in range(0, len(replaced), self.options.batch_size):
            sets = [np.append(one, False) for one in replaced[start : start + self.options.batch_size]]
            masks = torch.from_numpy(np.stack([one[self.squares] for one in sets]))[:, None]
            batch = normalise(torch.where(masks, last, first), self.run.recipe.input).to(device)
            with torch.inference_mode():
                told = torch.softmax(self.run.network(batch).double(), dim=1)
            scores.append(told[:, self.class_index].cpu().numpy())
        return np.concatenate(scores)


def _reached(order: NDArray[np.int64], cut: int) -> NDArray[np.bool_]:
    """Which squares [count] are among the first `cut` of an order."""
    among = np.zeros(len(order), bool)
    among[order[:cut]] = True
    return among


def area_of_input(area: NDArray[np.bool_] | None, placement: FitPlacement, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """An area of the prepared image [h, w] in the network's input [H, W]; its padding is never part of it."""
    inside = np.zeros(shape, bool)
    where = (
        slice(placement.top, placement.top + placement.height),
        slice(placement.left, placement.left + placement.width),
    )
    if area is None:
        inside[where] = True
        return inside
    values = torch.from_numpy(area.astype(np.float32))[None, None]
    inside[where] = (F.interpolate(values, (placement.height, placement.width), mode="area")[0, 0] >= 0.5).numpy()
    return inside


def _squares(inside: NDArray[np.bool_], side: int) -> tuple[NDArray[np.int64], int]:
    """The square [H, W] that each pixel is in, numbered from 0 (-1: outside), and how many there are."""
    rows, columns = np.indices(inside.shape) // side
    numbers = rows * (columns.max() + 1) + columns
    known, own = np.unique(numbers[inside], return_inverse=True)
    squares = np.full(inside.shape, -1, dtype=np.int64)
    squares[inside] = own
    return squares, len(known)


def _order(
    map_: NDArray[np.float32], squares: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The squares by the map's mean in them, highest first; equal ones by chance."""
    inside = squares >= 0
    sums = np.bincount(squares[inside], map_[inside], count) / np.bincount(squares[inside], minlength=count)
    return np.lexsort((rng.random(count), -sums))


def _blurred(values: Tensor, share: float) -> Tensor:
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(values[0].numpy(), share * values.shape[-2], mode="nearest"))[None]
