"""ensemble-mammo prepare: an archive becomes a dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    Annotations,
    EngineName,
    ExamColumn,
    FileColumn,
    IdPattern,
    Json,
    LabelColumn,
    MaxBytes,
    MaxPixels,
    Out,
    Seconds,
    Seed,
    SubjectColumn,
    TaskName,
    Views,
    Workers,
    engine_of,
    valid,
)


@app.command()
def prepare(
    kind: Annotated[
        str,
        typer.Argument(
            help="folders, dicom, manifest, inbreast, cbis-ddsm, coco, mini-mias, ddsm, rsna, vindr, join, control."
        ),
    ],
    path: Annotated[Path, typer.Argument(help="The archive's folder; nothing in it is changed.")],
    out: Out = Path("dataset"),
    task: TaskName = "density",
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV with the labels.")] = None,
    label_column: LabelColumn = "",
    subject_column: SubjectColumn = "patient_id",
    file_column: FileColumn = "",
    exam_column: ExamColumn = "",
    annotations: Annotations = None,
    id_pattern: IdPattern = "",
    fixes: Annotated[Path | None, typer.Option(help="fixes.csv of an audit of this archive, to be applied.")] = None,
    as_released: Annotated[
        bool, typer.Option("--as-released", help="Patients in training and test of the release stay in both.")
    ] = False,
    views: Views = None,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Keep PatientIDs (public data).")] = False,
    voi: Annotated[str | None, typer.Option(help="auto, lut, window, min-max or stored.")] = None,
    window: Annotated[
        str | None, typer.Option(help="Which of several windows or VOI LUTs: place from 0, or name.")
    ] = None,
    polarity: Annotated[str | None, typer.Option(help="header, or auto: white backgrounds are turned.")] = None,
    bits_used: Annotated[int | None, typer.Option(help="Bits in use of 16-bit PNG, TIFF, PGM; 0: all.")] = None,
    source_aspect: Annotated[
        float | None, typer.Option(help="Width/height of originals where exports lost it.")
    ] = None,
    trim: Annotated[float | None, typer.Option(help="Share taken off each side first (film borders).")] = None,
    white_patches: Annotated[str | None, typer.Option(help="White rectangles on films: keep or black.")] = None,
    crop: Annotated[bool | None, typer.Option("--crop/--no-crop", help="Cut to the breast.")] = None,
    outside: Annotated[str | None, typer.Option(help="Outside the breast: black or keep.")] = None,
    intensity: Annotated[str | None, typer.Option(help="Within the breast: kept, range, rank or local.")] = None,
    pectoral: Annotated[str | None, typer.Option(help="Pectoral muscle in MLO views: keep or black.")] = None,
    orientation: Annotated[str | None, typer.Option(help="kept, or chest-left.")] = None,
    decode: Annotated[str | None, typer.Option(help="full, or fast: JPEG 2000 at a lower level.")] = None,
    height: Annotated[int | None, typer.Option(help="Rows of the prepared images; 0: the source's.")] = None,
    width: Annotated[int | None, typer.Option(help="Columns, by padding; 0: as the aspect gives.")] = None,
    full_size: Annotated[bool, typer.Option("--full-size", help="Also write images and masks at full size.")] = False,
    split: Annotated[
        str,
        typer.Option(help="train:val:test, or 85:15 (then 90:10); empty: as the archive states, else 80:10:10."),
    ] = "",
    folds: Annotated[int, typer.Option(help="Cross-validation folds in the manifest; 0: none.")] = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    address: Address = "",
    max_pixels: MaxPixels = 200_000_000,
    max_bytes: MaxBytes = 1_000_000_000,
    seconds: Seconds = 60.0,
    strict: Annotated[bool, typer.Option("--strict", help="A file that cannot be read ends the work.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Make an existing dataset anew.")] = False,
    lesions: Annotated[
        str | None, typer.Option("--lesions", help="Of a control: blotted (default), alone or no-breast.")
    ] = None,
    shards: Annotated[
        str, typer.Option("--shards", help="Pack images into tar shards of this size, such as 1GB; empty: a file each.")
    ] = "",
    json_: Json = False,
) -> None:
    """Turn an archive into a dataset: 16-bit PNGs, manifest.csv, a folder-per-class tree."""
    from ensemble_mammo.archives import KINDS
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.imaging.read import Limits
    from ensemble_mammo.records.division import Division
    from ensemble_mammo.records.manifest import read_description
    from ensemble_mammo.records.preparation import Preparation
    from ensemble_mammo.stages.prepare import PrepareOptions
    from ensemble_mammo.stages.prepare import prepare as run

    where = engine_of(engine, address)
    archive = valid(
        ArchiveOptions, task, labels, label_column, subject_column, file_column, exam_column, annotations, id_pattern,
        fixes, as_released, views, keep_ids, workers=workers, engine=where,
    )  # fmt: skip
    which = int(window) if window is not None and window.isdigit() else window
    said = {
        "voi": voi, "window": which, "polarity": polarity, "bits_used": bits_used, "source_aspect": source_aspect,
        "trim": trim, "white_patches": white_patches, "crop": crop, "outside": outside, "intensity": intensity,
        "pectoral": pectoral, "orientation": orientation, "decode": decode, "height": height, "width": width,
    }  # fmt: skip
    usual = KINDS[kind].preparation if kind in KINDS else Preparation()
    if height and width is None and usual.width:  # the kind's own frame, at another size
        said["width"] = round(usual.width * height / usual.height)
    preparation = valid(replace, usual, **{name: value for name, value in said.items() if value is not None})
    limits = valid(Limits, max_pixels, max_bytes, seconds)
    division = valid(Division, _shares(split), folds, seed)
    given = [f"--{name.replace('_', '-')}" for name, value in said.items() if value is not None]
    if kind in ("join", "control") and given:
        whose = "joined images" if kind == "join" else "a dataset's images"
        raise typer.BadParameter(f"{', '.join(given)}: {whose} are prepared already; leave it out")
    if lesions is not None and kind != "control":
        raise typer.BadParameter(f"--lesions {lesions}: goes with `prepare control`")
    if kind in ("join", "control") and shards:
        found = "takes shards of its parts as they are" if kind == "join" else "has a file for each image"
        raise typer.BadParameter(f"--shards {shards}: a {kind} {found}; leave it out")
    if kind == "join":
        from ensemble_mammo.workflows.join import JoinOptions, join

        dataset = join(path, out, JoinOptions(labels, task, division, restart))
    elif kind == "control":
        from ensemble_mammo.workflows.control import ControlOptions, control

        if split or folds or labels or full_size:
            raise typer.BadParameter("--split, --folds, --labels, --full-size: a control keeps those of its dataset")
        dataset = control(path, out, valid(ControlOptions, lesions or "blotted", seed, workers, restart, where))
        task = str(read_description(dataset.root).get("task", task))
    else:
        options = PrepareOptions(archive, preparation, limits, division, full_size, workers, strict, restart)
        options = replace(options, shards=_size(shards) if shards else 0, engine=where)
        dataset = run(kind, path, out, options)
    if json_:
        typer.echo(json.dumps(read_description(dataset.root), indent=2))
    else:
        from ensemble_mammo.console import dataset_table

        dataset_table(dataset, task)
        typer.echo(f"dataset: {out}")


def _size(text: str) -> int:
    from ensemble_mammo.records.shard_writing import size_from

    try:
        return size_from(text)
    except ValueError as error:
        raise typer.BadParameter(f"--shards {error}") from error


def _shares(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
        if len(parts) == 2:  # learning and test; a tenth of the learning subjects validates
            parts = [0.9 * parts[0], 0.1 * parts[0], parts[1]]
        train, val, test = parts
        total = train + val + test
        if min(train, val, test) < 0 or not any(abs(total - whole) < 1e-6 for whole in (1, 100)):
            raise ValueError(text)
        return train / total, val / total, test / total
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(
            f"--split {text}: expected train:val:test, such as 80:10:10, or learning:test, such as 85:15, "
            "that add up to 100 (or to 1)"
        ) from error
