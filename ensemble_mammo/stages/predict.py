"""predict: the scores of subjects under the networks of their views, and fused over them."""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ensemble_mammo
from ensemble_mammo.archives.subjects import SubjectImage, all_subject_images, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, PredictionError, RunError
from ensemble_mammo.execution.local import spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.prepared import prepare_file
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.learning.checkpoint import CROSSVAL, LoadedRun, load_runs
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.provenance import provenance
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.merit.fusion import Fused, Fusion, fuse
from ensemble_mammo.records.calibration_file import Calibration, read_calibration
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import ORIGIN
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.predictions import (
    Predictions,
    ids_file,
    plain_file,
    view_predictions,
    write_plain,
    write_predictions,
)
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import LEVELS, SUBJECT, View
from ensemble_mammo.records.task import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictOptions:
    """Which subjects, how fused, and on what."""

    split: str = ""
    "of a dataset: train, val, test; empty: every image"
    subjects: frozenset[str] | None = None
    "of a dataset: these alone; None: all"
    only: tuple[View, ...] = tuple(View)
    "the views to predict; runs of others are not used"
    many: bool = False
    "the folder holds a folder a subject"
    views: Path | None = None
    "CSV (file, view) that says what headers and names do not"
    fusion: Fusion = field(default_factory=Fusion)
    "how the views of an exam become breasts and subject"
    device: str = "auto"
    "cpu, cuda or auto"
    batch_size: int = 8
    "images a step"
    workers: int = 0
    "processes that read files; 0: one a core"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    task: str = ""
    "refuse networks of another task; empty: whatever they are"
    calibration: Path | None = None
    "calibration.json of a report: temperatures are applied to every level after fusion"


@dataclass(frozen=True)
class Scores:
    """The predictions of every view, and of breasts and subjects fused from them."""

    task: Task
    "what was told apart"
    views: Mapping[View, Predictions]
    "a table a view"
    fused: Fused
    "right, left and subject"
    notes: tuple[str, ...]
    "what was left out, averaged or missing"
    runs: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    "view -> what the runs that were used say of their training"
    calibration: Calibration | None = None
    "whose temperatures were applied to every level"
    sets: Mapping[str, list[tuple[str, ...]]] = field(default_factory=dict)
    "level -> the conformal set of each row; levels without are not named"

    def levels(self) -> list[Predictions]:
        """Every table: views first, then breasts, then subjects."""
        return [*self.views.values(), *self.fused.levels.values()]


@dataclass(frozen=True)
class _Input:
    """One prepared image on its way into a network."""

    key: tuple[str, str]
    view: View
    pixels: NDArray[np.uint16]


def predict(
    source: Dataset | Path, models: Path, out: Path | None = None, options: PredictOptions | None = None
) -> Scores:
    """Predict a prepared dataset, one subject's folder as it came, or a folder of subject folders.

    Args:
        source: a dataset; or a folder of DICOM files or images (nested, others ignored with a note).
        models: a folder of run folders (`<VIEW>/`, or `fold-<k>/<VIEW>/`, whose scores are averaged).
        out: where the tables are written; None: nowhere.
        options: which subjects, how fused.

    Raises:
        RunError: no run for any view there, of another task, or runs that do not belong together.
        DatasetError: no usable image; two patients or studies in one folder; another preparation.
        PredictionError: a view is missing and `require_all_views` is set; a calibration of other levels, of another
            task or of another fusion.
    """
    options = options or PredictOptions()
    runs = load_runs(models, options.task or None, resolve_device(options.device), options.only)
    first = next(iter(runs.values()))[0]
    calibration = _calibration(options, first.task, list(runs))
    notes: list[str] = []
    if isinstance(source, Dataset):
        for view, (run, *_) in runs.items():
            source.require_preparation(run.preparation, view)
        _refuse_seen(source, models, options)
        stream, total = _from_dataset(source, runs, options)
    else:
        stream, total = _from_folders(source, runs, options, notes)
    keys, scores = _score(track(stream, total, "predict"), runs, options.batch_size)
    views = {
        view: view_predictions(view, first.classes, keys[view], np.array(scores[view])) for view in View if keys[view]
    }
    if not views:
        raise DatasetError(
            f"{_name(source)}: no image of a view that the runs in {models} know; " + "; ".join(notes[:3])
        )
    notes += _absent(views, source, options.fusion)
    fused = fuse(list(views.values()), first.task, options.fusion)
    notes += [*_repeated(views), *fused.notes]
    result = Scores(first.task, views, fused, tuple(notes), provenance(runs))
    if calibration is not None:
        result = _calibrated(result, calibration)
    if out is not None:
        _write(result, out, models, options)
    return result


