"""Run folders: what a trained network is written as, and how it is read back. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ensemble_mammo.errors import EnsembleMammoError, RunError
from ensemble_mammo.learning.layers import head_name, layers_telling, merged
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping
from ensemble_mammo.records.files import write_text, written_beside
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipe_from_toml, recipe_to_toml
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import TASKS, Task

FORMAT = 1
"""Of weights.safetensors and state.safetensors; another number is refused."""

CROSSVAL = "crossval.json"
"""Lies in a folder of runs that a cross-validation made, with the fingerprint of its data."""
RECIPE = "recipe.toml"
WEIGHTS = "weights.safetensors"
CHECKSUM = "weights.safetensors.sha256"
INFO = "run.json"
_KEY = "ensemble_mammo"  # one key: the order of several in a safetensors header is by chance


@dataclass(frozen=True)
class Passport:
    """What a network must carry so that its input can be built and its output read."""

    recipe: Recipe
    "as resolved for the view"
    view: View | None
    "the projection it was trained for; None: all four (a pooled recipe)"
    classes: tuple[str, ...]
    "in the order of the outputs"
    preparation: Preparation
    "what was done to the pixels of its training images"

    @property
    def name(self) -> str:
        """What its run folder is called: the view, or ANY."""
        return self.view.value if self.view else ANY

    @property
    def task(self) -> Task:
        """What is told apart."""
        return TASKS[self.recipe.task]


@dataclass(frozen=True)
class LoadedRun:
    """A trained network, ready to predict, with all that its input needs."""

    folder: Path
    "where it comes from"
    recipe: Recipe
    "as resolved for the view"
    view: View | None
    "the projection it was trained for; None: all four (a pooled recipe)"
    task: Task
    "what is told apart"
    classes: tuple[str, ...]
    "in the order of the outputs"
    preparation: Preparation
    "what was done to the pixels of its training images"
    network: nn.Module
    "in evaluation mode: `[B, 1, H, W]` -> logits `[B, C]`"
    info: dict[str, Any]
    "run.json"
    collection: str = ""
    "whose last layer the network has, of several; empty: the only one, or the mean of those of the task"


def load_run(
    folder: Path, task: str | None = None, device: torch.device | str = "cpu", collection: str = ""
) -> LoadedRun:
    """Read a trained network back, its checksum verified.

    Args:
        folder: such as `runs/CC_R`.
        task: the task that the work at hand needs; None: any.
        device: where the network is put.
        collection: of a network with a last layer a collection, whose it gets; empty: their mean.

    Raises:
        RunError: no run there, training unfinished, a wrong checksum, another task, weights that do not fit, or no
            last layer of the collection.
    """
    _require_finished(folder)
    path = folder / WEIGHTS
    expected = (folder / CHECKSUM).read_text(encoding="utf-8").split()
    if [file_sha256(path)] != expected[:1]:
        raise RunError(f"{path}: its SHA-256 is not that of {CHECKSUM}; the file was changed or damaged, train again")
    tensors, about = read_tensors(path)
    passport = _read_passport(about, path)
    if task is not None and passport.task.name != task:
        raise RunError(f"{folder}: trained for the task {passport.task.name!r}, expected {task!r}; name other runs")
    own = passport.recipe.network
    bare = dataclasses.replace(own, pretrained="none", weights_file="", layers=(), start_layer="", start_part="all")
    try:
        with torch.random.fork_rng(devices=[]):
            network = create_network(bare, len(passport.classes), passport.recipe.input.size)
        if own.layers:
            layers = [one for one in layers_telling(own, passport.task) if collection in ("", one.collection)]
            if not layers:
                raise RunError(f"no last layer of {collection or 'its task'} among {', '.join(own.layers)}")
            tensors = merged(tensors, head_name(network), layers)
        network.load_state_dict(tensors)
    except (EnsembleMammoError, RuntimeError) as error:
        raise RunError(f"{path}: its weights do not fit the network {bare.name!r} of this version: {error}") from error
    network.to(device).to(memory_format=torch.channels_last).eval()
    return LoadedRun(
        folder,
        passport.recipe,
        passport.view,
        passport.task,
        passport.classes,
        passport.preparation,
        network,
        read_info(folder),
        collection if own.layers else "",
    )


def passport_of(folder: Path) -> Passport:
    """What a finished run says of itself, without its weights.

    Raises:
        RunError: no run there, training unfinished, or a damaged header.
    """
    _require_finished(folder)
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}); train again with --restart") from error
    return _read_passport(about, path)


def runs_in(folder: Path) -> dict[View, list[Path]]:
    """The run folders under a folder: itself, `<VIEW>/` and `fold-<k>/<VIEW>/`, finished or not.

    A pooled run (`ANY`) stands under each of the four views.

    Raises:
        RunError: the folder is missing or holds no run.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; train first: ensemble-mammo train --view all --out {folder}")
    folds = sorted(folder.glob("fold-*"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    own = folder.resolve().name
    found: dict[View, list[Path]] = {}
    for view in View:
        places = [parent / name for name in (view.value, ANY) for parent in (folder, *folds)]
        places += [folder] if own in (view.value, ANY) else []
        if runs := [place for place in places if (place / RECIPE).is_file()]:
            found[view] = runs
    if not found:
        raise RunError(f"{folder}: no run in it; expected {', '.join(f'{name}/{RECIPE}' for name in (*View, ANY))}")
    return found


def load_runs(
    folders: Path | Sequence[Path],
    task: str | None = None,
    device: torch.device | str = "cpu",
    views: Sequence[View] = tuple(View),
) -> dict[View, list[LoadedRun]]:
    """The networks of every view under one folder or several; those of one view must be of one preparation.

    Args:
        folders: each as for `runs_in`.
        task: the task that the work at hand needs; None: any, but one for all.
        device: where the networks are put.
        views: those wanted; runs of others are not read.

    Raises:
        RunError: no run there, of another task, or runs that do not belong together.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    where = " and ".join(str(folder) for folder in folders)
    found: dict[View, list[Path]] = {}
    for folder in folders:
        for view, own in runs_in(folder).items():
            if view in views:
                found.setdefault(view, []).extend(path for path in own if path not in found.get(view, []))
    if not found:
        raise RunError(f"{where}: no run of {', '.join(views)} in it")
    loaded = {path: load_run(path, task, device) for path in dict.fromkeys(p for own in found.values() for p in own)}
    runs = {view: [loaded[path] for path in found[view]] for view in View if view in found}
    first = next(iter(runs.values()))[0]
    for view, of_view in runs.items():
        if other := next((run for run in of_view if run.task != first.task), None):
            raise RunError(
                f"{where}: runs of the tasks {first.task.name} and {other.task.name} together; keep them in two folders"
            )
        if any(run.preparation != of_view[0].preparation for run in of_view):
            raise RunError(
                f"{where}: the runs of {view} were trained on images prepared differently; they cannot be averaged"
            )
    return runs


def write_weights(folder: Path, tensors: Mapping[str, Tensor], passport: Passport) -> None:
    """Write weights.safetensors with its passport, and its checksum (as `sha256sum --check` reads it) last."""
    (folder / CHECKSUM).unlink(missing_ok=True)
    about = {
        "recipe": recipe_to_toml(passport.recipe),
        "view": passport.name,
        "task": passport.task.name,
        "classes": list(passport.classes),
        "preparation": to_mapping(passport.preparation),
    }
    write_tensors(folder / WEIGHTS, tensors, about)
    write_text(folder / CHECKSUM, f"{file_sha256(folder / WEIGHTS)}  {WEIGHTS}\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a safetensors file with a JSON header, whole or not at all."""
    plain = {k: t.detach().to("cpu").clone(memory_format=torch.contiguous_format) for k, t in tensors.items()}
    with written_beside(path) as beside:
        save_file(plain, beside, {_KEY: json.dumps({"format": FORMAT, **about})})
        with beside.open("rb") as handle:
            os.fsync(handle.fileno())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        RunError: it is damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}); train again with --restart") from error
    if about.get("format") != FORMAT:
        raise RunError(f"{path}: its format is {about.get('format')!r}, expected {FORMAT}; train again with --restart")
    return tensors, about


