"""ensemble-mammo train: a network a view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import Device, Json, Out, Seed, valid, views_of


@app.command()
def train(
    view: Annotated[str, typer.Option("--view", help="CC_R, CC_L, MLO_R, MLO_L or all (pooled recipes).")] = "all",
    data: Annotated[
        Path, typer.Option("--data", help="A prepared dataset, or an INFN tree of class folders as it is.")
    ] = Path("dataset"),
    out: Out = Path("runs"),
    recipe: Annotated[str, typer.Option("--recipe", help="A TOML file, or a shipped recipe by name.")] = "finetune",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the recipe, as train.epochs=5; repeatable.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", help="A run folder whose weights are the first ones.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Cross-validate over subjects; 0: train once.")] = 0,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also fit hand-made features, into baseline/, to stand beside.")
    ] = False,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads that load images; 0: none.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew what is there already.")] = False,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Learn although subjects stand in several splits.")
    ] = False,
    json_: Json = False,
) -> None:
    """Train one network a view (or all four), a pooled one for all views, or cross-validate with --folds."""
    from ensemble_mammo.console import report_table, runs_table, training_bar
    from ensemble_mammo.records.recipe_files import recipes_for
    from ensemble_mammo.stages.train import TrainOptions
    from ensemble_mammo.stages.train import train as run
    from ensemble_mammo.workflows.dataset import dataset_at, views_at

    views = views_of(view)
    settings = [*(settings or ()), *_of_start(start)]
    recipes = recipes_for(recipe, views, settings)
    dataset = dataset_at(data, out, next(iter(recipes.values())).task)
    if view == "all" and None not in recipes:
        views = views_at(dataset, views)
        recipes = {one: own for one, own in recipes.items() if one in views}
    with training_bar() as progress:
        options = TrainOptions(
            seed=seed, device=device, workers=workers, restart=restart, progress=progress, allow_leakage=allow_leakage
        )
        if folds:
            from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval

            cross = valid(CrossvalOptions, folds, recipe, tuple(settings), views, options, baseline=baseline)
            found = crossval(dataset, out, cross)
        else:
            from ensemble_mammo.workflows.baseline import baseline_recipes, train_baseline

            task = next(iter(recipes.values())).task
            beside = baseline_recipes(dataset, task, views) if baseline else {}  # refused before anything is trained
            results = [run(dataset, one, own, out, options) for one, own in recipes.items()]
            results += train_baseline(dataset, beside, out, options)
    if folds:
        report_table(found, out / "report", json_)
    else:
        runs_table(results, json_)


def _of_start(start: Path | None) -> list[str]:
    """The settings that --start stands for."""
    if start is None:
        return []
    return ["network.pretrained='run'", f"network.weights_file={json.dumps(str(start))}"]
