"""Disagreement of views: whether it tells where the readings are wrong, and which exams to look at again first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.figures import auc, ratio
from ensemble_mammo.merit.intervals import CONFIDENCE, Interval, bootstrap, interval

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stratum:
    """The exams that have the same number, say of dissenting views."""

    number: int
    "what they have in common"
    exams: int
    "how many"
    right: int
    "of which the fused class is the true one"

    @property
    def accuracy(self) -> Interval:
        """Their share, with Wilson's interval (J Am Stat Assoc 1927), as if exams were independent."""
        return wilson(self.right, self.exams)


def wilson(right: int, exams: int) -> Interval:
    """A share with Wilson's score interval; nan without exams."""
    from statsmodels.stats.proportion import proportion_confint

    if not exams:
        return Interval(np.nan, np.nan, np.nan)
    low, high = proportion_confint(right, exams, alpha=1 - CONFIDENCE, method="wilson")
    return Interval(right / exams, float(low), float(high))


def strata(numbers: Places, right: NDArray[np.bool_]) -> list[Stratum]:
    """Exams grouped by a number [S], such as that of dissenting views; `right` [S] says which were read right."""
    found, places = np.unique(numbers, return_inverse=True)
    exams, hits = np.bincount(places, minlength=len(found)), np.bincount(places[right], minlength=len(found))
    return [
        Stratum(number, many, hit)
        for number, many, hit in zip(found.tolist(), exams.tolist(), hits.tolist(), strict=True)
    ]


def named_classes(scores: Floats) -> Places:
    """The class of the highest score, of equal ones the lowest: [..., C] -> [...]; -1 where a view is missing (nan)."""
    missing = np.asarray(np.isnan(scores).any(axis=-1))
    return np.where(missing, -1, np.where(missing[..., None], 0.0, scores).argmax(axis=-1))


def dissenting(named: Places, agreed: Places) -> Mask:
    """Which views are there and name another class than the one they are held against; all [S, V]."""
    return (named >= 0) & (named != agreed)


def widest(named: Places, groups: Sequence[int]) -> Places:
    """The widest distance in classes between two views: [S].

    Args:
        named: [S, V] classes as numbers in their order; -1 where a view is missing.
        groups: [V]; only views of one group (all, or one breast) are compared.
    """
    wide = np.zeros(len(named), dtype=np.int64)
    for group in set(groups):
        own = named[:, [one == group for one in groups]]
        highest = own.max(axis=1)
        lowest = np.where(own < 0, np.iinfo(np.int64).max, own).min(axis=1)
        wide = np.maximum(wide, np.where(highest < 0, 0, highest - lowest))
    return wide


def margins(scores: Floats) -> Floats:
    """How far the best class scores above the second: [S, C] -> [S]."""
    ordered = np.sort(scores, axis=1)
    margin: Floats = ordered[:, -1] - ordered[:, -2]
    return margin


def looking_order(dissent: Floats, margin: Floats, seed: int = 0) -> Places:
    """The order in which to look again: most dissent first, then the smallest margin; equal exams in chance order.

    Args:
        dissent: [S], such as the share of dissenting views.
        margin: [S].
        seed: of the order of equal exams: that of the files may tell the true class.

    Returns:
        Places [S].
    """
    chance = np.random.default_rng(seed).permutation(len(dissent))
    return np.lexsort((chance, np.round(margin, 12), -dissent))


def detection(
    signals: Mapping[str, Floats], wrong: Mask, subjects: Sequence[str], resamples: int, seed: int
) -> dict[str, Interval]:
    """How well each signal [S] tells wrong readings from right ones: AUC, 0.5 is chance.

    It is how often a wrong reading has the higher value than a right one, ties counting half; nan without a wrong or
    without a right one.
    """

    def statistic(times: Floats) -> dict[str, Floats]:
        return {name: auc(wrong, signal, times) for name, signal in signals.items()}

    values = statistic(np.ones((1, len(wrong))))
    drawn = bootstrap(subjects, statistic, resamples, seed) if resamples else {}
    return {name: interval(float(value[0]), drawn.get(name, np.empty(0))) for name, value in values.items()}


def errors_found(wrong: Mask) -> Floats:
    """Share of all errors among the first 0, 1, … S exams looked at: [S + 1]; nan without errors.

    Args:
        wrong: [S] in the order of looking.
    """
    found = np.concatenate([[0.0], np.cumsum(wrong, dtype=np.float64)])
    return found / found[-1] if found[-1] else np.full(len(found), np.nan)


def errors_found_in(
    wrong: Mask, subjects: Sequence[str], looked: Sequence[int], resamples: int, seed: int
) -> list[Interval]:
    """Share of all errors among the first exams looked at, with intervals over subjects.

    Args:
        wrong: [S] in the order of looking, which resamples keep.
        subjects: [S] in that order.
        looked: numbers of exams looked at, from 1 to S; resamples look at the same share of what was drawn.
        resamples: how many are drawn; 0: no limits.
        seed: of the draws.
    """
    shares = np.asarray(looked, dtype=np.float64) / len(wrong)

    def statistic(times: Floats) -> dict[str, Floats]:
        passed = times.cumsum(axis=1)  # [R, S]
        within = [np.clip(share * passed[:, -1:] - (passed - times), 0, times) for share in shares]
        found = np.stack([part @ wrong for part in within], axis=1)  # [R, Q]
        errors = (times @ wrong)[:, None]
        return {"found": ratio(found, errors)}

    values = statistic(np.ones((1, len(wrong))))["found"][0]
    drawn = bootstrap(subjects, statistic, resamples, seed)["found"] if resamples else np.empty((0, len(shares)))
    return [interval(float(value), drawn[:, place]) for place, value in enumerate(values)]
