"""Single trainings of a command: what each is told, how it is done in whichever process, what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from logging.handlers import BufferingHandler
from pathlib import Path

import pandas as pd
import torch

from ensemble_mammo.errors import EnsembleMammoError, OutputError, TrainingError
from ensemble_mammo.learning.checkpoint import read_info
from ensemble_mammo.learning.record import HISTORY_TABLE
from ensemble_mammo.records import remote
from ensemble_mammo.records.manifest import Dataset, read_dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.stages.train import TrainOptions, TrainResult, train
from ensemble_mammo.stages.train.check import require_trainable
from ensemble_mammo.workflows.folds import Fold, dealt, of_fold
from ensemble_mammo.workflows.watch import at_work

_log = logging.getLogger(__name__)
_OURS = logging.getLogger("ensemble_mammo")

Answer = tuple[EnsembleMammoError | None, list[str]]
"""Of another process: why the training failed, if it did, and its warnings."""

_SAID = 1_000
"""Warnings of one training that are handed on."""


@dataclass(frozen=True)
class Training:
    """One network to be trained: what travels to the process that trains it."""

    name: str
    "unique in the command, such as fold-0/CC_R"
    view: View | None
    "the projection; None: all four, for a pooled recipe"
    recipe: Recipe
    "resolved for the view"
    out: Path
    "the folder of runs"
    options: TrainOptions
    "seed, device and the like"
    fold: Fold | None = None
    "held out, in a cross-validation; who that is follows from the dataset"

    @property
    def folder(self) -> Path:
        """Where its run lies."""
        return self.out / (self.view.value if self.view else ANY)


@dataclass(frozen=True)
class Ended:
    """A training that is over."""

    training: Training
    "what was asked for"
    error: EnsembleMammoError | None = None
    "why it failed; None when it did not"

    @property
    def failure(self) -> str:
        """The reason on one line; empty where there is none."""
        return " ".join(str(self.error).split()) if self.error else ""

    def result(self) -> TrainResult:
        """The finished run."""
        folder = self.training.folder
        return TrainResult(folder, read_info(folder), pd.read_csv(folder / HISTORY_TABLE))


def trainings_of(
    recipes: Mapping[View | None, Recipe], out: Path, options: TrainOptions, prefix: str = "", fold: Fold | None = None
) -> list[Training]:
    """A training for each of the recipes of views."""
    return [
        Training(f"{prefix}{view.value if view else ANY}", view, recipe, out, options, fold)
        for view, recipe in recipes.items()
    ]


_read_once = lru_cache(maxsize=1)(read_dataset)


def learned_away(data: Dataset | Path, cores: int, training: Training) -> Answer:
    """Train in a process of an engine: why it failed, if it did, and what must be said of it."""
    with heard() as said:
        try:
            with at_work(training.folder):
                dataset = _read_once(data) if isinstance(data, Path) else data
                error = learned(dataset, cores, training)
            remote.hand_over(training.folder)
            return error, said
        except OutputError as error:  # as an error, not as the text that an engine makes of it
            return error, said


def learned(dataset: Dataset, cores: int, training: Training) -> EnsembleMammoError | None:
    """Train; why it failed, if it did."""
    try:
        with _threads(cores):
            train(dataset, training.view, training.recipe, training.out, _options_of(dataset, training))
    except Exception as error:  # ends this training, not the others (an OutputError ends all: `trained`)
        _log.debug("where it happened", exc_info=True)
        return error if isinstance(error, EnsembleMammoError) else TrainingError(str(error) or type(error).__name__)
    return None


def _options_of(dataset: Dataset, training: Training) -> TrainOptions:
    fold = training.fold
    if fold is None:
        return training.options
    return of_fold(training.options, fold, dealt(dataset, fold.folds), training.recipe)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads: sums of more are rounded in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings of this package, kept instead of written."""
    said: list[str] = []
    handler, spread_on = BufferingHandler(_SAID), _OURS.propagate
    handler.setLevel(logging.WARNING)
    _OURS.addHandler(handler)
    _OURS.propagate = False
    try:
        yield said
    finally:
        _OURS.removeHandler(handler)
        _OURS.propagate = spread_on
        said.extend(record.getMessage() for record in handler.buffer)


def require_startable(dataset: Dataset, trainings: Sequence[Training]) -> None:
    """Refuse at once what every training would meet; what only some would is left to them.

    Raises:
        EnsembleMammoError: that of the first training, where none can begin.
    """
    first: EnsembleMammoError | None = None
    for one in trainings if len(trainings) > 1 else ():
        try:
            with heard():
                require_trainable(dataset, one.view, one.recipe, _options_of(dataset, one))
        except EnsembleMammoError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def failures_in_words(ended: Sequence[Ended]) -> str:
    """Which of them failed and why, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for one in ended:
        if one.error:
            reasons.setdefault(one.failure, []).append(one.training.name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
