"""A recipe: everything that a training is told, as frozen dataclasses read from TOML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ensemble_mammo.records.task import task_named

HAND_FEATURES = "hand_features"
"""The network of hand-made features."""


def _expect(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def _expect_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
        raise ValueError(f"{name} is {value}, expected {limit}")


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, and what it starts from."""

    name: str
    "a name that timm.create_model knows, ours included: infn_resnet, tf_efficientnet_lite0, …"
    pretrained: str = "none"
    "where the first weights come from: none, package (ImageNet, no internet needed), hub (timm's own), file or run"
    weights_file: str = ""
    "the safetensors file of pretrained = 'file'; the run folder of pretrained = 'run'"
    in_channels: int = 1
    "1: one grey channel; 3: the network's own stem repeats the grey image"
    dropout: float = 0.0
    "share of features dropped before the last layer while training"
    backbone: str = ""
    "of whole_image: the timm network whose features its blocks stand on; with a run's weights, that of the run"
    blocks: str = "resnet"
    "of whole_image: 'resnet' (two of [512-512-1024]), 'vgg' (two of [512]x1) or 'heatmap' (the head on patch classes)"
    block_stride: int = 2
    "of whole_image: stride at the start of each block; 2 as in the original, 1 as in its PyTorch port"
    checkpointing: bool = False
    "features are computed a second time for the gradients instead of kept: less memory, more time"
    layers: tuple[str, ...] = ()
    """of a joined dataset: a last layer for each collection, by the first of these tasks that it has labels of; a run
    says COLLECTION:TASK of each. Empty: one last layer"""
    start_layer: str = ""
    "the collection whose last layer of the start is begun with; empty: the mean of those with as many classes"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _expect("pretrained", self.pretrained, ("none", "package", "hub", "file", "run"))
        _expect("blocks", self.blocks, ("resnet", "vgg", "heatmap"))
        if self.block_stride not in (1, 2):
            raise ValueError(f"block_stride is {self.block_stride}, expected 1 or 2")
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels is {self.in_channels}, expected 1 or 3")
        _expect_range("dropout", self.dropout, 0, 0.95)
        for name in self.layer_tasks:
            task_named(name)
        if self.start_layer and self.pretrained != "run":
            raise ValueError("start_layer names a last layer of the run to start from; set pretrained = 'run' as well")
        if (self.pretrained in ("file", "run")) != bool(self.weights_file):
            raise ValueError("pretrained = 'file' or 'run' and weights_file go together")

    @property
    def layer_tasks(self) -> tuple[str, ...]:
        """The task of each of `layers`."""
        return tuple(text.rpartition(":")[2] for text in self.layers)


