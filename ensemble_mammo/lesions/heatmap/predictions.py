"""The highest value of a map as the score of its image: predictions of views, breasts and subjects."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ensemble_mammo
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.lesions.heatmap.options import SCORED
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.origin import ORIGIN
from ensemble_mammo.records.predictions import (
    Predictions,
    ids_file,
    plain_file,
    view_predictions,
    write_plain,
    write_predictions,
)
from ensemble_mammo.records.subject import LEVELS, View
from ensemble_mammo.records.task import TASKS


def write_scores(out: Path, entries: Sequence[Mapping[str, Any]], task_name: str, about: Mapping[str, Any]) -> None:
    """Write `out/predictions/` as `predict` does: a table a view, and fused from them breasts and subject.

    An image's score for the task's second class is the highest value of its smoothed map; the other has the rest.

    Args:
        out: the folder.
        entries: of lesions.json.
        task_name: one of `SCORED`.
        about: `models`, `runs`, `seen` and `notes`, for predictions.json.

    Raises:
        DatasetError: no image has a score.
    """
    task, fusion = TASKS[task_name], Fusion()
    views: list[Predictions] = []
    for view in View:
        own = [e for e in entries if e["view"] == view and e["scores"].get(SCORED[task_name]) is not None]
        if own:
            high = np.array([entry["scores"][SCORED[task_name]] for entry in own], np.float64)
            keys = [(entry["subject_id"], entry["exam_id"]) for entry in own]
            views.append(view_predictions(view, task.classes, keys, np.stack([1 - high, high], axis=1)))
    if not views:
        raise DatasetError(f"{out}: no breast was found in any image, so there are no scores of {task_name}")
    fused = fuse(views, task, fusion)
    folder = out / "predictions"
    _write_tables(folder, views, list(fused.levels.values()))
    document = {
        "task": task.name,
        "classes": list(task.classes),
        "models": " ".join(about["models"]),
        "fusion": fusion.rule,
        "notes": [
            *about["notes"],
            f"scores of {task.classes[1]} are the highest values of the smoothed heatmaps of {SCORED[task_name]}",
            *fused.notes,
        ],
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        "runs": about["runs"],
        "seen": about["seen"],
        "disclaimer": "Not a medical device; for research.",
    }
    write_text(folder / ORIGIN, json.dumps(document, indent=2) + "\n")


def _write_tables(folder: Path, views: Sequence[Predictions], fused: Sequence[Predictions]) -> None:
    """A table a level, and the plain files of views; what an earlier call left of other views goes."""
    for level in LEVELS:
        (folder / f"{level}.csv").unlink(missing_ok=True)
    for view in View:
        plain_file(folder, view).unlink(missing_ok=True)
        ids_file(plain_file(folder, view)).unlink(missing_ok=True)
    for table in (*views, *fused):
        write_predictions(folder / f"{table.level}.csv", table)
    for table in views:
        write_plain(folder, table)