def read_info(folder: Path) -> dict[str, Any]:
    """What run.json holds; empty where it is missing.

    Raises:
        RunError: it is not JSON.
    """
    return _read_json(folder / INFO)


def read_crossval(folder: Path) -> dict[str, Any]:
    """What crossval.json holds, in a folder of runs; empty where it is missing.

    Raises:
        RunError: it is not JSON.
    """
    return _read_json(folder / CROSSVAL)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(f"{path}: not JSON: {error}") from error
    return held


def _require_finished(folder: Path) -> None:
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder; train first: ensemble-mammo train --out {folder.parent}")
    if not (folder / WEIGHTS).is_file() or not (folder / CHECKSUM).is_file():
        if not (folder / RECIPE).is_file():
            raise RunError(f"{folder}: no run folder (no {WEIGHTS}, no {RECIPE}); expected one such as runs/CC_R")
        raise RunError(
            f"{folder}: its training is unfinished (no {WEIGHTS} with its checksum); "
            "give the same train command again to resume it"
        )


def _read_passport(about: Mapping[str, Any], path: Path) -> Passport:
    try:
        recipe = recipe_from_toml(about["recipe"], f"{path}: recipe")
        preparation = from_mapping(Preparation, about["preparation"], "preparation")
        view = None if about["view"] == ANY else View(about["view"])
        return Passport(recipe, view, tuple(about["classes"]), preparation)
    except (KeyError, ValueError, FieldProblems) as error:
        raise RunError(f"{path}: what it says of itself cannot be read: {error}; train again") from error
