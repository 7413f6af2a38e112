"""ensemble-mammo predict: scores of subjects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    AllViews,
    BreastToSubject,
    Device,
    EngineName,
    Json,
    ManyModels,
    OtherSource,
    Rule,
    Split,
    Threads,
    Views,
    Weights,
    Workers,
    engine_of,
    fusion_of,
    source_of,
)

if TYPE_CHECKING:
    from ensemble_mammo.stages.predict import Scores


@app.command()
def predict(
    models: ManyModels = None,
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    subjects: Annotated[Path | None, typer.Option("--subjects", help="A folder of subject folders.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Split = "",
    views: Views = None,
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    breast_to_subject: BreastToSubject = "",
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="calibration.json of a report: temperatures and sets.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write predictions/ to.")] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also image_level.csv and breast_level.csv, of tasks of two classes.")
    ] = False,
    task: Annotated[str, typer.Option("--task", help="Refuse networks of another task.")] = "",
    read_as: Annotated[
        str, typer.Option("--read-as", help="Read scores of two classes as those of this task, such as birads.")
    ] = "",
    flips: Annotated[bool, typer.Option("--flips", help="Average over an image and its three mirror images.")] = False,
    layer: Annotated[
        str, typer.Option("--layer", help="Of networks with a last layer a collection: whose; default the image's own.")
    ] = "",
    threshold: Annotated[
        float, typer.Option("--threshold", help="Of two classes: the score from which a row is called positive.")
    ] = 0.5,
    contrast: Annotated[
        str,
        typer.Option("--contrast", help="1.5: the input's contrast; 1,1.2,1.5,2: tables at each of them too."),
    ] = "",
    other_source: OtherSource = False,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    engine: EngineName = "local",
    address: Address = "",
    json_: Json = False,
) -> None:
    """Predict one subject's folder, many, or a dataset: a table a view, a breast and the subject."""
    from ensemble_mammo.console import scores_table
    from ensemble_mammo.stages.predict import PredictOptions
    from ensemble_mammo.stages.predict import predict as run

    folders = models or [Path("runs")]
    rule = fusion_of(fusion, weights, require_all_views, breast_to_subject)
    source = source_of(data, subject_dir, subjects)
    contrasts = _contrasts(contrast)
    if len(contrasts) > 1 and out is None:
        raise typer.BadParameter(f"--contrast {contrast}: tables at several contrasts are files: give --out")
    options = PredictOptions(
        split, many=subjects is not None, views=views, fusion=rule, calibration=calibration, peers=peers,
        device=device, workers=workers, threads=threads,
        engine=engine_of(engine, address), task=task, read_as=read_as, flips=flips, layer=layer,
        other_source=other_source, threshold=threshold, contrasts=contrasts,
    )  # fmt: skip
    scores: Scores = run(source, folders, out, options)
    scores_table(scores, folders, rule, json_)


def _contrasts(text: str) -> tuple[float, ...]:
    """Factors with commas between them; what is no number is a usage error."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"--contrast {text}: expected numbers, such as 1.5 or 1,1.2,1.5,2") from error
