"""ensemble-mammo explain: class activation maps, what they are worth, and pages to read them on."""

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
    Models,
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
)


@app.command()
def explain(
    models: Models = Path("runs"),
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Split = "",
    views: Views = None,
    other_source: OtherSource = False,
    method: Annotated[
        str, typer.Option(help="grad-cam, class-map, grad-cam++, layer-cam, hires-cam, score-cam, …")
    ] = "grad-cam",
    class_name: Annotated[str, typer.Option("--class", help="Class to explain; empty: the predicted one.")] = "",
    html: Annotated[bool, typer.Option("--html", help="A four-view page an exam: open index.html.")] = False,
    boxes: Annotated[Path | None, typer.Option("--boxes", help="boxes.json to show on these pages.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the maps: lesions hit, deletion, insertion, shuffled weights.")
    ] = False,
    measure_images: Annotated[
        int, typer.Option(help="Images, drawn by chance, that get the slow measures; 0: all.")
    ] = 0,
    tolerance: Annotated[float, typer.Option(help="Pixels beside a lesion that still count as pointing at it.")] = 15.0,
    deletion_fill: Annotated[str, typer.Option(help="What stands for deleted pixels: blur or black.")] = "blur",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of the measures; 0: no intervals.")] = 10_000,
    out: Out = Path("maps"),
    device: Device = "auto",
    seed: Seed = 0,
    workers: Workers = 0,
    threads: Threads = 0,
    engine: EngineName = "local",
    address: Address = "",
    json_: Json = False,
) -> None:
    """Class activation maps over the pixels of the mammogram."""
    from ensemble_mammo.stages.explain import ExplainOptions
    from ensemble_mammo.stages.explain import explain as run

    options = valid(
        ExplainOptions, split, views, method, class_name, device=device, workers=workers, threads=threads,
        engine=engine_of(engine, address), html=html, boxes=boxes,
        measure=measure, measure_images=measure_images, tolerance_px=tolerance, deletion_fill=deletion_fill,
        resamples=resamples, seed=seed, other_source=other_source,
    )  # fmt: skip
    maps = run(source_of(data, subject_dir), models, out, options)
    if json_:
        typer.echo((out / "maps.json").read_text(encoding="utf-8"))
        return
    typer.echo(f"{len(maps)} maps under {out}; a sheet.png an exam")
    if html:
        typer.echo(f"pages to read: {out / 'index.html'}")
    if measure:
        typer.echo(f"measures: {out / 'measures.csv'}; shown by `ensemble-mammo report … --maps {out}`")
