"""Two systems judged on the same cases: how far they differ, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.delong import delong
from ensemble_mammo.merit.figures import auc, figures_of_confusion
from ensemble_mammo.merit.intervals import Cases, Interval, Statistic, bootstrap, interval

COMPARED = ("accuracy", "recall", "kappa", "auc")
"""The figures in which systems are compared."""

ALPHA = 0.05
"""A p-value below it, after the correction for several tests, is called beyond chance."""


@dataclass(frozen=True)
class Drawn:
    """Figures of the cases as they are, and in every bootstrap resample."""

    values: Mapping[str, float]
    "name -> figure of all cases"
    drawn: Mapping[str, NDArray[np.float64]]
    "name -> [R]; empty arrays where nothing was drawn"

    def interval(self, name: str) -> Interval:
        """The figure with its percentile limits."""
        return interval(self.values[name], self.drawn[name])


@dataclass(frozen=True)
class Discordance:
    """Who is right where, and the exact test of McNemar (Psychometrika 1947)."""

    both: int
    "cases that both systems have right"
    first_only: int
    "cases that the first system alone has right"
    second_only: int
    "cases that the second system alone has right"
    neither: int
    "cases that both have wrong"
    p: float
    "two-sided, from the binomial distribution of the cases that only one has right"


@dataclass(frozen=True)
class PairTest:
    """A figure of one system against the same figure of another."""

    name: str
    "of the figure"
    first: str
    "a system"
    second: str
    "the other system"
    apart: Interval
    "the figure of the first minus that of the second, with the limits of the paired bootstrap"
    test: str
    "which test p is of"
    p: float
    "two-sided, that the two are equal; nan where it is undefined"
    drawn_p: float
    "the same by the paired bootstrap"
    corrected: float = np.nan
    "p, corrected by Holm's method over all tests of all pairs"


@dataclass(frozen=True)
class Contest:
    """Systems judged on the same cases."""

    drawn: Mapping[str, Drawn]
    "system -> its figures, as they are and drawn"
    counts: Mapping[tuple[str, str], Discordance]
    "pair -> who is right where"
    tests: tuple[PairTest, ...]
    "every figure of every pair"
    clustered: bool
    "whether a subject has several cases, so that McNemar's test does not hold"

    def test(self, one: str, other: str, name: str) -> PairTest:
        """That of a figure of two systems, in whichever order they stand."""
        return next(test for test in self.tests if {test.first, test.second} == {one, other} and test.name == name)

    @property
    def tested(self) -> int:
        """How many tests the correction is for."""
        return sum(not np.isnan(test.p) for test in self.tests)


def contest(systems: Mapping[str, Cases], resamples: int, seed: int) -> Contest:
    """Every pair of systems, compared in accuracy, macro recall, kappa and AUC.

    Accuracy is tested by McNemar's exact test where each subject has one case, AUC by DeLong's (clustered by
    subject), all else by the paired bootstrap; p is corrected over all of these tests.

    Args:
        systems: name -> the same cases in the same order, with other scores.
        resamples: how many are drawn; 0: no limits, and only McNemar's and DeLong's tests.
        seed: of the draws, the same for every system.

    Raises:
        ValueError: the systems have not the same cases.
    """
    reference = next(iter(systems.values()))
    for name, cases in systems.items():
        if list(cases.subjects) != list(reference.subjects) or not np.array_equal(cases.true, reference.true):
            raise ValueError(f"system {name} has not the same cases in the same order as the first")
    clustered = len(set(reference.subjects)) < len(reference.subjects)
    drawn = {name: drawn_figures(cases, resamples, seed) for name, cases in systems.items()}
    right = {name: cases.called == cases.true for name, cases in systems.items()}
    counts = {(a, b): mcnemar(right[a], right[b]) for a, b in combinations(systems, 2)}
    tests = []
    for (a, b), count in counts.items():
        for name in (name for name in COMPARED if name in drawn[a].values):
            apart, drawn_p = difference(drawn[a], drawn[b], name)
            test, p = "paired bootstrap", drawn_p
            if name == "accuracy" and not clustered:
                test, p = "McNemar, exact", count.p
            elif name == "auc":
                test, p = "DeLong", _delong_p(systems[a], systems[b])
            tests.append(PairTest(name, a, b, apart, test, p, drawn_p))
    holm = corrected([test.p for test in tests])
    ready = tuple(replace(test, corrected=p) for test, p in zip(tests, holm, strict=True))
    return Contest(drawn, counts, ready, clustered)


def _delong_p(first: Cases, second: Cases) -> float:
    scores = np.stack([cases.scores[:, list(cases.positive)].sum(axis=1) for cases in (first, second)])
    if np.array_equal(scores[0], scores[1]):
        return 1.0
    return delong(np.isin(first.true, first.positive), scores, first.subjects).compared().p


def main_statistic(cases: Cases, classes: Sequence[str] = (), ranks: bool = True) -> Statistic:
    """Accuracy, macro recall, kappa, sensitivity, specificity, AUC and the like, from how often each case is drawn.

    Args:
        cases: N of them.
        classes: C names; with them, the recall, precision and F1 of each class are there too.
        ranks: whether `auc` is (where there are positive classes and others).
    """
    width = cases.scores.shape[1]
    cells = cases.cells
    positive = np.isin(cases.true, cases.positive)
    score = cases.scores[:, list(cases.positive)].sum(axis=1)
    ranked = ranks and 0 < len(cases.positive) < width

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        figures = figures_of_confusion((times @ cells).reshape(len(times), width, width), cases.positive, classes)
        return figures | ({"auc": auc(positive, score, times)} if ranked else {})

    return statistic


def drawn_figures(cases: Cases, resamples: int, seed: int, statistic: Statistic | None = None) -> Drawn:
    """The figures of a statistic in the cases as they are and in resamples of subjects.

    Args:
        cases: what was predicted, and what is true.
        resamples: how many are drawn; 0: none.
        seed: systems with the same subjects and the same seed see the same resamples.
        statistic: which figures; `main_statistic` unless given.
    """
    return drawn_by(statistic or main_statistic(cases), cases.subjects, resamples, seed)


def drawn_by(statistic: Statistic, subjects: Sequence[str], resamples: int, seed: int) -> Drawn:
    """Any figures of cases [N] as they are (each case once), and in resamples of their subjects [N]."""
    once = statistic(np.ones((1, len(subjects))))
    values = {name: float(value[0]) for name, value in once.items()}
    drawn = bootstrap(subjects, statistic, resamples, seed) if resamples else {name: np.empty(0) for name in values}
    return Drawn(values, drawn)


def difference(first: Drawn, second: Drawn, name: str) -> tuple[Interval, float]:
    """A figure of the first minus that of the second: with the paired percentile interval, and two-sided p.

    Both must come from the same subjects, resamples and seed: each resample then has the same subjects on both sides
    (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15).
    """
    apart = first.drawn[name] - second.drawn[name]
    return interval(first.values[name] - second.values[name], apart), p_of_resamples(apart)


def p_of_resamples(apart: ArrayLike) -> float:
    """Two-sided p that a difference is 0: twice the smaller share of resamples [R] at or beyond 0, at most 1.

    The share is (k + 1) / (R + 1), so that p is never 0 (Davison & Hinkley, Bootstrap Methods, 1997, section 4.2);
    resamples where the difference is undefined are left out; nan without resamples.
    """
    values = np.asarray(apart, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if not len(defined):
        return np.nan
    fewer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(defined) + 1))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> Discordance:
    """The exact test of McNemar on whether each case [N] is right in one and in the other system.

    It takes the cases as independent: several exams of one subject are not.
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact_test

    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    both, only_first = int((first & second).sum()), int((first & ~second).sum())
    only_second, neither = int((~first & second).sum()), int((~first & ~second).sum())
    tested = exact_test([[both, only_first], [only_second, neither]], exact=True)
    return Discordance(both, only_first, only_second, neither, float(min(1.0, tested.pvalue)))


def corrected(p: Sequence[float], method: str = "holm") -> list[float]:
    """p-values corrected for being several; those that are nan stay so and do not count.

    Args:
        p: of every test of the family.
        method: as `statsmodels.stats.multitest.multipletests` calls it; Holm (Scand J Stat 1979) unless told.
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=np.float64)
    defined = ~np.isnan(values)
    if defined.any():
        values[defined] = multipletests(values[defined], alpha=ALPHA, method=method)[1]
    return [float(value) for value in values]


def beyond_chance(p: float) -> bool:
    """Whether a corrected p-value is small enough; nan is not."""
    return bool(p < ALPHA)
