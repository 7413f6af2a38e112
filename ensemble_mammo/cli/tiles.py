"""ensemble-mammo tiles: squares of lesions and of normal tissue, a dataset of normal and abnormal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    Birads,
    EngineName,
    Json,
    Out,
    Seed,
    Workers,
    engine_of,
    findings_of,
    valid,
)


@app.command()
def tiles(
    data: Annotated[Path, typer.Option("--data", help="A prepared dataset with lesions.")] = Path("dataset"),
    set_: Annotated[str, typer.Option("--set", help="6, 8 or 9: Scuccimarra's data sets.")] = "9",
    out: Out = Path("tiles"),
    normals: Annotated[
        Path | None, typer.Option(help="A prepared dataset that normal tiles are taken from instead.")
    ] = None,
    bounds: Annotated[
        Path | None, typer.Option(help="A tile set whose bounds of normal tiles are taken, instead of fitted.")
    ] = None,
    size: Annotated[
        int, typer.Option(help="Rows and columns of a tile; 0: 299, or 598 film pixels where those are fewer.")
    ] = 0,
    trim: Annotated[float, typer.Option(help="Taken off each side of the film before normal tiles are cut.")] = 0.07,
    normal_share: Annotated[float, typer.Option(help="Normal tiles of all tiles, in each split; 0: none.")] = 0.83,
    thin: Annotated[
        str, typer.Option(help="Fewer lesion tiles where normal ones run short: none, tests (val and test) or all.")
    ] = "none",
    bounds_share: Annotated[
        float, typer.Option(help="Share of sampled tissue within the bounds of mean and of variance.")
    ] = 0.98,
    split: Annotated[
        str, typer.Option(help="dataset, or scuccimarra: the test tiles halved in file order (leaks).")
    ] = "dataset",
    findings: Annotated[
        str, typer.Option(help="Findings that give tiles, such as mass,calcification; empty: all.")
    ] = "",
    birads: Birads = False,
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    address: Address = "",
    restart: Annotated[bool, typer.Option("--restart", help="Make an existing tile set anew.")] = False,
    json_: Json = False,
) -> None:
    """Cut tiles of lesions and of normal tissue: a dataset to train a network for abnormality on."""
    from ensemble_mammo.lesions.tiles import TileOptions
    from ensemble_mammo.lesions.tiles import tiles as run
    from ensemble_mammo.records.manifest import read_dataset, read_description

    options = valid(
        TileOptions, set_, size, trim, normal_share, thin, bounds_share, split, findings_of(findings), birads,
        seed, workers, restart, engine_of(engine, address),
    )  # fmt: skip
    made = run(read_dataset(data), out, options, read_dataset(normals) if normals else None, bounds)
    if json_:
        typer.echo(json.dumps(read_description(made.root), indent=2))
    else:
        from ensemble_mammo.console import tile_table

        tile_table(read_description(made.root))
        typer.echo(f"tile set: {out}")
