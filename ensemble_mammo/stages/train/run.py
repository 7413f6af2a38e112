"""train: the network of one view, or a pooled one: rows of a dataset and a recipe in, a run folder out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.execution.ranks import ranks_here
from ensemble_mammo.learning import loop, parallel, record
from ensemble_mammo.learning.checkpoint import CHECKSUM, CROSSVAL, RECIPE, WEIGHTS, Passport, load_run, read_info
from ensemble_mammo.learning.device import repeatable, resolve_device, resolve_precision
from ensemble_mammo.learning.events import Board
from ensemble_mammo.learning.imitation import Teacher, imitation_of, teacher_of
from ensemble_mammo.learning.layers import output_names
from ensemble_mammo.learning.logistic import logistic_lesson
from ensemble_mammo.learning.objective import aims_of, loss_weights
from ensemble_mammo.learning.packed import PACKED, pack_of, packs_in
from ensemble_mammo.learning.start import start_of
from ensemble_mammo.learning.state import Judgement, Lesson, Row, Samples, Setting, State
from ensemble_mammo.learning.stopping import Stopped, asked_to_stop
from ensemble_mammo.records.files import alone_in, write_text
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.train.begin import leaks_of_start, notes_of_start, remarks_of, resolved, with_layers
from ensemble_mammo.stages.train.divided import require_divisible, require_same_end, require_same_start
from ensemble_mammo.stages.train.floor import floor_facts
from ensemble_mammo.stages.train.options import TrainOptions, TrainResult
from ensemble_mammo.stages.train.rows import (
    NO_CLASS,
    fingerprint_of,
    name_of,
    require_enough,
    rows_of,
    samples_of,
)

log = logging.getLogger(__name__)


def train(
    dataset: Dataset, view: View | None, recipe: Recipe, out: Path, options: TrainOptions | None = None
) -> TrainResult:
    """Train one view's network into `out/<VIEW>/`, or a pooled one, on the images of all views, into `out/ANY/`.

    A finished run of the same recipe, data and seed is returned as it is; an unfinished one is resumed,
    on a processor to the same bits as if it had never stopped. Processes that torchrun started share every batch; the
    first of them alone writes. SIGTERM saves the state at the next step.

    Args:
        dataset: as `prepare` writes it.
        view: the projection; None: all four, for a pooled recipe.
        recipe: resolved for the view.
        out: the folder of runs.
        options: seed, device and the like.

    Raises:
        DatasetError: too few images or classes, a subject on both sides, leaks not allowed, a damaged image.
        RecipeError: the recipe needs validation images and there are none, names no network, or is pooled and a view
            is given (or the other way round).
        RunError: the folder holds another run.
        TrainingError: the loss is no longer finite, the device is missing, or another process of the training is gone.
        ExecutionError: several processes, and a recipe that is not divided among them.
        WeightsError: pre-trained weights are missing.
        Stopped: SIGTERM came.
    """
    options, ranks = options or TrainOptions(), ranks_here()
    parallel.join(ranks.rank, ranks.world)
    kept = options.packed if ranks.is_first else options.packed or out / PACKED  # the first removes it
    with parallel.among_others(), packs_in(out, kept) as packed:
        return _train(dataset, view, recipe, out, replace(options, packed=packed))


def _train(dataset: Dataset, view: View | None, recipe: Recipe, out: Path, options: TrainOptions) -> TrainResult:
    """What `train` does, with a folder of packed images."""
    _require_scope(view, recipe)
    task, folder = TASKS[recipe.task], out / name_of(view)
    device = parallel.own_device(resolve_device(options.device), ranks_here().local)
    leaks = _leaks(dataset, options)
    recipe = with_layers(recipe, dataset)
    parts = rows_of(dataset, view, recipe, options)
    require_enough(parts, dataset, view, recipe)
    start = start_of(recipe.network)
    teacher = teacher_of(recipe, device) if recipe.train.imitate else None
    if teacher is not None:
        dataset.require_preparation(teacher.run.preparation, str(teacher.run.folder))
        recipe = replace(recipe, input=teacher.run.recipe.input)
    if start is not None:
        leaks += leaks_of_start(start, dataset, parts, options)
        for note in notes_of_start(start, dataset, recipe):
            log.warning("%s", note)
    pack = pack_of(dataset, recipe.input, options.packed, recipe.train.cache_gb)
    samples = {name: samples_of(dataset, rows, recipe, pack) for name, rows in parts.items()}
    recipe = resolved(recipe, samples["train"], start)
    passport = Passport(recipe, view, task.classes, dataset.preparation)
    identity = record.Identity(passport, options.seed, fingerprint_of(parts, dataset, recipe, start))
    require_divisible(identity, len(samples["train"].targets))
    if parallel.by_first(lambda: _is_finished(folder, identity, options)):
        log.info("%s: finished already with this recipe, data and seed; taken as it is", folder)
    else:
        weights = loss_weights(samples["train"].targets, len(task.classes), recipe)
        aims = aims_of(recipe, len(task.classes))
        setting = Setting(
            recipe,
            device,
            resolve_precision(recipe.train.precision, device),
            weights.to(device),
            options.seed,
            options.workers,
            options.progress,
            _lesson_of(recipe, teacher),
            aims.to(device) if aims else None,
        )
        at_once = setting.lesson is not None  # it never asks
        with repeatable(device), asked_to_stop(at_once, to_the_end=parallel.world() > 1) as asked:
            setting = replace(setting, stop=asked)
            if parallel.rank():
                _take_part(folder, samples, setting, identity)
            else:
                with alone_in(folder):
                    _run(folder, samples, setting, identity, remarks_of(parts, leaks, start))
    return parallel.by_first(lambda: TrainResult(folder, read_info(folder), pd.read_csv(folder / record.HISTORY_TABLE)))


def _lesson_of(recipe: Recipe, teacher: Teacher | None) -> Lesson | None:
    """What is learned where that is not the images' classes, step by step."""
    if teacher is not None:
        return imitation_of(teacher)
    return logistic_lesson() if recipe.train.fit == "logistic" else None


