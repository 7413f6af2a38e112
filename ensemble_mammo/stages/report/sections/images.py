"""The section on single images: the rows of all views together, each judged by the class of its own view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import HALF, floor_of
from ensemble_mammo.merit.delong import AucCovariance, delong
from ensemble_mammo.merit.inputs.truth import ANY
from ensemble_mammo.merit.intervals import Interval, bootstrap, interval
from ensemble_mammo.merit.roc import RATES, curve_figures, sensitivities, steps_of
from ensemble_mammo.merit.sections import Cell, Line, LineChart, Section, Table
from ensemble_mammo.merit.thresholds import Called, Threshold, called_at, calling_figures
from ensemble_mammo.records.origin import read_origin
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.two_sided import BAND_RESAMPLES, words_of
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import counted, figure, listed, number

Floats = NDArray[np.float64]

_CUT = Threshold("threshold", 0.0, "fixed")
"""Of `Pooled.above`: nothing below an image's own threshold is called."""

_METHOD = (
    "The rows of all views together: one a view of an exam, with the class of that view. The score is the sum of the "
    "scores of the positive classes; nothing is fused. AUC with limits by DeLong's method with the sums over subjects "
    "of Obuchowski (Biometrics 1997), since the images of a subject are not independent; all other limits by the "
    "percentile bootstrap over subjects, who are drawn with all their images. Average precision: step by step, without "
    "interpolation. An image is called positive at a score equal to the threshold of its view or above."
)


@dataclass(frozen=True)
class Pooled:
    """The judged rows of all views of one system."""

    system: str
    "its name; empty where one system is reported"
    positive: NDArray[np.bool_]
    "[N] whether the view's class is a positive one"
    score: Floats
    "[N] summed scores of the positive classes"
    subjects: tuple[str, ...]
    "[N]"
    averaged: int
    "rows that are the mean of several images"
    above: Floats
    "[N] score minus the threshold of the view; called positive at 0 and more"

    @property
    def two_sided(self) -> bool:
        """Whether there are images of both sides."""
        return bool(self.positive.any() and not self.positive.all())

    @cached_property
    def area(self) -> AucCovariance:
        """The AUC."""
        return delong(self.positive, self.score, self.subjects)

    def figures(self, options: ReportOptions) -> tuple[dict[str, Interval], Called]:
        """Figures of the curves, and what calling at the threshold comes to, with limits."""
        wanted = options.sensitivity, options.specificity

        def statistic(times: Floats) -> dict[str, Floats]:
            calls = calling_figures(self.positive, self.above, [_CUT.value], times)
            curves = curve_figures(self.positive, self.score, *wanted, times)
            return curves | {f"calls {name}": value for name, value in calls.items()}

        drawn = bootstrap(self.subjects, statistic, options.resamples, options.seed) if options.resamples else {}
        of_calls = {name.removeprefix("calls "): value for name, value in drawn.items() if name.startswith("calls ")}
        values = curve_figures(self.positive, self.score, *wanted)
        figures = {name: interval(float(value), drawn.get(name, np.empty(0))) for name, value in values.items()}
        return figures, called_at(self.positive, self.above, [_CUT], of_calls)[0]

    def curve(self, times: Floats | None = None) -> Floats:
        """The ROC curve at `RATES`, [..., G]."""
        return sensitivities(steps_of(self.positive, self.score, times))


def section(study: Study) -> Section | None:
    """The images of all views as one sample; None where the task is the exam's (density) or one view is there."""
    if study.task.breast_to_subject != "maximum" or not 0 < len(study.top.positive) < len(study.task.classes):
        return None
    systems = [pooled(levels, name) for name, levels in (study.systems or {"": study.levels}).items()]
    if sum(level in tuple(View) for level in study.levels) < 2:
        return None
    main, (positive, negative) = systems[0], words_of(study.task)
    title, notes = "Single images", _notes(study, main)
    if not main.two_sided:
        kind = positive if main.positive.all() else negative
        lead = f"Undefined: all {counted(len(main.score), 'image')} are truly {kind}, and a curve needs both sides."
        return Section("images", title, lead, notes=notes, method=_METHOD)
    found = [(one, *one.figures(study.options)) for one in systems]
    ups, total = int(main.positive.sum()), len(main.score)
    lead = (
        f"{counted(total, 'image')} of {counted(len(set(main.subjects)), 'subject')}, {ups} {positive} and "
        f"{total - ups} {negative}: AUC {figure(main.area.interval())} for an image (limits by DeLong's method, "
        "clustered by subject)."
    )
    return Section(
        "images", title, lead, (_table(found, study),), (_chart(systems, study.options),), (), notes, _METHOD
    )


