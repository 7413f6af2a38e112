"""predict: the scores of subjects under the networks of their views, and fused over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ensemble_mammo.errors import DatasetError, PredictionError, RunError
from ensemble_mammo.execution.engine import running
from ensemble_mammo.learning.checkpoint import load_runs
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.looked_at import require_looked_at
from ensemble_mammo.merit.calls import HALF
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE
from ensemble_mammo.records.subject import ANY
from ensemble_mammo.records.task import TASKS, task_named
from ensemble_mammo.stages.predict.calibrated import calibrated, calibration_for
from ensemble_mammo.stages.predict.contrasts import Runs
from ensemble_mammo.stages.predict.inputs import name_of, seen_subjects, wanted_of_dataset, wanted_of_folders
from ensemble_mammo.stages.predict.layers import note_of_layers
from ensemble_mammo.stages.predict.options import PredictOptions, Scores
from ensemble_mammo.stages.predict.scored import About, joined, score
from ensemble_mammo.stages.predict.written import PREDICTIONS, write_scores, write_tables


def predict(
    source: Dataset | Path,
    models: Path | Sequence[Path] | Runs,
    out: Path | None = None,
    options: PredictOptions | None = None,
) -> Scores:
    """Predict a prepared dataset, one subject's folder as it came, or a folder of subject folders.

    Args:
        source: a dataset; or a folder of DICOM files or images (nested, others ignored with a note).
        models: a folder of run folders (`<VIEW>/`, `ANY/`, or `fold-<k>/…`, whose scores are averaged), or several;
            or what `load_runs` gave of them, so that exam after exam is predicted without reading them again.
        out: where the tables are written, those of a `baseline/` in the folders of models beside them; None: nowhere.
        options: which subjects, how fused.

    Raises:
        RunError: no run for any view there, of another task, or runs that do not belong together; another contrast
            for hand-made features.
        DatasetError: no usable image; two patients or studies in one folder; another preparation.
        PredictionError: a view is missing and `require_all_views` is set; a calibration of other levels, of another
            task or of another fusion.
        ExecutionError: the engine cannot be had, or its workers cannot do the work.
    """
    options = options or PredictOptions()
    with running(options.engine, options.workers):
        folders, runs = _loaded(models, options)
        return _predict(source, folders, runs, out, options)


def _predict(
    source: Dataset | Path, models: Sequence[Path], loaded: Runs, out: Path | None, options: PredictOptions
) -> Scores:
    runs = _read_as(loaded, options)
    first = next(iter(runs.values()))[0]
    calibration = calibration_for(options, first.task, list(runs))
    if options.peers and len(first.classes) != 2:
        raise PredictionError(
            f"{models[0]}: peers' tables hold one score an image, and task {first.task.name} has {len(first.classes)} "
            "classes; leave --peers out"
        )
    if options.threshold != HALF and len(first.classes) != 2:
        raise PredictionError(
            f"{models[0]}: threshold {options.threshold:g} acts on two classes, and task {first.task.name} has "
            f"{len(first.classes)}; leave --threshold out"
        )
    notes = [note for note in (_note_of_reading(runs, options), note_of_layers(runs, options.layer)) if note]
    seen: set[str] = set()
    require_looked_at(source, first, "predict")
    if isinstance(source, Dataset):
        said = (
            source.require_preparation(
                own[0].preparation, own[0].view or ANY, options.other_source, own[0].recipe.resizes_tiles
            )
            for own in runs.values()
        )
        notes += [note for note in dict.fromkeys(said) if note]
        seen = seen_subjects(source, models, runs, options)
        images = wanted_of_dataset(source, runs, options)
    else:
        images = wanted_of_folders(source, runs, options, notes)
    keys, scores = score(images, runs, options, notes)
    if not keys:
        raise DatasetError(
            f"{name_of(source)}: no image of a view that the runs in {_named(models)} know; " + "; ".join(notes[:3])
        )
    about = About(name_of(source), runs, tuple(notes), len(seen))
    made = (joined(keys, scores[contrast], contrast, about, options.fusion) for contrast in scores)
    plain, *beside = (replace(one, threshold=options.threshold) for one in made)
    result = replace(plain, contrasts=dict(zip(options.contrasts_beside, beside, strict=True)))
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
    plain = replace(options, calibration=None, peers=False, flips=False, layer="", contrasts=())
    write_tables(predict(source, own, options=plain), out / PREDICTIONS / BASELINE, own, plain)


def _loaded(models: Path | Sequence[Path] | Runs, options: PredictOptions) -> tuple[list[Path], Runs]:
    """The folders of models, and the runs in them.

    Raises:
        RunError: as `load_runs`; or none of those that were loaded is wanted.
    """
    if not isinstance(models, Mapping):
        folders = [models] if isinstance(models, Path) else list(models)
        return folders, load_runs(folders, options.task or None, _device(options), options.only)
    runs = {view: own for view, own in models.items() if view in options.only}
    folders = list(dict.fromkeys(run.folder.parent for own in runs.values() for run in own))
    other = sorted({run.task.name for own in runs.values() for run in own} - {options.task})
    if not runs or (options.task and other):
        found = f"of the task {other[0]!r}" if runs else "of no view that is wanted"
        raise RunError(f"the runs that were loaded are {found}; load others")
    return folders, runs


def _device(options: PredictOptions) -> torch.device:
    """Where this process has its networks: beside a cluster, which computes, where they cost least."""
    return resolve_device(options.device if options.engine.name == "local" else "cpu")


def _named(models: Sequence[Path]) -> str:
    return " and ".join(str(folder) for folder in models)


def _read_as(runs: Runs, options: PredictOptions) -> Runs:
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


def _note_of_reading(runs: Runs, options: PredictOptions) -> str:
    """What must be said of networks that learned another task than the one their scores are read as."""
    run = next(iter(runs.values()))[0]
    learned = TASKS[run.recipe.task]
    if not options.read_as or learned.name == run.task.name:
        return ""
    pairs = ", ".join(f"{one} as {other}" for one, other in zip(learned.classes, run.task.classes, strict=True))
    return f"the networks learned {learned.name}; their scores are read as {run.task.name}: {pairs}"
