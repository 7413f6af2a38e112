"""ensemble-mammo patches: small squares around lesions and elsewhere, a dataset of five classes."""

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
def patches(
    data: Annotated[Path, typer.Option("--data", help="A prepared dataset with lesions.")] = Path("dataset"),
    set_: Annotated[str, typer.Option("--set", help="S, S1, S1-Big, S10, S10-Big or S30.")] = "S10",
    out: Out = Path("patches"),
    size: Annotated[int, typer.Option(help="Rows and columns of a patch; 0: the set's, 224 or 512.")] = 0,
    image_height: Annotated[
        int, typer.Option(help="Rows of the mammograms when patches are cut; 0: the source's (prepare --full-size).")
    ] = 1152,
    overlap: Annotated[float, typer.Option(help="Least overlap with the lesion: of the lesion or of the patch.")] = 0.9,
    background_overlap: Annotated[float, typer.Option(help="Background overlaps every lesion less than this.")] = 0.35,
    hard_negatives: Annotated[
        float, typer.Option(help="Share of the background patches that lie on bright blobs, 0 to 1.")
    ] = 0.0,
    findings: Annotated[
        str, typer.Option(help="Findings that give patches, such as mass,calcification; empty: all.")
    ] = "",
    birads: Birads = False,
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    address: Address = "",
    restart: Annotated[bool, typer.Option("--restart", help="Make an existing patch set anew.")] = False,
    json_: Json = False,
) -> None:
    """Cut patches around lesions and from the rest of the breast: a dataset to train a patch network on."""
    from ensemble_mammo.lesions.patches import PatchOptions
    from ensemble_mammo.lesions.patches import patches as run
    from ensemble_mammo.records.manifest import read_dataset, read_description

    options = valid(
        PatchOptions, set_, size, image_height, overlap, background_overlap, hard_negatives, findings_of(findings),
        birads, seed, workers, restart, engine_of(engine, address),
    )  # fmt: skip
    made = run(read_dataset(data), out, options)
    if json_:
        typer.echo(json.dumps(read_description(made.root), indent=2))
    else:
        from ensemble_mammo.console import patch_table

        patch_table(read_description(made.root))
        typer.echo(f"patch set: {out}")
