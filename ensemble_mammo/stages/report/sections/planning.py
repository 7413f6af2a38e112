"""Section: how many subjects would an interval of the wanted width need?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.compare import Drawn, drawn_by, main_statistic
from ensemble_mammo.merit.figures import recalls
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.planning import (
    drawn_widths,
    needed_by_width,
    needed_for_auc,
    needed_for_share,
    width_of,
)
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import counted, figure_title, number

_CHECKED = 2_000
"""Resamples that check a planned number of subjects, at most."""

_FEW = 30
"""Subjects below which a plan is a guess."""

_METHOD = (
    "The 95 % interval of the subjects at hand has the width w; since widths go with one over the square root of "
    "the number of subjects n, a width W needs n (w / W)². Checked: that many subjects are drawn from those at hand "
    "with replacement, again and again, and the width of what comes out is stated. By formula, for independent exams: "
    "Wilson's interval (J Am Stat Assoc 1927) for shares, Hanley & McNeil (Radiology 1982) for the AUC, at the share "
    "of positive exams that is found here. All of it takes future subjects to be like the present ones."
)


@dataclass(frozen=True)
class _Plan:
    """What one figure needs."""

    name: str
    now: Interval
    width: float
    "of the present interval"
    subjects: float
    "needed; nan: cannot be told"
    checked: float
    "width when so many subjects are drawn"
    exams: float
    "needed by formula; nan: there is no formula, or it is undefined"
    positives: float
    "of these; nan: it does not matter"
    negatives: float


def section(study: Study) -> Section | None:
    """The subjects that each figure at the top level, and the recall of each class, needs; None if not asked for."""
    if not study.options.plan_width:
        return None
    one, width = study.top, study.options.plan_width
    statistic = main_statistic(one.cases)
    drawn = drawn_by(statistic, one.rows.subject_ids, study.options.resamples, study.options.seed)
    plans = [_plan(study, name, drawn) for name in _names(study) if name in drawn.values]
    return Section(
        "planning",
        f"How many subjects does an interval {width:g} wide need?",
        _lead(study, plans),
        (_figures_table(study, plans), _classes_table(study)),
        notes=_notes(study),
        method=_METHOD,
    )


def _names(study: Study) -> tuple[str, ...]:
    if len(study.task.classes) == 2:
        return ("auc", "accuracy", "positive_sensitivity", "positive_specificity")
    return ("accuracy", "recall", "kappa", "positive_sensitivity", "positive_specificity", "auc")


def _plan(study: Study, name: str, drawn: Drawn) -> _Plan:
    one, options = study.top, study.options
    wanted, now = options.plan_width, drawn.interval(name)
    width = width_of(drawn.drawn[name])
    subjects = needed_by_width(_subjects(one), width, wanted)
    checked = math.nan
    if not math.isnan(subjects):
        draws = min(options.resamples, _CHECKED)
        statistic = main_statistic(one.cases, ranks=name == "auc")
        checked = drawn_widths(one.rows.subject_ids, statistic, int(subjects), draws, options.seed + 1)[name]
    return _Plan(name, now, width, subjects, checked, *_by_formula(one, name, now.value, wanted))


def _by_formula(one: Judged, name: str, value: float, wanted: float) -> tuple[float, float, float]:
    """Exams, positive and negative ones among them."""
    share = float(one.is_positive.mean())
    if name == "accuracy":
        return needed_for_share(value, wanted), math.nan, math.nan
    if name == "positive_sensitivity" and share > 0:
        up = needed_for_share(value, wanted)
        return _whole(up / share), up, _whole(up / share) - up
    if name == "positive_specificity" and share < 1:
        down = needed_for_share(value, wanted)
        return _whole(down / (1 - share)), _whole(down / (1 - share)) - down, down
    if name == "auc":
        exams = needed_for_auc(value, share, wanted)
        return exams, _whole(exams * share), exams - _whole(exams * share)
    return math.nan, math.nan, math.nan


def _whole(number: float) -> float:
    return number if math.isnan(number) else math.ceil(number - 1e-9)


def _subjects(one: Judged) -> int:
    return len(set(one.rows.subject_ids))


def _count(number: float) -> Cell:
    """A count for a table: nothing where it cannot be told."""
    return None if math.isnan(number) else int(number)


def _figures_table(study: Study, plans: list[_Plan]) -> Table:
    now = _subjects(study.top)
    rows: list[list[Cell]] = [
        [
            figure_title(study.task, one.name),
            one.now,
            now,
            one.width,
            _count(one.subjects),
            one.checked,
            _count(one.exams),
            _count(one.positives),
            _count(one.negatives),
        ]
        for one in plans
    ]
    positive = "dense" if study.task.name == "density" else "positive"
    columns = {
        "figure": "figure",
        "now": "now",
        "subjects": "subjects now",
        "width": "width now",
        "needed": "subjects needed",
        "checked": "width, checked by resampling",
        "exams": "exams by formula",
        "positives": f"of these {positive}",
        "negatives": f"not {positive}",
    }
    caption = "Empty: no formula, or it does not matter. Width: upper minus lower limit of the 95 % interval. "
    caption += f"Always naming the most frequent class would have an accuracy of {number(floor_of(study.top.true))}."
    title = f"For intervals {study.options.plan_width:g} wide, level {study.top.level}"
    return Table("planning", title, columns, rows, caption)


def _classes_table(study: Study) -> Table:
    rows: list[list[Cell]] = []
    for name, count, recall, needed, subjects in _classes(study):
        share = count / len(study.top.true)
        rows.append([name, count, share, recall, _count(needed), _count(subjects)])
    columns = {
        "class": "class",
        "exams": "exams now",
        "share": "share",
        "recall": "recall now",
        "needed": "exams of it needed",
        "subjects": "subjects for that",
    }
    caption = "For the recall of each class (Wilson's interval); the subjects, if the class stays as frequent as here."
    return Table("planning-classes", "Rare classes need more", columns, rows, caption)


def _classes(study: Study) -> list[tuple[str, int, float, float, float]]:
    """Class, exams now, recall, exams of it needed, subjects that hold so many."""
    one, width = study.top, len(study.task.classes)
    confusion = np.bincount(one.true * width + one.predicted, minlength=width**2).reshape(width, width)
    found = []
    for place, (name, recall) in enumerate(zip(study.task.classes, recalls(confusion), strict=True)):
        count = int(confusion[place].sum())
        needed = needed_for_share(float(recall), study.options.plan_width)
        subjects = _whole(needed * _subjects(one) / count) if count else math.nan
        found.append((name, count, float(recall), needed, subjects))
    return found


def _lead(study: Study, plans: list[_Plan]) -> str:
    main, now, wanted = plans[0], _subjects(study.top), study.options.plan_width
    title = figure_title(study.task, main.name)
    if not math.isnan(main.subjects):
        lead = (
            f"A 95 % interval of the {title} that is {wanted:g} wide needs about {int(main.subjects):,} subjects; "
            f"the {now:,} at hand give one {main.width:.3f} wide."
        )
        if main.subjects <= now:
            lead = (
                f"The {now:,} subjects at hand are enough for the {title}: its 95 % interval is {main.width:.3f} wide."
            )
    elif not math.isnan(main.exams):
        lead = (
            f"A 95 % interval of the {title} that is {wanted:g} wide needs about {counted(int(main.exams), 'exam')} by "
            f"formula; the {now:,} subjects at hand give no width to go by."
        )
    else:
        lead = f"How many subjects the {title} needs cannot be told from the {now:,} at hand: it is undefined here."
    classes = [row for row in _classes(study) if row[1]]
    rarest = min(classes, key=lambda row: row[1])
    if not math.isnan(rarest[4]) and len(classes) > 1:
        lead += (
            f" The rarest class, {rarest[0]}, needs {counted(int(rarest[3]), 'exam')} of it for its recall "
            f"({rarest[1]} now): about {int(rarest[4]):,} subjects, unless exams of it are collected on purpose."
        )
    return lead


def _notes(study: Study) -> tuple[str, ...]:
    one = study.top
    notes = []
    if _subjects(one) < _FEW:
        notes.append(f"planned from {counted(_subjects(one), 'subject')}: take the numbers as a first guess")
    if not study.options.resamples:
        notes.append("no resamples were asked for, so there are no present widths; the formulas alone are shown")
    if len(one.true) > _subjects(one):
        each = len(one.true) / _subjects(one)
        notes.append(
            f"a subject has {each:.2f} exams on average: the formulas count exams and take them as independent, so "
            "the numbers of subjects from the bootstrap are to be preferred"
        )
    absent = [row[0] for row in _classes(study) if not row[1]]
    if absent:
        notes.append(f"no exam is truly {', '.join(absent)}, so nothing can be planned for its recall")
    return tuple(notes)
