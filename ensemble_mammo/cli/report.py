"""ensemble-mammo report: figures of merit, and the studies behind them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_mammo.cli.app import app
from ensemble_mammo.cli.options import (
    AllViews,
    BreastToSubject,
    Json,
    Out,
    Rule,
    Seed,
    Split,
    TaskName,
    Weights,
    fusion_of,
    task_of,
    valid,
)

if TYPE_CHECKING:
    from ensemble_mammo.merit.inputs.truth import Truth
    from ensemble_mammo.records.manifest import Dataset
    from ensemble_mammo.stages.report import Report


@app.command()
def report(
    files: Annotated[
        list[str],
        typer.Argument(help="Prediction files or their folder; several systems as NAME=FOLDER OTHER=FOLDER."),
    ],
    true_counts: Annotated[
        str,
        typer.Option("--true-counts", help="Rows a class in file order: A=14,B=51,…", rich_help_panel="True classes"),
    ] = "",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="CSV with subject_id, label; or an INFN tree of class folders.",
            rich_help_panel="True classes",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A dataset that has the labels.", rich_help_panel="True classes")
    ] = None,
    split: Split = "",
    audited: Annotated[
        Path | None,
        typer.Option(
            "--audit",
            help="audit.json of that dataset; ./audit/audit.json if it is of it.",
            rich_help_panel="True classes",
        ),
    ] = None,
    task: TaskName = "density",
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            help="Columns of other CSV files: subject=patient,view=view,score=p,label=y.",
            rich_help_panel="True classes",
        ),
    ] = "",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    breast_to_subject: BreastToSubject = "",
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", help="A column that makes subgroups; repeatable; empty: those known.", rich_help_panel="Studies"
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", help="CSV with subject_id and columns that make subgroups.", rich_help_panel="Studies"
        ),
    ] = None,
    readers: Annotated[
        Path | None,
        typer.Option("--readers", help="CSV with subject_id and a column a reader.", rich_help_panel="Studies"),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            "--validation",
            help="Predictions of other subjects: thresholds, temperature, sets; repeatable.",
            rich_help_panel="Studies",
        ),
    ] = None,
    validation_counts: Annotated[
        str,
        typer.Option(help="Rows a class of validation files without ids, as --true-counts.", rich_help_panel="Studies"),
    ] = "",
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            help="Of two classes: the score called positive, as 0.3; or recall=0.9, chosen on --validation.",
            rich_help_panel="Studies",
        ),
    ] = "0.5",
    validation_data: Annotated[
        Path | None,
        typer.Option(
            "--validation-data",
            help="The dataset of the validation files, where it is another one than --data.",
            rich_help_panel="Studies",
        ),
    ] = None,
    sensitivity: Annotated[
        float, typer.Option(help="Where specificity is stated; aim of a threshold.", rich_help_panel="Studies")
    ] = 0.9,
    specificity: Annotated[float, typer.Option(help="Where sensitivity is stated.", rich_help_panel="Studies")] = 0.9,
    coverage: Annotated[
        float, typer.Option(help="Share of conformal sets that shall hold the true class.", rich_help_panel="Studies")
    ] = 0.9,
    plan_width: Annotated[
        float,
        typer.Option(
            "--plan-width",
            help="Plan the number of subjects for intervals of this width; 0: no.",
            rich_help_panel="Studies",
        ),
    ] = 0.0,
    studies: Annotated[
        bool,
        typer.Option("--studies/--no-studies", help="Studies of fusion (some seconds).", rich_help_panel="Studies"),
    ] = True,
    maps: Annotated[
        Path | None,
        typer.Option("--maps", help="Folder that `explain --measure` wrote, to be shown.", rich_help_panel="Studies"),
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            "--heatmaps",
            help="Folder that `heatmap --data` wrote: lesions found, by the masks of --data.",
            rich_help_panel="Studies",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Predictions of a cheap method, or its report.json; default: baseline/ beside the predictions.",
            rich_help_panel="Studies",
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--tables", help="latex or markdown, beside CSV; repeatable.", rich_help_panel="Output"),
    ] = None,
    hide_ids: Annotated[
        bool, typer.Option("--hide-ids", help="Number subjects instead of naming them.", rich_help_panel="Output")
    ] = False,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of subjects; 0: no intervals.")] = 10_000,
    seed: Seed = 0,
    allow_unlabelled: Annotated[
        bool, typer.Option("--allow-unlabelled", help="Leave exams without label out.", rich_help_panel="True classes")
    ] = False,
    out: Out = Path("report"),
    json_: Json = False,
) -> None:
    """Figures of merit for each view, breast and subject, with 95 % intervals, and the studies behind them."""
    from ensemble_mammo.console import report_table
    from ensemble_mammo.merit.inputs.columns import columns_of
    from ensemble_mammo.merit.inputs.sources import truth_from_files
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.stages.report import ReportOptions
    from ensemble_mammo.stages.report import report as run

    if split and data is None:
        raise typer.BadParameter("--split is of a dataset: give --data, or leave it out")
    known = task_of(task)
    named = valid(columns_of, columns) if columns else None
    dataset = read_dataset(data) if data else None
    truth = _truth(true_counts, labels, dataset, split, known) or truth_from_files(files, known, named)
    if dataset is not None:
        truth = replace(truth, remarks=(*truth.remarks, *_audit_remarks(audited, dataset, task)))
    rule = fusion_of(fusion, weights, require_all_views, breast_to_subject)
    options = valid(
        ReportOptions, rule, resamples, seed, allow_unlabelled, columns=named, dataset=dataset, groups=groups,
        by=tuple(by or ()), readers=readers, validation=tuple(validation or ()), validation_counts=validation_counts,
        validation_data=read_dataset(validation_data) if validation_data else None,
        threshold=threshold, sensitivity=sensitivity, specificity=specificity, coverage=coverage,
        plan_width=plan_width, studies=studies, maps=maps,
        heatmaps=heatmaps, baseline=baseline, tables=tuple(tables or ()), hide_ids=hide_ids,
    )  # fmt: skip
    found: Report = run(list(files), truth, out, options)
    report_table(found, out, json_)


def _truth(counts: str, labels: Path | None, dataset: Dataset | None, split: str, task: Any) -> Truth | None:
    """The true classes from where they were said to be; None where prediction files must carry them."""
    from ensemble_mammo.merit.inputs.truth import (
        truth_from_counts,
        truth_from_csv,
        truth_from_dataset,
        truth_from_folders,
    )

    if sum(map(bool, (counts, labels, dataset))) > 1:
        raise typer.BadParameter("give the true classes by one of --true-counts, --labels and --data")
    if counts:
        return truth_from_counts(counts, task)
    if labels:
        return truth_from_folders(labels, task) if labels.is_dir() else truth_from_csv(labels, task)
    return truth_from_dataset(dataset, task, split or None) if dataset is not None else None


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
