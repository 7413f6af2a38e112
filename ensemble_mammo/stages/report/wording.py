"""How numbers, limits and p-values stand in the sentences of a report."""

from __future__ import annotations

import numpy as np

from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.cells import UNDEFINED
from ensemble_mammo.merit.results import MAIN_OF_TWO
from ensemble_mammo.records.subject import SUBJECT, Side
from ensemble_mammo.records.task import Task

SHOWN_OF_SEVERAL = ("accuracy", "recall", "kappa", "auc")
"""The figures of several classes that stand in a table beside each other, the main one first."""


def shown_figures(task: Task) -> tuple[str, ...]:
    """The figures that stand beside each other, the main one first."""
    return MAIN_OF_TWO if len(task.classes) == 2 else SHOWN_OF_SEVERAL


def figure_title(task: Task, name: str) -> str:
    """How a table heads a figure; the positive classes of density are called dense."""
    return title_of(figure_key(task, name))


def figure_key(task: Task, name: str) -> str:
    """The key of a figure in report.json: as in the headline table."""
    return name.replace("positive", "dense", 1) if task.name == "density" else name


def number(value: float, digits: int = 2) -> str:
    """`0.71`, `−0.03`; `undefined` where it is nan."""
    text = f"{value:.{digits}f}"
    return UNDEFINED if np.isnan(value) else text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def limits(one: Interval, digits: int = 2) -> str:
    """` (0.64 to 0.77)`, or nothing where there are no limits."""
    return "" if np.isnan(one.low) else f" ({number(one.low, digits)} to {number(one.high, digits)})"


def figure(one: Interval, digits: int = 2) -> str:
    """`0.71 (0.64 to 0.77)`."""
    return number(one.value, digits) + limits(one, digits)


def level_in_words(level: str, first: bool = False) -> str:
    """`right breast`, `subject`, `view CC_R`; with a capital where it stands first."""
    words = f"{level} breast" if level in tuple(map(str, Side)) else level if level == SUBJECT else f"view {level}"
    return words[0].upper() + words[1:] if first else words


def percent(share: float) -> str:
    """`81 %`."""
    return f"{100 * share:.0f} %"


def p_value(p: float) -> str:
    """`p = 0.21`, `p = 0.004`, `p < 0.001`."""
    if np.isnan(p):
        return "p undefined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def counted(count: int, word: str) -> str:
    """`1 exam`, `2 exams`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def listed(words: list[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
