"""ensemble-mammo fuse: views become breasts and subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import AllViews, BreastToSubject, Out, Rule, TaskName, Weights, fusion_of, task_of


@app.command()
def fuse(
    files: Annotated[list[str], typer.Argument(help="Prediction files of views, or their folder.")],
    task: TaskName = "density",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    breast_to_subject: BreastToSubject = "",
    out: Out = Path("predictions"),
) -> None:
    """Join prediction files of views by subject: right.csv, left.csv and subject.csv."""
    from ensemble_mammo.stages.fuse import fuse_files

    fused = fuse_files(
        list(files), task_of(task), fusion_of(fusion, weights, require_all_views, breast_to_subject), out
    )
    for note in fused.notes:
        typer.echo(note, err=True)
    for level, table in fused.levels.items():
        typer.echo(f"{out / level}.csv: {len(table)} exams")
