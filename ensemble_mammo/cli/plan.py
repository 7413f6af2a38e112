"""ensemble-mammo plan: a recipe out of the data and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import Device, Json, Seed, valid


@app.command()
def plan(
    data: Annotated[Path, typer.Option("--data", help="A prepared dataset.")] = Path("dataset"),
    out: Annotated[Path, typer.Option("--out", help="The recipe to write; its JSON beside it.")] = Path("plan.toml"),
    task: Annotated[str, typer.Option("--task", help="What is told apart; empty: the dataset's own.")] = "",
    device: Device = "auto",
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Write a recipe for a dataset and this machine, with a reason beside each value."""
    from ensemble_mammo.console.planned import plan_table
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.workflows.plan import PlanOptions
    from ensemble_mammo.workflows.plan import plan as run

    if out.suffix != ".toml":
        raise typer.BadParameter(f"--out {out}: expected a file that ends in .toml")
    plan_table(run(read_dataset(data), out, valid(PlanOptions, task, device, seed)), json_)
