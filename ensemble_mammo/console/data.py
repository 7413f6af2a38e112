"""What datasets, patch sets and tile sets hold, and what an audit found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_mammo.console.terminal import EXAMS_SHOWN, print_table, terminal
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.problem import PROBLEMS
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import PATCH_CLASSES, TASKS

if TYPE_CHECKING:
    from ensemble_mammo.stages.audit import Audit


def dataset_table(dataset: Dataset, task_name: str = "") -> None:
    """Images, subjects and classes (of the task named, else of the first) a view and split."""
    names = [name for name in (task_name, *dataset.task_names()) if name in dataset.task_names()]
    task = TASKS[names[0]] if names else None
    classes = task.classes if task else ()
    rows = []
    for view in View:
        for split in SPLITS:
            part = dataset.rows(view, split)
            if len(part):
                counts = [str(int((part[task.name] == name).sum())) for name in classes] if task else []
                rows.append([view.value, split, str(len(part)), str(part["subject_id"].nunique()), *counts])
    print_table("dataset", ["view", "split", "images", "subjects", *classes], rows)


def patch_table(description: Mapping[str, Any]) -> None:
    """Patches of each class a split, as dataset.json of a patch set has them."""
    counts: Mapping[str, Mapping[str, int]] = description["patches"]["counts"]
    title = f"patch set {description['patches']['set']}"
    rows = [
        [split, *(str(counts[split][name]) for name in PATCH_CLASSES)] for split in (*SPLITS, "all") if split in counts
    ]
    print_table(title, ["split", *PATCH_CLASSES], rows)


def tile_table(description: Mapping[str, Any]) -> None:
    """Tiles of each class a split, as dataset.json of a tile set has them, and its notes."""
    said: Mapping[str, Any] = description["tiles"]
    rows = []
    for split, counts in ((split, said["counts"][split]) for split in (*SPLITS, "all") if split in said["counts"]):
        whole = counts["normal"] + counts["abnormal"]
        rows.append([split, str(counts["normal"]), str(counts["abnormal"]), f"{counts['normal'] / whole:.3f}"])
    print_table(
        f"tile set {said['set']}, {said['size_px']} pixels", ["split", "normal", "abnormal", "normal share"], rows
    )
    for note in description["notes"]:
        terminal().print(note, markup=False)


def audit_table(found: Audit, out: Path, as_json: bool, fixed: Path | None = None) -> None:
    """How many problems of each kind, gravest first, where the contact sheet is, and what follows a fix."""
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
        return
    rows = [[f"{severity}: {PROBLEMS[code].title}", code, str(n), first] for severity, code, n, first in found.counts()]
    if rows:
        print_table(
            f"audit of {found.root}: {found.files} files ({found.source})",
            ["problem", "code", "how many", "first"],
            rows,
        )
    else:
        terminal().print(f"audit of {found.root}: nothing found in {found.files} files", markup=False)
    for one in found.problems:
        if one.code == "archive":
            terminal().print(f"archive: {one.found}", markup=False)
    probes = [
        [f"{p.target} from {p.probe}", f"{p.value:.2f} ({p.low:.2f} to {p.high:.2f})", f"{p.whole:.2f}", p.severity]
        for p in found.shortcuts
    ]
    if probes:
        print_table(
            "shortcuts: AUC, chance 0.5", ["what is told from what", "AUC (95 %)", "whole image", "verdict"], probes
        )
    leaks = found.leaks[:EXAMS_SHOWN]
    for leak in leaks:
        terminal().print(f"leak: {leak}", markup=False)
    if len(found.leaks) > len(leaks):
        terminal().print(f"… and {len(found.leaks) - len(leaks)} more leaks in audit.json", markup=False)
    terminal().print(f"contact sheet: {out / 'audit.html'}", markup=False)
    if fixed:
        terminal().print(f"{found.fixes} decisions in {fixed / 'fixes.csv'}", markup=False)
        loose = f"next: ensemble-mammo prepare manifest {fixed} --out DATASET"
        again = (
            f"next: ensemble-mammo prepare {found.source} {found.root} --fixes {fixed / 'fixes.csv'} … --out DATASET"
        )
        ready = f"the corrected dataset, which can be trained on as it is: {fixed}"
        terminal().print({"dataset": ready, "files": loose, "manifest": loose}.get(found.source, again), markup=False)
