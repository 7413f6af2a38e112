"""ensemble-mammo demo: the whole way on phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import NOTICE, app
from ensemble_mammo.cli.options import Out, Seed


@app.command()
def demo(
    out: Out = Path("demo"),
    subjects: Annotated[int, typer.Option(help="Phantom subjects.", min=20)] = 120,
    seed: Seed = 0,
) -> None:
    """The whole way on phantom exams made here: under four minutes on two cores."""
    from ensemble_mammo.console import report_table, scores_table
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.workflows.demo import DemoOptions
    from ensemble_mammo.workflows.demo import demo as run

    result = run(out, DemoOptions(subjects, seed))
    scores_table(result.scores, [out / "runs"], Fusion(), False)
    report_table(result.report, out / "report", False)
    typer.echo("These are phantoms: the figures show that the parts work together, and say nothing of patients.")
    typer.echo(f"class activation maps: {result.maps}")
    typer.echo(f"four views to read: {result.reader}")
    typer.echo(NOTICE)
