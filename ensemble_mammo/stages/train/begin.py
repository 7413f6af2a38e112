"""What a training begins with: the run whose weights come first, and what only data and start tell of the recipe."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ensemble_mammo.errors import DatasetError, RecipeError
from ensemble_mammo.learning.layers import layers_of
from ensemble_mammo.learning.start import Start
from ensemble_mammo.learning.state import Samples
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import MANIFEST, Dataset
from ensemble_mammo.records.marks import marked_rows, marks_of_rows
from ensemble_mammo.records.preparation import OF_THE_SOURCE
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.stages.train.options import TrainOptions

log = logging.getLogger(__name__)
_SCALES_ALIKE = 0.02
"""Share by which the scale of inputs may differ from the start's without a word."""


def with_layers(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with a last layer for each collection of the dataset, by the first task that it has labels of.

    Raises:
        DatasetError: the dataset has no collections.
        RecipeError: the recipe names some layers by collection and others not.
    """
    asked = recipe.network.layers
    named = [text for text in asked if ":" in text]
    if not asked:
        return recipe
    if len(named) == len(asked):
        _require_layers(recipe, dataset)
        return recipe
    if named:
        raise RecipeError(
            f"network.layers mixes tasks and layers ({', '.join(asked)}); give tasks, such as ['density', 'tissue']"
        )
    table = dataset.table
    collections = sorted(set(table["collection"]) - {""})
    if not collections:
        raise DatasetError(
            f"{dataset.root / MANIFEST}: no collections, and the recipe wants a last layer for each; join datasets "
            "with `prepare join`, or take a recipe without network.layers"
        )
    layers, without = [], []
    for collection in collections:
        own = table[table["collection"] == collection]
        task = next((name for name in asked if name in own and (own[name] != "").any()), None)
        layers += [f"{collection}:{task}"] if task else []
        without += [] if task else [collection]
    if without:
        log.warning("%s: no label of %s; nothing is learned from it", ", ".join(without), " or ".join(asked))
    log.info("last layers: %s", ", ".join(layers))
    return replace(recipe, network=replace(recipe.network, layers=tuple(layers)))


def _require_layers(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse layers of collections or tasks that a dataset does not have."""
    table = dataset.table
    absent = [
        f"{layer.collection}:{layer.task.name}"
        for layer in layers_of(recipe.network)
        if layer.task.name not in table or not (table["collection"] == layer.collection).any()
    ]
    if absent:
        have = ", ".join(sorted(set(table["collection"]) - {""})) or "no collection"
        raise DatasetError(
            f"{dataset.root / MANIFEST}: the recipe has last layers of {', '.join(absent)}, which are not here (found "
            f"{have}, labels of {', '.join(dataset.task_names())}); set network.layers to tasks, such as ['density']"
        )


def resolved(recipe: Recipe, learned: Samples, start: Start | None) -> Recipe:
    """The recipe with what only data and the start tell: the mean of the training images, the backbone."""
    if start is not None:
        recipe = replace(recipe, network=start.network)
    if recipe.input.centre == "training":
        images = learned.images
        if start is not None and start.input.centre == "training":  # its features know values about that mean
            log.info("mean of the start's training images: %.6f of white", start.input.mean)
            return replace(recipe, input=replace(recipe.input, mean=start.input.mean))
        mean = float(np.mean([images[i].mean(dtype=torch.float64).item() for i in range(len(images))]))
        recipe = replace(recipe, input=replace(recipe.input, mean=mean))
        log.info("mean of the %d training images: %.6f of white", len(images), mean)
    return recipe


def remarks_of(parts: Mapping[str, pd.DataFrame], leaks: Sequence[str], start: Start | None) -> dict[str, Any]:
    """What run.json says of data and start; whom the start learned from is learned from here, too."""
    learned = {mark for rows in parts.values() for mark in marks_of_rows(rows)}
    trained = set(marks_of_rows(parts["train"]))
    remarks: dict[str, Any] = {
        "learned_from": sorted(learned | set(start.learned_from if start else ())),
        "trained_on": sorted(trained | set(start.trained_on if start else ())),
    }
    if start is not None:
        remarks["started_from"] = {"network": start.name, "task": start.task, "weights_sha256": start.weights_sha256}
    return remarks | ({"leaks": list(leaks)} if leaks else {})


def leaks_of_start(
    start: Start, dataset: Dataset, parts: Mapping[str, pd.DataFrame], options: TrainOptions
) -> list[str]:
    """Subjects for validation or test here of whom the first weights know; refused unless the user allows it."""
    table = dataset.table
    if options.train_subjects is None:
        held_out = table[table["split"] == "test"]
    else:
        learning = options.train_subjects | (options.val_subjects or frozenset())
        held_out = table[~table["subject_id"].isin(list(learning))]  # whoever lacks this view alone is not held out
    known = marked_rows(held_out, start.learned_from) | marked_rows(parts["val"], start.trained_on)
    if not known:
        return []
    text = (
        f"{len(known)} subjects of validation or test here, such as {min(known)}, are known to the run that this one "
        "starts from"
    )
    if start.several_layers:
        text += " (its ids are compared without the names of collections: two that use the same ids look alike)"
    if not options.allow_leakage:
        raise DatasetError(
            f"{dataset.root}: {text}; divide both sets alike (patches keep the splits of their dataset), or give "
            "--allow-leakage"
        )
    log.warning("LEAK: %s", text)
    return [text]


def notes_of_start(start: Start, dataset: Dataset, recipe: Recipe) -> list[str]:
    """What is otherwise than in the training of the first weights: not wrong by itself, but it must be known."""
    own, theirs = to_mapping(dataset.preparation), to_mapping(start.preparation)
    free = {"height", "width"} if start.task == "patch" else set()  # a patch set has no frame of its own
    free |= set(OF_THE_SOURCE) if start.several_layers else set()
    changed = [name for name in own if own[name] != theirs[name] and name not in free]
    differing = [f"{name} {own[name]!r}, before {theirs[name]!r}" for name in changed]
    notes = [f"images prepared otherwise than those of the start: {'; '.join(differing)}"] if differing else []
    before, now = start.input.std, recipe.input.std
    if abs(before / now - 1) > _SCALES_ALIKE:
        notes.append(
            f"input.std is {now:g}, in the training of the start it was {before:g}: its weights know other values"
        )
    return notes
