"""Confidence intervals: the percentile bootstrap over subjects (Efron & Tibshirani, 1993, chapter 13)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import called_classes
from ensemble_mammo.merit.figures import confusion_matrix, figures_of, figures_of_confusion, figures_of_ranks, grouped

CONFIDENCE = 0.95
"""Share of resamples that an interval holds."""

RESAMPLES = 10_000
"""How many resamples are drawn unless told otherwise."""

_CELLS = 2_000_000
"""Draws held in memory at once (a chunk of resamples x subjects)."""

_THREADS = 8
"""At most so many chunks are worked on at once; the results do not depend on it."""


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
        between = "-" if self.low >= 0 else " to "  # a minus sign beside a hyphen cannot be read
        limits = "" if np.isnan(self.low) else f" ({self.low:.3f}{between}{self.high:.3f})"
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
    cut: float | NDArray[np.float64] | None = None
    "of two classes, the positive score from which a case is called positive, one or [N]; None: the highest score"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if not len(self.true) == len(self.scores) == len(self.subjects) > 0:
            raise ValueError(
                f"{len(self.true)} true classes, {len(self.scores)} rows of scores and {len(self.subjects)} subjects: "
                "expected the same number, at least one"
            )

    @property
    def called(self) -> NDArray[np.int64]:
        """[N] the classes that the cases are called, as numbers from 0."""
        return called_classes(self.scores, self.positive, self.cut)

    @property
    def cells(self) -> NDArray[np.float64]:
        """[N, C * C]: the confusion matrix of each case alone; drawn and summed over cases, that of a resample."""
        width = self.scores.shape[1]
        return np.eye(width * width)[self.true * width + self.called]


Statistic = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""How often each case is drawn `[R, N]` -> figures by name, `[R]` each."""


def intervals(
    cases: Cases, resamples: int = RESAMPLES, seed: int = 0, classes: Sequence[str] = ()
) -> dict[str, Interval]:
    """Every figure of merit with its 95 % interval.

    Subjects, not cases, are drawn with replacement, as many as there are. A resample in which a figure is undefined
    is left out of that figure's interval; a macro mean goes over the classes defined in the resample. Where all
    resamples give one value, a share of all or none (accuracy, recall, …) gets exact binomial limits, another figure
    none.

    Args:
        cases: what was predicted, and what is true.
        resamples: how many are drawn; 0 gives values without limits (nan).
        seed: the same seed gives the same limits.
        classes: names of the classes; with them, the figures of each class are there too (`recall_A`).
    """
    values = figures_of(cases.true, cases.scores, cases.positive, classes, cases.cut)
    drawn = resampled(cases, resamples, seed, classes) if resamples else {}
    found = {name: interval(value, drawn.get(name, np.empty(0))) for name, value in values.items()}
    exact = shares_of(cases, classes)
    return {name: with_width(one, exact.get(name)) for name, one in found.items()}


def shares_of(cases: Cases, classes: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The figures that are shares of cases: how many are counted, of how many."""
    width = cases.scores.shape[1]
    confusion = confusion_matrix(cases.true, cases.called, width)
    counts = {"accuracy": (int(np.trace(confusion)), int(confusion.sum()))}
    if 0 < len(cases.positive) < width:
        two = grouped(confusion, cases.positive).astype(int)
        counts["positive"] = (int(np.trace(two)), int(two.sum()))
        counts["positive_sensitivity"] = (int(two[1, 1]), int(two[1].sum()))
        counts["positive_specificity"] = (int(two[0, 0]), int(two[0].sum()))
    for place, name in enumerate(classes):
        right = int(confusion[place, place])
        counts[f"recall_{name}"] = (right, int(confusion[place].sum()))
        counts[f"precision_{name}"] = (right, int(confusion[:, place].sum()))
    return counts


def with_width(found: Interval, share: tuple[int, int] | None) -> Interval:
    """An interval without width would claim certainty: exact limits for a share of all or none, else none."""
    if found.low != found.high:
        return found
    if share and share[0] in (0, share[1]):
        return Interval(found.value, *exact_limits(*share))
    return Interval(found.value, np.nan, np.nan)


def exact_limits(count: int, total: int) -> tuple[float, float]:
    """The 95 % limits of a share by Clopper & Pearson (Biometrika 1934), which hold where all or none are counted.

    Args:
        count: how many of the cases are counted.
        total: how many cases there are, taken as independent.
    """
    from scipy.stats import beta

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else beta.ppf(tail, count, total - count + 1)
    high = 1.0 if count == total else beta.ppf(1 - tail, count + 1, total - count)
    return float(low), float(high)


def resampled(cases: Cases, resamples: int, seed: int, classes: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """The figures of every bootstrap resample, by name: [resamples] each."""
    width = cases.scores.shape[1]
    cells = cases.cells

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        confusion = (times @ cells).reshape(len(times), width, width)
        figures = figures_of_confusion(confusion, cases.positive, classes)
        return figures | figures_of_ranks(cases.true, cases.scores, cases.positive, classes, times)

    return bootstrap(cases.subjects, statistic, resamples, seed)


def bootstrap(
    subjects: Sequence[str], statistic: Statistic, resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Any figures in every bootstrap resample of subjects, computed for many resamples at a time.

    The draws depend on the seed and on how many subjects there are, not on the figures: two statistics of the same
    cases see the same resamples, so that their differences are paired.

    Args:
        subjects: [N], of each case: who is drawn is drawn with all her cases.
        statistic: figures from how often each case is drawn; called on several threads.
        resamples: how many are drawn, 1 or more.
        seed: of the draws.

    Returns:
        Figures by name, [resamples] each.
    """
    _, subject_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        chunks = deque[Future[Mapping[str, NDArray[np.float64]]]]()
        parts: list[Mapping[str, NDArray[np.float64]]] = []
        for times in _draws(int(subject_of.max()) + 1, resamples, seed):
            chunks.append(threads.submit(lambda times: statistic(np.take(times, subject_of, axis=1)), times))
            if len(chunks) > _THREADS:  # no more than a few chunks are held at once
                parts.append(chunks.popleft().result())
        parts += [chunk.result() for chunk in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draws(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `count` subjects is drawn, for a chunk of resamples at a time: [R, count]."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS // count)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    """A figure with the percentile limits of its resamples [R]; those that are nan are left out."""
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(defined):
        return Interval(float(value), np.nan, np.nan)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high))
