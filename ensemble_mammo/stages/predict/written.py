"""What `predict` writes: tables, plain files, peers' tables and predictions.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ensemble_mammo
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.merit.inputs.peers import write_peers
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.origin import BASELINE, CONTRASTS, ORIGIN, clear_predictions
from ensemble_mammo.records.predictions import Predictions, write_plain, write_predictions
from ensemble_mammo.stages.predict.options import VALIDATION, PredictOptions, Scores, contrast_name

PREDICTIONS = "predictions"
"""The folder in `--out` that holds the tables."""


def write_scores(scores: Scores, out: Path, models: Sequence[Path], options: PredictOptions) -> None:
    """Write `out/predictions/`, and `contrasts/<value>/` in it where several contrasts were asked for.

    What an earlier call left there goes.

    Raises:
        PredictionError: peers' tables were asked for, and cannot hold these.
    """
    folder = out / PREDICTIONS
    clear_predictions(folder / BASELINE)
    clear_predictions(folder)  # an earlier call may have had more views
    write_tables(scores, folder, models, options)
    for contrast, beside in scores.contrasts.items():
        write_tables(beside, folder / CONTRASTS / contrast_name(contrast), models, options)
    if options.peers:
        write_peers(folder, scores.levels())


def write_tables(scores: Scores, folder: Path, models: Sequence[Path], options: PredictOptions) -> None:
    """Write a table a level, the plain files of views and predictions.json into a folder."""
    for table in scores.levels():
        write_predictions(folder / f"{table.level}.csv", table, scores.sets.get(table.level))
    for table in scores.views.values():
        write_plain(folder, table)
    write_text(folder / ORIGIN, json.dumps(as_json(scores, models, options.fusion), indent=2) + "\n")


def as_json(scores: Scores, models: Sequence[Path], fusion: Fusion) -> dict[str, Any]:
    """The scores of every level as JSON has them."""
    return {
        "task": scores.task.name,
        "classes": list(scores.task.classes),
        "models": " ".join(str(folder) for folder in models),
        "fusion": fusion.rule,
        "contrast": scores.contrast,
        "threshold": scores.threshold,
        "notes": list(scores.notes),
        "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        "runs": dict(scores.runs),
        "seen": scores.seen,
        "calibration": _calibration_as_json(scores),
        "levels": {table.level: _rows(table, scores) for table in scores.levels()},
        "disclaimer": "Not a medical device; for research.",
    }


def _calibration_as_json(scores: Scores) -> dict[str, Any] | None:
    """The temperature of each level and the rule of its conformal sets; None where none were applied."""
    if scores.calibration is None:
        return None
    levels = {table.level: scores.calibration.levels[table.level] for table in scores.levels()}
    return {
        "fingerprint": scores.calibration.fingerprint,
        "fitted_on": scores.calibration.fitted_on or VALIDATION,
        "levels": {
            level: {"temperature": one.temperature, "sets": one.sets and asdict(one.sets)}
            for level, one in levels.items()
        },
    }


def _rows(table: Predictions, scores: Scores) -> list[dict[str, Any]]:
    sets, called = scores.sets.get(table.level), scores.called(table)
    return [
        {
            "subject_id": subject,
            "exam_id": exam,
            "views": table.views[i],
            "images": table.images[i],
            "scores": dict(zip(table.classes, (float(s) for s in table.scores[i]), strict=True)),
            "predicted": called[i],
        }
        | ({} if sets is None else {"set": list(sets[i]), "unsure": len(sets[i]) != 1})
        for i, (subject, exam) in enumerate(table.keys)
    ]
