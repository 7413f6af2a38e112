"""A recipe: everything that a training is told, as frozen dataclasses read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomli_w

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import task_named


def _expect(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def _expect_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, expected {low} to {high}")


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, and what it starts from."""

    name: str
    "a name that timm.create_model knows, ours included: infn_resnet, tf_efficientnet_lite0, …"
    pretrained: str = "none"
    "where the first weights come from: none, package (ImageNet, no internet needed), hub (timm's own) or file"
    weights_file: str = ""
    "the safetensors file of pretrained = 'file'"
    in_channels: int = 1
    "1: one grey channel; 3: the network's own stem repeats the grey image"
    dropout: float = 0.0
    "share of features dropped before the last layer while training"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _expect("pretrained", self.pretrained, ("none", "package", "hub", "file"))
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels is {self.in_channels}, expected 1 or 3")
        _expect_range("dropout", self.dropout, 0, 0.95)
        if (self.pretrained == "file") != bool(self.weights_file):
            raise ValueError("pretrained = 'file' and weights_file go together")


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
    "'image': the image's own mean is subtracted as well (INFN); 'none': absolute intensity is kept"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _expect("fit", self.fit, ("pad", "squash"))
        _expect("centre", self.centre, ("none", "image"))
        _expect_range("height", self.height, 16, 8192)
        _expect_range("width", self.width, 16, 8192)
        if self.std <= 0:
            raise ValueError(f"std is {self.std}, expected more than 0")


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

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, high in (
            ("zoom", 0.9),
            ("shift", 0.9),
            ("rotation_deg", 180),
            ("brightness", 1),
            ("contrast", 1),
        ):
            _expect_range(name, getattr(self, name), 0, high)


@dataclass(frozen=True)
class StageRecipe:
    """A stretch of the training in which one part of the network learns at one rate."""

    learning_rate: float
    "at the start of the stage"
    epochs: int = 0
    "how many epochs it lasts; 0: until train.epochs"
    trainable: str = "all"
    "'head', 'all', or 'top:N': the head and the N feature stages before it"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        number = self.trainable.removeprefix("top:")
        if self.trainable not in ("head", "all") and not (self.trainable.startswith("top:") and number.isdigit()):
            raise ValueError(f"trainable is {self.trainable!r}, expected head, all or top:N, such as top:2")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, expected more than 0")
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}, expected 0 or more")


@dataclass(frozen=True)
class TrainRecipe:
    """Optimizer, schedule, loss, and which checkpoint is kept."""

    epochs: int
    "sweeps over the training images, all stages together"
    stages: tuple[StageRecipe, ...]
    "what learns when, in order; only the last may leave its epochs open"
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
    class_weights: str = "none"
    "'balanced': the loss of a class is weighted by the inverse of its frequency in training; 'none'"
    clip_norm: float = 0.0
    "gradients are scaled down to this norm; 0: never"
    frozen_norm: bool = False
    "batch norms keep the statistics they start with"
    precision: str = "float32"
    "'auto': mixed precision on CUDA, bfloat16 where the CPU has it; 'float32'; 'bfloat16'; 'float16' (CUDA)"
    keep: str = "best-accuracy"
    "which epoch's weights the run keeps: best-accuracy, best-loss (on validation) or last"
    early_stopping: int = 0
    "stop after so many epochs without a better validation loss; 0: never"
    cache_gb: float = 4.0
    "images stay in memory at the input size up to this many gigabytes; beyond, they are read again"

    def __post_init__(self) -> None:
        """Refuse values outside their range and stages that do not fit the epochs."""
        _expect("optimizer", self.optimizer, ("sgd", "adam", "adamw"))
        _expect("decay", self.decay, ("constant", "cosine", "plateau"))
        _expect("class_weights", self.class_weights, ("none", "balanced"))
        _expect("precision", self.precision, ("auto", "float32", "bfloat16", "float16"))
        _expect("keep", self.keep, ("best-accuracy", "best-loss", "last"))
        _expect_range("epochs", self.epochs, 1, 100_000)
        _expect_range("batch_size", self.batch_size, 1, 65_536)
        _expect_range("accumulate", self.accumulate, 1, 65_536)
        _expect_range("label_smoothing", self.label_smoothing, 0, 0.9)
        if not self.stages:
            raise ValueError("stages is empty, expected at least one [[train.stages]]")
        if any(stage.epochs == 0 for stage in self.stages[:-1]):
            raise ValueError("only the last of train.stages may leave its epochs open")


