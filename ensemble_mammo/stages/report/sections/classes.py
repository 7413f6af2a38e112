"""The section on single classes: which are found, which are mistaken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.figures import confusion_matrix, undefined
from ensemble_mammo.merit.intervals import Interval, exact_limits
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Section, Table
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, figure, level_in_words, listed

_KINDS: Mapping[str, tuple[str, str]] = {
    "recall": ("Recall", "share of the class's exams that are found"),
    "precision": ("Precision", "share of the exams called so that are right"),
    "f1": ("F1", "harmonic mean of recall and precision"),
    "auc": ("AUC", "AUC of the class's score against the rest"),
}
"""figure -> its heading, and what is measured."""

_METHOD = (
    "An exam is called the class that scores highest, or what the threshold says where one was given. F1: harmonic "
    "mean of recall and precision. AUC of a class: of its score, against all other classes together; ties count half. "
    "Limits: 95 %, percentile bootstrap over subjects. A resample in which a figure is undefined does not count for it."
)


def section(study: Study) -> Section:
    """Recall, precision, F1 and AUC of each class, and what is called what, at every level."""
    classes, top = study.task.classes, study.top
    levels = dict(reversed(list(study.levels.items())))  # the top one first
    found = {level: study.figures[level] for level in levels}
    counts = {level: confusion_matrix(one.true, one.predicted, len(classes)) for level, one in levels.items()}
    kinds = [kind for kind in _KINDS if f"{kind}_{classes[0]}" in found[top.level]]
    return Section(
        "classes",
        "Each class",
        _lead(counts[top.level], found[top.level], classes, top.level),
        (_table(found, counts, classes, kinds),),
        (*(_bars(kind, found[top.level], counts[top.level], classes, top.level) for kind in kinds),),
        notes=tuple(_notes(counts, classes, top.level)),
        method=_METHOD,
    )


def _lead(counts: NDArray[np.int64], figures: Mapping[str, Interval], classes: Sequence[str], level: str) -> str:
    """The class found least often, and the commonest confusion."""
    place = level_in_words(level, True)
    of_each = counts.sum(axis=1)
    recalls = {name: figures[f"recall_{name}"].value for name, total in zip(classes, of_each, strict=True) if total}
    if len(recalls) == 1:
        return f"{place}: all {counted(int(counts.sum()), 'exam')} are truly {next(iter(recalls))}."
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{place}: all {counted(int(counts.sum()), 'exam')} are called what they truly are."
    lowest = min(recalls.values())
    least = [name for name, value in recalls.items() if np.isclose(value, lowest, rtol=0, atol=1e-12)]
    if len(least) == len(recalls):
        first = f"{place}: all classes are found alike often, recall {lowest:.2f}."
    elif len(least) > 1:
        first = f"{place}: {listed(least)} are found least often, recall {lowest:.2f} each."
    else:
        at = list(classes).index(least[0])
        first = (
            f"{place}: {least[0]} is found least often: {counts[at, at]} of {of_each[at]}, "
            f"recall {figure(figures[f'recall_{least[0]}'])}."
        )
    return f"{first} {_confusions(wrong, of_each, classes)}"


def _confusions(wrong: NDArray[np.int64], of_each: NDArray[np.int64], classes: Sequence[str]) -> str:
    """The commonest confusion by count; of equals, the one that takes the larger share of its class."""
    places = [(int(true), int(called)) for true, called in np.argwhere(wrong == wrong.max())]
    true, called = max(places, key=lambda place: wrong[place] / of_each[place[0]])
    are = "is" if wrong.max() == 1 else "are"
    return (
        f"The commonest confusion: {wrong[true, called]} of {of_each[true]} {classes[true]} {are} called "
        f"{classes[called]}."
    )


def _table(
    found: Mapping[str, Mapping[str, Interval]],
    counts: Mapping[str, NDArray[np.int64]],
    classes: Sequence[str],
    kinds: Sequence[str],
) -> Table:
    rows: list[list[Cell]] = [
        [
            level,
            name,
            int(counts[level][place].sum()),
            int(counts[level][:, place].sum()),
            int(counts[level][place, place]),
            *(found[level][f"{kind}_{name}"] for kind in kinds),
        ]
        for level in found
        for place, name in enumerate(classes)
    ]
    columns = {"level": "level", "class": "class", "exams": "true", "called": "predicted", "right": "right"}
    return Table(
        "classes",
        "Figures of each class at each level",
        columns | {kind: _KINDS[kind][0] for kind in kinds},
        rows,
        "Recall: share of the exams truly so that are called so; precision: share of those called so that truly are.",
    )


def _bars(
    kind: str,
    figures: Mapping[str, Interval],
    counts: NDArray[np.int64],
    classes: Sequence[str],
    level: str,
) -> BarChart:
    values = [figures[f"{kind}_{name}"] for name in classes]
    defined = [one.value for one in values if not np.isnan(one.value)] or [np.nan]
    notes = {
        "recall": [f"{counts[i, i]} of {counts[i].sum()}" for i in range(len(classes))],
        "precision": [f"{counts[i, i]} of {counts[:, i].sum()}" for i in range(len(classes))],
    }.get(kind, [f"{counted(int(counts[i].sum()), 'exam')}" for i in range(len(classes))])
    bars = [
        Bar(name, one.value, one.low, one.high, bool(one.value == min(defined) < max(defined)), note)
        for name, one, note in zip(classes, values, notes, strict=True)
    ]
    title, meaning = _KINDS[kind]
    chance = 0.5 if kind == "auc" else None
    caption = "The line at 0.5 is chance." if kind == "auc" else ""
    return BarChart(
        f"{kind}-by-class", f"{title} of each class, {level}", meaning, bars, reference=chance, caption=caption
    )


def _notes(counts: Mapping[str, NDArray[np.int64]], classes: Sequence[str], top: str) -> list[str]:
    """What is undefined at which levels; and exact limits where all or none of a class are found."""
    levels_of: dict[str, list[str]] = {}
    for level, one in counts.items():
        for sentence in undefined(one, classes):
            levels_of.setdefault(sentence, []).append(level)
    notes = [f"{listed(levels)}: {sentence}." for sentence, levels in levels_of.items()]
    for place, name in enumerate(classes):
        right, total = int(counts[top][place, place]), int(counts[top][place].sum())
        if total and right in (0, total):
            low, high = exact_limits(right, total)
            notes.append(
                f"{top}: {right} of {total} {name} are found, which resampling cannot vary; exact binomial limits of "
                f"that recall are {low:.2f} to {high:.2f} (Clopper & Pearson 1934, exams taken as independent)."
            )
    return notes
