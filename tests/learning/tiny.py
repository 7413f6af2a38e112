"""Data sets and recipes small enough for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import Dataset, ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe

CLASSES = "ABCD"

torch.set_num_threads(1)  # tiny networks gain nothing from more, and tests may run side by side


def tiny_dataset(root: Path, train: int = 12, val: int = 4, labels: Mapping[int, str] | None = None) -> Dataset:
    """Images of one view whose brightness tells their class, each of its own subject."""
    rng = np.random.default_rng(0)
    rows, given = [], []
    for number in range(train + val):
        place = number % len(CLASSES)
        pixels = (rng.random((64, 40)) * 16000 * (place + 1)).astype(np.uint16)
        file = f"images/{number:03d}.png"
        write_png16(root / file, pixels)
        split = "train" if number < train else "val"
        rows.append(ImageRow(f"i{number:03d}", f"s{number:03d}", "1", "CC_R", file, split))
        given.append((labels or {}).get(number, CLASSES[place]))
    write_dataset(root, rows, {"density": given}, {"preparation": to_mapping(Preparation())})
    return read_dataset(root)


def tiny_recipe(network: str = "test_efficientnet", dropout: float = 0.0, **train: Any) -> Recipe:
    """A recipe of a tiny network; keywords are fields of the TrainRecipe."""
    values: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 4,
        "optimizer": "sgd",
        "keep": "last",
        "stages": (StageRecipe(1e-2),),
    }
    return Recipe(
        "density",
        NetworkRecipe(network, dropout=dropout),
        InputRecipe(32, 32, mean=0.5, std=0.5),
        TrainRecipe(**(values | train)),
        recommended_images=0,
    )


def with_loss(recipe: Recipe, **loss: Any) -> Recipe:
    """The recipe with other fields of its loss."""
    return dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, **loss))


def with_train(recipe: Recipe, **train: Any) -> Recipe:
    """The recipe with other fields of its training."""
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **train))
