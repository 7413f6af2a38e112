"""Mammograms without labels, and a patch run to be imitated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ensemble_mammo.learning.checkpoint import CHECKSUM, INFO, RECIPE, Passport, write_weights
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import Dataset, ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.marks import marks_of
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import AugmentRecipe, InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.task import TASKS
from tests.learning import tiny  # noqa: F401 - one thread

PATCH = 64
HEIGHT, WIDTH = 192, 120
IMITATE = Recipe(
    "patch",
    NetworkRecipe("test_efficientnet"),
    InputRecipe(32, 32),
    TrainRecipe(
        6,
        (StageRecipe(3e-3),),
        batch_size=2,
        decay="cosine",
        frozen_norm=True,
        imitate=True,
        keep="best-loss",
        clip_norm=1.0,
    ),
    AugmentRecipe(flip_horizontal=True, flip_vertical=True),
    pooled=True,
    recommended_images=0,
)


def mammograms(root: Path, preparation: Preparation | None = None) -> Dataset:
    """Ten images to learn from, three to be judged on, one to be tested on: spots on grey in a half disc."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    breast = ((rows - HEIGHT / 2) / (HEIGHT / 2)) ** 2 + (columns / WIDTH) ** 2 <= 1
    table = []
    for number in range(14):
        coarse = rng.random((HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1)
        grey = 10_000 + 40_000 * coarse + 5_000 * rng.random((HEIGHT, WIDTH))
        file = f"images/{number:03d}.png"
        write_png16(root / file, np.where(breast, grey, 0).astype(np.uint16))
        split = "train" if number < 10 else "val" if number < 13 else "test"
        table.append(ImageRow(f"i{number:03d}", f"s{number:03d}", "1", "CC_R", file, split))
    write_dataset(root, table, {}, {"preparation": to_mapping(preparation or Preparation(height=HEIGHT))})
    return read_dataset(root)


def patch_run(
    folder: Path,
    task: str = "patch",
    network: str = "test_efficientnet",
    imitates: str | Path = "",
    learned_from: Sequence[str] = (),
    **its_input: Any,
) -> Path:
    """A finished run that never learned anything, but has opinions: one that imitates has others."""
    source = NetworkRecipe(network, "run", str(imitates)) if imitates else NetworkRecipe(network)
    own = InputRecipe(**({"height": PATCH, "width": PATCH, "mean": 0.4, "std": 0.2} | its_input))
    recipe = Recipe(task, source, own, TrainRecipe(1, (StageRecipe(1e-3),), imitate=bool(imitates)), pooled=True)
    classes = TASKS[task].classes
    with torch.random.fork_rng():
        torch.manual_seed(8 if imitates else 4)
        made = create_network(NetworkRecipe(network), len(classes))
        torch.nn.init.normal_(made.get_classifier().weight, std=1.0)
    folder.mkdir(parents=True)
    (folder / RECIPE).write_text(recipe_to_toml(recipe))
    about: dict[str, Any] = {"learned_from": marks_of(learned_from)}
    if (Path(imitates) / CHECKSUM).is_file():
        about["started_from"] = {"weights_sha256": (Path(imitates) / CHECKSUM).read_text().split()[0]}
    (folder / INFO).write_text(json.dumps(about))
    write_weights(folder, made.state_dict(), Passport(recipe, None, classes, Preparation(height=HEIGHT)))
    return folder
