"""The one path from a prepared mammogram to a network's input, for training and for prediction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ensemble_mammo.learning.pace import Pace
from ensemble_mammo.learning.packed import Pack
from ensemble_mammo.records.png16 import WHITE, read_png16
from ensemble_mammo.records.recipe import InputRecipe

BATCHES_AHEAD = 2
"""Batches that are read while one is computed with."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class FitPlacement:
    """Where in the input an image lies, all in pixels."""

    top: int
    "first row of the image in the input"
    left: int
    "first column"
    height: int
    "rows of the image in the input"
    width: int
    "columns"
    source_height: int
    "rows of the prepared image"
    source_width: int
    "columns"

    def to_source(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bring a map over the input `[H, W]` to the prepared image `[source_height, source_width]`."""
        rows, columns = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        inside = torch.from_numpy(np.ascontiguousarray(values[rows, columns], dtype=np.float32))
        return _resize(inside[None], self.source_height, self.source_width)[0].numpy()


def place(height: int, width: int, recipe: InputRecipe) -> FitPlacement:
    """Where an image of so many rows and columns comes to lie in the input."""
    if recipe.fit == "squash":
        return FitPlacement(0, 0, recipe.height, recipe.width, height, width)
    scale = min(recipe.height / height, recipe.width / width)
    rows = min(recipe.height, max(1, round(height * scale)))
    columns = min(recipe.width, max(1, round(width * scale)))
    return FitPlacement((recipe.height - rows) // 2, (recipe.width - columns) // 2, rows, columns, height, width)


def fitted(pixels: NDArray[np.uint16], recipe: InputRecipe) -> tuple[NDArray[np.uint16], FitPlacement]:
    """Resize a prepared mammogram to the input's size, with antialiasing, before any normalisation.

    Args:
        pixels: `[h, w]`, 16 bits.
        recipe: `pad` keeps the aspect and centres the image on black, `squash` stretches it.

    Returns:
        `[H, W]`, again of 16 bits, and where the image lies in it.

    Raises:
        ValueError: pixels of another type or shape.
    """
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint16 [h, w]")
    where = place(pixels.shape[0], pixels.shape[1], recipe)
    if pixels.shape != (where.height, where.width):
        small = _resize(torch.from_numpy(pixels.astype(np.float32))[None], where.height, where.width)[0]
        pixels = small.clamp_(0, WHITE).round_().numpy().astype(np.uint16)
    if pixels.shape == recipe.size:
        return pixels, where
    whole = np.zeros(recipe.size, np.uint16)
    whole[where.top : where.top + where.height, where.left : where.left + where.width] = pixels
    return whole, where


def values_of(steps: Tensor) -> Tensor:
    """16-bit pixels as float32 in 0..1, the same bits on every device."""
    white = torch.full((), WHITE, dtype=torch.float32, device=steps.device)  # by a plain number, GPUs multiply instead
    return steps.to(torch.float32) / white


def fit(pixels: NDArray[np.uint16], recipe: InputRecipe) -> tuple[Tensor, FitPlacement]:
    """What `fitted` makes, as values `[1, H, W]` float32 in 0..1, and where the image lies in it."""
    whole, where = fitted(pixels, recipe)
    return values_of(torch.from_numpy(whole.astype(np.int32)))[None], where


def normalise(batch: Tensor, recipe: InputRecipe) -> Tensor:
    """Values as the network wants them: contrast, the image's own mean taken off where asked for, (x - mean) / std.

    Args:
        batch: `[B, 1, H, W]` or `[1, H, W]`, values in 0..1, black where there is no image.
        recipe: the input's contrast, mean, std and centre.
    """
    if recipe.contrast != 1:
        own = batch.mean(dim=(-3, -2, -1), keepdim=True)
        batch = (batch - own) * recipe.contrast + own
    if recipe.centre == "image":
        batch = batch - batch.mean(dim=(-3, -2, -1), keepdim=True)
    return (batch - recipe.mean) / recipe.std


def to_input(pixels: NDArray[np.uint16], recipe: InputRecipe) -> tuple[Tensor, FitPlacement]:
    """The network's input `[1, H, W]` of a prepared mammogram `[h, w]`, and where the image lies in it."""
    values, where = fit(pixels, recipe)
    return normalise(values, recipe), where


class ViewImages(Dataset[Tensor]):
    """The images of manifest rows, fitted to the input; decoded once where there is a pack to keep them in."""

    def __init__(self, root: Path, rows: pd.DataFrame, recipe: InputRecipe, pack: Pack | None = None) -> None:
        """Take the rows of a dataset's folder (columns file, image_id, and mirrored: True for images to be turned
        left to right); nothing is read yet.
        """
        self.files = [root / name for name in rows["file"]]
        self.mirrored = rows["mirrored"].tolist() if "mirrored" in rows else [False] * len(rows)
        self.image_ids = [str(name) for name in rows["image_id"]]
        self.recipe = recipe
        self._pack = pack
        self._places = pack.places(rows, np.array(self.mirrored, bool)).tolist() if pack else []

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """One image `[1, H, W]`, values in 0..1.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        return values_of(torch.from_numpy(self.fitted(index).astype(np.int32)))[None]

    def fitted(self, index: int) -> NDArray[np.uint16]:
        """One image `[H, W]` of 16 bits, not to be written to.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        if self._pack is None:
            return self._read(index)
        return self._pack.image(self._places[index], self.files[index], lambda: self._read(index))

    def _read(self, index: int) -> NDArray[np.uint16]:
        pixels = read_png16(self.files[index])
        return fitted(np.ascontiguousarray(pixels[:, ::-1]) if self.mirrored[index] else pixels, self.recipe)[0]


def read_batches(
    images: ViewImages,
    batches: Sequence[Sequence[int]],
    workers: int = 0,
    device: torch.device = CPU,
    pace: Pace | None = None,
) -> Iterator[Tensor]:
    """The images of each batch as `[B, 1, H, W]` on a device, values in 0..1, in the order asked for.

    Batches are read ahead by threads (decoding and resizing leave Python's lock alone): nothing is copied between
    processes, notebooks and every platform work alike, and the result does not depend on their number. They reach a
    GPU as 16 bits, from pinned memory and beside what it computes.

    Args:
        images: what is read.
        batches: the places of each batch's images.
        workers: threads that read; one where it is 0.
        device: where the batches are wanted.
        pace: told how long they are waited for, and how long it all takes.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    pace, threads = pace or Pace(), max(1, workers)
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    with pace.counting(), ThreadPoolExecutor(threads, thread_name_prefix="images") as pool:
        begun = (_Coming(pool, threads, images, batch, stream is not None) for batch in batches)
        ahead = deque(islice(begun, BATCHES_AHEAD))
        try:
            while ahead:
                with pace.waiting():
                    steps = ahead.popleft().whole()
                ahead.extend(islice(begun, 1))
                yield values_of(_sent(steps, device, stream))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Coming:
    """A batch that is being read: each thread fills its part of one tensor."""

    def __init__(
        self, pool: ThreadPoolExecutor, threads: int, images: ViewImages, batch: Sequence[int], pinned: bool
    ) -> None:
        self._steps = torch.empty((len(batch), 1, *images.recipe.size), dtype=torch.uint16, pin_memory=pinned)
        whole, parts = self._steps.numpy(), min(threads, len(batch))
        self._parts = [pool.submit(_fill, whole[k::parts], images, batch[k::parts]) for k in range(parts)]

    def whole(self) -> Tensor:
        """The batch `[B, 1, H, W]` of 16 bits, once it is read."""
        for part in self._parts:
            part.result()
        return self._steps


def _fill(places: NDArray[np.uint16], images: ViewImages, indices: Sequence[int]) -> None:
    for own, index in zip(places, indices, strict=True):
        own[0] = images.fitted(index)


def _sent(steps: Tensor, device: torch.device, stream: torch.cuda.Stream | None) -> Tensor:
    """A batch on the device; on a GPU it is copied on a stream of its own, beside what is computed."""
    if stream is None:
        return steps.to(device)
    with torch.cuda.stream(stream):
        moved = steps.to(device, non_blocking=True)
    computing = torch.cuda.current_stream(device)
    computing.wait_stream(stream)
    moved.record_stream(computing)
    return moved


def batches_of(order: Sequence[int], size: int) -> list[list[int]]:
    """Cut an order into batches; none is dropped, and a last one of a single image joins the one before.

    (A batch norm that learns has no spread to measure in one image.)
    """
    batches = [list(order[start : start + size]) for start in range(0, len(order), size)]
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bring `[1, h, w]` to `[1, height, width]`, bilinear, averaging where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