def _name(source: Dataset | Path) -> str:
    return str(source.root if isinstance(source, Dataset) else source)


def _calibration(options: PredictOptions, task: Task, views: Sequence[View]) -> Calibration | None:
    """The calibration that was asked for, refused before anything is predicted if it does not fit.

    Raises:
        PredictionError: it is of another task or fusion, or lacks a level.
    """
    if options.calibration is None:
        return None
    found = read_calibration(options.calibration, task)
    found.require([*views, *dict.fromkeys(str(view.side) for view in views), SUBJECT], task.classes)
    fusion = options.fusion
    own = {
        "rule": fusion.rule,
        "weights": dict(fusion.weights),
        "breast_to_subject": fusion.breast_to_subject or task.breast_to_subject,
    }
    other = [f"{key} {found.fusion.get(key)!r}, here {own[key]!r}" for key in own if found.fusion.get(key) != own[key]]
    if other:
        raise PredictionError(
            f"{options.calibration}: fitted on scores that were fused otherwise ({'; '.join(other)}); "
            "predict with the same fusion, or make the report again with this one"
        )
    return found


def _calibrated(scores: Scores, calibration: Calibration) -> Scores:
    """Every level by its own temperature: the views were fused before."""
    exams = ", ".join(f"{table.level} {calibration.levels[table.level].exams}" for table in scores.levels())
    notes = [
        f"scores were scaled by the temperatures of a calibration (validation exams: {exams}); they hold for the "
        "networks that it was fitted with. A report or fusion of these tables would fuse the scaled views again: name "
        "right.csv, left.csv and subject.csv beside the views"
    ]
    notes += [
        f"{table.level}: left as it was, since {note}"
        for table in scores.levels()
        if (note := calibration.levels[table.level].note)
    ]
    sets = {table.level: calibration.sets(table) for table in scores.levels()}
    return replace(
        scores,
        views={view: calibration.apply(table) for view, table in scores.views.items()},
        fused=replace(scores.fused, levels={k: calibration.apply(t) for k, t in scores.fused.levels.items()}),
        notes=(*scores.notes, *notes),
        calibration=calibration,
        sets={level: rows for level, rows in sets.items() if rows},
    )


def _refuse_seen(dataset: Dataset, models: Path, options: PredictOptions) -> None:
    """Networks of a cross-validation over this very dataset have seen, among them, every subject of it."""
    folder = models.resolve()
    path = (folder.parent if folder.name.startswith("fold-") else folder) / CROSSVAL
    if options.subjects is not None or not path.is_file():
        return
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: not JSON: {error}") from error
    if mark.get("data_fingerprint") == dataset.fingerprint():
        raise RunError(
            f"{dataset.root}: every subject here was in the training of some fold of {path.parent}; "
            f"the out-of-fold predictions stand in {path.parent / 'predictions'}"
        )


def _from_dataset(
    dataset: Dataset, runs: Mapping[View, list[LoadedRun]], options: PredictOptions
) -> tuple[Iterator[_Input], int]:
    rows = dataset.rows(split=options.split or None)
    if options.subjects is not None:
        rows = rows[rows["subject_id"].isin(sorted(options.subjects))]
    rows = rows[rows["view"].isin(list(runs))].sort_values("image_id", kind="stable")
    if rows.empty:
        have = ", ".join(sorted(set(dataset.table["split"]) - {""})) or "no split"
        raise DatasetError(
            f"{dataset.root}: no image in split {options.split!r} of the views {', '.join(runs)} (has {have})"
        )

    def stream() -> Iterator[_Input]:
        for row in rows.to_dict("records"):
            pixels = read_png16(dataset.root / row["file"])
            yield _Input((row["subject_id"], row["exam_id"]), View(row["view"]), pixels)

    return stream(), len(rows)


