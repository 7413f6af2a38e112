"""ensemble-mammo reproduce: published figures beside obtained ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import Device, Json, Loaders, Restart, Seed, Settings, valid


@app.command()
def reproduce(
    pack: Annotated[str, typer.Argument(help="infn, shen or scuccimarra.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="infn: folder of the prediction files; shen: of CBIS-DDSM's tables; scuccimarra --table: of tile sets."
        ),
    ] = None,
    obtained: Annotated[
        list[str] | None, typer.Option("--obtained", help="Our result, as ID=report.json; repeatable.")
    ] = None,
    table: Annotated[
        str,
        typer.Option(
            "--table", help="scuccimarra: train and judge the networks of binary, five, mias, weight or grid."
        ),
    ] = "",
    network: Annotated[
        list[str] | None, typer.Option("--network", help="Of --table: this network alone; repeatable.")
    ] = None,
    settings: Settings = None,
    threshold: Annotated[
        str,
        typer.Option("--threshold", help="Of --table: a score, or recall=0.9, chosen on validation. [default: 0.5]"),
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for reproduce.json and tables.")] = None,
    device: Device = "auto",
    workers: Loaders = 0,
    restart: Restart = False,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Published figures beside obtained ones, and why they differ."""
    from ensemble_mammo.console import reproduction_tables, training_bar
    from ensemble_mammo.stages.train import TrainOptions
    from ensemble_mammo.workflows.reproduce import ReproduceOptions, TableOptions
    from ensemble_mammo.workflows.reproduce import reproduce as run

    if not table and (network or settings or threshold):
        raise typer.BadParameter("--network, --set and --threshold are of --table: name the table too")
    with training_bar() as progress:
        learning = TrainOptions(seed=seed, device=device, workers=workers, restart=restart, progress=progress)
        given = tuple(network or ()), tuple(settings or ())
        measure = valid(TableOptions, table, *given, threshold, train=learning) if table else None
        found = run(pack, source, out, ReproduceOptions(tuple(_pair(text) for text in obtained or ()), seed, measure))
    if json_:
        typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        reproduction_tables(found)
    if found.failed:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise typer.BadParameter(f"--obtained {text}: expected ID=report.json, such as whole-auc=report/report.json")
    return name, Path(path)
