"""ensemble-mammo heatmap: where a patch classifier sees lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    Device,
    EngineName,
    Json,
    ManyModels,
    OtherSource,
    Out,
    Seed,
    Split,
    Threads,
    Views,
    Workers,
    engine_of,
    source_of,
    valid,
    views_of,
)


@app.command()
def heatmap(
    models: ManyModels = None,
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="One file as it came.")] = None,
    view: Annotated[str, typer.Option("--view", help="Of --image: its view; empty: as header or name say.")] = "",
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Split = "",
    views: Views = None,
    other_source: OtherSource = False,
    of: Annotated[
        str, typer.Option("--of", help="lesion, malignant, benign, calcification, mass, or a class of patches.")
    ] = "lesion",
    mode: Annotated[str, typer.Option("--mode", help="exact (patch by patch) or dense (features shared).")] = "exact",
    stride: Annotated[int, typer.Option("--stride", help="Pixels from one patch to the next.")] = 8,
    padding: Annotated[int, typer.Option("--padding", help="Black pixels around the image; -1: half a patch.")] = -1,
    shared: Annotated[
        int, typer.Option("--shared", help="Dense: feature stages computed once for the image; -1: all.")
    ] = -1,
    dilated: Annotated[int, typer.Option("--dilated", help="Dense: each halves the step that is computed.")] = 0,
    context: Annotated[
        str, typer.Option("--context", help="Dense: what the padding holds: zero or reflected.")
    ] = "zero",
    interpolation: Annotated[
        str, typer.Option("--interpolation", help="Dense: of logit or probability between computed places.")
    ] = "logit",
    precision: Annotated[str, typer.Option("--precision", help="float32, auto, bfloat16 or float16.")] = "float32",
    batch_size: Annotated[int, typer.Option("--batch-size", help="Patches computed at once.")] = 16,
    compare: Annotated[
        int, typer.Option("--compare", help="Dense: so many images, drawn by chance, are computed exactly too.")
    ] = 0,
    boxes: Annotated[int, typer.Option("--boxes", help="Boxes an image, at most.")] = 10,
    least: Annotated[float, typer.Option("--least", help="Lowest score of a box.")] = 0.05,
    smoothing: Annotated[
        float, typer.Option("--smoothing", help="Gaussian before maxima are sought, in pixels; -1: patch / 8.")
    ] = -1.0,
    apart: Annotated[float, typer.Option("--apart", help="Pixels between two maxima; -1: half a patch.")] = -1.0,
    cutoff: Annotated[
        list[float] | None,
        typer.Option("--cutoff", help="Of the region features; repeatable.  [default: 0.3 0.5 0.7 0.9]"),
    ] = None,
    predictions: Annotated[
        str, typer.Option("--predictions", help="Also predictions/ of abnormality, pathology or birads.")
    ] = "",
    out: Out = Path("heatmaps"),
    device: Device = "auto",
    seed: Seed = 0,
    workers: Workers = 0,
    threads: Threads = 0,
    engine: EngineName = "local",
    address: Address = "",
    json_: Json = False,
) -> None:
    """Heatmaps of lesions over whole mammograms, with boxes and features of regions."""
    if sum(place is not None for place in (subject_dir, image, data)) > 1:
        raise typer.BadParameter("give one of --subject-dir, --image and --data")
    if view and image is None:
        raise typer.BadParameter(f"--view {view}: goes with --image; a folder's views stand in a CSV, --views")
    if view == "all":
        raise typer.BadParameter("--view all: an image has one view")
    from ensemble_mammo.learning.heatmap import HeatmapOptions
    from ensemble_mammo.lesions.heatmap import LesionMapOptions
    from ensemble_mammo.lesions.heatmap import heatmap as run

    sweep = valid(
        HeatmapOptions, mode, stride, padding, shared, dilated=dilated, context=context, interpolation=interpolation,
        batch_size=batch_size, precision=precision,
    )  # fmt: skip
    more = {} if cutoff is None else {"cutoffs": tuple(cutoff)}
    options = valid(
        LesionMapOptions, split, views, views_of(view)[0] if view else None, other_source, sweep, of, smoothing, apart,
        boxes, least, compare=compare, predictions=predictions, seed=seed, device=device, workers=workers,
        threads=threads, engine=engine_of(engine, address), **more,
    )  # fmt: skip
    maps = run(source_of(data, subject_dir, image), models or [Path("runs")], out, options)
    if json_:
        typer.echo((out / "lesions.json").read_text(encoding="utf-8"))
        return
    for line in maps.lines():
        typer.echo(line)
    found = sum(len(one["boxes"]) for one in maps.images)
    typer.echo(f"{len(maps.images)} heatmaps under {out}, {found} boxes in {out / 'lesions.json'}")
    typer.echo(f"on reader pages: ensemble-mammo explain … --html --boxes {out / 'boxes.json'}")