def _from_folders(
    root: Path, runs: Mapping[View, list[LoadedRun]], options: PredictOptions, notes: list[str]
) -> tuple[Iterator[_Input], int]:
    views = read_views(options.views) if options.views else None
    images, said = (all_subject_images if options.many else subject_images)(root, views, options.workers)
    notes += said
    known = [image for image in images if image.view in runs]
    notes += [f"{i.key[0]}/{i.source}: no network for {i.view} in the runs" for i in images if i.view not in runs]
    jobs = [(image, runs[image.view][0].preparation, options.limits) for image in known]

    def stream() -> Iterator[_Input]:
        of_images: Counter[str] = Counter()
        for outcome in spread(_prepare, jobs, options.workers, options.limits.seconds):
            image = outcome.item[0]
            if outcome.value is None:
                notes.append(f"left out: {outcome.error}")
                continue
            pixels, own = outcome.value
            of_images.update(own)
            yield _Input(image.key, image.view, pixels)
        notes.extend(f"{note} (images: {count})" for note, count in of_images.most_common())

    return stream(), len(jobs)


def _prepare(job: tuple[SubjectImage, Preparation, Limits]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    image, preparation, limits = job
    file = prepare_file(image.path, preparation, limits)
    return file.prepared.pixels, (*file.facts.notes, *file.prepared.notes)


def _score(
    inputs: Iterator[_Input], runs: Mapping[View, list[LoadedRun]], batch_size: int
) -> tuple[dict[View, list[tuple[str, str]]], dict[View, list[NDArray[np.float64]]]]:
    keys: dict[View, list[tuple[str, str]]] = defaultdict(list)
    scores: dict[View, list[NDArray[np.float64]]] = defaultdict(list)
    waiting: dict[View, list[NDArray[np.uint16]]] = defaultdict(list)

    def run_batch(view: View) -> None:
        if waiting[view]:
            scores[view].extend(scores_of(runs[view], waiting.pop(view)))

    for item in inputs:
        keys[item.view].append(item.key)
        waiting[item.view].append(item.pixels)
        if len(waiting[item.view]) == batch_size:
            run_batch(item.view)
    for view in list(waiting):
        run_batch(view)
    return keys, scores


def _absent(views: Mapping[View, Predictions], source: Dataset | Path, fusion: Fusion) -> list[str]:
    """A note on views that no exam has; fusion itself sees only gaps in those that are there.

    Raises:
        PredictionError: all views are required.
    """
    absent = [view.value for view in View if view not in views]
    if absent and fusion.require_all_views:
        raise PredictionError(
            f"{_name(source)}: no scores of {', '.join(absent)}; add the images (and networks), or leave "
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


def _write(scores: Scores, out: Path, models: Path, options: PredictOptions) -> None:
    folder = out / "predictions"
    for level in LEVELS:  # an earlier call may have had more views
        (folder / f"{level}.csv").unlink(missing_ok=True)
    for view in View:
        plain_file(folder, view).unlink(missing_ok=True)
        ids_file(plain_file(folder, view)).unlink(missing_ok=True)
    for table in scores.levels():
        write_predictions(folder / f"{table.level}.csv", table)
    for table in scores.views.values():
        write_plain(folder, table)
    write_text(folder / ORIGIN, json.dumps(as_json(scores, models, options.fusion), indent=2) + "\n")


def as_json(scores: Scores, models: Path, fusion: Fusion) -> dict[str, Any]:
    """The scores of every level as JSON has them."""
    return {
        "task": scores.task.name,
        "classes": list(scores.task.classes),
        "models": str(models),
        "fusion": fusion.rule,
        "notes": list(scores.notes),
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        "runs": dict(scores.runs),
        "calibration": _calibration_as_json(scores),
        "levels": {table.level: _rows(table, scores.sets.get(table.level)) for table in scores.levels()},
        "disclaimer": "Not a medical device; for research.",
    }


def _calibration_as_json(scores: Scores) -> dict[str, Any] | None:
    """The temperature of each level and the rule of its conformal sets; None where none were applied."""
    if scores.calibration is None:
        return None
    levels = {table.level: scores.calibration.levels[table.level] for table in scores.levels()}
    return {
        "fingerprint": scores.calibration.fingerprint,
        "levels": {
            level: {"temperature": one.temperature, "sets": one.sets and asdict(one.sets)}
            for level, one in levels.items()
        },
    }


def _rows(table: Predictions, sets: list[tuple[str, ...]] | None) -> list[dict[str, Any]]:
    return [
        {
            "subject_id": subject,
            "exam_id": exam,
            "views": table.views[i],
            "images": table.images[i],
            "scores": dict(zip(table.classes, (float(s) for s in table.scores[i]), strict=True)),
            "predicted": table.classes[int(np.argmax(table.scores[i]))],
        }
        | ({} if sets is None else {"set": list(sets[i])})
        for i, (subject, exam) in enumerate(table.keys)
    ]
