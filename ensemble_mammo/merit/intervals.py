"""Confidence intervals: the percentile bootstrap over subjects (Efron & Tibshirani, 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.figures import auc, figures_of, figures_of_confusion

CONFIDENCE = 0.95
"""Share of resamples that an interval holds."""

RESAMPLES = 10_000
"""How many resamples are drawn unless told otherwise."""

_CELLS = 2_000_000
"""Draws held in memory at once (a chunk of resamples x subjects)."""


@dataclass(frozen=True)
class Interval:
    """A figure of merit with the limits of its interval."""

    value: float
    "the figure of all cases as they are; nan where it is undefined"
    low: float
    "lower limit, nan where the figure is undefined"
    high: float
    "upper limit, nan where the figure is undefined"

    def __str__(self) -> str:
        """As tables show it: `0.805 (0.734-0.867)`."""
        if np.isnan(self.value):
            return "undefined"
        limits = "" if np.isnan(self.low) else f" ({self.low:.3f}-{self.high:.3f})"
        return f"{self.value:.3f}{limits}"


@dataclass(frozen=True)
class Cases:
    """Scored cases whose true classes are known."""

    true: NDArray[np.int64]
    "true classes [N], as numbers from 0"
    scores: NDArray[np.float64]
    "[N, C]"
    subjects: Sequence[str]
    "the subject of each case [N]: who is drawn is drawn with all her cases"
    positive: tuple[int, ...] = ()
    "numbers of the positive classes"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if not len(self.true) == len(self.scores) == len(self.subjects) > 0:
            raise ValueError(
                f"{len(self.true)} true classes, {len(self.scores)} rows of scores and {len(self.subjects)} subjects: "
                "expected the same number, at least one"
            )


def intervals(cases: Cases, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """Every figure of merit with its 95 % interval.

    Subjects, not cases, are drawn with replacement, as many as there are. A resample in which a figure is undefined
    is left out of that figure's interval; a macro mean goes over the classes defined in the resample.

    Args:
        cases: what was predicted, and what is true.
        resamples: how many are drawn; 0 gives values without limits (nan).
        seed: the same seed gives the same limits.
    """
    values = figures_of(cases.true, cases.scores, cases.positive)
    drawn = resampled(cases, resamples, seed) if resamples else {}
    return {name: _interval(value, drawn.get(name, np.empty(0))) for name, value in values.items()}


def resampled(cases: Cases, resamples: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """The figures of every bootstrap resample, by name: [resamples] each."""
    _, subject_of = np.unique(np.asarray(cases.subjects, dtype=str), return_inverse=True)
    count, classes = int(subject_of.max()) + 1, cases.scores.shape[1]
    cells = np.zeros((count, classes * classes))
    np.add.at(cells, (subject_of, cases.true * classes + cases.scores.argmax(1)), 1)  # a subject's confusion
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS // count)
    parts: list[dict[str, NDArray[np.float64]]] = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
        figures = figures_of_confusion((times @ cells).reshape(size, classes, classes), cases.positive)
        if 0 < len(cases.positive) < classes:
            score = cases.scores[:, list(cases.positive)].sum(1)
            figures["auc"] = auc(np.isin(cases.true, cases.positive), score, times[:, subject_of])
        parts.append(figures)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(defined):
        return Interval(value, np.nan, np.nan)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(value, float(low), float(high))
