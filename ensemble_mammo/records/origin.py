"""Where predictions come from: what predictions.json, beside the tables, says of networks and folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.predictions import ids_file, plain_file
from ensemble_mammo.records.subject import LEVELS, View

ORIGIN = "predictions.json"
"""Lies beside the tables that `predict` and cross-validation write."""
BASELINE = "baseline"
"""The folder in a folder of runs, or of predictions, that holds those of the baseline."""


@dataclass(frozen=True)
class Origin:
    """The networks behind a folder of predictions."""

    runs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    "view -> facts of each of its networks"
    out_of_fold: bool = False
    "whether each subject was predicted by networks that never saw her, fold by fold"
    seen: int = 0
    "how many of the subjects the networks learned from"
    fold_of: Mapping[str, int] = field(default_factory=dict)
    "subject_id -> the fold that she was held out of; empty: not known"


def read_origin(folder: Path) -> Origin:
    """What the folder's predictions.json says; nothing where there is none.

    Raises:
        PredictionError: it is damaged.
    """
    path = folder / ORIGIN
    if not path.is_file():
        return Origin()
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        runs = {str(view): [dict(run) for run in own] for view, own in held.get("runs", {}).items()}
        fold_of = {str(subject): int(fold) for subject, fold in held.get("fold_of", {}).items()}
        return Origin(runs, bool(held.get("out_of_fold", False)), int(held.get("seen", 0)), fold_of)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise PredictionError(f"{path}: cannot be read ({error!r}); predict again, or take the file away") from error


def clear_predictions(folder: Path) -> None:
    """Take away the tables of an earlier call and what it says of them; a folder left empty goes too."""
    names = [folder / f"{level}.csv" for level in LEVELS]
    names += [path for view in View for path in (plain_file(folder, view), ids_file(plain_file(folder, view)))]
    for path in (*names, folder / ORIGIN):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
