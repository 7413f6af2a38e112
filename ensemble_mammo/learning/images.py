"""The one path from a prepared mammogram to a network's input, for training and for prediction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ensemble_mammo.records.png16 import WHITE, read_png16
from ensemble_mammo.records.recipe import InputRecipe

BATCHES_AHEAD = 2
"""Batches that are read while one is computed with, where there are workers."""


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


def fit(pixels: NDArray[np.uint16], recipe: InputRecipe) -> tuple[Tensor, FitPlacement]:
    """Resize a prepared mammogram to the input's size, with antialiasing, before any normalisation.

    Args:
        pixels: `[h, w]`, 16 bits.
        recipe: `pad` keeps the aspect and centres the image on black, `squash` stretches it.

    Returns:
        `[1, H, W]` float32 in 0..1, and where the image lies in it.

    Raises:
        ValueError: pixels of another type or shape.
    """
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint16 [h, w]")
    height, width = pixels.shape
    where = place(height, width, recipe)
    values = torch.from_numpy(pixels.astype(np.float32) / np.float32(WHITE))
    small = _resize(values[None], where.height, where.width).clamp_(0, 1)
    below = recipe.height - where.top - where.height
    right = recipe.width - where.left - where.width
    return F.pad(small, (where.left, right, where.top, below)), where


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
    """The images of manifest rows, fitted to the input, kept in memory as far as the limit goes.

    They are kept as float32, exactly as they were computed, so that a kept and a read image are equal.
    """

    def __init__(self, root: Path, rows: pd.DataFrame, recipe: InputRecipe, cache_gb: float = 0.0) -> None:
        """Take the rows of a dataset's folder (columns file, image_id, and mirrored: True for images to be turned
        left to right); nothing is read yet.
        """
        self.files = [root / name for name in rows["file"]]
        self.mirrored = rows["mirrored"].tolist() if "mirrored" in rows else [False] * len(rows)
        self.image_ids = [str(name) for name in rows["image_id"]]
        self.recipe = recipe
        bytes_each = recipe.height * recipe.width * 4
        self._kept: list[Tensor | None] = [None] * min(len(self.files), int(cache_gb * 1e9 / bytes_each))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """One image `[1, H, W]`, values in 0..1.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        kept = self._kept[index] if index < len(self._kept) else None
        if kept is None:
            pixels = read_png16(self.files[index])
            kept = fit(np.ascontiguousarray(pixels[:, ::-1]) if self.mirrored[index] else pixels, self.recipe)[0]
            if index < len(self._kept):
                self._kept[index] = kept
        return kept


def read_batches(images: ViewImages, batches: Sequence[Sequence[int]], workers: int = 0) -> Iterator[Tensor]:
    """The images of each batch as `[B, 1, H, W]`, values in 0..1, in the order asked for.

    Workers are threads (decoding and resizing leave Python's lock alone): nothing is copied between
    processes, notebooks and every platform work alike, and the result does not depend on their number.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    if workers < 1:
        for batch in batches:
            yield torch.stack([images[i] for i in batch])
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        ahead = deque([pool.submit(images.__getitem__, i) for i in batch] for batch in batches[:BATCHES_AHEAD])
        try:
            for number in range(len(batches)):
                ready = torch.stack([future.result() for future in ahead.popleft()])
                if number + BATCHES_AHEAD < len(batches):
                    ahead.append([pool.submit(images.__getitem__, i) for i in batches[number + BATCHES_AHEAD]])
                yield ready
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


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
