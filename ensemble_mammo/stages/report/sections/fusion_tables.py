"""Fusion in tables and charts: subsets of the views, numbers of views, rules, the gain, and exams with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble_mammo.merit.calls import called_classes, floor_of
from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.disagreement import strata
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.members import Judgement, Members, fused, oracle
from ensemble_mammo.merit.rules import Fusion
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Table
from ensemble_mammo.stages.report.sections.ensemble import Ensemble
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted


@dataclass(frozen=True)
class Studied:
    """The exams with every view, and all candidates judged together: the subsets, then the rules."""

    ensemble: Ensemble
    members: Members
    judgement: Judgement
    every: list[tuple[int, ...]]
    rules: list[Fusion]
    names: tuple[str, str]
    resamples: int
    seed: int

    @property
    def whole(self) -> int:
        """The place of all views, fused by the rule in use."""
        return len(self.every) - 1

    @property
    def singles(self) -> list[int]:
        """The places of single views."""
        return list(range(len(self.members.views)))

    @property
    def floor(self) -> float:
        """The accuracy of always naming the most frequent class."""
        return floor_of(self.members.true)

    @property
    def beside(self) -> str:
        """What must be known of every accuracy of these candidates."""
        cut = self.members.cut
        at = "" if cut is None else f" Accuracy: every row is called at the threshold {cut:.3g}."
        return f"{at} Always naming the most frequent class has an accuracy of {self.floor:.3f}."

    def label(self, place: int) -> str:
        """The views of a subset, as CC_R+MLO_R."""
        return "+".join(self.members.views[i] for i in self.every[place])

    def pair(self, place: int) -> list[Cell]:
        """Both figures of a candidate, and how the first differs from all views in use."""
        both: list[Cell] = [self.judgement.of(name, place) for name in self.names]
        return [*both, self.judgement.difference(self.names[0], place, self.whole)]


def best_of(studied: Studied, places: Sequence[int], sign: int = 1) -> int:
    """The candidate with the highest first figure, or with sign -1 the lowest; of equal ones the first."""
    values = np.nan_to_num(sign * studied.judgement.values[studied.names[0]][list(places)], nan=-np.inf)
    return places[int(values.argmax())]


def _headings(studied: Studied, than: str) -> dict[str, str]:
    main, second = studied.names
    return {main: title_of(main), second: title_of(second), "difference": f"{title_of(main)}, against {than}"}


def gain_table(studied: Studied) -> Table:
    """All views against the best and the mean single view, and what a perfect choice would reach."""
    judgement, names, singles = studied.judgement, studied.names, studied.singles
    best = best_of(studied, singles)
    any_right = oracle(studied.members, studied.resamples, studied.seed)
    rows: list[list[Cell]] = [
        ["all views", *(judgement.of(name, studied.whole) for name in names)],
        [f"best single view ({studied.label(best)})", *(judgement.of(name, best) for name in names)],
        ["gain over the best single view", *(judgement.gain(name, studied.whole, singles) for name in names)],
        ["mean of single views", *(judgement.mean(name, singles) for name in names)],
        [
            "gain over the mean single view",
            *(judgement.interval(n, lambda v: v[..., studied.whole] - v[..., singles].mean(-1)) for n in names),
        ],
        ["some view is right", *(any_right if name == "accuracy" else None for name in names)],
        ["most frequent class", *(studied.floor if name == "accuracy" else None for name in names)],
    ]
    return Table(
        "fusion-gain",
        "What fusion gains",
        {"what": "", **{name: title_of(name) for name in names}},
        rows,
        f"{len(studied.members.true)} exams of {len(set(studied.members.subjects))} subjects with every view. The best "
        "view is chosen for each figure anew within each resample; the best of several is a little too high there, so "
        "the interval leans against fusion. 'Some view is right' is what a perfect choice among the views would reach.",
    )


def subset_table(studied: Studied) -> Table:
    """A row a subset, single views first."""
    rows: list[list[Cell]] = [
        [studied.label(place), len(chosen), *studied.pair(place)] for place, chosen in enumerate(studied.every)
    ]
    return Table(
        "fusion-subsets",
        "Every subset of the views",
        {"views": "views", "number": "number", **_headings(studied, "all views")},
        rows,
        "The same exams in every row, fused by the rule in use; differences are paired." + studied.beside,
    )


def number_table(studied: Studied) -> Table:
    """Means over the subsets of each size."""
    rows: list[list[Cell]] = []
    for size in range(1, len(studied.members.views) + 1):
        places = [place for place, chosen in enumerate(studied.every) if len(chosen) == size]
        both = [studied.judgement.mean(name, places) for name in studied.names]
        rows.append([size, len(places), *both, studied.judgement.mean(studied.names[0], places, studied.whole)])
    return Table(
        "fusion-number",
        "By number of views",
        {"number": "views", "subsets": "subsets", **_headings(studied, "all views")},
        rows,
        "Means over all subsets of that size; the row of all but one says what a missing view costs on average."
        + studied.beside,
    )


def rule_table(studied: Studied, study: Study) -> Table:
    """A row a rule of fusion, the one in use marked."""
    rows: list[list[Cell]] = []
    used = frozenset(place for place, rule in enumerate(studied.rules) if same_rule(rule, studied.ensemble.fusion))
    for place, rule in enumerate(studied.rules):
        said = ["in use"] if place in used else []
        if rule.rule == "mean" and rule.breast_to_subject == study.task.breast_to_subject:
            said.append("the task's own")
        way = "the worse breast" if rule.breast_to_subject == "maximum" else "all views alike"
        rows.append([rule.rule, way, ", ".join(said), *studied.pair(len(studied.every) + place)])
    columns = {"rule": "rule", "subject": "subject", "use": "", **_headings(studied, "the rule in use")}
    caption = (
        "mean, geometric, median: of the scores; vote: share of the views that name a class (a tie goes to the lower "
        "one). The worse breast: views are fused in each breast, and the one with the higher score of the last class "
        "counts."
    )
    if studied.ensemble.fusion.weights:
        caption += " Weights given are kept, except in the median, which takes none."
    return Table("fusion-rules", "Every rule of fusion", columns, rows, caption + studied.beside, used)


def same_rule(one: Fusion, other: Fusion) -> bool:
    """Whether two fusions differ at most in their weights."""
    return (one.rule, one.breast_to_subject) == (other.rule, other.breast_to_subject)


def gap_tables(members: Members, ensemble: Ensemble) -> tuple[Table, ...]:
    """Accuracy by number of views present; no table where no exam lacks one."""
    if (members.present == len(members.views)).all():
        return ()
    scores = fused(members.scores, members.views, ensemble.fusion)
    named = called_classes(scores, members.positive, members.cut)
    found = strata(members.present, named == members.true)
    rows: list[list[Cell]] = [
        [one.number, one.exams, one.right, one.accuracy, floor_of(members.true[members.present == one.number])]
        for one in reversed(found)
    ]
    return (
        Table(
            "fusion-gaps",
            "Exams that lack views",
            {
                "views": "views present",
                "exams": "exams",
                "right": "right",
                "accuracy": "accuracy",
                "floor": "most frequent class",
            },
            rows,
            "Other exams in each row, so the difference is not the cost of a view alone: women whose exams lack views "
            "may differ. Intervals are Wilson's, as if exams were independent.",
        ),
    )


def charts_of(studied: Studied) -> tuple[BarChart, ...]:
    """The subsets, their means by size, and the rules, against all views in use."""
    main, whole, first = studied.names[0], studied.whole, len(studied.every)
    value = studied.judgement.of(main, whole).value
    by_subset = [
        _bar(studied.label(place), studied.judgement.of(main, place), place == whole) for place in range(first)
    ]
    by_rule = []
    for place, rule in enumerate(studied.rules):
        label = rule.rule + (", worse breast" if rule.breast_to_subject == "maximum" else "")
        used = same_rule(rule, studied.ensemble.fusion)
        by_rule.append(_bar(label, studied.judgement.of(main, first + place), used))
    by_number = []
    for size in range(1, len(studied.members.views) + 1):
        places = [place for place, chosen in enumerate(studied.every) if len(chosen) == size]
        found = studied.judgement.mean(main, places)
        many = f"{size} views" if size > 1 else "1 view"
        by_number.append(_bar(many, found, size == len(studied.members.views), counted(len(places), "subset")))
    title = title_of(main)
    line = "The line is the figure of all views, fused by the rule in use."
    return (
        BarChart("fusion-number", "By number of views", title, by_number, reference=value, caption=line),
        BarChart("fusion-subsets", "Every subset of the views", title, by_subset, reference=value, caption=line),
        BarChart("fusion-rules", "Every rule of fusion", title, by_rule, reference=value, caption=line),
    )


def _bar(label: str, one: Interval, marked: bool, note: str = "") -> Bar:
    return Bar(label, one.value, one.low, one.high, marked, note)
