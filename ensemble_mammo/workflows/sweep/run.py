"""sweep: train a recipe at every point of a grid, judge each alike, and tabulate."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ensemble_mammo.errors import DatasetError, OutputError, RecipeError, RunError, TrainingError
from ensemble_mammo.learning.checkpoint import INFO, read_info
from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import clear_predictions
from ensemble_mammo.records.predictions import read_predictions
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.subject import SUBJECT, View
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.predict.written import PREDICTIONS, write_tables
from ensemble_mammo.workflows.crossval import CrossvalOptions, fold_trainings, out_of_fold
from ensemble_mammo.workflows.dataset import views_at
from ensemble_mammo.workflows.sweep.held import Held, held_in
from ensemble_mammo.workflows.sweep.judge import Cases, Judgement, cases_of, has_threshold, judged, threshold_of
from ensemble_mammo.workflows.sweep.options import VALIDATION, SweepOptions
from ensemble_mammo.workflows.sweep.points import Point, axes_of, points_of
from ensemble_mammo.workflows.sweep.result import Outcome, Sweep, write_sweep
from ensemble_mammo.workflows.trained import trained
from ensemble_mammo.workflows.trainings import Ended, Training, failures_in_words, trainings_of

_log = logging.getLogger(__name__)


def sweep(dataset: Dataset, out: Path, options: SweepOptions) -> Sweep:
    """Train and judge every point; finished networks in `out` are taken as they are, unfinished ones resumed.

    Runs lie in `out/<point>/`, predictions in `out/<point>/predictions/<on>/` (those of a cross-validation in
    `out/<point>/predictions/` itself). The tables `sweep.csv`, `sweep.json` and `sweep.md` are written after each
    point; finished points of an earlier sweep there, over other values of the same axes, stay in them, first. A point
    that fails is listed with its reason, and the others go on.

    Raises:
        RecipeError: an axis, a setting or a recipe is wrong, of whichever point; a threshold for a task without one.
        DatasetError: a dataset lacks the labels, the split or the preparation that judging needs.
        RunError: `out` holds a sweep of another recipe, of other data or over other axes; or one judged otherwise, with
            points that would be lost from its tables.
        OutputError: a table cannot be written.
    """
    axes, points = axes_of(options.over), points_of(options)
    if set(options.views) == set(View) and not all(None in point.recipes for point in points):
        options = replace(options, views=views_at(dataset, options.views))
        points = [replace(point, recipes=_of_views(point, options.views)) for point in points]
    kinds = {(point.task.name, point.resizes_tiles): point.task for point in points}
    for (_, any_size), task in kinds.items():
        require_judgeable(dataset, task, options, any_size)
    about = _about(dataset, options)
    held = Held(axes) if options.train.restart else held_in(out, axes, about, points)
    done = {one.point.name: one for one in held.again}
    for number, (point, failure) in enumerate(_learned(dataset, points, out, options), start=1):
        _log.info("point %d of %d: %s", number, len(points), point.name)
        done[point.name] = _outcome(dataset, point, out, options, failure)
        outcomes = (*held.others, *(done[one.name] for one in points if one.name in done))
        found = Sweep(held.axes, outcomes, about, len(held.others) + len(points))
        write_sweep(out, found)
    return found


def outcome_of(dataset: Dataset, point: Point, out: Path, options: SweepOptions) -> Outcome:
    """Train one point into `out/<point>/` and judge it on every set; what goes wrong becomes its reason."""
    [(_, failure)] = _learned(dataset, [point], out, options)
    return _outcome(dataset, point, out, options, failure)


def _learned(
    dataset: Dataset, points: Sequence[Point], out: Path, options: SweepOptions
) -> Iterator[tuple[Point, str]]:
    """Train the networks of all points, spread together; each point, in order, with the reason if it failed."""
    trainings: dict[str, list[Training]] = {}
    refused: dict[str, str] = {}
    for point in points:
        try:
            trainings[point.name] = _trainings(dataset, point, out / point.name, options)
        except Exception as error:
            if isinstance(error, OutputError):
                raise
            trainings[point.name], refused[point.name] = [], _reason(error)
    together = [one for of_point in trainings.values() for one in of_point]
    with closing(cast(Generator[Ended], trained(dataset, together, options.spreading))) as ended:
        for point in points:
            own = list(islice(ended, len(trainings[point.name])))
            failure = own[0].failure if len(own) == 1 else failures_in_words(own)
            yield point, refused.get(point.name, failure)
        next(ended, None)  # what the trainings shared is cleared away


def _outcome(dataset: Dataset, point: Point, out: Path, options: SweepOptions, failure: str) -> Outcome:
    """Judge a trained point on every set; what goes wrong becomes its reason."""
    judgements: list[Judgement] = []
    where = "training"
    try:
        if failure:
            raise TrainingError(failure)
        where = options.judged_on
        own = replace(options, train=replace(options.train, seed=point.seed))
        if options.folds:
            out_of_fold(dataset, out / point.name, _crossval(point, own))
        cases, remarks = _own_cases(dataset, point, out, own)
        threshold = _threshold(dataset, point, out, own, cases)
        folder = out / point.name / PREDICTIONS / ("" if options.folds else where)
        judgements.append(judged(where, _relative(folder, out), cases, threshold, remarks))
        for where, other in options.on:
            folder = out / point.name / PREDICTIONS / where
            cases, remarks = _predicted(other, point, folder, own, PredictOptions(options.on_split, other_source=True))
            judgements.append(judged(where, _relative(folder, out), cases, threshold, remarks))
    except Exception as error:
        if isinstance(error, OutputError):
            raise
        _log.warning("%s: failed (%s): %s", point.name, where, error)
        _log.debug("where it happened", exc_info=True)
        text = f"{where}: {_reason(error)}"
        return Outcome(point, _seconds(out / point.name), tuple(judgements), text)
    return Outcome(point, _seconds(out / point.name), tuple(judgements))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _trainings(dataset: Dataset, point: Point, folder: Path, options: SweepOptions) -> list[Training]:
    """The trainings of a point: a network a view, or those of its folds."""
    own = replace(options, train=replace(options.train, seed=point.seed))
    if not options.folds:
        return trainings_of(point.recipes, folder, own.train, f"{point.name}/")
    trainings = fold_trainings(dataset, folder, _crossval(point, own))
    return [replace(one, name=f"{point.name}/{one.name}") for one in trainings]


def _crossval(point: Point, options: SweepOptions) -> CrossvalOptions:
    """How a point is cross-validated."""
    views = tuple(View) if None in point.recipes else options.views
    return CrossvalOptions(
        options.folds, point.recipe, point.settings, views, options.train, spreading=options.spreading
    )


def _own_cases(dataset: Dataset, point: Point, out: Path, options: SweepOptions) -> tuple[Cases, tuple[str, ...]]:
    """The judged cases of the dataset itself: a split, or everybody out of fold."""
    folder = out / point.name / PREDICTIONS
    if not options.folds:
        return _predicted(dataset, point, folder / options.split, options, PredictOptions(options.split))
    rows = read_predictions(folder / f"{SUBJECT}.csv", SUBJECT, point.task.classes)
    return cases_of(rows, truth_from_dataset(dataset, point.task)), ()


def _threshold(dataset: Dataset, point: Point, out: Path, options: SweepOptions, own: Cases) -> Acting | None:
    """The threshold of a point, chosen on validation where a recall is asked for."""
    asked, chosen = options.asked, own
    if asked.recall is not None and has_threshold(point.task) and options.judged_on == "test":
        folder = out / point.name / PREDICTIONS / VALIDATION
        chosen, _ = _predicted(dataset, point, folder, options, PredictOptions(VALIDATION))
    chosen_on = options.judged_on if options.folds else VALIDATION
    return threshold_of(asked, point.task, chosen, chosen_on)


def _predicted(
    dataset: Dataset, point: Point, folder: Path, options: SweepOptions, which: PredictOptions
) -> tuple[Cases, tuple[str, ...]]:
    """Predict a dataset by the networks of a point into a folder; the cases, and what must be said of them."""
    only = tuple(View) if None in point.recipes else options.views
    which = replace(which, only=only, device=options.spreading.device_here(options.train.device), task=point.task.name)
    models = folder.parents[1]
    scores = predict(dataset, models, options=which)
    clear_predictions(folder)
    write_tables(scores, folder, [models], which)
    rows = next(table for table in scores.levels() if table.level == SUBJECT)
    cases = cases_of(rows, truth_from_dataset(dataset, point.task, which.split or None))
    known = scores.seen and which.split != VALIDATION
    return cases, ((f"{scores.seen} of the subjects were learned from: no test of them",) if known else ())


def _of_views(point: Point, views: Sequence[View]) -> dict[View | None, Recipe]:
    return {view: recipe for view, recipe in point.recipes.items() if view is None or view in views}


def require_judgeable(dataset: Dataset, task: Task, options: SweepOptions, any_size: bool = False) -> None:
    """Refuse, before anything is trained, what could not be judged afterwards.

    Args:
        dataset: what is trained on.
        task: what is told apart.
        options: on what it is judged.
        any_size: the networks take tiles of any size.

    Raises:
        RecipeError: a threshold for a task that has none.
        DatasetError: no labels of the task in a split to be judged, another preparation, or tiles beside mammograms.
    """
    if options.threshold and not has_threshold(task):
        raise RecipeError(
            f"threshold {options.threshold}: for two classes, one of them positive; task {task.name} has "
            f"{', '.join(task.classes)}: leave it out, and the highest score decides"
        )
    splits = set() if options.folds else {options.split}
    chosen = options.asked.recall is not None and not options.folds
    for split in sorted(splits | ({VALIDATION} if chosen else set())):
        _require_labelled(dataset, task, split)
    for name, other in options.on:
        _require_labelled(other, task, options.on_split)
        _require_alike(other, dataset)
        other.require_preparation(dataset.preparation, name, other_source=True, any_size=any_size)


def _require_alike(other: Dataset, dataset: Dataset) -> None:
    """Refuse to judge networks of tiles on mammograms, and the other way round."""
    held, learned = (one.cut()[0] or "mammograms" for one in (other, dataset))
    if held != learned:
        raise DatasetError(
            f"{other.root}: holds {held}, and networks that learn from {learned} are judged on {learned}; "
            "give another dataset with --on"
        )


def _require_labelled(dataset: Dataset, task: Task, split: str) -> None:
    if dataset.rows(split=split or None, task=task).empty:
        have = ", ".join(sorted(set(dataset.table["split"]) - {""})) or "no split"
        part = f" in split {split!r} (has {have})" if split else ""
        raise DatasetError(f"{dataset.root}: no image with a {task.name} label{part}: nothing to judge on")


def _about(dataset: Dataset, options: SweepOptions) -> dict[str, Any]:
    """What all points share, as sweep.json has it."""
    return {
        "recipe": options.recipe,
        "settings": list(options.settings),
        "seed": options.train.seed,
        "folds": options.folds,
        "dataset": dataset.root.resolve().name,
        "data_fingerprint": dataset.fingerprint(),
        "judged_on": options.judged_on,
        "on": {name: other.fingerprint() for name, other in options.on},
        "on_split": options.on_split,
        "threshold": options.threshold,
    }


def _seconds(folder: Path) -> float:
    """How long the networks of a point learned, as their run.json say."""
    total = 0.0
    for path in sorted(folder.rglob(INFO)):
        with contextlib.suppress(RunError):  # damaged: the reason of a failure already
            total += float(read_info(path.parent).get("wall_seconds", 0.0))
    return total


def _relative(folder: Path, out: Path) -> str:
    return folder.relative_to(out).as_posix()
