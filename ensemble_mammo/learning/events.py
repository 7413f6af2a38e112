"""TensorBoard events of a training: curves, a few sample images, precision and recall of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.loop import Judgement, Row, Samples
from ensemble_mammo.records.recipe import AugmentRecipe

SAMPLES = 4
"""Images shown, as they are and as augmentation changes them."""


def open_events(folder: Path, epochs_done: int) -> SummaryWriter:
    """Open the events of a run; what an interrupted epoch left there is dropped."""
    return SummaryWriter(str(folder), purge_step=epochs_done + 1 if epochs_done else None)


def show_samples(events: SummaryWriter, samples: Samples, recipe: AugmentRecipe, seed: int) -> None:
    """Show the first training images, as they are and changed."""
    count = min(SAMPLES, len(samples.targets))
    batch = torch.stack([samples.images[index] for index in range(count)])
    changed = augment(batch, recipe, [(seed, 0, index) for index in range(count)])
    events.add_images("samples/images", batch, 0)
    events.add_images("samples/augmented", changed, 0)


def show_epoch(
    events: SummaryWriter, row: Row, judged: Judgement, targets: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Add an epoch's scalars and, of each class that validation has, its precision-recall curve."""
    step = int(row["epoch"])
    for name, value in row.items():
        if name != "epoch" and np.isfinite(value):
            tag = name.replace("train_", "train/").replace("val_", "val/")
            events.add_scalar(tag if "/" in tag else f"run/{tag}", value, step)
    for number, name in enumerate(classes):
        if (targets == number).any():
            events.add_pr_curve(f"val/{name}", targets == number, judged.scores[:, number], step)
    events.flush()
