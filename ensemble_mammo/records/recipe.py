"""A recipe: everything that a training is told, as frozen dataclasses read from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field

from ensemble_mammo.records.ranges import expect, expect_range
from ensemble_mammo.records.recipe_input import AugmentRecipe, InputRecipe
from ensemble_mammo.records.recipe_training import LossRecipe, StageRecipe, TrainRecipe
from ensemble_mammo.records.task import PATCH, PATCHES, TILES, task_named

__all__ = [
    "HAND_FEATURES",
    "AugmentRecipe",
    "InputRecipe",
    "LossRecipe",
    "NetworkRecipe",
    "Recipe",
    "StageRecipe",
    "TrainRecipe",
]

HAND_FEATURES = "hand_features"
"""The network of hand-made features."""


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
    start_part: str = "all"
    """of the run to start from: 'all' (its last layer as well where it has as many classes), or 'features': what comes
    before the dense layers"""
    start_layer: str = ""
    "the collection whose last layer of the start is begun with; empty: the mean of those with as many classes"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        expect("pretrained", self.pretrained, ("none", "package", "hub", "file", "run"))
        expect("blocks", self.blocks, ("resnet", "vgg", "heatmap"))
        if self.block_stride not in (1, 2):
            raise ValueError(f"block_stride is {self.block_stride}, expected 1 or 2")
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels is {self.in_channels}, expected 1 or 3")
        expect_range("dropout", self.dropout, 0, 0.95)
        for name in self.layer_tasks:
            task_named(name)
        expect("start_part", self.start_part, ("all", "features"))
        if self.start_layer and self.pretrained != "run":
            raise ValueError("start_layer names a last layer of the run to start from; set pretrained = 'run' as well")
        if self.start_layer and self.start_part == "features":
            raise ValueError("start_layer names a last layer of the start; start_part = 'features' takes none of it")
        if (self.pretrained in ("file", "run")) != bool(self.weights_file):
            raise ValueError("pretrained = 'file' or 'run' and weights_file go together")

    @property
    def layer_tasks(self) -> tuple[str, ...]:
        """The task of each of `layers`."""
        return tuple(text.rpartition(":")[2] for text in self.layers)


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
    loss: LossRecipe = field(default_factory=LossRecipe)
    "what is lowered"
    pooled: bool = False
    "one network for the images of all four views, instead of one a view"
    cut: str = ""
    "'tiles': it learns from tiles of mammograms; empty: from whole mammograms, or, with task = 'patch', from patches"
    recommended_images: int = 1000
    "training images a view below which a line says what the source recommends"
    source: str = ""
    "where the recipe comes from"

    def __post_init__(self) -> None:
        """Refuse an unknown task, and what belongs to networks of one view in a pooled one."""
        task_named(self.task)
        expect("cut", self.cut, ("", TILES))
        if self.cut and self.task == PATCH:
            raise ValueError("cut = 'tiles' and task = 'patch': tiles have labels of their own, patches those of patch")
        if self.pooled and self.train.mirrored:
            raise ValueError("train.mirrored borrows from the other breast's view; a pooled network has all views")
        if self.network.layers and not self.pooled:
            raise ValueError("network.layers is for pooled = true: networks of one view start from such a run")
        if self.loss.balance and not self.network.layers:
            raise ValueError("loss.balance weighs collections; set network.layers, such as ['density']")
        if self.train.fit == "logistic":
            self._check_logistic()
        changed = self.input.mean != 0 or self.input.centre != "none" or self.input.contrast != 1
        if self.network.name == HAND_FEATURES and changed:
            raise ValueError(
                f"{HAND_FEATURES} takes what is black as no breast: input.mean = 0, input.centre = 'none', "
                "input.contrast = 1"
            )
        if not self.train.imitate:
            return
        if self.task != "patch" or not self.pooled:
            raise ValueError("train.imitate is for patch networks: it needs task = 'patch' and pooled = true")
        if self.train.collage or self.loss != LossRecipe():
            raise ValueError("train.imitate learns scores, not labels: leave collage and the table loss out")

    def _check_logistic(self) -> None:
        """Refuse what a fit in one go cannot follow."""
        if self.network.layers:
            raise ValueError("train.fit = 'logistic' fits one last layer; leave network.layers out")
        if self.loss.label_smoothing or self.loss.soft_targets:
            raise ValueError(
                "train.fit = 'logistic' learns classes as they are; it needs no loss.label_smoothing, no "
                "loss.soft_targets"
            )

    @property
    def learns_from(self) -> str:
        """What mammograms are cut into for it: patches, tiles, or nothing."""
        return PATCHES if self.task == PATCH and not self.train.imitate else self.cut

    @property
    def resizes_tiles(self) -> bool:
        """Whether it takes tiles of any size: weights of another source expect tiles resized to the input."""
        return self.cut == TILES and self.network.pretrained not in ("none", "run")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that images are learned by: the recipe's own first, then those of several last layers."""
        return tuple(dict.fromkeys([self.task, *self.network.layer_tasks]))
