"""crossval: train and predict fold by fold over subjects, and report the out-of-fold predictions."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.learning.checkpoint import CROSSVAL, RECIPE, read_crossval
from ensemble_mammo.learning.schedule import needs_validation
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE, ORIGIN, clear_contrasts, clear_predictions, read_origin
from ensemble_mammo.records.predictions import Predictions, write_plain, write_predictions
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.splits import deal
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import task_named
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.report import Report, ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.baseline import BASELINE_RECIPE, baseline_recipes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossvalOptions:
    """Folds, and what is trained in each."""

    folds: int = 5
    "number of folds; each subject is predicted once, by networks that never saw her"
    recipe: str = "density/finetune"
    "path or name of the recipe"
    settings: tuple[str, ...] = ()
    "key=value laid over the recipe"
    views: tuple[View, ...] = tuple(View)
    "the projections; a pooled recipe has all four in one network"
    train: TrainOptions = field(default_factory=TrainOptions)
    "seed, device and workers"
    report: ReportOptions = field(default_factory=ReportOptions)
    "of the report over all folds"
    baseline: bool = False
    "also cross-validate hand-made features over the same folds, to stand beside"

    def __post_init__(self) -> None:
        """Refuse fewer than two folds."""
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}, expected at least 2")


@dataclass(frozen=True)
class Places:
    """Where the folds of one kind of network lie."""

    runs: Path
    "holds `fold-<k>/<VIEW>/`"
    predictions: Path
    "holds the out-of-fold tables"


def crossval(dataset: Dataset, out: Path, options: CrossvalOptions | None = None) -> Report:
    """Cross-validate a recipe over subjects; the splits of the manifest are not used.

    Runs lie in `fold-<k>/<VIEW>/`, the out-of-fold predictions in `predictions/`, the report in `report/`; those of
    the baseline in `baseline/fold-<k>/<VIEW>/` and `predictions/baseline/`.
    Where the recipe chooses its epoch on validation, the next fold is taken for it (and is in no training);
    where it keeps the last epoch, all other folds train. Exams without a label are predicted, and left out of
    the report with a note.

    Raises:
        DatasetError: fewer labelled subjects than folds.
        RunError: `out` holds runs that are no folds.
    """
    options = options or CrossvalOptions()
    plain = next((out / name for name in (*View, ANY) if (out / name / RECIPE).is_file()), None)
    if plain is not None:
        raise RunError(f"{plain}: a run that is no fold of a cross-validation lies there; give another --out")
    recipes = recipes_for(options.recipe, options.views, options.settings)
    task = task_named(next(iter(recipes.values())).task)
    of_baseline = baseline_recipes(dataset, task.name, options.views) if options.baseline else {}
    fold_of = _folds(dataset, options, next(iter(recipes.values())))
    if not options.train.allow_leakage:  # before anything is trained
        rows = dataset.table[dataset.table["subject_id"].isin(list(fold_of))]
        folds = [str(fold_of[s]) for s in rows["subject_id"]]
        refuse_leaks(leaks_of(rows.assign(split="", fold=folds)), dataset.root)
    joined = _fold_by_fold(dataset, recipes, fold_of, Places(out, out / "predictions"), options)
    clear_predictions(out / "predictions" / BASELINE)
    clear_contrasts(out / "predictions")
    if options.baseline:
        beside = Places(out / BASELINE, out / "predictions" / BASELINE)
        _fold_by_fold(dataset, of_baseline, fold_of, beside, replace(options, recipe=BASELINE_RECIPE))
    settled = replace(options.report, allow_unlabelled=True, dataset=dataset)
    out_of_fold = replace(truth_from_dataset(dataset, task), learned=frozenset(), remarks=())
    if options.train.allow_leakage:
        settled = replace(settled, remarks=(*settled.remarks, "trained with --allow-leakage: see leaks in run.json"))
    tables_written = [out / "predictions" / f"{table.level}.csv" for table in joined]
    return report(tables_written, out_of_fold, out / "report", settled)


def _fold_by_fold(
    dataset: Dataset,
    recipes: Mapping[View | None, Recipe],
    fold_of: dict[str, int],
    places: Places,
    options: CrossvalOptions,
) -> list[Predictions]:
    """Train and predict each fold; out-of-fold tables of the views, and all levels written."""
    mark = {"folds": options.folds, "recipe": options.recipe, "data_fingerprint": dataset.fingerprint()}
    write_text(places.runs / CROSSVAL, json.dumps(mark, indent=2) + "\n")
    tables: dict[View, list[Predictions]] = {view: [] for view in options.views}
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for fold in range(options.folds):
        folder = places.runs / f"fold-{fold}"
        held_out = frozenset(s for s, own in fold_of.items() if own == fold)
        for view, recipe in recipes.items():
            _log.info("%s, fold %d of %d, %s", recipe.network.name, fold + 1, options.folds, view or ANY)
            own = _start_of_fold(recipe, view, fold, options.folds)
            train(dataset, view, own, folder, _of_fold(options, fold_of, fold, recipe))
        of_fold = PredictOptions(subjects=held_out, only=options.views, device=options.train.device)
        scores = predict(dataset, folder, options=of_fold)
        for view, table in scores.views.items():
            tables[view].append(table)
            runs.setdefault(view, []).extend(scores.runs.get(view, []))
    joined = [_joined(parts) for parts in tables.values() if parts]
    task = task_named(next(iter(recipes.values())).task)
    for table in joined:
        write_predictions(places.predictions / f"{table.level}.csv", table)
        write_plain(places.predictions, table)
    for table in fuse(joined, task, options.report.fusion).levels.values():
        write_predictions(places.predictions / f"{table.level}.csv", table)
    others = dict(read_origin(places.predictions).runs)  # of views that an earlier call has trained
    origin = {"task": task.name, "classes": list(task.classes), "out_of_fold": True, "runs": others | runs}
    origin["fold_of"] = fold_of
    write_text(places.predictions / ORIGIN, json.dumps(origin, indent=2) + "\n")
    return joined


def _start_of_fold(recipe: Recipe, view: View | None, fold: int, folds: int) -> Recipe:
    """The recipe with the run of the same fold to start from, where its start is a cross-validation.

    `train` refuses it where that run learned from a subject who is held out here.

    Raises:
        RunError: the start has another number of folds.
    """
    start = Path(recipe.network.weights_file)
    if recipe.network.pretrained != "run" or not (start / CROSSVAL).is_file():
        return recipe
    theirs = read_crossval(start).get("folds", 0)
    if theirs != folds:
        raise RunError(f"{start}: a start of {theirs} folds, here are {folds}; give --folds {theirs}")
    places = [start / f"fold-{fold}" / name for name in (ANY, *([view.value] if view else []))]
    found = next((place for place in places if (place / RECIPE).is_file()), None)
    if found is None:
        raise RunError(f"{start}: no run for {view or ANY} in fold-{fold}; expected {' or '.join(map(str, places))}")
    return replace(recipe, network=replace(recipe.network, weights_file=str(found)))


def _folds(dataset: Dataset, options: CrossvalOptions, recipe: Recipe) -> dict[str, int]:
    """subject_id -> fold: those of the manifest where it has as many, else dealt by the seed."""
    labels: dict[str, str] = {}
    for name in recipe.tasks:
        own = dataset.subject_labels(task_named(name)) if name in dataset.task_names() else {}
        labels |= {s: f"{name} {label}" for s, label in own.items() if label and s not in labels}
    if len(labels) < options.folds:
        raise DatasetError(
            f"{dataset.root}: {len(labels)} subjects with a {recipe.task} label for {options.folds} folds"
        )
    table = dataset.table[dataset.table["subject_id"].isin(sorted(labels))]
    if set(table["fold"]) == {str(k) for k in range(options.folds)}:
        return {s: int(k) for s, k in zip(table["subject_id"], table["fold"], strict=True)}
    return deal(labels, [1 / options.folds] * options.folds, options.train.seed)


def _of_fold(options: CrossvalOptions, fold_of: dict[str, int], fold: int, recipe: Recipe) -> TrainOptions:
    validation = (fold + 1) % options.folds if needs_validation(recipe.train) else -1
    return replace(
        options.train,
        train_subjects=frozenset(s for s, own in fold_of.items() if own not in (fold, validation)),
        val_subjects=frozenset(s for s, own in fold_of.items() if own == validation),
    )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return replace(
        parts[0],
        scores=np.concatenate([part.scores for part in parts]),
        subject_ids=tuple(s for part in parts for s in part.subject_ids),
        exam_ids=tuple(e for part in parts for e in part.exam_ids),
        views=tuple(v for part in parts for v in part.views),
        images=tuple(n for part in parts for n in part.images),
    )
