"""ensemble-mammo fuse: views become breasts and subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import AllViews, BreastToSubject, Out, Rule, TaskName, Weights, fusion_of, task_of


@app.command()
def fuse(
    files: Annotated[
        list[str],
        typer.Argument(help="Prediction files of views, or their folder; several systems as A=FOLDER B=FOLDER."),
    ],
    task: TaskName = "density",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    breast_to_subject: BreastToSubject = "",
    system_weight: Annotated[
        list[str] | None,
        typer.Option("--system-weight", help="Weight of a system in the mean of several, as A=2; repeatable."),
    ] = None,
    out: Out = Path("predictions"),
) -> None:
    """Join prediction files of views by subject: right.csv, left.csv and subject.csv; several systems: their mean."""
    from ensemble_mammo.stages.fuse import fuse_files

    rule = fusion_of(fusion, weights, require_all_views, breast_to_subject)
    fused = fuse_files(list(files), task_of(task), rule, out, _system_weights(system_weight))
    for note in fused.notes:
        typer.echo(note, err=True)
    for level, table in fused.levels.items():
        typer.echo(f"{out / level}.csv: {len(table)} exams")


def _system_weights(given: list[str] | None) -> dict[str, float]:
    """Name of a system -> its weight, from texts such as `A=2`."""
    weights = {}
    for text in given or []:
        name, _, number = text.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError as error:
            raise typer.BadParameter(f"--system-weight {text}: expected a system and a number, as A=2") from error
    return weights
