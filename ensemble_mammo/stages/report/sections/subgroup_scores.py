"""Of each group, what its scores are worth beyond the headline figures: ranking, operating points, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calibration import calibration_statistic, with_intervals
from ensemble_mammo.merit.calls import HALF
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.roc import curve_figures
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.merit.subgroups import FEWEST_SUBJECTS, ordered
from ensemble_mammo.merit.thresholds import calling_figures
from ensemble_mammo.stages.report.study import Judged, Study

_NAN = Interval(math.nan, math.nan, math.nan)
_CURVES = {
    "average_precision": "average precision",
    "pr_area": "PR area",
    "sensitivity_at": "sensitivity at specificity {specificity:g}",
    "specificity_at": "specificity at sensitivity {sensitivity:g}",
    "partial_auc": "partial AUC",
    "pf1": "pF1",
}
_CALLS = {
    "sensitivity": "sensitivity at {cut:.3g}",
    "specificity": "specificity at {cut:.3g}",
    "ppv": "PPV at {cut:.3g}",
    "npv": "NPV at {cut:.3g}",
    "called": "share called positive",
}
_CALIBRATION = {
    "score": "mean highest score",
    "gap": "score minus accuracy",
    "ece": "ECE",
    "brier": "Brier",
    "log_loss": "log loss",
}


def score_tables(study: Study, columns: Mapping[str, list[str]]) -> tuple[Table, ...]:
    """Two tables at the top level, a row a group: of the positive classes against the others, and of calibration.

    Args:
        study: what is judged.
        columns: column -> the group of each row [N] of the top level.
    """
    groups = [
        (column, name, study.top.taken(np.asarray(members) == name))
        for column, members in columns.items()
        for name in ordered(members)
    ]
    head = {"column": "column", "group": "group", "exams": "exams"}
    cut = HALF if study.top.cut is None else study.top.cut
    options = {"sensitivity": study.options.sensitivity, "specificity": study.options.specificity, "cut": cut}
    two = {name: title.format(**options) for name, title in (_CURVES | _CALLS).items()}
    tables = []
    if study.top.positive and len(study.top.positive) < len(study.task.classes):
        rows = [_row(column, name, one, _two_sided(one, study), two) for column, name, one in groups]
        caption = "Undefined: fewer than 5 subjects, or exams of one side alone."
        tables.append(Table("subgroups-scores", "Ranking and calls in every group", head | two, rows, caption))
    rows = [_row(column, name, one, _calibrated(one, study), _CALIBRATION) for column, name, one in groups]
    caption = "Score minus accuracy above 0: too sure in this group. ECE lies above the truth in small groups."
    tables.append(Table("subgroups-calibration", "Calibration in every group", head | _CALIBRATION, rows, caption))
    return tuple(tables)


def _row(column: str, name: str, one: Judged, figures: Mapping[str, Interval], titles: Mapping[str, str]) -> list[Cell]:
    return [column, name, len(one.true), *(figures.get(figure, _NAN) for figure in titles)]


def _is_small(one: Judged) -> bool:
    return len(set(one.rows.subject_ids)) < FEWEST_SUBJECTS


def _two_sided(one: Judged, study: Study) -> dict[str, Interval]:
    side, score, options = one.is_positive, one.positive_score, study.options
    cut = HALF if one.cut is None else one.cut
    if _is_small(one) or side.all() or not side.any():
        return {}

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        curves = curve_figures(side, score, options.sensitivity, options.specificity, times)
        calls = {name: value[..., 0] for name, value in calling_figures(side, score, [cut], times).items()}
        return {name: value for name, value in (curves | calls).items() if name in (*_CURVES, *_CALLS)}

    return with_intervals(one.rows.subject_ids, statistic, options.resamples, options.seed)


def _calibrated(one: Judged, study: Study) -> dict[str, Interval]:
    if _is_small(one):
        return {}
    statistic = calibration_statistic(one.cases)
    return with_intervals(one.rows.subject_ids, statistic, study.options.resamples, study.options.seed)