def pooled(levels: Mapping[str, Judged], system: str = "") -> Pooled:
    """The judged rows of all views of one system."""
    views = [one for level, one in levels.items() if level in tuple(View)]
    return Pooled(
        system,
        np.concatenate([np.empty(0, bool), *(one.is_positive for one in views)]),
        np.concatenate([np.empty(0), *(one.positive_score for one in views)]),
        tuple(subject for one in views for subject in one.rows.subject_ids),
        sum(number > 1 for one in views for number in one.rows.images),
        np.concatenate([np.empty(0), *(one.positive_score - _cut_of(one) for one in views)]),
    )


def _cut_of(one: Judged) -> float:
    return HALF if one.cut is None else one.cut


def _at(study: Study) -> str:
    """`at 0.3`; where views have thresholds of their own, that."""
    cuts = {_cut_of(one) for level, one in study.levels.items() if level in tuple(View)}
    return f"at {next(iter(cuts)):g}" if len(cuts) == 1 else "at the view's threshold"


def _table(found: list[tuple[Pooled, dict[str, Interval], Called]], study: Study) -> Table:
    positive, options = words_of(study.task)[0], study.options
    curves = {
        "auc": "AUC, bootstrap limits",
        "average_precision": "average precision",
        "sensitivity_at": f"sensitivity at specificity {options.specificity:g}",
        "specificity_at": f"specificity at sensitivity {options.sensitivity:g}",
        "prevalence": f"share {positive}",
    }
    calls = {name: f"{name} {_at(study)}" for name in ("accuracy", "sensitivity", "specificity")}
    calls |= {name: f"{name.upper()} {_at(study)}" for name in ("ppv", "npv")}
    about = {"images": "images", "subjects": "subjects", "positive": positive, "auc_delong": "AUC, DeLong limits"}
    named = {"system": "system"} if study.systems else {}
    rows: list[list[Cell]] = [
        [
            *([one.system] if named else []),
            len(one.score),
            len(set(one.subjects)),
            int(one.positive.sum()),
            one.area.interval(),
            *(figures[name] for name in curves),
            *(called.figures[name] for name in calls),
            floor_of(one.positive),
        ]
        for one, figures, called in found
    ]
    floor = {"floor": "most frequent class" if len(study.task.classes) == 2 else "more frequent side"}
    caption = "Average precision, PPV and NPV depend on the share of positive images in this sample."
    return Table("image-figures", "Figures of single images", named | about | curves | calls | floor, rows, caption)


def _chart(systems: list[Pooled], options: ReportOptions) -> LineChart:
    """The ROC curve of each system, the first with its band; it starts where no image is called."""
    main, start, lines = systems[0], [0.0], []
    low, high = _band(main, options)
    for one in systems:
        label = f"{one.system or 'images'}, AUC {number(one.area.interval().value, 3)}"
        own = one is main and bool(low)
        x, y = start + RATES.tolist(), start + one.curve().tolist()
        lines.append(Line(label, x, y, start + low if own else (), start + high if own else (), strong=one is main))
    count = min(options.resamples, BAND_RESAMPLES)
    drawn = f" Band: 95 % limits at each point on its own, from {count:,} resamples of subjects." if low else ""
    return LineChart(
        "roc-images",
        "ROC curve of single images",
        "false positive rate (1 - specificity)",
        "sensitivity",
        lines,
        diagonal=True,
        caption=f"The diagonal is chance.{drawn}",
    )


def _band(one: Pooled, options: ReportOptions) -> tuple[list[float], list[float]]:
    """Limits of the curve at each of `RATES`; empty without resamples."""
    if not options.resamples:
        return [], []
    count = min(options.resamples, BAND_RESAMPLES)
    drawn = bootstrap(one.subjects, lambda times: {"curve": one.curve(times)}, count, options.seed)["curve"]
    limits = [interval(float(value), drawn[:, at]) for at, value in enumerate(one.curve())]
    return [limit.low for limit in limits], [limit.high for limit in limits]


def _notes(study: Study, main: Pooled) -> tuple[str, ...]:
    """What makes these figures less than they seem."""
    said = []
    if main.averaged:
        said.append(f"rows that are the mean of several images of one view of an exam, counted as one: {main.averaged}")
    if all(level == ANY for level, _, _ in study.truth.labels):
        said.append("the true class is the exam's: images of the other breast are judged by it too")
    if apart := _apart(study):
        said.append(
            f"the images of {listed(apart)} were scored by different networks: scores of one may lie higher than those "
            "of another, which can lower the AUC of all images together"
        )
    if main.two_sided and main.area.reason():
        said.append(f"{main.area.reason()}.")
    return tuple(said)


def _apart(study: Study) -> list[str]:
    """The views whose networks are others than those of the first; empty where all are the same, or none are said."""
    weights: dict[str, set[str]] = {}
    for folder in study.folders:
        for view, runs in read_origin(folder).runs.items():
            weights.setdefault(view, set()).update(str(run.get("weights_sha256", "")) for run in runs)
    known = {view: own for view, own in weights.items() if view in study.levels and own and "" not in own}
    return sorted(known) if len({frozenset(own) for own in known.values()}) > 1 else []
