"""Where predictions come from: what predictions.json, beside the tables, says of networks and folds."""

from __future__ import annotations

import contextlib
import json
import math
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
CONTRASTS = "contrasts"
"""The folder in one of predictions that holds those of the same images at other contrasts, `contrasts/1.5/` at 1.5."""


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
    contrast: float | None = None
    "the contrast that the input had in place of the recipe's own; None: the recipe's own"

    @property
    def own_contrast(self) -> float | None:
        """The contrast of all recipes; None where they differ or do not say it."""
        own = list({run.get("contrast") for of_view in self.runs.values() for run in of_view})
        return float(own[0]) if len(own) == 1 and own[0] is not None else None


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
        contrast = None if held.get("contrast") is None else float(held["contrast"])
        return Origin(runs, bool(held.get("out_of_fold", False)), int(held.get("seen", 0)), fold_of, contrast)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise PredictionError(f"{path}: cannot be read ({error!r}); predict again, or take the file away") from error


def clear_predictions(folder: Path) -> None:
    """Take away the tables of an earlier call, those at other contrasts too, and what it says of them.

    A folder left empty goes too.
    """
    clear_contrasts(folder)
    names = [folder / f"{level}.csv" for level in LEVELS]
    names += [path for view in View for path in (plain_file(folder, view), ids_file(plain_file(folder, view)))]
    for path in (*names, folder / ORIGIN):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def clear_contrasts(folder: Path) -> None:
    """Take away the tables at other contrasts that an earlier call left in a folder of predictions."""
    for _, beside in contrasts_in(folder):
        clear_predictions(beside)
    if (folder / CONTRASTS).is_dir() and not any((folder / CONTRASTS).iterdir()):
        (folder / CONTRASTS).rmdir()


def contrasts_in(folder: Path) -> list[tuple[float, Path]]:
    """The contrasts that a folder of predictions has tables of, and where; the lowest first."""
    found = []
    for path in (folder / CONTRASTS).glob("*/"):
        with contextlib.suppress(ValueError):  # other names are not of `predict`
            found.append((float(path.name), path))
    return sorted(one for one in found if math.isfinite(one[0]))
