"""ensemble-mammo audit: what is wrong with files, splits and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    Address,
    Annotations,
    Device,
    EngineName,
    ExamColumn,
    FileColumn,
    IdPattern,
    Json,
    LabelColumn,
    MaxBytes,
    MaxPixels,
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
def audit(
    path: Annotated[Path, typer.Argument(help="A dataset, an archive, or any folder of images; never changed.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for audit.json, .csv, .html (audit); with --fix: the corrected manifest."),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="Kind of archive, as for prepare; empty: found out.")] = "",
    task: TaskName = "density",
    labels: Annotated[Path | None, typer.Option("--labels", help="Tables of the archive, as for prepare.")] = None,
    label_column: LabelColumn = "",
    subject_column: SubjectColumn = "patient_id",
    file_column: FileColumn = "",
    exam_column: ExamColumn = "",
    annotations: Annotations = None,
    id_pattern: IdPattern = "",
    views: Views = None,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Keep PatientIDs in what --fix writes.")] = False,
    shortcuts: Annotated[
        bool, typer.Option("--shortcuts", help="Probe a dataset: is the label told without the breast?")
    ] = False,
    probe_height: Annotated[int, typer.Option(help="Rows of the probes' input; 768 sees more, slower.")] = 384,
    fix: Annotated[bool, typer.Option("--fix", help="Write a corrected manifest to --out, decisions logged.")] = False,
    max_pixels: MaxPixels = 200_000_000,
    max_bytes: MaxBytes = 1_000_000_000,
    seconds: Seconds = 60.0,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Workers = 0,
    engine: EngineName = "local",
    address: Address = "",
    json_: Json = False,
) -> None:
    """Find what is wrong with files, splits and labels: exit status 1 if there is an error."""
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.console import audit_table
    from ensemble_mammo.imaging.read import Limits
    from ensemble_mammo.stages.audit import AuditOptions
    from ensemble_mammo.stages.audit import audit as run

    where = engine_of(engine, address)
    archive = valid(
        ArchiveOptions, task, labels, label_column, subject_column, file_column, exam_column, annotations, id_pattern,
        views=views, keep_ids=keep_ids, workers=workers, engine=where,
    )  # fmt: skip
    probes = None
    if shortcuts:
        from ensemble_mammo.stages.audit.shortcuts import ShortcutOptions

        probes = valid(ShortcutOptions, task, seed, device=device, height=probe_height, workers=workers)
    limits = valid(Limits, max_pixels, max_bytes, seconds)
    options = AuditOptions(kind, archive, limits, probes, fix, workers, where)
    if fix and out is None:
        raise typer.BadParameter("--fix writes a corrected manifest: give it a folder with --out")
    target = out or Path("audit")
    found = run(path, target, options)
    audit_table(found, target / "audit" if fix else target, json_, target if fix else None)
    if found.failed:
        raise typer.Exit(1)
