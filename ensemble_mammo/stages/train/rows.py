"""The rows of a dataset that a training learns from and is validated on."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_mammo.errors import DatasetError, RecipeError
from ensemble_mammo.learning.images import ViewImages
from ensemble_mammo.learning.layers import layers_of
from ensemble_mammo.learning.packed import Pack
from ensemble_mammo.learning.schedule import needs_validation
from ensemble_mammo.learning.start import Start
from ensemble_mammo.learning.state import Samples
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import MANIFEST, Dataset, place_columns
from ensemble_mammo.records.recipe import HAND_FEATURES, Recipe
from ensemble_mammo.records.shards import as_if_loose
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import TASKS, Task
from ensemble_mammo.stages.train.options import TrainOptions

log = logging.getLogger(__name__)
NO_CLASS = -1
"""The target of an image whose class is not looked at."""


def name_of(view: View | None) -> str:
    """What the run folder is called."""
    return view.value if view else ANY


def rows_of(dataset: Dataset, view: View | None, recipe: Recipe, options: TrainOptions) -> dict[str, pd.DataFrame]:
    """The training and validation rows of the view, and, where the recipe wants them, the other breast's.

    They have a label, except for a network that imitates.
    """
    if recipe.train.imitate:
        return {name: rows.assign(mirrored=False) for name, rows in _divided(dataset, view, options).items()}
    dataset.require(TASKS[recipe.task])
    parts = {name: rows.assign(mirrored=False) for name, rows in _of_view(dataset, view, recipe, options).items()}
    if recipe.train.mirrored and view is not None:
        turned = dataset.preparation.orientation == "kept"  # else all chest walls lie on one side already
        partner = _of_view(dataset, view.mirrored, recipe, options)["train"].assign(mirrored=turned)
        parts["train"] = pd.concat([parts["train"], partner], ignore_index=True)
    return parts | {"val": _drawn(parts["val"], recipe.train.validation_images, options.seed)}


def _drawn(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """So many of the rows, drawn by the seed, in their order; all of them for 0."""
    if not 0 < count < len(rows):
        return rows
    chosen = np.random.default_rng([seed, count]).permutation(len(rows))[:count]
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def labels_of(rows: pd.DataFrame, recipe: Recipe) -> pd.Series:
    """The class that each row is learned by: that of the recipe's task, or of its collection's; empty for none."""
    if not recipe.network.layers:
        return rows[recipe.task]
    labels = pd.Series("", index=rows.index)
    for layer in layers_of(recipe.network):
        own = rows["collection"] == layer.collection
        labels[own] = rows.loc[own, layer.task.name]
    return labels


def _divided(dataset: Dataset, view: View | None, options: TrainOptions) -> dict[str, pd.DataFrame]:
    """All training and validation rows of the view."""
    rows = dataset.rows(view)
    if options.train_subjects is None:
        chosen = {split: rows["split"] == split for split in ("train", "val")}
    else:
        wanted = {"train": options.train_subjects, "val": options.val_subjects or frozenset()}
        both = sorted(wanted["train"] & wanted["val"])
        if both:
            raise DatasetError(f"subject {both[0]!r} (of {len(both)}) is both in training and in validation")
        chosen = {name: rows["subject_id"].isin(list(subjects)) for name, subjects in wanted.items()}
    return {name: rows[mask].reset_index(drop=True) for name, mask in chosen.items()}


def _of_view(dataset: Dataset, view: View | None, recipe: Recipe, options: TrainOptions) -> dict[str, pd.DataFrame]:
    """The training and validation rows of the view that have a label."""
    parts = {}
    for name, rows in _divided(dataset, view, options).items():
        labelled = rows[labels_of(rows, recipe) != ""].reset_index(drop=True)
        if len(labelled) < len(rows):
            log.warning(
                "%s %s: %d images without a %s label left out",
                name_of(view),
                name,
                len(rows) - len(labelled),
                recipe.task,
            )
        parts[name] = labelled
    return parts


def require_enough(parts: dict[str, pd.DataFrame], dataset: Dataset, view: View | None, recipe: Recipe) -> None:
    """Refuse what cannot be trained on, and say plainly what will limit it."""
    _check_cut(dataset, recipe)
    task, where, name = TASKS[recipe.task], dataset.root / MANIFEST, name_of(view)
    if parts["train"].empty:
        labelled = "" if recipe.train.imitate else f" with a {task.name} label"
        raise DatasetError(
            f"{where}: no training image of {name}{labelled} ({len(dataset.rows(view))} images of the view in all); "
            "expected rows of split 'train'"
        )
    if recipe.network.layers:
        for layer in layers_of(recipe.network):
            of_layer = parts["train"][parts["train"]["collection"] == layer.collection]
            _check_classes(of_layer[layer.task.name], layer.task, where, f"{name} of {layer.collection}")
    elif not recipe.train.imitate:
        _check_classes(parts["train"][task.name], task, where, name)
    if parts["val"].empty and (needs := needs_validation(recipe.train)):
        raise RecipeError(
            f"{' and '.join(needs)} needs validation images and {name} has none: "
            "give the dataset a split 'val', or set train.keep = 'last', another train.decay, no train.early_stopping"
        )
    if recipe.network.name == HAND_FEATURES and dataset.preparation.outside != "black":
        log.warning("%s: the background is kept, so hand-made features measure it with the breast", dataset.root)
    if recipe.train.keep == "best-auc" and len(task.classes) != 2:
        raise RecipeError(
            f"train.keep = 'best-auc' is for two classes, task {task.name} has {len(task.classes)}; take best-loss"
        )
    own = int((~parts["train"]["mirrored"]).sum())
    if own < recipe.recommended_images:
        log.warning(
            "%s: %d training images; the recipe's source recommends %d or more a view (trained all the same)",
            name,
            own,
            recipe.recommended_images,
        )
    before = sum(stage.epochs for stage in recipe.train.stages[:-1])
    if before >= recipe.train.epochs:
        log.warning("%s: train.epochs = %d ends before the last of train.stages begins", name, recipe.train.epochs)


def _check_cut(dataset: Dataset, recipe: Recipe) -> None:
    """Patches and tiles enter a network that is made for them, patches at their own size.

    A heatmap cuts squares of the input's size from its images; a network that learned from tiles without weights of
    another source sees them as they are.
    """
    cut, size = dataset.cut()
    wanted = recipe.learns_from
    if cut != wanted:
        way = f"cut it with `ensemble-mammo {wanted}`" if wanted else "the dataset that they were cut from"
        raise RecipeError(
            f"{dataset.root}: holds {cut or 'mammograms'}, and the recipe learns from {wanted or 'mammograms'}; "
            f"take another recipe, or {way}"
        )
    if not size or recipe.resizes_tiles or recipe.input.size == (size, size):
        return
    raise RecipeError(
        f"{dataset.root}: {cut} of {size} x {size} pixels, the recipe's input is {recipe.input.height} x "
        f"{recipe.input.width}; cut them with `{cut} --size {recipe.input.height}`, or set input.height and "
        f"input.width to {size}"
    )


def _check_classes(labels: pd.Series, task: Task, where: Path, name: str) -> None:
    present = labels.value_counts()
    if present.empty:
        raise DatasetError(f"{where}: no training image of {name} has a label of {task.name}")
    if len(present) < 2:
        raise DatasetError(
            f"{where}: all training images of {name} are {present.index[0]}; expected two classes or more"
        )
    missing = [one for one in task.classes if one not in present]
    if missing:
        log.warning("%s: no training image of class %s; it cannot be learned", name, ", ".join(missing))


def samples_of(dataset: Dataset, rows: pd.DataFrame, recipe: Recipe, pack: Pack | None = None) -> Samples:
    """The images of rows, and the place of each one's class among the network's outputs."""
    if recipe.train.imitate:
        targets = np.full(len(rows), NO_CLASS, np.int64)
    elif recipe.network.layers:
        layers = {layer.collection: layer for layer in layers_of(recipe.network)}
        named = zip(rows["collection"], labels_of(rows, recipe), strict=True)
        places = [layers[one].first + layers[one].task.classes.index(label) for one, label in named]
        targets = np.array(places, dtype=np.int64)
    else:
        classes = TASKS[recipe.task].classes
        targets = np.array([classes.index(label) for label in rows[recipe.task]], dtype=np.int64)
    return Samples(ViewImages(dataset.root, rows, recipe.input, pack), targets)


def fingerprint_of(parts: dict[str, pd.DataFrame], dataset: Dataset, recipe: Recipe, start: Start | None) -> str:
    """SHA-256 over what is trained and validated on.

    Ids, labels, source hashes, the places of tiles and patches, the preparation, and the start's weights.
    """
    digest = hashlib.sha256(json.dumps(to_mapping(dataset.preparation), sort_keys=True).encode())
    if start is not None:
        digest.update(f"\n{start.weights_sha256}\n".encode())
    columns = ["image_id", "subject_id", "exam_id", "file", "source_sha256", "mirrored", *recipe.tasks]
    for name, rows in parts.items():
        known = [column for column in columns if column in rows]  # a network that imitates needs no labels
        known += place_columns(rows)
        alike = rows.assign(file=as_if_loose(rows))[known]
        digest.update(f"\n{name}\n".encode() + alike.to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()
