"""What each step of fusion gains: a breast over its views, the subject over her breasts and over her views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calibration import joined
from ensemble_mammo.merit.compare import Drawn, drawn_by, main_statistic
from ensemble_mammo.merit.intervals import Interval, interval
from ensemble_mammo.merit.members import resamples_for
from ensemble_mammo.merit.sections import Table
from ensemble_mammo.records.subject import SUBJECT, Side, View
from ensemble_mammo.stages.report.sections.ensemble import Ensemble
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import figure, figure_key, figure_title, listed

_OF_TWO = ("auc", "accuracy", "kappa", "recall")
_OF_SEVERAL = ("accuracy", "kappa", "recall", "positive")


@dataclass(frozen=True)
class Step:
    """Levels, and those below that they are held against."""

    levels: tuple[str, ...]
    "the fused level, or both breasts"
    below: tuple[str, ...]
    "levels that went in"
    best: bool = False
    "held against the best of those below, chosen anew within each resample, instead of their mean"

    @property
    def title(self) -> str:
        """`subject`, `right and left`."""
        return listed(list(self.levels))

    @property
    def over(self) -> str:
        """`mean of CC_R and MLO_R`."""
        return f"{'best' if self.best else 'mean'} of {listed(list(self.below))}"

    def gain(self, drawn: Drawn, name: str) -> Interval:
        """How much higher the figure is, mean of the levels, than below; both in each resample."""

        def apart(values: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
            above, under = (np.stack([values[level] for level in names]) for names in (self.levels, self.below))
            low: NDArray[np.float64] = np.fmax.reduce(under) if self.best else under.mean(axis=0)
            return np.asarray(above.mean(axis=0) - low)

        names = {*self.levels, *self.below}
        values = apart({level: np.asarray(drawn.values[f"{level}.{name}"]) for level in names})
        return interval(float(values), apart({level: drawn.drawn[f"{level}.{name}"] for level in names}))


def level_table(study: Study, ensemble: Ensemble) -> tuple[Table, str] | None:
    """The gain of every step, and a sentence; None where there is no step or no exam that has all its levels."""
    steps = _steps(study, ensemble.views)
    names = list(dict.fromkeys(level for step in steps for level in (*step.below, *step.levels)))
    levels = _common({level: study.levels[level] for level in names})
    if not levels or not len(levels[names[0]].true):
        return None
    two = len(study.task.classes) == 2
    exams, subjects = len(levels[names[0]].true), levels[names[0]].rows.subject_ids
    statistic = joined({f"{level}.": main_statistic(one.cases, ranks=two) for level, one in levels.items()})
    resamples = resamples_for(exams, study.options.resamples)
    drawn = drawn_by(statistic, subjects, resamples, study.options.seed)
    shown = [name for name in (_OF_TWO if two else _OF_SEVERAL) if f"{names[0]}.{name}" in drawn.values]
    gains = [[step.gain(drawn, name) for name in shown] for step in steps]
    table = Table(
        "fusion-levels",
        "What each step of fusion gains",
        {"level": "level", "over": "over"} | {figure_key(study.task, n): figure_title(study.task, n) for n in shown},
        [[step.title, step.over, *own] for step, own in zip(steps, gains, strict=True)],
        f"Figures of the level minus those below, in all rows on the same {exams} exams of {len(set(subjects))} "
        "subjects that have every level, each level against its own true class; paired bootstrap. Marked: less, beyond "
        "chance. 'Best' is chosen for each figure anew within each resample; the best of several is a little too high "
        "there, so the interval leans against fusion.",
        frozenset(place for place, own in enumerate(gains) if own[0].high < 0),
    )
    return table, _sentence(steps, [own[0] for own in gains], figure_title(study.task, shown[0]))


def _steps(study: Study, views: Sequence[View]) -> list[Step]:
    """Every step that the levels of a study allow."""
    views = [view for view in views if view in study.levels]
    of_side = {str(side): tuple(view for view in views if view.side == side) for side in Side}
    breasts = tuple(side for side, own in of_side.items() if side in study.levels and len(own) > 1)
    both = breasts if len(breasts) == len(Side) else ()
    steps = [Step((side,), of_side[side]) for side in breasts]
    steps += [Step(both, tuple(views))] if both else []
    if SUBJECT in study.levels and len(views) > 1:
        steps += [Step((SUBJECT,), both)] if both else []
        steps += [Step((SUBJECT,), tuple(views)), Step((SUBJECT,), tuple(views), best=True)]
    return steps + [Step((side,), of_side[side], best=True) for side in breasts]


def _common(levels: dict[str, Judged]) -> dict[str, Judged]:
    """The exams that all levels have, in one order."""
    if not levels:
        return {}
    shared = sorted(set.intersection(*(set(one.rows.keys) for one in levels.values())))
    found = {}
    for level, one in levels.items():
        place_of = {key: place for place, key in enumerate(one.rows.keys)}
        found[level] = one.taken(np.array([place_of[key] for key in shared], dtype=np.int64))
    return found


def _sentence(steps: Sequence[Step], gains: Sequence[Interval], title: str) -> str:
    """`Gain in accuracy: a breast over the mean of its views 0.02 (…), the subject over her breasts 0.03 (…).`"""
    said = []
    for step, gain in zip(steps, gains, strict=True):
        if step.best:
            continue
        if step.levels != (SUBJECT,):
            whole = len(step.levels) == len(Side) or not any(len(one.levels) == len(Side) for one in steps)
            said += [f"a breast over the mean of its views {figure(gain)}"] if whole else []
        else:
            parts = "breasts" if step.below[0] in tuple(map(str, Side)) else "views"
            said.append(f"the subject over the mean of her {parts} {figure(gain)}")
    return f"Gain in {title}: {', '.join(said)}."
