"""predict: the scores of subjects under the networks of their views, and fused over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.execution.progress import track
from ensemble_mammo.learning.checkpoint import LoadedRun, load_runs
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.provenance import provenance, seen_note
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE
from ensemble_mammo.records.predictions import (
    Predictions,
    view_predictions,
)
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import PATCH, TASKS, task_named
from ensemble_mammo.stages.predict.calibrated import calibrated, calibration_for
from ensemble_mammo.stages.predict.inputs import Input, from_dataset, from_folders, name_of, seen_subjects
from ensemble_mammo.stages.predict.layers import asked_layers, note_of_layers
from ensemble_mammo.stages.predict.options import PredictOptions, Scores
from ensemble_mammo.stages.predict.written import PREDICTIONS, write_scores, write_tables


def predict(
    source: Dataset | Path,
    models: Path | Sequence[Path],
    out: Path | None = None,
    options: PredictOptions | None = None,
) -> Scores:
    """Predict a prepared dataset, one subject's folder as it came, or a folder of subject folders.

    Args:
        source: a dataset; or a folder of DICOM files or images (nested, others ignored with a note).
        models: a folder of run folders (`<VIEW>/`, `ANY/`, or `fold-<k>/…`, whose scores are averaged), or several.
        out: where the tables are written, those of a `baseline/` in the folders of models beside them; None: nowhere.
        options: which subjects, how fused.

    Raises:
        RunError: no run for any view there, of another task, or runs that do not belong together.
        DatasetError: no usable image; two patients or studies in one folder; another preparation.
        PredictionError: a view is missing and `require_all_views` is set; a calibration of other levels, of another
            task or of another fusion.
    """
    options = options or PredictOptions()
    models = [models] if isinstance(models, Path) else list(models)
    runs = _read_as(load_runs(models, options.task or None, resolve_device(options.device), options.only), options)
    first = next(iter(runs.values()))[0]
    calibration = calibration_for(options, first.task, list(runs))
    if options.peers and len(first.classes) != 2:
        raise PredictionError(
            f"{models[0]}: peers' tables hold one score an image, and task {first.task.name} has {len(first.classes)} "
            "classes; leave --peers out"
        )
    notes = [note for note in (_note_of_reading(runs, options), note_of_layers(runs, options.layer)) if note]
    seen: set[str] = set()
    if isinstance(source, Dataset):
        _require_kind(source, first)
        said = (
            source.require_preparation(own[0].preparation, own[0].view or ANY, options.other_source)
            for own in runs.values()
        )
        notes += [note for note in dict.fromkeys(said) if note]
        seen = seen_subjects(source, models, runs, options)
        stream, total = from_dataset(source, runs, options)
    else:
        stream, total = from_folders(source, runs, options, notes)
    keys, scores = _score(track(stream, total, "predict"), runs, options)
    views = {
        view: view_predictions(view, first.classes, keys[view], np.array(scores[view])) for view in View if keys[view]
    }
    if not views:
        raise DatasetError(
            f"{name_of(source)}: no image of a view that the runs in {_named(models)} know; " + "; ".join(notes[:3])
        )
    notes += _absent(views, source, options.fusion)
    fused = fuse(list(views.values()), first.task, options.fusion)
    notes += [*_repeated(views), *fused.notes]
    notes += [seen_note(len(seen))] if seen else []
    result = Scores(first.task, views, fused, tuple(notes), provenance(runs), len(seen))
    if calibration is not None:
        result = calibrated(result, calibration)
    if out is not None:
        write_scores(result, out, models, options)
        _beside(source, models, out, options)
    return result


def _beside(source: Dataset | Path, models: Sequence[Path], out: Path, options: PredictOptions) -> None:
    """Predict the same subjects by the baseline, into `predictions/baseline/`, where the folders of models have one."""
    own = [folder / BASELINE for folder in models if (folder / BASELINE).is_dir()]
    if not own:
        return
    plain = replace(options, calibration=None, peers=False, flips=False, layer="")
    write_tables(predict(source, own, options=plain), out / PREDICTIONS / BASELINE, own, plain)


def _require_kind(dataset: Dataset, run: LoadedRun) -> None:
    """Refuse patches under a network of whole mammograms, and mammograms under one of patches.

    Raises:
        DatasetError: the one or the other.
    """
    of_patches = PATCH in dataset.task_names()
    if of_patches and run.recipe.task != PATCH:
        raise DatasetError(
            f"{dataset.root}: a patch set, and the networks are of task {run.recipe.task}; give the dataset of "
            "mammograms"
        )
    if run.recipe.task == PATCH and not of_patches:
        raise DatasetError(
            f"{dataset.root}: holds mammograms, and the networks look at patches; `ensemble-mammo heatmap` moves them "
            "over mammograms, `predict` wants a patch set"
        )


def _named(models: Sequence[Path]) -> str:
    return " and ".join(str(folder) for folder in models)


def _read_as(runs: dict[View, list[LoadedRun]], options: PredictOptions) -> dict[View, list[LoadedRun]]:
    """The runs, their two classes called by those of another task where that is asked for.

    Raises:
        PredictionError: the task is unknown, or one of the two has not two classes.
    """
    if not options.read_as:
        return runs
    try:
        task = task_named(options.read_as)
    except ValueError as error:
        raise PredictionError(f"--read-as: {error}") from error
    own = next(iter(runs.values()))[0].task
    if len(task.classes) != 2 or len(own.classes) != 2:
        raise PredictionError(
            f"--read-as {task.name}: scores of {own.name} ({', '.join(own.classes)}) cannot be read as "
            f"{', '.join(task.classes)}; both must have two classes, the second the positive one"
        )
    return {view: [replace(run, task=task, classes=task.classes) for run in of] for view, of in runs.items()}


def _note_of_reading(runs: Mapping[View, list[LoadedRun]], options: PredictOptions) -> str:
    """What must be said of networks that learned another task than the one their scores are read as."""
    run = next(iter(runs.values()))[0]
    learned = TASKS[run.recipe.task]
    if not options.read_as or learned.name == run.task.name:
        return ""
    pairs = ", ".join(f"{one} as {other}" for one, other in zip(learned.classes, run.task.classes, strict=True))
    return f"the networks learned {learned.name}; their scores are read as {run.task.name}: {pairs}"


def _score(
    inputs: Iterator[Input], runs: Mapping[View, list[LoadedRun]], options: PredictOptions
) -> tuple[dict[View, list[tuple[str, str]]], dict[View, list[NDArray[np.float64]]]]:
    keys: dict[View, list[tuple[str, str]]] = defaultdict(list)
    scores: dict[View, list[NDArray[np.float64]]] = defaultdict(list)
    waiting: dict[tuple[View, str], list[Input]] = defaultdict(list)
    asked = asked_layers(runs, options.layer)

    def run_batch(view: View, layer: str) -> None:
        items = waiting.pop((view, layer))
        keys[view] += [item.key for item in items]
        scores[view].extend(scores_of(asked(view, layer), [item.pixels for item in items], options.flips))

    for item in inputs:
        batch = (item.view, item.collection)
        waiting[batch].append(item)
        if len(waiting[batch]) == options.batch_size:
            run_batch(*batch)
    for batch in list(waiting):
        run_batch(*batch)
    return keys, scores


def _absent(views: Mapping[View, Predictions], source: Dataset | Path, fusion: Fusion) -> list[str]:
    """A note on views that no exam has; fusion itself sees only gaps in those that are there.

    Raises:
        PredictionError: all views are required.
    """
    absent = [view.value for view in View if view not in views]
    if absent and fusion.require_all_views:
        raise PredictionError(
            f"{name_of(source)}: no scores of {', '.join(absent)}; add the images (and networks), or leave "
            "--require-all-views out to fuse the views present"
        )
    return [f"no scores of {', '.join(absent)}: the views present were fused"] if absent else []


def _repeated(views: Mapping[View, Predictions]) -> list[str]:
    notes = []
    for view, table in views.items():
        several = sum(number > 1 for number in table.images)
        if several:
            notes.append(f"{view}: exams with several images of this view, whose scores were averaged: {several}")
    return notes