def _require_scope(view: View | None, recipe: Recipe) -> None:
    if recipe.pooled and view is not None:
        raise RecipeError(f"the recipe is pooled, one network for all views; it cannot be trained for {view} alone")
    if not recipe.pooled and view is None:
        raise RecipeError("the recipe is of one network a view; name the view, or set pooled = true")


def _leaks(dataset: Dataset, options: TrainOptions) -> list[str]:
    """What stands in more than one split of a dataset, as sentences; refused unless the user allows it."""
    table = dataset.table
    if options.train_subjects is not None:  # cross-validation: the folds in question are these
        validation = options.val_subjects or frozenset()
        split = [
            "train" if s in options.train_subjects else "val" if s in validation else "test"
            for s in table["subject_id"]
        ]
        table = table.assign(split=split, fold="")
    leaks = leaks_of(table)
    if not options.allow_leakage:
        refuse_leaks(leaks, dataset.root)
    for leak in leaks[:3]:
        log.warning("LEAK: %s", leak)
    return [str(leak) for leak in leaks]


def _run(
    folder: Path, samples: dict[str, Samples], setting: Setting, identity: record.Identity, remarks: Mapping[str, Any]
) -> None:
    """Train from the state in the folder, or from the start, to the end."""
    classes = output_names(setting.recipe.network, identity.passport.classes)
    state = _begun(folder, setting, identity)
    write_text(folder / RECIPE, recipe_to_toml(setting.recipe))
    counts = {name: _counts(part.targets, classes) for name, part in samples.items()}

    def about(status: str) -> dict[str, Any]:
        beside = floor_facts(state, samples["val"].targets, setting.recipe.network, classes)
        return record.facts(state, identity, setting, status) | beside | {"images": counts} | dict(remarks)

    def at_epoch_end(state: State, judged: Judgement) -> None:
        record.write_state(folder, state, identity)
        record.write_history(folder, state)
        board.show_epoch(state, judged, samples["val"].targets, setting.recipe.network, identity.passport.classes)
        log.info("%s", _line(identity.passport.name, state.history[-1], setting.recipe.train.epochs))

    record.write_info(folder, about("running"))
    board = Board(folder / record.EVENTS, state.epoch)
    try:
        if not (state.epoch or state.part.batches):
            board.show_samples(samples["train"], setting.recipe.augment, setting.seed)
        watched = replace(setting, progress=board.watching(setting.progress))
        with parallel.among_others():
            loop.fit(state, samples["train"], samples["val"], watched, at_epoch_end)
            require_same_end(folder, state)
    except BaseException as error:
        if isinstance(error, Stopped) and state.part.batches:
            parallel.by_first(partial(record.write_state, folder, state, identity))
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        record.write_info(folder, about("unfinished") | {"stopped_by": reason})
        raise
    finally:
        board.close()
    info = about("finished")
    parallel.by_first(partial(record.write_result, folder, state, identity, info))
    for warning in info.get("warnings", ()):
        log.warning("WARNING: %s: %s", folder, warning)


