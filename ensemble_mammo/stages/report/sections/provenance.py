"""Section: what data and which networks stand behind the figures."""

from __future__ import annotations

from typing import Any

from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import read_origin
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.study import Study

_HASH_SHOWN = 12


def section(study: Study) -> Section | None:
    """The networks, the data and its division, as far as they are known; None where nothing is."""
    tables: list[Table] = []
    origins = [read_origin(folder) for folder in dict.fromkeys(study.folders)]
    runs = [{"view": view, **run} for one in origins for view, own in one.runs.items() for run in own]
    if runs:
        tables.append(_run_table(runs))
    if study.options.dataset is not None:
        tables.append(_data_table(study.options.dataset, study.task))
    if not tables:
        return None
    said = []
    if study.options.dataset is not None:
        said.append(f"the dataset has the fingerprint {study.options.dataset.fingerprint()[:_HASH_SHOWN]}…")
    if runs:
        fold_by_fold = ", each subject by networks that never saw her" if any(o.out_of_fold for o in origins) else ""
        said.append(f"{len(runs)} trained network{'s' if len(runs) > 1 else ''} made the predictions{fold_by_fold}")
    lead = "; ".join(said) + "."
    return Section(
        "provenance",
        "Data and networks",
        lead[0].upper() + lead[1:],
        tables=tuple(tables),
        notes=tuple(note for note in (*study.truth.remarks, *study.options.remarks)),
        method="Fingerprint: SHA-256 over ids, views, labels, splits and the SHA-256 of every source file; of the "
        "dataset, and of the rows that each network learned from.",
    )


def _run_table(runs: list[dict[str, Any]]) -> Table:
    columns = {
        "view": "view",
        "network": "network",
        "fold": "fold",
        "input": "input",
        "pretrained": "first weights",
        "seed": "seed",
        "epoch": "epoch kept",
        "images": "images learned from, mirrored ones too",
        "version": "version",
        "data": "fingerprint of what it learned from",
        "weights": "weights, SHA-256",
    }
    rows: list[list[Cell]] = []
    for run in runs:
        learned = (run.get("images") or {}).get("train") or {}
        rows.append(
            [
                run["view"],
                _text(run.get("network")),
                _fold(run.get("fold")),
                _text(run.get("input")),
                _text(run.get("pretrained")),
                run.get("seed"),
                run.get("kept_epoch"),
                sum(learned.values()) if learned else None,
                _text((run.get("versions") or {}).get("ensemble-mammo")),
                _short(run.get("data_fingerprint")),
                _short(run.get("weights_sha256")),
            ]
        )
    return Table("runs", "Networks", columns, rows)


def _data_table(dataset: Dataset, task: Task) -> Table:
    """Subjects, exams, images and classes of each split."""
    columns = {"split": "split", "subjects": "subjects", "exams": "exams", "images": "images"}
    columns |= {f"images_{name}": f"images of {name}" for name in task.classes}
    columns |= {"images_unlabelled": "without a label"}
    rows: list[list[Cell]] = []
    for split in (*SPLITS, ""):
        part = dataset.table[dataset.table["split"] == split]
        if len(part):
            labels = part[task.name] if task.name in part else part["split"]
            exams = len(part[["subject_id", "exam_id"]].drop_duplicates())
            counts: list[Cell] = [int((labels == name).sum()) for name in (*task.classes, "")]
            rows.append([split or "none", part["subject_id"].nunique(), exams, len(part), *counts])
    return Table("data", "The dataset by split", columns, rows, "By subject: no subject stands in two splits unless "
                 "the notes say so.")  # fmt: skip


def _fold(value: Any) -> int | None:
    return int(str(value).removeprefix("fold-")) if value is not None else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _short(value: Any) -> str | None:
    return None if not value else f"{str(value)[:_HASH_SHOWN]}…"
