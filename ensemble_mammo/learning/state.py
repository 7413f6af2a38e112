"""What a training is made of: samples, what stays the same, what changes, what a network is judged to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensemble_mammo.learning.images import ViewImages
from ensemble_mammo.learning.midway import Part
from ensemble_mammo.learning.objective import Aims
from ensemble_mammo.learning.pace import Pace
from ensemble_mammo.learning.parallel import Divided
from ensemble_mammo.records.recipe import Recipe

Row = dict[str, float]
"""One epoch of the history: a value for each of HISTORY."""

HISTORY = (
    "epoch",
    "stage",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "images_per_second",
    "val_auc",
    "val_correlation",
    "val_recall",
    "val_precision",
)
"""The columns of history.csv: epoch from 1, stage from 1, losses as means over images, AUC of two classes alone,
correlation where a run is imitated, recall and precision of the positive classes."""


SEVERAL = -1
"""In place of an output: a network names several of them, or there are no images."""


@dataclass(frozen=True)
class Samples:
    """Images with their classes."""

    images: ViewImages
    "the images"
    targets: NDArray[np.int64]
    "`[N]`, the place of each image's class among the outputs"


@dataclass(frozen=True)
class Advance:
    """How far a training is; handed to `Setting.progress` after every batch."""

    epoch: int
    "the epoch at work, from 1"
    epochs: int
    "of how many"
    batch: int
    "batches of it done"
    batches: int
    "of how many"
    loss: float
    "mean loss of the epoch so far"
    accuracy: float = math.nan
    "share of its images given their class so far; nan where it is not followed"
    learning_rate: float = math.nan
    "of the epoch; nan where weights do not move by steps"


@dataclass(frozen=True)
class Setting:
    """What stays the same during a training."""

    recipe: Recipe
    "what the training is told"
    device: torch.device
    "where it computes"
    dtype: torch.dtype
    "of convolutions and products"
    class_weights: Tensor
    "`[O]`, the weight of each class in the loss, one an output"
    seed: int = 0
    "all that is random follows from it, the epoch and the image"
    workers: int = 0
    "threads that read images"
    progress: Callable[[Advance], None] | None = None
    "told after every batch"
    lesson: Lesson | None = None
    "what is learned; None: the images' classes"
    aims: Aims | None = None
    "what the outputs shall be, where that is more than the images' classes"
    stop: Callable[[], bool] = bool
    "whether the training shall save itself and end at the next step; bool: never"


@dataclass
class State:
    """What changes during a training, and all that a resumed one needs."""

    network: nn.Module
    "the network"
    optimizer: torch.optim.Optimizer | None = None
    "of the stage at work"
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler(enabled=False))
    "of the loss; does nothing but for float16"
    stage: int = -1
    "the stage that the optimizer belongs to"
    history: list[Row] = field(default_factory=list)
    "one row an epoch done"
    kept: dict[str, Tensor] = field(default_factory=dict)
    "the weights that the run keeps so far"
    kept_epoch: int = 0
    "the epoch they are of, from 1"
    kept_only: int = SEVERAL
    "the one output that they name for every validation image, from 0"
    pace: Pace = field(default_factory=Pace)
    "how the epochs of this process used the machine"
    part: Part = field(default_factory=Part)
    "of the epoch at work, where the training stopped in the middle of it"
    divided: Divided | None = None
    "the network as it learns with other processes; made anew when other parameters learn"

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def val_losses(self) -> list[float]:
        """The validation loss of every epoch done."""
        return [row["val_loss"] for row in self.history]


@dataclass(frozen=True)
class Judgement:
    """How a network does on samples."""

    loss: float
    "mean over the images, nan without any"
    accuracy: float
    "share of images given their class, nan without any"
    scores: NDArray[np.float32]
    "`[N, O]`, softmax within the image's own last layer, in the order of the samples"
    auc: float = math.nan
    "area under the ROC curve of the second of two classes; nan for more classes, or where one is absent"
    correlation: float = math.nan
    "of the probability of a lesion with that of the run imitated; nan where none is"
    recall: float = math.nan
    "share of the positive images whose most probable class is a positive one; nan without any"
    precision: float = math.nan
    "share of positive images among those; nan where there are none"

    @property
    def only(self) -> int:
        """The one output that is named for every image; `SEVERAL` where there are more, or no images."""
        named = np.unique(self.scores.argmax(axis=1))
        return int(named[0]) if len(named) == 1 else SEVERAL


@dataclass(frozen=True)
class Lesson:
    """What a network learns from images, and how it is judged."""

    learn: Callable[[State, Samples, Setting], tuple[float, float]]
    "shows an epoch; returns mean loss and accuracy"
    judge: Callable[[nn.Module, Samples, Setting], Judgement]
    "says how the network does"
