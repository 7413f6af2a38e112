"""The section on single images of tasks whose class is the exam's: what one image tells, before anything is fused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.figures import UndefinedFigureWarning
from ensemble_mammo.merit.intervals import Cases, intervals
from ensemble_mammo.merit.results import main_figures
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import counted, figure

_METHOD = (
    "The rows of all views together: one a view of an exam, each judged by the class of its exam. Limits by the "
    "percentile bootstrap over subjects, who are drawn with all their images."
)


def section(study: Study) -> Section | None:
    """The images of all views as one sample; None where images have labels of their own, or one view is there."""
    if study.task.breast_to_subject == "maximum" or sum(level in tuple(View) for level in study.levels) < 2:
        return None
    cases = {name: _cases(levels) for name, levels in (study.systems or {"": study.levels}).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedFigureWarning)
        found = {name: intervals(one, study.options.resamples, study.options.seed) for name, one in cases.items()}
    first = next(iter(found.values()))
    names = (*main_figures(study.task), *(["positive"] if study.top.positive else []))
    shown = {name: title_of(name) for name in names if name in first}
    named = {"system": "system"} if study.systems else {}
    rows: list[list[Cell]] = [
        [
            *([name] if named else []),
            len(one.true),
            len(set(one.subjects)),
            *(found[name][key] for key in shown),
            floor_of(one.true),
        ]
        for name, one in cases.items()
    ]
    columns = named | {"images": "images", "subjects": "subjects"} | shown
    columns |= {"floor": "most frequent class"}
    said = ", ".join(f"{title} {figure(first[name])}" for name, title in list(shown.items())[:2])
    lead = f"{counted(len(next(iter(cases.values())).true), 'image')} on their own: {said}."
    table = Table("image-classes", "Figures of single images", columns, rows)
    return Section("images", "Single images", lead, (table,), method=_METHOD)


def _cases(levels: Mapping[str, Judged]) -> Cases:
    """The judged rows of all views of one system."""
    views = [one for level, one in levels.items() if level in tuple(View)]
    return Cases(
        np.concatenate([one.true for one in views]),
        np.concatenate([one.scores for one in views]),
        [subject for one in views for subject in one.rows.subject_ids],
        views[0].positive,
        None if views[0].cut is None else np.concatenate([np.full(len(one.true), one.cut) for one in views]),
    )
