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
    long: Annotated[
        bool, typer.Option("--long", help="Then films with lesions: patches, heatmaps, AUC; tiles and thresholds.")
    ] = False,
) -> None:
    """The whole way on phantom exams made here: under four minutes on two cores (--long: some minutes more)."""
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
    if long:
        _cancer(out / "cancer", subjects, seed)
        _abnormality(out / "cancer" / "dataset", out / "abnormality", seed)
    typer.echo(NOTICE)


def _cancer(out: Path, subjects: int, seed: int) -> None:
    """The cancer pipeline, and what it came to."""
    from ensemble_mammo.console import report_table
    from ensemble_mammo.workflows.demo_cancer import DemoCancerOptions, demo_cancer

    found = demo_cancer(out, DemoCancerOptions(subjects, seed))
    report_table(found.report, out / "report", False)
    typer.echo(
        f"patches of test subjects: accuracy {found.patch_accuracy:.3f} (majority class {found.patch_majority:.3f})"
    )
    for line in found.lines:
        typer.echo(line)
    typer.echo(f"heatmap: {found.heatmap}")
    typer.echo(f"films to read: {found.reader}")


def _abnormality(data: Path, out: Path, seed: int) -> None:
    """Tiles of those films, normal or not, and what that came to."""
    from ensemble_mammo.console import report_table
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.workflows.demo_abnormality import DemoAbnormalityOptions, demo_abnormality

    found = demo_abnormality(read_dataset(data), out, DemoAbnormalityOptions(seed))
    report_table(found.report, out / "report", False)
    typer.echo(f"thresholds and contrasts: {found.page}")
