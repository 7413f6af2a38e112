"""ensemble-mammo report: figures of merit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import AllViews, Json, Out, Rule, Seed, TaskName, Weights, fusion_of, task_of, valid

if TYPE_CHECKING:
    from ensemble_mammo.records.manifest import Dataset
    from ensemble_mammo.stages.report import Report


@app.command()
def report(
    files: Annotated[list[str], typer.Argument(help="Prediction files (or their folder): txt, or our CSV.")],
    true_counts: Annotated[str, typer.Option("--true-counts", help="Rows a class in file order: A=14,B=51,…")] = "",
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV with subject_id, label.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A dataset that has the labels.")] = None,
    audited: Annotated[
        Path | None, typer.Option("--audit", help="audit.json of that dataset; ./audit/audit.json if it is of it.")
    ] = None,
    task: TaskName = "density",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of subjects; 0: no intervals.")] = 10_000,
    seed: Seed = 0,
    allow_unlabelled: Annotated[
        bool, typer.Option("--allow-unlabelled", help="Leave exams without label out.")
    ] = False,
    out: Out = Path("report"),
    json_: Json = False,
) -> None:
    """Figures of merit for each view, breast and subject, with 95 % intervals, as a page and as JSON."""
    from ensemble_mammo.console import report_table
    from ensemble_mammo.merit.truth import truth_from_counts, truth_from_csv, truth_from_dataset
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.stages.report import ReportOptions
    from ensemble_mammo.stages.report import report as run

    if sum(map(bool, (true_counts, labels, data))) != 1:
        raise typer.BadParameter("give the true classes by one of --true-counts, --labels and --data")
    known = task_of(task)
    if true_counts:
        truth = truth_from_counts(true_counts, known)
    elif labels:
        truth = truth_from_csv(labels, known)
    else:
        assert data is not None
        dataset = read_dataset(data)
        truth = truth_from_dataset(dataset, known)
        truth = replace(truth, remarks=(*truth.remarks, *_audit_remarks(audited, dataset, task)))
    rule = fusion_of(fusion, weights, require_all_views)
    options = valid(ReportOptions, rule, resamples, seed, allow_unlabelled)
    found: Report = run(list(files), truth, out, options)
    report_table(found, out, json_)


def _audit_remarks(named: Path | None, dataset: Dataset, task: str) -> list[str]:
    """What the named audit found; without a name, ./audit's if it is of this dataset."""
    from ensemble_mammo.errors import DatasetError
    from ensemble_mammo.records.audit_file import AUDIT, audit_remarks

    if named is not None:
        return audit_remarks(named / AUDIT if named.is_dir() else named, dataset.fingerprint(), task)
    try:
        return audit_remarks(Path("audit") / AUDIT, dataset.fingerprint(), task)
    except DatasetError:
        return []