@dataclass(frozen=True)
class InputRecipe:
    """From a prepared mammogram to the network's input."""

    height: int
    "rows of the input, in pixels"
    width: int
    "columns of the input, in pixels"
    fit: str = "pad"
    "'pad': aspect kept, black on both sides; 'squash': stretched to height x width, aspect lost"
    mean: float = 0.0
    "subtracted from values in 0..1, then …"
    std: float = 1.0
    "… divided by this"
    centre: str = "none"
    """'image': the image's own mean is subtracted as well (INFN); 'training': the mean over all training images is
    computed before the first epoch and written into `mean`; 'none': absolute intensity is kept"""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _expect("fit", self.fit, ("pad", "squash"))
        _expect("centre", self.centre, ("none", "image", "training"))
        _expect_range("height", self.height, 16, 8192)
        _expect_range("width", self.width, 16, 8192)
        _expect_range("mean", self.mean, -10, 10)
        _expect_range("std", self.std, 1e-6, 1e6)


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes of training images; validation and test images are never changed."""

    zoom: float = 0.0
    "scale drawn from 1 - zoom to 1 + zoom"
    shift: float = 0.0
    "shift drawn up to this share of height and of width"
    rotation_deg: float = 0.0
    "rotation drawn from minus to plus this many degrees"
    flip_horizontal: bool = False
    "left and right exchanged in half of the images (makes it another projection: off for views)"
    flip_vertical: bool = False
    "top and bottom exchanged in half of the images"
    brightness: float = 0.0
    "added to all values within the image, drawn from minus to plus this (values in 0..1)"
    contrast: float = 0.0
    "factor about the image's own mean, drawn from 1 - contrast to 1 + contrast"
    shear_deg: float = 0.0
    "shear drawn from minus to plus this many degrees"
    fill: str = "black"
    "what enters from outside an image: 'black', 'edge' (its last pixels) or 'reflection'"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, high in (
            ("zoom", 0.9),
            ("shift", 0.9),
            ("rotation_deg", 180),
            ("shear_deg", 60),
            ("brightness", 1),
            ("contrast", 1),
        ):
            _expect_range(name, getattr(self, name), 0, high)
        _expect("fill", self.fill, ("black", "edge", "reflection"))


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
        _expect_range("epochs", self.epochs, 0)


@dataclass(frozen=True)
class TrainRecipe:
    """Optimizer, schedule, loss, and which checkpoint is kept."""

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
    decay: str = "constant"
    "the learning rate within a stage: constant, cosine (to minimum_learning_rate), or plateau"
    plateau_factor: float = 0.1
    "decay = plateau: the learning rate is multiplied by this …"
    plateau_patience: int = 15
    "… after so many epochs without a lower validation loss …"
    minimum_learning_rate: float = 0.0
    "… down to this; the floor of cosine as well"
    label_smoothing: float = 0.0
    "share of the target spread evenly over the classes"
    soft_targets: float = 0.0
    "each neighbour of an image's class gets this share of what its class gets as target: classes in an order"
    balance: float = 0.0
    """with a last layer a collection: 0: collections weigh in the loss by their images; 1: all the same; between: by
    images to the power of 1 - balance"""
    mirrored: bool = False
    "learn from the other breast's images of the same projection too, mirrored: a mirrored CC_L is a CC_R"
    class_weights: str = "none"
    "'balanced': the loss of a class is weighted by the inverse of its frequency in training; 'none'"
    clip_norm: float = 0.0
    "gradients are scaled down to this norm; 0: never"
    frozen_norm: bool = False
    "batch norms keep the statistics they start with"
    precision: str = "float32"
    """'mixed': mixed precision on CUDA, float32 on a CPU; 'auto': bfloat16 on a CPU that has it, too; 'float32';
    'bfloat16'; 'float16' (CUDA)"""
    keep: str = "best-accuracy"
    "which epoch's weights the run keeps: best-accuracy, best-loss, best-auc (of two classes; on validation) or last"
    early_stopping: int = 0
    "stop after so many epochs without a better validation loss; 0: never"
    images_an_epoch: int = 0
    "an epoch shows so many training images, drawn anew each time; 0: all of them"
    collage: float = 0.0
    """of patches: this share of the batches is shown as one large image, patch beside patch, so that the network
    learns to judge a patch whatever lies around it; rows and columns of the input are then multiples of its stride"""
    imitate: bool = False
    """one pass over a mammogram is taught what the patch run it starts from gives patch by patch, for dense heatmaps;
    images are whole mammograms without labels, and the input is that run's"""
    cache_gb: float = 4.0
    "images stay in memory at the input size up to this many gigabytes; beyond, they are read again"

    def __post_init__(self) -> None:
        """Refuse values outside their range and stages that do not fit the epochs."""
        _expect("optimizer", self.optimizer, ("sgd", "adam", "adamw"))
        _expect("decay", self.decay, ("constant", "cosine", "plateau"))
        _expect("class_weights", self.class_weights, ("none", "balanced"))
        _expect("precision", self.precision, ("mixed", "auto", "float32", "bfloat16", "float16"))
        _expect("keep", self.keep, ("best-accuracy", "best-loss", "best-auc", "last"))
        _expect_range("epochs", self.epochs, 1, 100_000)
        _expect_range("batch_size", self.batch_size, 1, 65_536)
        _expect_range("accumulate", self.accumulate, 1, 65_536)
        _expect_range("label_smoothing", self.label_smoothing, 0, 0.9)
        _expect_range("momentum", self.momentum, 0, 0.9999)
        _expect_range("plateau_factor", self.plateau_factor, 1e-6, 0.999999)
        _expect_range("plateau_patience", self.plateau_patience, 1)
        _expect_range("images_an_epoch", self.images_an_epoch, 0)
        _expect_range("collage", self.collage, 0, 1)
        _expect_range("soft_targets", self.soft_targets, 0, 1)
        _expect_range("balance", self.balance, 0, 1)
        for name in ("weight_decay", "minimum_learning_rate", "clip_norm", "early_stopping", "cache_gb"):
            _expect_range(name, getattr(self, name), 0)
        _expect("fit", self.fit, ("steps", "logistic"))
        _expect_range("fit_strength", self.fit_strength, 1e-6, 1e6)
        if self.fit == "logistic":
            self._settle_logistic()
        if not self.stages:
            raise ValueError("stages is empty, expected at least one [[train.stages]]")
        if any(stage.epochs == 0 for stage in self.stages[:-1]):
            raise ValueError("only the last of train.stages may leave its epochs open")

    def _settle_logistic(self) -> None:
        """Refuse what a fit in one go cannot follow, and write down its one stage, which learns the head."""
        wanted = {"epochs": 1, "keep": "last", "decay": "constant"}
        unused = ("label_smoothing", "soft_targets", "images_an_epoch", "collage", "imitate", "early_stopping")
        wrong = [f"{name} = {value!r}" for name, value in wanted.items() if getattr(self, name) != value]
        wrong += [f"no {name}" for name in unused if getattr(self, name)]
        wrong += ["no stages"] if any(stage.trainable != "head" for stage in self.stages) else []
        if wrong:
            raise ValueError(f"fit = 'logistic' fits the last layer in one go; it needs {', '.join(wrong)}")
        object.__setattr__(self, "stages", self.stages or (StageRecipe(1.0, trainable="head"),))


