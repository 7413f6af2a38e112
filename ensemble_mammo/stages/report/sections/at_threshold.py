"""Accuracy, recall, precision and F1 together, a row a level, at the threshold that exams are called at."""

from __future__ import annotations

from ensemble_mammo.merit.calls import Acting, floor_of
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.stages.report.sections.two_sided import words_of
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import listed, number


def called_table(study: Study) -> Table:
    """What calling exams comes to at every level, the top one first."""
    two = len(study.task.classes) == len(("negative", "positive"))
    return _of_two(study) if two else _of_several(study)


def _of_two(study: Study) -> Table:
    positive = words_of(study.task)[0]
    name = study.task.positive[0]
    chosen = any(one.wanted is not None for one in study.thresholds.values())
    columns = {"level": "level", "exams": "exams", "threshold": "threshold", "chosen_on": "chosen on"}
    columns |= {"reached": "recall reached there"} if chosen else {}
    columns |= {"accuracy": "accuracy", "floor": "most frequent class"}
    columns |= {"recall": f"recall of {positive}", "precision": f"precision of {positive}", "f1": f"F1 of {positive}"}
    rows: list[list[Cell]] = []
    for level, one in reversed(list(study.levels.items())):
        figures, at = study.figures[level], study.thresholds.get(level, Acting())
        about: list[Cell] = [level, len(one.true), at.value, at.chosen_on, *([at.reached] if chosen else [])]
        own = (figures[f"{kind}_{name}"] for kind in ("recall", "precision", "f1"))
        rows.append([*about, figures["accuracy"], floor_of(one.true), *own])
    title = "Called at the threshold"
    return Table("called", title, columns, rows, f"{_two_caption(study, positive)} {_FLOOR}")


def _two_caption(study: Study, positive: str) -> str:
    top = study.thresholds.get(study.top.level, Acting())
    if top.wanted is not None:
        return (
            f"Each level's threshold is the highest score that finds a share of {top.wanted:g} or more of the "
            f"{positive} exams of the validation files, and was held here as it is: intervals leave out that other "
            "validation exams would have led to another one."
        )
    if top.cut is None:
        return "The class with the higher score is called: a threshold of 0.5."
    return f"An exam is called {positive} at a score of {top.value:g} or more."


def _of_several(study: Study) -> Table:
    positive = words_of(study.task)[0]
    columns = {"level": "level", "exams": "exams", "accuracy": "accuracy", "floor": "most frequent class"}
    columns |= {"recall": f"recall of {positive}, any class of it"}
    rows: list[list[Cell]] = [
        [
            level,
            len(one.true),
            study.figures[level]["accuracy"],
            floor_of(one.true),
            study.figures[level]["positive_sensitivity"],
        ]
        for level, one in reversed(list(study.levels.items()))
    ]
    caption = (
        f"Recall: an exam that is truly of a positive class ({listed(list(study.task.positive))}) counts as found if "
        "it is called any of them, be it the wrong one; the accuracy asks for the class itself."
    )
    return Table("called", "Accuracy, and the recall of the positive side", columns, rows, f"{caption} {_FLOOR}")


def sentence(study: Study) -> str:
    """What exams are called at, for the lead; empty where the class that scores highest is called."""
    at = study.thresholds.get(study.top.level, Acting())
    if at.cut is None:
        return ""
    if at.wanted is None or at.reached is None:
        return f" Exams are called at a score of {at.value:g} or more."
    return (
        f" Exams are called at a score of {at.value:.3g} or more, chosen on {at.chosen_on} for a recall of "
        f"{at.wanted:g}, which reached {number(at.reached)} there."
    )


_FLOOR = "Most frequent class: the accuracy of always naming it."