def _take_part(folder: Path, samples: dict[str, Samples], setting: Setting, identity: record.Identity) -> None:
    """What all processes of a training do but the first: they learn with it and write nothing."""
    state = _begun(folder, setting, identity)
    try:
        loop.fit(state, samples["train"], samples["val"], replace(setting, progress=None), lambda *_: None)
        require_same_end(folder, state)
    except Stopped:
        parallel.by_first(bool)  # wait until the first has written
        raise
    parallel.by_first(bool)


def _begun(folder: Path, setting: Setting, identity: record.Identity) -> State:
    """The state that training begins with: the one in the folder, or a fresh one."""
    require_same_start(folder)
    state = loop.begin(setting, len(identity.passport.classes))
    if (folder / record.STATE).is_file():
        record.read_state(folder, state, setting)
        within = f" and {state.part.batches} batches" if state.part.batches else ""
        log.info("%s: resumed after epoch %d%s", folder, state.epoch, within)
    return state


def _counts(targets: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """How many images there are of each class, or, where classes are not looked at, in all."""
    if len(targets) and targets.min() == NO_CLASS:
        return {"images": len(targets)}
    return dict(zip(classes, np.bincount(targets, minlength=len(classes)).tolist(), strict=True))


def _is_finished(folder: Path, identity: record.Identity, options: TrainOptions) -> bool:
    """Whether the folder holds the finished run; makes it ready for training where it does not.

    Raises:
        RunError: it holds another run.
    """
    if (folder.parent / CROSSVAL).is_file():
        raise RunError(f"{folder.parent}: holds the folds of a cross-validation; give another --out")
    record.clear(folder, everything=options.restart)
    found = record.read_identity(folder)
    if not found:
        if (folder / WEIGHTS).is_file():
            raise RunError(f"{folder}: holds a run without its {record.STATE}; take another --out or --restart")
        return False
    if wrong := record.differences(found, identity):
        raise RunError(f"{folder}: holds another run: {'; '.join(wrong)}; take another --out, or --restart")
    if read_info(folder).get("status") == "finished" and (folder / CHECKSUM).is_file():
        load_run(folder)
        return True
    if not options.resume:
        raise RunError(f"{folder}: holds an unfinished run; let it be resumed, or take another --out or --restart")
    return False


def _line(name: str, row: Row, epochs: int) -> str:
    judged = "" if np.isnan(row["val_loss"]) else f", val {row['val_loss']:.4f} / {row['val_accuracy']:.3f}"
    judged += "" if np.isnan(row["val_auc"]) else f", AUC {row['val_auc']:.3f}"
    judged += "" if np.isnan(row["val_correlation"]) else f", correlation {row['val_correlation']:.3f}"
    return (
        f"{name} epoch {row['epoch']:.0f}/{epochs}: rate {row['learning_rate']:.2g}, train {row['train_loss']:.4f} / "
        f"{row['train_accuracy']:.3f}{judged}, {row['images_per_second']:.1f} images/s"
    )
