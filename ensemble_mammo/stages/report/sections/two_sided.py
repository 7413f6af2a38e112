"""One level seen as two sides: the figures, thresholds and bands that the section on two classes shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import HALF, Acting
from ensemble_mammo.merit.delong import delong
from ensemble_mammo.merit.intervals import Interval, bootstrap, interval
from ensemble_mammo.merit.roc import Steps, curve_figures, steps_of
from ensemble_mammo.merit.thresholds import Called, Threshold, called_at, calling_figures, reaching, youden
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.study import Judged, Study

Floats = NDArray[np.float64]

BAND_RESAMPLES = 2000
"""Resamples for the bands of curves, at most: beyond each limit lie 50 of these, enough for a drawing."""

_WORDS: Mapping[str, tuple[str, str]] = {
    "density": ("dense", "not dense"),
    "tissue": ("dense", "not dense"),
    "birads": ("BI-RADS 4-6", "BI-RADS 1-2"),
    "abnormality5": ("abnormal", "normal"),
}
"""task -> what its positive and its negative side are called; else as the two classes are."""


@dataclass(frozen=True)
class TwoSided:
    """What was found at one level whose cases are of both sides."""

    one: Judged
    "its cases"
    auc: Interval
    "with DeLong's limits"
    reason: str
    "why these are undefined"
    figures: Mapping[str, Interval]
    "those of `curve_figures`"
    called: Sequence[Called]
    "operating points"

    @property
    def steps(self) -> Steps:
        """Its curves."""
        return steps_of(self.one.is_positive, self.one.positive_score)

    def band(self, curve: Callable[[Steps], Floats], options: ReportOptions) -> tuple[list[float], list[float]]:
        """Limits of a curve at each of its G points, from at most `BAND_RESAMPLES`; empty without resamples."""
        if not options.resamples:
            return [], []
        side, score = self.one.is_positive, self.one.positive_score

        def statistic(times: Floats) -> dict[str, Floats]:
            return {"curve": curve(steps_of(side, score, times))}

        count = min(options.resamples, BAND_RESAMPLES)
        drawn = bootstrap(self.one.rows.subject_ids, statistic, count, options.seed)["curve"]  # [R, G]
        limits = [interval(float(value), drawn[:, at]) for at, value in enumerate(curve(self.steps))]
        return [one.low for one in limits], [one.high for one in limits]


def words_of(task: Task) -> tuple[str, str]:
    """What the positive and the negative side of a task are called."""
    if task.name in _WORDS:
        return _WORDS[task.name]
    if len(task.classes) == 2:
        return task.positive[0], next(name for name in task.classes if name not in task.positive)
    return "positive", "negative"


def thresholds_of(one: Judged, study: Study) -> list[Threshold]:
    """That in use, 0.5, Youden's, and that of a wanted sensitivity: chosen on validation with both sides there."""
    held = study.validation.get(one.level)
    apart = held is not None and len(set(held.is_positive.tolist())) == 2
    source = held if held is not None and apart else one
    where = f"validation ({len(source.true)} exams)" if apart else "these very exams (optimistic)"
    side, score, wanted = source.is_positive, source.positive_score, study.options.sensitivity
    at = study.thresholds.get(one.level, Acting())
    own = [] if at.cut is None else [Threshold(f"in use ({at.rule})", at.value, at.chosen_on)]
    return [
        *own,
        Threshold(f"{HALF:g}", HALF, "fixed"),
        Threshold("Youden", youden(side, score), where, not apart),
        Threshold(f"sensitivity {wanted:g} or more", reaching(side, score, wanted), where, not apart),
    ]


def two_sided(one: Judged, study: Study) -> TwoSided:
    """The figures and operating points of one level that has cases of both sides."""
    options, side, score = study.options, one.is_positive, one.positive_score
    thresholds = thresholds_of(one, study)
    values = [threshold.value for threshold in thresholds]
    wanted = options.sensitivity, options.specificity

    def statistic(times: Floats) -> dict[str, Floats]:
        calls = calling_figures(side, score, values, times)
        return curve_figures(side, score, *wanted, times) | {f"calls {name}": value for name, value in calls.items()}

    drawn = bootstrap(one.rows.subject_ids, statistic, options.resamples, options.seed) if options.resamples else {}
    figures = {
        name: interval(float(value), drawn.get(name, np.empty(0)))
        for name, value in curve_figures(side, score, *wanted).items()
    }
    of_calls = {name.removeprefix("calls "): value for name, value in drawn.items() if name.startswith("calls ")}
    found = delong(side, score, one.rows.subject_ids)
    return TwoSided(one, found.interval(), found.reason(), figures, called_at(side, score, thresholds, of_calls))
