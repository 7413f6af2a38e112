"""TensorBoard events of a training: curves, sample images, first kernels, precision and recall of each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.kernels import first_kernels, picture_of
from ensemble_mammo.learning.layers import layers_of, output_names
from ensemble_mammo.learning.state import Advance, Judgement, Samples, State
from ensemble_mammo.records.recipe import AugmentRecipe, NetworkRecipe

SAMPLES = 4
"""Images shown, as they are and as augmentation changes them."""
STEPS = "steps"
"""The folder, beside the events of epochs, of those that count batches: what a resumed run drops is counted in the
unit of its own folder."""
STEPS_APART = 50
"""Batches from one entry to the next, as in the logs that Scuccimarra published with his networks."""


class Board:
    """The events of one run: what is shown once an epoch, and what is shown within epochs."""

    def __init__(self, folder: Path, epochs_done: int) -> None:
        """Open the events; what an interrupted epoch left there is dropped.

        Args:
            folder: of the run's events.
            epochs_done: by the run so far.
        """
        self._folder = folder
        self._epochs = SummaryWriter(str(folder), purge_step=epochs_done + 1 if epochs_done else None)
        self._steps: SummaryWriter | None = None  # opened at its first entry: many trainings are shorter
        self._first_step = 0

    def watching(self, progress: Callable[[Advance], None] | None) -> Callable[[Advance], None]:
        """What `Setting.progress` shall be: steps are shown, then `progress` is told."""

        def told(advance: Advance) -> None:
            self.show_step(advance)
            if progress is not None:
                progress(advance)

        return told

    def show_step(self, advance: Advance) -> None:
        """Add, every `STEPS_APART` batches since the training began, what the epoch has come to; steps are batches."""
        before = (advance.epoch - 1) * advance.batches
        step = before + advance.batch
        self._first_step = self._first_step or step  # of what a resumed training does anew
        if step % STEPS_APART == 0 and math.isfinite(advance.loss):
            if self._steps is None:
                self._steps = SummaryWriter(str(self._folder / STEPS), purge_step=self._first_step)
            for name in ("loss", "accuracy", "learning_rate"):
                if math.isfinite(value := getattr(advance, name)):
                    self._steps.add_scalar(f"{STEPS}/{name}", value, step)
        if advance.batch == advance.batches and self._steps is not None:
            self._steps.flush()

    def show_samples(self, samples: Samples, recipe: AugmentRecipe, seed: int) -> None:
        """Show the first training images, as they are and changed."""
        count = min(SAMPLES, len(samples.targets))
        batch = torch.stack([samples.images[index] for index in range(count)])
        changed = augment(batch, recipe, [(seed, 0, index) for index in range(count)])
        self._epochs.add_images("samples/images", batch, 0)
        self._epochs.add_images("samples/augmented", changed, 0)

    def show_epoch(
        self,
        state: State,
        judged: Judgement,
        targets: NDArray[np.int64],
        recipe: NetworkRecipe,
        classes: Sequence[str],
    ) -> None:
        """Add an epoch's scalars, first kernels, and precision-recall curves of validation; steps are epochs."""
        row = state.history[-1]
        step = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch" and np.isfinite(value):
                tag = name.replace("train_", "train/").replace("val_", "val/")
                self._epochs.add_scalar(tag if "/" in tag else f"run/{tag}", value, step)
        kernels = first_kernels(state.network)
        if kernels is not None:
            self._epochs.add_image("network/first_kernels", picture_of(kernels), step)
        if len(judged.scores) == len(targets):  # a run that is imitated gives no scores
            self._show_curves(judged.scores, targets, recipe, classes, step)
        self._epochs.flush()

    def _show_curves(
        self,
        scores: NDArray[np.float32],
        targets: NDArray[np.int64],
        recipe: NetworkRecipe,
        classes: Sequence[str],
        step: int,
    ) -> None:
        """The curve of each class that validation has, among the images of its own last layer; of two, the second's."""
        names = output_names(recipe, classes)
        for outputs in [layer.outputs for layer in layers_of(recipe)] or [slice(0, len(names))]:
            own = (targets >= outputs.start) & (targets < outputs.stop)
            places = range(len(names))[outputs]
            for place in places[1:] if len(places) == 2 else places:
                wanted = targets[own] == place
                if wanted.any():
                    self._epochs.add_pr_curve(f"val/{names[place]}", wanted, scores[own, place], step)

    def close(self) -> None:
        """Write what is left and close the files."""
        self._epochs.close()
        if self._steps is not None:
            self._steps.close()
