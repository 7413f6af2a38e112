"""Networks that name one class only: a warning that must not be passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import counted, listed, number

WARNING = "WARNING: "
"""Begins a note that must not be passed over."""


def one_class_warnings(study: Study) -> list[str]:
    """A sentence on the levels, of every system, at which all exams are called one and the same class."""
    systems: Mapping[str, Mapping[str, Judged]] = study.systems or {"": study.levels}
    levels_of: dict[str, list[str]] = {}
    for name, levels in systems.items():
        for level, one in levels.items():
            if sentence := _sentence(one, study.task.classes):
                levels_of.setdefault(sentence, []).append(f"{name} {level}".strip())
    return [f"{WARNING}{listed(levels)}: {sentence}" for sentence, levels in levels_of.items()]


def _sentence(one: Judged, classes: Sequence[str]) -> str:
    """What all exams of a level are called, and what that is worth; empty where they are called several classes."""
    called = np.unique(one.predicted)
    if len(called) > 1 or len(one.true) < 2:
        return ""
    (name,) = called
    at = "" if one.cut is None else f" at threshold {one.cut:.3g}"
    said = f"names {classes[name]} for every one of {counted(len(one.true), 'exam')}{at}"
    counts = np.bincount(one.true, minlength=len(classes))
    if counts.max() == len(one.true):
        return f"{said}; all are truly {classes[int(counts.argmax())]}, so nothing shows that it tells classes apart"
    share, floor = counts[name] / len(one.true), floor_of(one.true)
    if share == floor:
        return (
            f"{said}: that is the most frequent class, which takes no network at all; the accuracy of {number(share)} "
            "is that of always naming it"
        )
    frequent = classes[int(counts.argmax())]
    always = f"always naming the most frequent class, {frequent}"
    return f"{said}: accuracy {number(share)}, where {always}, has {number(floor)}"