@dataclass(frozen=True)
class Recipe:
    """One network's training from pixels to checkpoint."""

    task: str
    "what is told apart: density, tissue, pathology, birads, abnormality, abnormality5, patch"
    network: NetworkRecipe
    "which network"
    input: InputRecipe
    "its input"
    train: TrainRecipe
    "its training"
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    "random changes of training images"
    pooled: bool = False
    "one network for the images of all four views, instead of one a view"
    recommended_images: int = 1000
    "training images a view below which a line says what the source recommends"
    source: str = ""
    "where the recipe comes from"

    def __post_init__(self) -> None:
        """Refuse an unknown task, and what belongs to networks of one view in a pooled one."""
        task_named(self.task)
        if self.pooled and self.train.mirrored:
            raise ValueError("train.mirrored borrows from the other breast's view; a pooled network has all views")
        if self.network.layers and not self.pooled:
            raise ValueError("network.layers is for pooled = true: networks of one view start from such a run")
        if self.train.balance and not self.network.layers:
            raise ValueError("train.balance weighs collections; set network.layers, such as ['density']")
        if self.train.fit == "logistic" and self.network.layers:
            raise ValueError("train.fit = 'logistic' fits one last layer; leave network.layers out")
        if self.network.name == HAND_FEATURES and not (self.input.mean == 0 and self.input.centre == "none"):
            raise ValueError(f"{HAND_FEATURES} takes what is black as no breast: input.mean = 0, input.centre = 'none'")
        if not self.train.imitate:
            return
        if self.task != "patch" or not self.pooled:
            raise ValueError("train.imitate is for patch networks: it needs task = 'patch' and pooled = true")
        if self.train.collage or self.train.label_smoothing or self.train.class_weights != "none":
            raise ValueError(
                "train.imitate learns scores, not labels: leave collage, label_smoothing, class_weights out"
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that images are learned by: the recipe's own first, then those of several last layers."""
        return tuple(dict.fromkeys([self.task, *self.network.layer_tasks]))
