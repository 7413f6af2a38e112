"""crossval: train and predict fold by fold over subjects, and report the out-of-fold predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_mammo.errors import RunError, TrainingError
from ensemble_mammo.learning.checkpoint import CROSSVAL, RECIPE, read_crossval
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE, ORIGIN, clear_contrasts, clear_predictions, read_origin
from ensemble_mammo.records.predictions import Predictions, write_plain, write_predictions
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.remote import brought, shown
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import task_named
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.report import Report, ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.baseline import BASELINE_RECIPE, baseline_recipes
from ensemble_mammo.workflows.folds import Fold, Folds, dealt
from ensemble_mammo.workflows.spreading import Spreading
from ensemble_mammo.workflows.trained import trained
from ensemble_mammo.workflows.trainings import (
    Ended,
    Training,
    failures_in_words,
    require_startable,
    trainings_of,
)


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
    spreading: Spreading = field(default_factory=Spreading)
    "where the trainings run, and how many at once"

    def __post_init__(self) -> None:
        """Refuse fewer than two folds."""
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}, expected at least 2")


@dataclass(frozen=True)
class Kind:
    """The folds of one kind of network: the one asked for, or the baseline."""

    recipe: str
    "path or name of the recipe"
    recipes: Mapping[View | None, Recipe]
    "resolved for each view; of a pooled network under None"
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
        TrainingError: some trainings failed; the others are finished.
    """
    options = options or CrossvalOptions()
    trainings = fold_trainings(dataset, out, options)
    require_startable(dataset, trainings)
    ended = list(trained(dataset, trainings, options.spreading))
    _require_all(ended, out)
    return out_of_fold(dataset, out, options)


def fold_trainings(dataset: Dataset, out: Path, options: CrossvalOptions) -> list[Training]:
    """Every training of a cross-validation, fold by fold; what is wrong of them all is refused.

    Raises:
        DatasetError: fewer labelled subjects than folds, or leaks between them.
        RunError: `out` holds runs that are no folds.
    """
    plain = next((out / name for name in (*View, ANY) if (out / name / RECIPE).is_file()), None)
    if plain is not None:
        raise RunError(f"{plain}: a run that is no fold of a cross-validation lies there; give another --out")
    kinds = _kinds(dataset, out, options)
    folds = _folds(kinds[0], options)
    fold_of = dealt(dataset, folds)
    if not options.train.allow_leakage:  # before anything is trained
        rows = dataset.table[dataset.table["subject_id"].isin(list(fold_of))]
        refuse_leaks(leaks_of(rows.assign(split="", fold=[str(fold_of[s]) for s in rows["subject_id"]])), dataset.root)
    trainings: list[Training] = []
    for kind in kinds:
        for fold in range(options.folds):
            own = {view: _start_of_fold(one, view, fold, options.folds) for view, one in kind.recipes.items()}
            folder = kind.runs / f"fold-{fold}"
            prefix = f"{folder.relative_to(out).as_posix()}/"
            trainings += trainings_of(own, folder, options.train, prefix, Fold(fold, folds))
    for kind in kinds:
        mark = {"folds": options.folds, "recipe": kind.recipe, "data_fingerprint": dataset.fingerprint()}
        write_text(kind.runs / CROSSVAL, json.dumps(mark, indent=2) + "\n")
    return trainings


def out_of_fold(dataset: Dataset, out: Path, options: CrossvalOptions) -> Report:
    """Predict each fold by the networks that never saw it, and report the predictions of all.

    Args:
        dataset: that was cross-validated.
        out: where; every training of `fold_trainings` is finished.
        options: of the cross-validation.
    """
    kinds = _kinds(dataset, out, options)
    fold_of = dealt(dataset, _folds(kinds[0], options))
    task = task_named(next(iter(kinds[0].recipes.values())).task)
    joined = _predicted(dataset, kinds[0], fold_of, options)
    clear_predictions(out / "predictions" / BASELINE)
    clear_contrasts(out / "predictions")
    for beside in kinds[1:]:
        _predicted(dataset, beside, fold_of, options)
    settled = replace(options.report, allow_unlabelled=True, dataset=dataset)
    truth = replace(truth_from_dataset(dataset, task), learned=frozenset(), remarks=())
    if options.train.allow_leakage:
        settled = replace(settled, remarks=(*settled.remarks, "trained with --allow-leakage: see leaks in run.json"))
    tables_written = [out / "predictions" / f"{table.level}.csv" for table in joined]
    return report(tables_written, truth, out / "report", settled)


