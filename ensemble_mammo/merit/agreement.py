"""Agreement of raters (readers, a network, the true classes) who put the same cases into classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.compare import Drawn, drawn_by
from ensemble_mammo.merit.figures import accuracy, kappa, ratio
from ensemble_mammo.merit.intervals import Interval, Statistic, interval

NOT_READ = -1
"""In a rating: this rater gave this case no class."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Two raters on the cases that both have rated."""

    first: str
    "a rater"
    second: str
    "the other"
    shared: int
    "cases that both rated"
    kappa: Interval
    "agreement beyond chance"
    percent: Interval
    "share of the cases with the same class from both"


@dataclass(frozen=True)
class Agreements:
    """Every pair of raters; all from the same resamples, so that means and differences of pairs are paired too."""

    pairs: Mapping[tuple[str, str], Agreement]
    "in the order of the raters"
    drawn: Drawn
    "`kappa:first:second` by place of the raters, as they are and drawn"
    places: Mapping[str, int]
    "rater -> place"

    def between(self, one: str, other: str) -> Agreement:
        """Those two, in whichever order they stand."""
        return self.pairs[one, other] if (one, other) in self.pairs else self.pairs[other, one]

    def mean_kappa(self, pairs: Sequence[tuple[str, str]]) -> Interval:
        """Mean kappa over pairs of raters, those that are undefined left out."""
        return interval(float(self._mean(pairs, once=True)[0]), self._mean(pairs))

    def mean_difference(self, pairs: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> Interval:
        """Mean kappa over some pairs minus that over other pairs, in the same resamples."""
        value = self._mean(pairs, once=True)[0] - self._mean(others, once=True)[0]
        return interval(float(value), self._mean(pairs) - self._mean(others))

    def _mean(self, pairs: Sequence[tuple[str, str]], once: bool = False) -> Floats:
        names = ["kappa:" + ":".join(map(str, sorted((self.places[a], self.places[b])))) for a, b in pairs]
        if not names:
            return np.full(1, np.nan)
        each = np.stack([np.array([self.drawn.values[name]]) if once else self.drawn.drawn[name] for name in names])
        defined = ~np.isnan(each)
        total = np.where(defined, each, 0).sum(axis=0)
        return np.divide(total, defined.sum(0), out=np.full(total.shape, np.nan), where=defined.any(axis=0))


def rater_kappa(confusion: ArrayLike, ordinal: bool) -> Floats:
    """Kappa of two raters from counts [..., C, C] -> [...]: quadratic for classes in an order, else unweighted.

    Unweighted: Cohen (Educ Psychol Meas 1960); quadratic: Cohen (Psychol Bull 1968). nan where both always name one
    and the same class.
    """
    if ordinal:
        return kappa(np.asarray(confusion)[None])[0]
    counts = np.asarray(confusion, dtype=np.float64)
    total = counts.sum((-2, -1))
    same = np.diagonal(counts, axis1=-2, axis2=-1).sum(-1)
    chance = (counts.sum(-1) * counts.sum(-2)).sum(-1)  # of the total, squared
    room = total**2 - chance
    return ratio(same * total - chance, room)


def agreements(
    ratings: Mapping[str, ArrayLike],
    subjects: Sequence[str],
    classes: int,
    ordinal: bool,
    draws: tuple[int, int],
) -> Agreements:
    """Every pair of raters: kappa and percent agreement on the cases that both have rated, with intervals.

    Args:
        ratings: rater -> [N] classes as numbers from 0, `NOT_READ` where there is none.
        subjects: [N], of each case: who is drawn is drawn with all her cases.
        classes: how many there are.
        ordinal: whether they stand in an order (quadratic kappa).
        draws: how many resamples (0: no limits), and their seed.
    """
    given = {name: np.asarray(one, dtype=np.int64) for name, one in ratings.items()}
    places = {name: place for place, name in enumerate(given)}
    drawn = drawn_by(_pairs_statistic(list(given.values()), classes, ordinal), subjects, *draws)
    pairs = {}
    for a, b in combinations(given, 2):
        key = f"{places[a]}:{places[b]}"
        shared = int(((given[a] != NOT_READ) & (given[b] != NOT_READ)).sum())
        pairs[a, b] = Agreement(a, b, shared, drawn.interval(f"kappa:{key}"), drawn.interval(f"percent:{key}"))
    return Agreements(pairs, drawn, places)


def _pairs_statistic(ratings: Sequence[NDArray[np.int64]], classes: int, ordinal: bool) -> Statistic:
    both, cells = {}, {}
    for i, j in combinations(range(len(ratings)), 2):
        both[i, j] = np.flatnonzero((ratings[i] != NOT_READ) & (ratings[j] != NOT_READ))
        cells[i, j] = np.eye(classes * classes)[ratings[i][both[i, j]] * classes + ratings[j][both[i, j]]]

    def statistic(times: Floats) -> Mapping[str, Floats]:
        figures = {}
        for (i, j), rows in both.items():
            confusion = (times[:, rows] @ cells[i, j]).reshape(len(times), classes, classes)
            figures[f"kappa:{i}:{j}"] = rater_kappa(confusion, ordinal)
            figures[f"percent:{i}:{j}"] = accuracy(confusion)
        return figures

    return statistic


def fleiss(ratings: ArrayLike, subjects: Sequence[str], classes: int, draws: tuple[int, int]) -> tuple[Interval, int]:
    """Fleiss' kappa of several raters (Psychol Bull 1971) on the cases that all have rated, and how many these are.

    Args:
        ratings: [K, N] classes as numbers from 0, `NOT_READ` where there is none.
        subjects: [N], of each case.
        classes: how many there are.
        draws: how many resamples (0: no limits), and their seed.
    """
    from statsmodels.stats.inter_rater import fleiss_kappa

    given = np.asarray(ratings, dtype=np.int64)
    whole = (given != NOT_READ).all(axis=0)
    table = np.eye(classes)[given[:, whole]].sum(axis=0)  # [N', C] how many raters named each class
    if len(given) < 2 or not len(table) or (table.sum(axis=0) > 0).sum() < 2:
        return Interval(np.nan, np.nan, np.nan), int(whole.sum())
    statistic = fleiss_statistic(table)
    of_whole = np.asarray(subjects, dtype=str)[whole].tolist()
    drawn = drawn_by(statistic, of_whole, *draws)
    return interval(float(fleiss_kappa(table)), drawn.drawn["fleiss"]), len(table)


def fleiss_statistic(table: Floats) -> Statistic:
    """Fleiss' kappa from how often each case is drawn; table: [N, C] raters who named each class, K in every row."""
    raters = table[0].sum()
    alike = ((table**2).sum(axis=1) - raters) / (raters * (raters - 1))  # [N] share of pairs of raters that agree

    def statistic(times: Floats) -> Mapping[str, Floats]:
        total = times.sum(axis=1)
        chance = ((times @ table / (total * raters)[:, None]) ** 2).sum(axis=1)
        room = 1 - chance
        apart = times @ alike / total - chance
        return {"fleiss": np.divide(apart, room, out=np.full(room.shape, np.nan), where=room > 1e-12)}

    return statistic


def majority(ratings: ArrayLike, classes: int) -> NDArray[np.int64]:
    """The class that most raters named [K, N] -> [N]; `NOT_READ` where two are level, or fewer than two rated."""
    given = np.asarray(ratings, dtype=np.int64)
    votes = np.stack([(given == place).sum(axis=0) for place in range(classes)])  # [C, N]
    most = votes.max(axis=0)
    clear = ((votes == most).sum(axis=0) == 1) & ((given != NOT_READ).sum(axis=0) >= 2)
    return np.where(clear, votes.argmax(axis=0), NOT_READ)
