"""A report's calibration, applied to what was predicted: temperatures and conformal sets of every level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.calibration_file import Calibration, read_calibration
from ensemble_mammo.records.subject import SUBJECT, View
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.predict.options import VALIDATION, PredictOptions, Scores


def calibration_for(options: PredictOptions, task: Task, views: Sequence[View]) -> Calibration | None:
    """The calibration that was asked for, refused before anything is predicted if it does not fit.

    Raises:
        PredictionError: it is of another task or fusion, or lacks a level.
    """
    if options.calibration is None:
        return None
    found = read_calibration(options.calibration, task)
    found.require([*views, *dict.fromkeys(str(view.side) for view in views), SUBJECT], task.classes)
    fusion = options.fusion
    own = {
        "rule": fusion.rule,
        "weights": dict(fusion.weights),
        "breast_to_subject": fusion.breast_to_subject or task.breast_to_subject,
    }
    other = [f"{key} {found.fusion.get(key)!r}, here {own[key]!r}" for key in own if found.fusion.get(key) != own[key]]
    if other:
        raise PredictionError(
            f"{options.calibration}: fitted on scores that were fused otherwise ({'; '.join(other)}); "
            "predict with the same fusion, or make the report again with this one"
        )
    return found


def calibrated(scores: Scores, calibration: Calibration) -> Scores:
    """Every level by its own temperature: the views were fused before."""
    of_levels = {table.level: calibration.levels[table.level] for table in scores.levels()}
    used = ", ".join(f"{level} {one.temperature:.2f} ({one.exams})" for level, one in of_levels.items())
    source = calibration.fitted_on or VALIDATION
    of = "the validation exams" if source == VALIDATION else f"the exams of its {source}"
    notes = [
        f"scores were scaled by the temperatures of a calibration (in brackets {of}): {used}; they "
        "hold for the networks that it was fitted with. A report or fusion of these tables would fuse the scaled views "
        "again: name right.csv, left.csv and subject.csv beside the views"
    ]
    left: dict[str, list[str]] = {}
    for level, one in of_levels.items():
        if one.note:
            left.setdefault(one.note, []).append(level)
    notes += [f"{', '.join(levels)}: left as they were, since {note}" for note, levels in left.items()]
    several = [view for view, own in scores.runs.items() if len(own) > 1]
    if calibration.fitted_on and several:
        notes.append(
            f"several networks are averaged in {', '.join(several)}, and the calibration was fitted on one a subject: "
            "means of several are less sure, so scores and sets hold only roughly"
        )
    sets = {table.level: calibration.sets(table) for table in scores.levels()}
    top = scores.levels()[-1].level
    if rows := sets[top]:
        notes.append(
            f"unsure of {sum(len(row) != 1 for row in rows)} of {len(rows)} exams at level {top}: their set holds "
            "several classes or none (columns set and unsure)"
        )
    return replace(
        scores,
        views={view: calibration.apply(table) for view, table in scores.views.items()},
        fused=replace(scores.fused, levels={k: calibration.apply(t) for k, t in scores.fused.levels.items()}),
        notes=(*scores.notes, *notes),
        calibration=calibration,
        sets={level: rows for level, rows in sets.items() if rows},
    )
