"""ensemble-mammo sweep: a recipe over a grid, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from ensemble_mammo.records.manifest import Dataset


@app.command()
def sweep(
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="What varies: any field of the recipe, recipe or seed, as KEY=V1,V2; repeatable."),
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="A TOML file, or a shipped recipe by name.")] = "",
    data: Annotated[Path, typer.Option("--data", help="A prepared dataset.")] = Path("dataset"),
    out: Out = Path("sweep"),
    settings: Settings = None,
    start: Start = None,
    view: OneView = "all",
    folds: Annotated[int, typer.Option("--folds", help="Cross-validate each point; 0: train once.")] = 0,
    split: Annotated[str, typer.Option("--split", help="Of the dataset, to be judged on: val or test.")] = "val",
    on: Annotated[
        list[str] | None, typer.Option("--on", help="Judge on another dataset too, as NAME=DATASET; repeatable.")
    ] = None,
    on_split: Annotated[str, typer.Option("--on-split", help="Of those: train, val, test; empty: all.")] = "",
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold", help="Of two classes: a score, or recall=0.9, chosen on validation. [default: 0.5]"
        ),
    ] = "",
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
    """Train a recipe at every point of a grid, judge each alike, and tabulate."""
    from ensemble_mammo.console import sweep_tables, trainings_shown
    from ensemble_mammo.stages.train import TrainOptions
    from ensemble_mammo.workflows.dataset import dataset_at
    from ensemble_mammo.workflows.spreading import Spreading
    from ensemble_mammo.workflows.sweep import SweepOptions, points_of
    from ensemble_mammo.workflows.sweep import sweep as run

    where = engine_of(engine, address)
    with trainings_shown() as (progress, show):
        learning = TrainOptions(
            seed=seed, device=device, workers=workers, restart=restart, progress=progress, allow_leakage=allow_leakage
        )
        options = valid(
            SweepOptions,
            tuple(over or ()),
            recipe,
            (*(settings or ()), *of_start(start)),
            views_of(view),
            folds,
            split,
            tuple(_named(text) for text in on or ()),
            on_split,
            threshold,
            learning,
            Spreading(where, jobs, cores, show),
        )
        dataset = dataset_at(data, out, points_of(options)[0].task.name)
        found = run(dataset, out, options)
    sweep_tables(found, out, json_)
    if found.failed:
        raise typer.Exit(1)


def _named(text: str) -> tuple[str, Dataset]:
    from ensemble_mammo.records.manifest import read_dataset

    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise typer.BadParameter(f"--on {text}: expected NAME=DATASET, such as mias=mias-tiles")
    return name, read_dataset(Path(path))