def _kinds(dataset: Dataset, out: Path, options: CrossvalOptions) -> list[Kind]:
    """The networks asked for, then, if it was asked for, the baseline."""
    recipes = recipes_for(options.recipe, options.views, options.settings)
    kinds = [Kind(options.recipe, recipes, out, out / "predictions")]
    if options.baseline:
        beside = baseline_recipes(dataset, next(iter(recipes.values())).task, options.views)
        kinds.append(Kind(BASELINE_RECIPE, beside, out / BASELINE, out / "predictions" / BASELINE))
    return kinds


def _folds(kind: Kind, options: CrossvalOptions) -> Folds:
    return Folds(options.folds, next(iter(kind.recipes.values())).tasks, options.train.seed)


def _require_all(ended: Sequence[Ended], out: Path) -> None:
    """Refuse to report what is not predicted for every subject."""
    failed = sum(bool(one.error) for one in ended)
    if not failed:
        return
    if len(ended) == 1 and ended[0].error is not None:
        raise ended[0].error
    raise TrainingError(
        f"{out}: {failed} of {len(ended)} trainings failed: {failures_in_words(ended)}. No out-of-fold report can be "
        f"made; {len(ended) - failed} are finished, and the same command trains only the others"
    )


def _predicted(dataset: Dataset, kind: Kind, fold_of: Mapping[str, int], options: CrossvalOptions) -> list[Predictions]:
    """Predict each fold; out-of-fold tables of the views, and all levels written."""
    tables: dict[View, list[Predictions]] = {view: [] for view in options.views}
    runs: dict[str, list[Mapping[str, Any]]] = {}
    device = options.spreading.device_here(options.train.device)
    for fold in range(options.folds):
        held_out = frozenset(s for s, own in fold_of.items() if own == fold)
        of_fold = PredictOptions(subjects=held_out, only=options.views, device=device)
        scores = predict(dataset, kind.runs / f"fold-{fold}", options=of_fold)
        for view, table in scores.views.items():
            tables[view].append(table)
            runs.setdefault(view, []).extend(scores.runs.get(view, []))
    joined = [_joined(parts) for parts in tables.values() if parts]
    task = task_named(next(iter(kind.recipes.values())).task)
    for table in joined:
        write_predictions(kind.predictions / f"{table.level}.csv", table)
        write_plain(kind.predictions, table)
    for table in fuse(joined, task, options.report.fusion).levels.values():
        write_predictions(kind.predictions / f"{table.level}.csv", table)
    others = dict(read_origin(kind.predictions).runs)  # of views that an earlier call has trained
    origin = {"task": task.name, "classes": list(task.classes), "out_of_fold": True, "runs": others | runs}
    origin["fold_of"] = dict(fold_of)
    write_text(kind.predictions / ORIGIN, json.dumps(origin, indent=2) + "\n")
    return joined


def _start_of_fold(recipe: Recipe, view: View | None, fold: int, folds: int) -> Recipe:
    """The recipe with the run of the same fold to start from, where its start is a cross-validation.

    `train` refuses it where that run learned from a subject who is held out here.

    Raises:
        RunError: the start has another number of folds.
    """
    start = brought(recipe.network.weights_file)
    if recipe.network.pretrained != "run" or not (start / CROSSVAL).is_file():
        return recipe
    theirs = read_crossval(start).get("folds", 0)
    if theirs != folds:
        raise RunError(f"{start}: a start of {theirs} folds, here are {folds}; give --folds {theirs}")
    places = [start / f"fold-{fold}" / name for name in (ANY, *([view.value] if view else []))]
    found = next((place for place in places if (place / RECIPE).is_file()), None)
    if found is None:
        raise RunError(f"{start}: no run for {view or ANY} in fold-{fold}; expected {' or '.join(map(str, places))}")
    return replace(recipe, network=replace(recipe.network, weights_file=shown(found)))


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return replace(
        parts[0],
        scores=np.concatenate([part.scores for part in parts]),
        subject_ids=tuple(s for part in parts for s in part.subject_ids),
        exam_ids=tuple(e for part in parts for e in part.exam_ids),
        views=tuple(v for part in parts for v in part.views),
        images=tuple(n for part in parts for n in part.images),
    )
