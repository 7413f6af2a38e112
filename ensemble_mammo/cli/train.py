"""ensemble-mammo train: a network a view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    AllowLeakage,
    Cores,
    Device,
    EngineName,
    Jobs,
    Json,
    Loaders,
    OneView,
    Out,
    Restart,
    Seed,
    Settings,
    Start,
    engine_of,
    of_start,
    valid,
    views_of,
)
from ensemble_mammo.execution.ranks import ranks_here, require_one


@app.command()
def train(
    view: OneView = "all",
    data: Annotated[
        Path, typer.Option("--data", help="A prepared dataset, or an INFN tree of class folders as it is.")
    ] = Path("dataset"),
    out: Out = Path("runs"),
    recipe: Annotated[str, typer.Option("--recipe", help="A TOML file, or a shipped recipe by name.")] = "finetune",
    settings: Settings = None,
    start: Start = None,
    folds: Annotated[int, typer.Option("--folds", help="Cross-validate over subjects; 0: train once.")] = 0,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also fit hand-made features, into baseline/, to stand beside.")
    ] = False,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Loaders = 0,
    restart: Restart = False,
    allow_leakage: AllowLeakage = False,
    engine: EngineName = "local",
    address: Address = "",
    jobs: Jobs = 0,
    cores: Cores = 0,
    json_: Json = False,
) -> None:
    """Train one network a view (or all four), a pooled one for all views, or cross-validate with --folds."""
    from ensemble_mammo.console import report_table, runs_table, trainings_shown
    from ensemble_mammo.records.recipe_files import recipes_for
    from ensemble_mammo.stages.train import TrainOptions
    from ensemble_mammo.workflows.dataset import dataset_at, views_at
    from ensemble_mammo.workflows.spreading import Spreading

    if folds or baseline:
        require_one("train --folds" if folds else "train --baseline")
    where = engine_of(engine, address)
    views = views_of(view)
    settings = [*(settings or ()), *of_start(start)]
    recipes = recipes_for(recipe, views, settings)
    dataset = dataset_at(data, out, next(iter(recipes.values())).task)
    if view == "all" and None not in recipes:
        views = views_at(dataset, views)
        recipes = {one: own for one, own in recipes.items() if one in views}
    with trainings_shown() as (progress, show):
        options = TrainOptions(
            seed=seed, device=device, workers=workers, restart=restart, progress=progress, allow_leakage=allow_leakage
        )
        spreading = Spreading(where, jobs, cores, show)
        if folds:
            from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval

            cross = valid(
                CrossvalOptions, folds, recipe, tuple(settings), views, options, baseline=baseline, spreading=spreading
            )
            found = crossval(dataset, out, cross)
        else:
            from ensemble_mammo.workflows.views import train_views

            ended = train_views(dataset, recipes, out, options, baseline, spreading)
    if folds:
        report_table(found, out / "report", json_)
        return
    if ranks_here().is_first:  # the others need not see the runs
        runs_table(ended, json_)
    if any(one.error for one in ended):
        raise typer.Exit(1)
