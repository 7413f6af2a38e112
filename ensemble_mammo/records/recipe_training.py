"""The part of a recipe that says how a network learns: loss, stages, optimizer and schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ensemble_mammo.records.ranges import expect, expect_range


@dataclass(frozen=True)
class LossRecipe:
    """What the cross-entropy asks of the outputs, and how much each image weighs in it."""

    label_smoothing: float = 0.0
    "share of the target spread evenly over the classes"
    soft_targets: float = 0.0
    "each neighbour of an image's class gets this share of what its class gets as target: classes in an order"
    balance: float = 0.0
    """with a last layer a collection: 0: collections weigh in the loss by their images; 1: all the same; between: by
    images to the power of 1 - balance"""
    class_weights: str = "none"
    "'balanced': the loss of a class is weighted by the inverse of its frequency in training; 'none'"
    positive_weight: float = 1.0
    "the loss of images of the task's positive classes is multiplied by this; overall it is a mean by these weights"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        expect("class_weights", self.class_weights, ("none", "balanced"))
        expect_range("label_smoothing", self.label_smoothing, 0, 0.9)
        expect_range("soft_targets", self.soft_targets, 0, 1)
        expect_range("balance", self.balance, 0, 1)
        expect_range("positive_weight", self.positive_weight, 0.01, 100)


@dataclass(frozen=True)
class StageRecipe:
    """A stretch of the training in which one part of the network learns at one rate."""

    learning_rate: float
    "at the start of the stage"
    epochs: int = 0
    "how many epochs it lasts; 0: until train.epochs"
    trainable: str = "all"
    """'head', 'all', 'top:N': the head and the N feature stages before it, or 'from:NAME': the module of that name,
    such as layer4.2, and all that comes after it"""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        kind, _, rest = self.trainable.partition(":")
        if not (self.trainable in ("head", "all") or (kind == "top" and rest.isdigit()) or (kind == "from" and rest)):
            raise ValueError(
                f"trainable is {self.trainable!r}, expected head, all, top:N, such as top:2, or from:NAME, such as "
                "from:layer4.2"
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}, expected more than 0")
        expect_range("epochs", self.epochs, 0)


@dataclass(frozen=True)
class TrainRecipe:
    """Optimizer, schedule, loss, and which checkpoint is kept."""

    MOVED: ClassVar[dict[str, str]] = {
        name: f"loss.{name}" for name in ("label_smoothing", "soft_targets", "balance", "class_weights")
    }
    "former fields -> where they stand now"

    epochs: int
    "sweeps over the training images, all stages together"
    stages: tuple[StageRecipe, ...] = ()
    "what learns when, in order; only the last may leave its epochs open; left out with fit = 'logistic'"
    fit: str = "steps"
    """'steps': gradients, as the stages say; 'logistic': the last layer alone, in one go, by logistic regression on
    what the network sees in unchanged training images"""
    fit_strength: float = 1.0
    "fit = logistic: C, the inverse of the strength that large weights are held back with"
    batch_size: int = 8
    "images a step"
    accumulate: int = 1
    "steps whose gradients are added before the weights move"
    optimizer: str = "adamw"
    "sgd, adam or adamw"
    momentum: float = 0.0
    "of sgd"
    weight_decay: float = 0.0
    "of the weights; biases and norms are left out of it for adamw"
    dense_weight_decay: float = -1.0
    """of the weights of dense layers; convolutions then have weight_decay, biases and norms none. Below 0: dense layers
    are treated like all others"""
    decay: str = "constant"
    "the learning rate within a stage: constant, cosine (to minimum_learning_rate), steps or plateau"
    step_epochs: int = 5
    "decay = steps: after so many epochs of a stage, and again after as many …"
    step_factor: float = 0.8
    "… the learning rate is multiplied by this"
    plateau_factor: float = 0.1
    "decay = plateau: the learning rate is multiplied by this …"
    plateau_patience: int = 15
    "… after so many epochs without a lower validation loss …"
    minimum_learning_rate: float = 0.0
    "… down to this; the floor of cosine as well"
    mirrored: bool = False
    "learn from the other breast's images of the same projection too, mirrored: a mirrored CC_L is a CC_R"
    clip_norm: float = 0.0
    "gradients are scaled down to this norm; 0: never"
    frozen_norm: bool = False
    "batch norms keep the statistics they start with"
    sync_norm: bool = True
    """with several processes (torchrun), batch norms measure the whole batch, as one process does; false: each its
    share alone, and the first's running statistics are kept: less to send, another training"""
    precision: str = "float32"
    """'mixed': mixed precision on CUDA, float32 on a CPU; 'auto': bfloat16 on a CPU that has it, too; 'float32';
    'bfloat16'; 'float16' (CUDA)"""
    keep: str = "best-accuracy"
    "which epoch's weights the run keeps: best-accuracy, best-loss, best-auc (of two classes; on validation) or last"
    early_stopping: int = 0
    "stop after so many epochs without a better validation loss; 0: never"
    images_an_epoch: int = 0
    "an epoch shows so many training images, drawn anew each time; 0: all of them"
    validation_images: int = 0
    "epochs are judged on so many validation images, drawn once by the seed; 0: all of them"
    collage: float = 0.0
    """of patches: this share of the batches is shown as one large image, patch beside patch, so that the network
    learns to judge a patch whatever lies around it; rows and columns of the input are then multiples of its stride"""
    imitate: bool = False
    """one pass over a mammogram is taught what the patch run it starts from gives patch by patch, for dense heatmaps;
    images are whole mammograms without labels, and the input is that run's"""
    cache_gb: float = 4.0
    """fitted images are kept on the disk, beside the runs and until training has ended, up to so many gigabytes in all;
    beyond, they are read again"""
    compile: bool = False
    "the network is compiled by torch.compile: minutes at the start, then often quicker; needs a C++ compiler or Triton"

    def __post_init__(self) -> None:
        """Refuse values outside their range and stages that do not fit the epochs."""
        expect("optimizer", self.optimizer, ("sgd", "adam", "adamw"))
        expect("decay", self.decay, ("constant", "cosine", "steps", "plateau"))
        expect("precision", self.precision, ("mixed", "auto", "float32", "bfloat16", "float16"))
        expect("keep", self.keep, ("best-accuracy", "best-loss", "best-auc", "last"))
        expect_range("epochs", self.epochs, 1, 100_000)
        expect_range("batch_size", self.batch_size, 1, 65_536)
        expect_range("accumulate", self.accumulate, 1, 65_536)
        expect_range("momentum", self.momentum, 0, 0.9999)
        expect_range("plateau_factor", self.plateau_factor, 1e-6, 0.999999)
        expect_range("plateau_patience", self.plateau_patience, 1)
        expect_range("step_epochs", self.step_epochs, 1)
        expect_range("step_factor", self.step_factor, 1e-6, 0.999999)
        expect_range("dense_weight_decay", self.dense_weight_decay, -1)
        expect_range("images_an_epoch", self.images_an_epoch, 0)
        expect_range("validation_images", self.validation_images, 0)
        expect_range("collage", self.collage, 0, 1)
        for name in ("weight_decay", "minimum_learning_rate", "clip_norm", "early_stopping", "cache_gb"):
            expect_range(name, getattr(self, name), 0)
        expect("fit", self.fit, ("steps", "logistic"))
        expect_range("fit_strength", self.fit_strength, 1e-6, 1e6)
        if self.fit == "logistic":
            self._settle_logistic()
        if not self.stages:
            raise ValueError("stages is empty, expected at least one [[train.stages]]")
        if any(stage.epochs == 0 for stage in self.stages[:-1]):
            raise ValueError("only the last of train.stages may leave its epochs open")

    def _settle_logistic(self) -> None:
        """Refuse what a fit in one go cannot follow, and write down its one stage, which learns the head."""
        wanted = {"epochs": 1, "keep": "last", "decay": "constant"}
        unused = ("images_an_epoch", "collage", "imitate", "early_stopping")
        wrong = [f"{name} = {value!r}" for name, value in wanted.items() if getattr(self, name) != value]
        wrong += [f"no {name}" for name in unused if getattr(self, name)]
        wrong += ["no stages"] if any(stage.trainable != "head" for stage in self.stages) else []
        if wrong:
            raise ValueError(f"fit = 'logistic' fits the last layer in one go; it needs {', '.join(wrong)}")
        object.__setattr__(self, "stages", self.stages or (StageRecipe(1.0, trainable="head"),))
