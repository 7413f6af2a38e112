"""Train the network of one view: rows of a dataset and a recipe in, a run folder out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ensemble_mammo.errors import DatasetError, RecipeError, RunError
from ensemble_mammo.learning import events, loop, record
from ensemble_mammo.learning.checkpoint import CHECKSUM, CROSSVAL, RECIPE, WEIGHTS, Passport, load_run, read_info
from ensemble_mammo.learning.device import repeatable, resolve_device, resolve_precision
from ensemble_mammo.learning.images import ViewImages
from ensemble_mammo.learning.imitation import imitation_of, teacher_of
from ensemble_mammo.learning.loop import Advance, Judgement, Samples, Setting, State
from ensemble_mammo.learning.objective import balanced_weights
from ensemble_mammo.learning.schedule import needs_validation
from ensemble_mammo.learning.start import Start, start_of
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks
from ensemble_mammo.records.manifest import MANIFEST, Dataset
from ensemble_mammo.records.marks import marked, marks_of
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import TASKS, Task

log = logging.getLogger(__name__)
NO_CLASS = -1
"""The target of an image whose class is not looked at."""


@dataclass(frozen=True)
class TrainOptions:
    """How, not what, a run is trained."""

    seed: int = 0
    "of all that is random: first weights, order, augmentation, dropout"
    device: str = "auto"
    "auto, cpu or cuda"
    workers: int = 0
    "threads that read images; the result does not depend on their number"
    resume: bool = True
    "go on with an unfinished run in the folder"
    restart: bool = False
    "throw away whatever run is in the folder"
    train_subjects: frozenset[str] | None = None
    "train on these subjects, whatever their split (cross-validation); None: the split 'train'"
    val_subjects: frozenset[str] | None = None
    "validate on these; None: the split 'val', or nobody where train_subjects are given"
    allow_leakage: bool = False
    "learn although something stands in more than one split; run.json and the report then say so"
    progress: Callable[[Advance], None] | None = None
    "told after every batch"


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    folder: Path
    "such as runs/CC_R"
    info: dict[str, Any]
    "run.json"
    history: pd.DataFrame
    "one row an epoch"


def train(
    dataset: Dataset, view: View | None, recipe: Recipe, out: Path, options: TrainOptions = TrainOptions()
) -> TrainResult:
    """Train one view's network into `out/<VIEW>/`, or a pooled one, on the images of all views, into `out/ANY/`.

    A finished run of the same recipe, data and seed is returned as it is; an unfinished one is resumed,
    on a processor to the same bits as if it had never stopped.

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
        TrainingError: the loss is no longer finite, or the device is missing.
        WeightsError: pre-trained weights are missing.
    """
    _require_scope(view, recipe)
    task, folder = TASKS[recipe.task], out / _name(view)
    device = resolve_device(options.device)
    leaks = _leaks(dataset, options)
    parts = _rows(dataset, view, recipe, options)
    _check(parts, dataset, view, recipe)
    start = start_of(recipe.network)
    teacher = teacher_of(recipe, device) if recipe.train.imitate else None
    if teacher is not None:
        dataset.require_preparation(teacher.run.preparation, str(teacher.run.folder))
        recipe = replace(recipe, input=teacher.run.recipe.input)
    if start is not None:
        leaks += _leaks_of_start(start, dataset, parts, options)
    samples = {name: _samples(dataset, rows, recipe, task) for name, rows in parts.items()}
    recipe = _resolved(recipe, samples["train"], start)
    passport = Passport(recipe, view, task.classes, dataset.preparation)
    identity = record.Identity(passport, options.seed, _fingerprint(parts, dataset, task, start))
    if _is_finished(folder, identity, options):
        log.info("%s: finished already with this recipe, data and seed; taken as it is", folder)
    else:
        weights = balanced_weights(samples["train"].targets, len(task.classes), recipe.train)
        setting = Setting(
            recipe,
            device,
            resolve_precision(recipe.train.precision, device),
            weights.to(device),
            options.seed,
            options.workers,
            options.progress,
            imitation_of(teacher) if teacher else None,
        )
        with repeatable(device):
            _run(folder, samples, setting, identity, _remarks(parts, leaks, start))
    return TrainResult(folder, read_info(folder), pd.read_csv(folder / record.HISTORY_TABLE))


def _name(view: View | None) -> str:
    return view.value if view else ANY


def _require_scope(view: View | None, recipe: Recipe) -> None:
    if recipe.pooled and view is not None:
        raise RecipeError(f"the recipe is pooled, one network for all views; it cannot be trained for {view} alone")
    if not recipe.pooled and view is None:
        raise RecipeError("the recipe is of one network a view; name the view, or set pooled = true")


def _resolved(recipe: Recipe, learned: Samples, start: Start | None) -> Recipe:
    """The recipe with what only data and the start tell: the mean of the training images, the backbone."""
    if start is not None:
        recipe = replace(recipe, network=start.network)
    if recipe.input.centre == "training":
        images = learned.images
        mean = float(np.mean([images[i].mean(dtype=torch.float64).item() for i in range(len(images))]))
        recipe = replace(recipe, input=replace(recipe.input, mean=mean))
        log.info("mean of the %d training images: %.6f of white", len(images), mean)
    return recipe


def _remarks(parts: Mapping[str, pd.DataFrame], leaks: list[str], start: Start | None) -> dict[str, Any]:
    """What run.json says of data and start; whom the start learned from is learned from here, too."""
    learned = set(marks_of(subject for rows in parts.values() for subject in rows["subject_id"]))
    remarks: dict[str, Any] = {"learned_from": sorted(learned | set(start.learned_from if start else ()))}
    if start is not None:
        remarks["started_from"] = {"network": start.name, "task": start.task, "weights_sha256": start.weights_sha256}
    return remarks | ({"leaks": leaks} if leaks else {})


def _leaks_of_start(
    start: Start, dataset: Dataset, parts: Mapping[str, pd.DataFrame], options: TrainOptions
) -> list[str]:
    """Subjects held out here of whom the first weights know already; refused unless the user allows it."""
    table = dataset.table
    if options.train_subjects is None:
        held_out = set(table.loc[table["split"] == "test", "subject_id"])
    else:
        held_out = set(table["subject_id"]) - {s for rows in parts.values() for s in rows["subject_id"]}
    known = marked(held_out, start.learned_from)
    if not known:
        return []
    text = f"{len(known)} subjects held out here, such as {min(known)}, are known to the run that this one starts from"
    if not options.allow_leakage:
        raise DatasetError(
            f"{dataset.root}: {text}; divide both sets alike (patches keep the splits of their dataset), or give "
            "--allow-leakage"
        )
    log.warning("LEAK: %s", text)
    return [text]


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
    classes = identity.passport.classes
    state = loop.begin(setting, len(classes))
    write_text(folder / RECIPE, recipe_to_toml(setting.recipe))
    if (folder / record.STATE).is_file():
        record.read_state(folder, state, setting)
        log.info("%s: resumed after epoch %d", folder, state.epoch)
    counts = {name: _counts(part.targets, classes) for name, part in samples.items()}

    def about(status: str) -> dict[str, Any]:
        return record.facts(state, identity, setting, status) | {"images": counts} | dict(remarks)

    def at_epoch_end(state: State, judged: Judgement) -> None:
        record.write_state(folder, state, identity)
        record.write_history(folder, state)
        events.show_epoch(board, state.history[-1], judged, samples["val"].targets, classes)
        log.info("%s", _line(identity.passport.name, state.history[-1], setting.recipe.train.epochs))

    record.write_info(folder, about("running"))
    board = events.open_events(folder / record.EVENTS, state.epoch)
    try:
        if not state.epoch:
            events.show_samples(board, samples["train"], setting.recipe.augment, setting.seed)
        loop.fit(state, samples["train"], samples["val"], setting, at_epoch_end)
    except BaseException as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        record.write_info(folder, about("unfinished") | {"stopped_by": reason})
        raise
    finally:
        board.close()
    record.write_result(folder, state, identity, about("finished"))


def _counts(targets: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """How many images there are of each class, or, where classes are not looked at, in all."""
    if len(targets) and targets.min() == NO_CLASS:
        return {"images": len(targets)}
    return dict(zip(classes, np.bincount(targets, minlength=len(classes)).tolist(), strict=True))


def _rows(dataset: Dataset, view: View | None, recipe: Recipe, options: TrainOptions) -> dict[str, pd.DataFrame]:
    """The training and validation rows of the view, and, where the recipe wants them, the other breast's.

    They have a label, except for a network that imitates.
    """
    task = TASKS[recipe.task]
    if recipe.train.imitate:
        return {name: rows.assign(mirrored=False) for name, rows in _divided(dataset, view, options).items()}
    dataset.require(task)
    parts = {name: rows.assign(mirrored=False) for name, rows in _of_view(dataset, view, task, options).items()}
    if recipe.train.mirrored and view is not None:
        partner = _of_view(dataset, view.mirrored, task, options)["train"].assign(mirrored=True)
        parts["train"] = pd.concat([parts["train"], partner], ignore_index=True)
    return parts


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


def _of_view(dataset: Dataset, view: View | None, task: Task, options: TrainOptions) -> dict[str, pd.DataFrame]:
    """The training and validation rows of the view that have a label."""
    parts = {}
    for name, rows in _divided(dataset, view, options).items():
        labelled = rows[rows[task.name] != ""].reset_index(drop=True)
        if len(labelled) < len(rows):
            log.warning(
                "%s %s: %d images without a %s label left out", _name(view), name, len(rows) - len(labelled), task.name
            )
        parts[name] = labelled
    return parts


def _check(parts: dict[str, pd.DataFrame], dataset: Dataset, view: View | None, recipe: Recipe) -> None:
    """Refuse what cannot be trained on, and say plainly what will limit it."""
    task, where, name = TASKS[recipe.task], dataset.root / MANIFEST, _name(view)
    if parts["train"].empty:
        labelled = "" if recipe.train.imitate else f" with a {task.name} label"
        raise DatasetError(
            f"{where}: no training image of {name}{labelled} ({len(dataset.rows(view))} images of the view in all); "
            "expected rows of split 'train'"
        )
    if not recipe.train.imitate:
        _check_classes(parts["train"][task.name], task, where, name)
    if parts["val"].empty and (needs := needs_validation(recipe.train)):
        raise RecipeError(
            f"{' and '.join(needs)} needs validation images and {name} has none: "
            "give the dataset a split 'val', or set train.keep = 'last', another train.decay, no train.early_stopping"
        )
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


def _check_classes(labels: pd.Series, task: Task, where: Path, name: str) -> None:
    present = labels.value_counts()
    if len(present) < 2:
        raise DatasetError(
            f"{where}: all training images of {name} are {present.index[0]}; expected two classes or more"
        )
    missing = [one for one in task.classes if one not in present]
    if missing:
        log.warning("%s: no training image of class %s; it cannot be learned", name, ", ".join(missing))


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


def _samples(dataset: Dataset, rows: pd.DataFrame, recipe: Recipe, task: Task) -> Samples:
    if recipe.train.imitate:
        targets = np.full(len(rows), NO_CLASS, np.int64)
    else:
        targets = np.array([task.classes.index(label) for label in rows[task.name]], dtype=np.int64)
    return Samples(ViewImages(dataset.root, rows, recipe.input, recipe.train.cache_gb), targets)


def _fingerprint(parts: dict[str, pd.DataFrame], dataset: Dataset, task: Task, start: Start | None) -> str:
    """SHA-256 over what is trained and validated on: ids, labels, source hashes, preparation, the start's weights."""
    digest = hashlib.sha256(json.dumps(to_mapping(dataset.preparation), sort_keys=True).encode())
    if start is not None:
        digest.update(f"\n{start.weights_sha256}\n".encode())
    columns = ["image_id", "subject_id", "exam_id", "file", "source_sha256", "mirrored", task.name]
    for name, rows in parts.items():
        known = [column for column in columns if column in rows]  # a network that imitates needs no labels
        digest.update(f"\n{name}\n".encode() + rows[known].to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()


def _line(name: str, row: loop.Row, epochs: int) -> str:
    judged = "" if np.isnan(row["val_loss"]) else f", val {row['val_loss']:.4f} / {row['val_accuracy']:.3f}"
    judged += "" if np.isnan(row["val_auc"]) else f", AUC {row['val_auc']:.3f}"
    judged += "" if np.isnan(row["val_correlation"]) else f", correlation {row['val_correlation']:.3f}"
    return (
        f"{name} epoch {row['epoch']:.0f}/{epochs}: rate {row['learning_rate']:.2g}, train {row['train_loss']:.4f} / "
        f"{row['train_accuracy']:.3f}{judged}, {row['images_per_second']:.1f} images/s"
    )
