"""Whom the system is unsure of: exams whose conformal set holds several classes, or none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calibration import with_intervals
from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.figures import ratio
from ensemble_mammo.merit.intervals import Interval, with_width
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.stages.report.sections.calibration_study import LevelFound
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import percent

METHOD = "lac"
"""The sets that `predict --calibration` states."""

_KINDS = {"one": "one class: sure", "several": "several classes", "none": "no class"}


def unsure_tables(study: Study, top: LevelFound) -> list[Table]:
    """How often a sure and an unsure exam is right, and every unsure exam; none without sets."""
    return [_accuracy_table(study, top), _exams_table(study, top)] if METHOD in top.sets else []


def sentence(study: Study, top: LevelFound) -> str:
    """What share of the exams the system is sure of, and how often it is right there and elsewhere."""
    if METHOD not in top.sets:
        return ""
    figures = _figures(study, top)
    one, rest = figures["accuracy_one"], figures["accuracy_unsure"]
    text = f" It is sure (a single class left) of {percent(figures['share_one'].value)} of the exams"
    if not np.isnan(one.value):
        text += f", and right in {percent(one.value)} of these"
    return text + (
        f"; of the others its highest class is right in {percent(rest.value)}." if not np.isnan(rest.value) else "."
    )


def _groups(top: LevelFound) -> dict[str, NDArray[np.bool_]]:
    """Which exams [N] have a set of one class, of several, of none; `unsure`: of several or none."""
    size = top.sets[METHOD].sum(axis=1)
    return {"one": size == 1, "several": size > 1, "none": size == 0, "unsure": size != 1}


def _figures(study: Study, top: LevelFound) -> dict[str, Interval]:
    """`share_<group>` of all exams and `accuracy_<group>`, with limits over subjects."""
    groups, one = _groups(top), top.judged
    right = one.scores.argmax(axis=1) == one.true
    member = np.column_stack(list(groups.values())).astype(np.float64)  # [N, 4]

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        counts, hits = times @ member, times @ (member * right[:, None])
        share, accuracy = counts / times.sum(axis=1, keepdims=True), ratio(hits, counts)
        found = {f"share_{name}": share[:, place] for place, name in enumerate(groups)}
        return found | {f"accuracy_{name}": accuracy[:, place] for place, name in enumerate(groups)}

    found = with_intervals(one.rows.subject_ids, statistic, study.options.resamples, study.options.seed)
    for name, own in groups.items():
        counted = {"share": (int(own.sum()), len(own)), "accuracy": (int(right[own].sum()), int(own.sum()))}
        for kind, of in counted.items():
            if of[1] and study.options.resamples:
                found[f"{kind}_{name}"] = with_width(found[f"{kind}_{name}"], of)
    return found


def _accuracy_table(study: Study, top: LevelFound) -> Table:
    figures, groups = _figures(study, top), _groups(top)
    rows: list[list[Cell]] = [
        [
            title,
            int(groups[name].sum()),
            figures[f"share_{name}"],
            figures[f"accuracy_{name}"],
            floor_of(top.judged.true[groups[name]]),
        ]
        for name, title in _KINDS.items()
        if groups[name].any()
    ]
    return Table(
        "conformal-sure",
        f"Sure and unsure, {top.judged.level}",
        {
            "set": "set",
            "exams": "exams",
            "share": "share",
            "accuracy": "highest class is right",
            "floor": "most frequent class",
        },
        rows,
        f"Sets that shall hold the true class in {percent(study.options.coverage)}, {METHOD.upper()}.",
    )


def _exams_table(study: Study, top: LevelFound) -> Table:
    """The exams with several classes or none, the largest sets first, then the lowest highest score."""
    one, sets, classes = top.judged, top.sets[METHOD], study.task.classes
    size, highest, best = sets.sum(axis=1), one.scores.max(axis=1), one.scores.argmax(axis=1)
    order = [int(i) for i in np.lexsort((highest, -size)) if size[i] != 1]
    rows: list[list[Cell]] = []
    for number, i in enumerate(order, start=1):
        ids: list[Cell] = (
            [f"subject {number}", ""] if study.options.hide_ids else [one.rows.subject_ids[i], one.rows.exam_ids[i]]
        )
        held = " ".join(name for name, taken in zip(classes, sets[i], strict=True) if taken) or "none"
        verdict = "right" if best[i] == one.true[i] else "wrong"
        rows.append([*ids, classes[best[i]], float(highest[i]), held, classes[one.true[i]], verdict])
    columns = ("subject_id", "exam_id", "predicted", "score", "set", "true", "verdict")
    outside = frozenset(place for place, i in enumerate(order) if not sets[i, one.true[i]])
    return Table(
        "conformal-unsure",
        f"Exams that it is unsure of, {one.level}",
        {name: name for name in columns},
        rows,
        "Marked: the true class is not in the set.",
        outside,
    )