@dataclass(frozen=True)
class Recipe:
    """One network's training from pixels to checkpoint."""

    task: str
    "what is told apart: density, tissue, pathology, birads, abnormality"
    network: NetworkRecipe
    "which network"
    input: InputRecipe
    "its input"
    train: TrainRecipe
    "its training"
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    "random changes of training images"
    recommended_images: int = 1000
    "training images a view below which a line says what the source recommends"
    source: str = ""
    "where the recipe comes from"

    def __post_init__(self) -> None:
        """Refuse an unknown task."""
        task_named(self.task)


def recipes_folder() -> Path:
    """The folder of recipes: the installed copy, else `views/` of the checkout."""
    installed = Path(__file__).parents[1] / "views"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "views"


def recipe_names() -> list[str]:
    """Every shipped recipe, as `density/finetune`."""
    folder = recipes_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe given as a path, as `density/infn` or, where only one is called so, as `infn`.

    Raises:
        RecipeError: no such recipe, or several.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise RecipeError(f"recipe {name}: no such file; shipped recipes: {', '.join(recipe_names())}")
        return path
    names = recipe_names()
    matches = [known for known in names if known == name or known.split("/")[-1] == name]
    if len(matches) == 1:
        return recipes_folder() / f"{matches[0]}.toml"
    if matches:
        raise RecipeError(f"recipe {name!r} is one of several: {', '.join(matches)}; write the folder too")
    near = get_close_matches(name, names + [known.split("/")[-1] for known in names], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"recipe {name!r} is neither a file nor one of {', '.join(names)}{hint}")


def load_recipe(name: str | Path, view: View | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe, resolve `extends` and the view's own table, and apply `key=value` settings last.

    Args:
        name: a path or the name of a shipped recipe.
        view: the projection to be trained; its table `[view.<VIEW>]` is laid over the rest.
        settings: such as `train.epochs=5` or `network.name="resnet18"`.

    Raises:
        RecipeError: the file is missing or not TOML, a key is unknown, a value is out of range; all at once.
    """
    path = find_recipe(str(name))
    table = _read_table(path)
    base = table.pop("extends", None)
    if base is not None:
        parent = _read_table(find_recipe(str(base)))
        if "extends" in parent:
            raise RecipeError(f"{path}: extends {base!r}, which extends another recipe; one level is allowed")
        table = _merge(parent, table)
    views = table.pop("view", {})
    problems = []
    if not isinstance(views, Mapping):
        problems.append("view is not a table")
        views = {}
    for named, own in views.items():
        if named not in tuple(View):
            problems.append(f"unknown key 'view.{named}'; expected one of {', '.join(View)}")
            continue
        try:
            from_mapping(Recipe, _merge(table, own))
        except FieldProblems as error:
            problems += [f"[view.{named}] {text}" for text in error.problems]
    if view is not None:
        table = _merge(table, views.get(view, {}))
    for setting in settings:
        table = _merge(table, _setting_table(setting))
    try:
        recipe = from_mapping(Recipe, table)
    except FieldProblems as error:
        problems = error.problems + [text for text in problems if not text.startswith("[view.")]
    if problems:
        raise RecipeError(f"{path}: " + "; ".join(problems))
    return recipe


def recipe_to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML that `load_recipe` reads back to an equal one."""
    return tomli_w.dumps(to_mapping(recipe))


def recipe_from_toml(text: str, where: str) -> Recipe:
    """The recipe written by `recipe_to_toml`.

    Raises:
        RecipeError: the text is no recipe of this version; begins with `where`.
    """
    try:
        return from_mapping(Recipe, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, FieldProblems) as error:
        raise RecipeError(f"{where}: {error}") from error


def _read_table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _setting_table(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"setting {setting!r} is not of the form key=value, such as train.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value
