"""Random changes of training images, each image's own drawn from its own seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ensemble_mammo.records.recipe import AugmentRecipe

Seed = tuple[int, ...]
"""What one image's changes are drawn from: (the run's seed, epoch, place of the image)."""

_DRAWS = 9
_FILLS = {"black": "zeros", "edge": "border", "reflection": "reflection"}
"""What enters from outside, as grid_sample calls it."""


def augment(batch: Tensor, recipe: AugmentRecipe, seeds: Sequence[Seed]) -> Tensor:
    """Change the images of a batch at random.

    The changes of an image depend on its own seed alone: not on the batch it stands in, on workers or
    on what was drawn before, so that a resumed training sees the same images.

    Args:
        batch: `[B, 1, H, W]`, values in 0..1, before normalisation.
        recipe: how far images may be changed.
        seeds: one an image.

    Returns:
        `[B, 1, H, W]`, values in 0..1; the batch itself where the recipe changes nothing.
    """
    if recipe == AugmentRecipe():
        return batch
    draws = np.stack([np.random.default_rng(seed).uniform(-1, 1, _DRAWS) for seed in seeds])
    moved = _move(batch, recipe, draws)
    if not (recipe.brightness or recipe.contrast):
        return moved
    factor = _column(1 + recipe.contrast * draws[:, 6], batch)
    offset = _column(recipe.brightness * draws[:, 7], batch)
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    changed = (moved - mean) * factor + mean + offset
    return torch.where(moved > 0, changed, moved).clamp(0, 1)  # what is black stays black


def affine_maps(recipe: AugmentRecipe, draws: np.ndarray, height: int, width: int) -> np.ndarray:
    """The maps from places in the output to places in the input, in pixels from the centre.

    Args:
        recipe: how far images may be changed.
        draws: `[B, 9]`, from -1 to 1: zoom, shift down, shift right, rotation, the two flips, two of intensity, shear.
        height: rows of the image.
        width: columns of the image.

    Returns:
        `[B, 2, 3]`, (x, y) = map · (x', y', 1). Pixels are square: a circle stays one at any aspect.
    """
    scale = 1 + recipe.zoom * draws[:, 0]
    angle = np.radians(recipe.rotation_deg) * draws[:, 3]
    flip_x = np.where(recipe.flip_horizontal & (draws[:, 4] < 0), -1.0, 1.0)
    flip_y = np.where(recipe.flip_vertical & (draws[:, 5] < 0), -1.0, 1.0)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.stack(
        [np.stack([flip_x * cosine, flip_x * sine], -1), np.stack([-flip_y * sine, flip_y * cosine], -1)], 1
    )
    shear = np.tan(np.radians(recipe.shear_deg) * draws[:, 8])
    linear[:, :, 1] += linear[:, :, 0] * shear[:, None]  # rows slide along x before the rest
    shift = np.stack([recipe.shift * width * draws[:, 2], recipe.shift * height * draws[:, 1]], -1)
    return np.concatenate([linear, -(linear @ shift[:, :, None])], axis=2)


def _move(batch: Tensor, recipe: AugmentRecipe, draws: np.ndarray) -> Tensor:
    """Zoom, shift, turn and flip by one bilinear sampling of the batch; where images are only flipped, exactly."""
    if not (recipe.zoom or recipe.shift or recipe.rotation_deg or recipe.shear_deg):
        return _flip(batch, recipe, draws)
    height, width = batch.shape[-2:]
    maps = affine_maps(recipe, draws, height, width)
    # affine_grid counts from -1 to 1 along each axis, whatever its length
    half = np.array([width / 2, height / 2])
    maps = maps * np.append(half, 1.0)[None, None, :] / half[None, :, None]
    theta = torch.from_numpy(maps).to(batch.device, batch.dtype)
    grid = F.affine_grid(theta, list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, mode="bilinear", padding_mode=_FILLS[recipe.fill], align_corners=False)


def _flip(batch: Tensor, recipe: AugmentRecipe, draws: np.ndarray) -> Tensor:
    """Exchange left and right, and top and bottom, of the images that draw it; pixels stay as they are."""
    for wanted, drawn, axis in ((recipe.flip_horizontal, draws[:, 4], -1), (recipe.flip_vertical, draws[:, 5], -2)):
        if wanted:
            flipped = torch.from_numpy(drawn < 0).to(batch.device).reshape(-1, 1, 1, 1)
            batch = torch.where(flipped, batch.flip(axis), batch)
    return batch


def _column(values: np.ndarray, batch: Tensor) -> Tensor:
    return torch.from_numpy(values).to(batch.device, batch.dtype).reshape(-1, 1, 1, 1)
