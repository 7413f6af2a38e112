"""ensemble-mammo explain: class activation maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import Device, Json, Models, Out, Views, Workers, source_of, valid


@app.command()
def explain(
    models: Models = Path("runs"),
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of the dataset: train, val, test; empty: all.")] = "",
    views: Views = None,
    method: Annotated[str, typer.Option(help="grad-cam, grad-cam++, layer-cam, hires-cam, score-cam, …")] = "grad-cam",
    class_name: Annotated[str, typer.Option("--class", help="Class to explain; empty: the predicted one.")] = "",
    out: Out = Path("maps"),
    device: Device = "auto",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Class activation maps over the pixels of the mammogram."""
    from ensemble_mammo.stages.explain import ExplainOptions
    from ensemble_mammo.stages.explain import explain as run

    options = valid(ExplainOptions, split, views, method, class_name, device=device, workers=workers)
    maps = run(source_of(data, subject_dir), models, out, options)
    if json_:
        typer.echo((out / "maps.json").read_text(encoding="utf-8"))
    else:
        typer.echo(f"{len(maps)} maps under {out}; a sheet.png an exam")
