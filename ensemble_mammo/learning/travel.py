"""Networks on the workers of a cluster: a run travels without its weights, and a worker reads them once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import CHECKSUM, LoadedRun, load_run
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.remote import present_all
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import task_named

_KEPT = 64
"""Networks that a worker keeps."""


@dataclass(frozen=True)
class Travelling:
    """A run without its weights, and without the marks of those it learned from."""

    folder: Path
    "where a worker finds the weights"
    sha256: str
    "of the weights that it stands for"
    device: str
    "where its network is wanted: cpu or cuda"
    recipe: Recipe
    "as resolved for the view, or changed since"
    view: View | None
    "the projection it was trained for; None: all four"
    task: str
    "what its scores are read as"
    classes: tuple[str, ...]
    "in the order of the outputs"
    preparation: Preparation
    "what was done to the pixels of its training images"
    collection: str
    "whose last layer the network has, of several"


def sent(run: LoadedRun, device: str) -> Travelling:
    """A run as it goes to workers, which must see its folder under the same name."""
    of_weights = run.folder, _checksum(run.folder), device
    return Travelling(*of_weights, run.recipe, run.view, run.task.name, run.classes, run.preparation, run.collection)


def arrived(run: Travelling) -> LoadedRun:
    """The run with its network, which this process reads once.

    Raises:
        RunError: this machine does not see its folder, or other weights there.
    """
    network = _network(run.folder, run.collection, run.sha256, run.device)
    task = task_named(run.task)
    return LoadedRun(run.folder, run.recipe, run.view, task, run.classes, run.preparation, network, {}, run.collection)


@lru_cache(_KEPT)
def _network(folder: Path, collection: str, sha256: str, device: str) -> nn.Module:
    run = load_run(present_all(folder), device=resolve_device(device), collection=collection)
    found = _checksum(folder)
    if found != sha256:
        raise RunError(f"{folder}: other weights there than when the work began (SHA-256 {found[:12]}, {sha256[:12]})")
    return run.network


def _checksum(folder: Path) -> str:
    return (folder / CHECKSUM).read_text(encoding="utf-8").split()[0]


def device_of_workers(name: str) -> str:
    """The device that workers compute on; `auto` is the GPU where this machine has one.

    Raises:
        TrainingError: no such device.
    """
    return name if name == "cuda" else resolve_device(name).type


@contextmanager
def computing_with(threads: int) -> Iterator[int]:
    """Let torch compute with so many threads (0: as many as it does), and say how many.

    The last digits of a network's scores depend on them: sums are divided among threads.
    """
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
