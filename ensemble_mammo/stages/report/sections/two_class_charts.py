"""The curves of the section on two classes: ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_mammo.merit.roc import RATES, RECALLS, precisions, sensitivities
from ensemble_mammo.merit.sections import Line, LineChart
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.two_sided import BAND_RESAMPLES, TwoSided
from ensemble_mammo.stages.report.study import Study


def roc_chart(found: Sequence[TwoSided], options: ReportOptions) -> LineChart:
    """The ROC curve of each level, the last with its band and its operating points first."""
    main, *others = reversed(found)
    low, high = main.band(sensitivities, options)
    start = [0.0]  # the curve starts where nobody is called; on the grid it may have risen at rate 0 already
    lines = [
        Line(
            f"{level.one.level}, AUC {level.auc.value:.3f}",
            start + RATES.tolist(),
            start + sensitivities(level.steps).tolist(),
            low=start + low if level is main and low else (),
            high=start + high if level is main and low else (),
            strong=level is main,
        )
        for level in (main, *others)
    ]
    marks = [
        Line(
            f"{main.one.level} at {'threshold ' if one.threshold.rule == '0.5' else ''}{one.threshold.rule}",
            [1 - one.figures["specificity"].value],
            [one.figures["sensitivity"].value],
            points=True,
        )
        for one in main.called
    ]
    return LineChart(
        "roc",
        f"ROC curves, with operating points of {main.one.level}",
        "false positive rate (1 - specificity)",
        "sensitivity",
        [*lines, *marks],
        diagonal=True,
        caption="The diagonal is chance. " + _band_caption(low, options),
    )


def precision_recall_chart(found: Sequence[TwoSided], study: Study, positive: str) -> LineChart:
    """The precision-recall curve of each level, the last with its band and its threshold first, and chance."""
    options = study.options
    main, *others = reversed(found)
    low, high = main.band(precisions, options)
    lines = [
        Line(
            f"{level.one.level}, average precision {level.figures['average_precision'].value:.3f}",
            RECALLS.tolist(),
            precisions(level.steps).tolist(),
            low=low if level is main else (),
            high=high if level is main else (),
            strong=level is main,
        )
        for level in (main, *others)
    ]
    share = main.figures["prevalence"].value
    chance = Line(f"chance ({share:.2f})", [float(RECALLS[0]), 1.0], [share, share], strong=False)
    return LineChart(
        "precision-recall",
        "Precision-recall curves",
        "sensitivity (recall)",
        "precision (PPV)",
        [*lines, *_threshold_mark(main, study), chance],
        caption=f"Chance is the share of {positive} exams at level {main.one.level}. " + _band_caption(low, options),
    )


def _threshold_mark(main: TwoSided, study: Study) -> list[Line]:
    """Where the threshold in use lies on the curve; of two classes, and where it calls an exam positive."""
    if len(study.task.classes) != len(("negative", "positive")) or np.isnan(main.called[0].figures["ppv"].value):
        return []
    at = main.called[0]  # `thresholds_of` puts the one in use first
    x, y = at.figures["sensitivity"].value, at.figures["ppv"].value
    return [Line(f"{main.one.level} at threshold {at.threshold.value:.3g}", [x], [y], points=True)]


def _band_caption(low: Sequence[float], options: ReportOptions) -> str:
    if not low:
        return "No band: no resamples were asked for."
    count = min(options.resamples, BAND_RESAMPLES)
    return f"Band of the first curve: 95 % limits at each point on its own, from {count:,} resamples of subjects."
