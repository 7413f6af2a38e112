"""ensemble-mammo reproduce: published figures beside obtained ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import Json, Seed


@app.command()
def reproduce(
    pack: Annotated[str, typer.Argument(help="infn, shen or scuccimarra.")],
    source: Annotated[
        Path | None,
        typer.Argument(help="infn: folder of the prediction files; shen: folder of CBIS-DDSM's tables."),
    ] = None,
    obtained: Annotated[
        list[str] | None, typer.Option("--obtained", help="Our result, as ID=report.json; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for reproduce.json and tables.")] = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Published figures beside obtained ones, and why they differ."""
    from ensemble_mammo.console import reproduction_tables
    from ensemble_mammo.workflows.reproduce import ReproduceOptions
    from ensemble_mammo.workflows.reproduce import reproduce as run

    found = run(pack, source, out, ReproduceOptions(tuple(_pair(text) for text in obtained or ()), seed))
    if json_:
        typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        reproduction_tables(found)


def _pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise typer.BadParameter(f"--obtained {text}: expected ID=report.json, such as whole-auc=report/report.json")
    return name, Path(path)
