"""An ensemble and its members: subsets of the views and rules of fusion, all judged on the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import called_classes
from ensemble_mammo.merit.disagreement import named_classes
from ensemble_mammo.merit.figures import auc, ratio
from ensemble_mammo.merit.intervals import Interval, Statistic, bootstrap, interval
from ensemble_mammo.merit.rules import FUSION_RULES, SUBJECT_RULES, Fusion, fuse_scores
from ensemble_mammo.records.subject import Side, View

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]

DRAWS = 20_000_000
"""Draws (resamples x exams) of one study; more exams are judged on fewer resamples, so that studies stay quick."""

_FEWEST = 1_000  # resamples, however many exams there are
_TINY = 1e-12  # the lowest score of a true class that a log loss counts


@dataclass(frozen=True)
class Members:
    """The views of labelled exams, joined: what an ensemble is made from."""

    scores: Floats
    "[S, V, C]; nan where an exam lacks the view"
    true: NDArray[np.int64]
    "[S] true classes of the exams as numbers from 0"
    subjects: Sequence[str]
    "[S]: who is drawn is drawn with all her exams"
    views: tuple[View, ...]
    "V names"
    positive: tuple[int, ...] = ()
    "numbers of the positive classes"
    cut: float | None = None
    "of two classes, the positive score from which fused exams are called positive; None: the highest score"

    @property
    def present(self) -> NDArray[np.int64]:
        """How many views each exam has: [S]."""
        return (~np.isnan(self.scores).any(axis=2)).sum(axis=1)

    def taken(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Members:
        """Some of the exams: a mask [S], or places."""
        places = np.arange(len(self.true))[chosen]
        subjects = tuple(self.subjects[i] for i in places)
        return replace(self, scores=self.scores[places], true=self.true[places], subjects=subjects)

    def complete(self) -> Members:
        """The exams that have every view."""
        return self.taken(self.present == len(self.views))


@dataclass(frozen=True)
class Judgement:
    """The figures of K candidates on the same exams and the same bootstrap resamples, so that they can be paired."""

    values: Mapping[str, Floats]
    "figure -> [K]"
    drawn: Mapping[str, Floats]
    "figure -> [R, K]; R is 0 without resamples"

    def interval(self, figure: str, combine: Combine) -> Interval:
        """Any combination of the candidates' figures: `combine` maps [..., K] to [...]."""
        return interval(float(combine(self.values[figure])), combine(self.drawn[figure]))

    def of(self, figure: str, place: int) -> Interval:
        """The figure of one candidate."""
        return self.interval(figure, lambda values: values[..., place])

    def difference(self, figure: str, place: int, than: int) -> Interval:
        """How much higher the figure of a candidate is than that of another one."""
        return self.interval(figure, lambda values: values[..., place] - values[..., than])

    def mean(self, figure: str, places: Sequence[int], than: int | None = None) -> Interval:
        """The mean figure of some candidates, or how much higher it is than that of another one."""
        chosen = list(places)
        return self.interval(
            figure, lambda values: values[..., chosen].mean(-1) - (0.0 if than is None else values[..., than])
        )

    def gain(self, figure: str, whole: int, members: Sequence[int]) -> Interval:
        """How much higher the figure of the whole is than that of its best member.

        The best member is chosen anew within each resample, so that the interval accounts for the choice. The best of
        several resampled figures is a little too high, so the interval leans against the ensemble.
        """
        chosen = list(members)
        return self.interval(figure, lambda values: values[..., whole] - np.fmax.reduce(values[..., chosen], axis=-1))


def figure_names(classes: int) -> tuple[str, str]:
    """The two figures of the studies, the one that matters most first: of two or of several classes."""
    return ("auc", "accuracy") if classes == 2 else ("accuracy", "kappa")


def subsets(count: int) -> list[tuple[int, ...]]:
    """Every subset of `count` views, by their places: single ones first, all views last."""
    return [chosen for size in range(1, count + 1) for chosen in combinations(range(count), size)]


def fused(scores: Floats, views: Sequence[View], fusion: Fusion) -> Floats:
    """Views [S, V, C] fused as `fuse` does it: [S, C]; nan where an exam has no view.

    Args:
        scores: [S, V, C]; a missing view is a row of nan.
        views: V names.
        fusion: the rule; `breast_to_subject` 'maximum' takes the breast with the higher score of the last class (of
            equal ones the right), anything else fuses all views flatly.
    """
    if fusion.breast_to_subject != "maximum":
        return fuse_scores(scores, fusion.rule, [fusion.weight(view) for view in views])
    breasts = np.stack([_breast(scores, views, fusion, side) for side in Side])  # [2, S, C]
    height = np.where(np.isnan(breasts[..., -1]), -np.inf, breasts[..., -1])
    return breasts[height.argmax(axis=0), np.arange(scores.shape[0])]


def agreed(scores: Floats, views: Sequence[View], fusion: Fusion) -> NDArray[np.int64]:
    """The class that each view is held against: [S, V].

    That of the fused exam; where the subject is her worse breast, that of the view's own breast, since the other
    breast may rightly be of another class. -1 where there is none.
    """
    if fusion.breast_to_subject != "maximum":
        return np.repeat(named_classes(fused(scores, views, fusion))[:, None], len(views), axis=1)
    of_side = {side: named_classes(_breast(scores, views, fusion, side)) for side in Side}
    return np.stack([of_side[view.side] for view in views], axis=1)


def subset_scores(members: Members, fusion: Fusion) -> Floats:
    """The fused scores of every subset of the views, in the order of `subsets`: [K, S, C]."""
    every = subsets(len(members.views))
    return np.stack(
        [fused(members.scores[:, list(chosen)], [members.views[i] for i in chosen], fusion) for chosen in every]
    )


def rules_of(views: Sequence[View], fusion: Fusion) -> list[Fusion]:
    """Every rule of fusion with the same weights, and both ways from breasts to subject where there are two breasts.

    The median takes no weights. The rule in use is among them.
    """
    two = len({view.side for view in views}) == len(Side)
    ways = SUBJECT_RULES if two else (fusion.breast_to_subject,)
    return [
        Fusion(rule, () if rule == "median" else fusion.weights, False, way) for way in ways for rule in FUSION_RULES
    ]


def judge(candidates: Floats, members: Members, resamples: int, seed: int) -> Judgement:
    """The figures of fused scores [K, S, C] of the same exams, with one bootstrap of subjects for all.

    `accuracy`, `log_loss` (mean of -ln of the true class's score), and `auc` (two classes) or `kappa` (quadratic).
    """
    statistic = _statistic(candidates, members)
    values = {name: value[0] for name, value in statistic(np.ones((1, len(members.true)))).items()}
    if not resamples:
        return Judgement(values, {name: np.empty((0, len(candidates))) for name in values})
    return Judgement(values, bootstrap(members.subjects, statistic, resamples, seed))


def resamples_for(exams: int, resamples: int) -> int:
    """How many resamples a study draws where so many are wanted: see `DRAWS`."""
    return min(resamples, max(_FEWEST, DRAWS // exams))


def oracle(members: Members, resamples: int, seed: int) -> Interval:
    """Share of exams of which at least one view names the true class: no choice among the views can pass it."""
    named = named_classes(members.scores)
    if members.cut is not None:
        named = np.where(named < 0, named, called_classes(members.scores, members.positive, members.cut))
    right = (named == members.true[:, None]).any(axis=1).astype(np.float64)
    drawn = np.empty(0)
    if resamples:
        found = bootstrap(members.subjects, lambda times: {"any": times @ right / times.sum(1)}, resamples, seed)
        drawn = found["any"]
    return interval(float(right.mean()), drawn)


def _breast(scores: Floats, views: Sequence[View], fusion: Fusion, side: Side) -> Floats:
    own = [i for i, view in enumerate(views) if view.side == side]
    if not own:
        return np.full((scores.shape[0], scores.shape[2]), np.nan)
    return fuse_scores(scores[:, own], fusion.rule, [fusion.weight(views[i]) for i in own])


def _statistic(candidates: Floats, members: Members) -> Statistic:
    """Sums over exams give all figures but the AUC: one product of draws [R, S] and columns [S, 5 K + 2]."""
    true, count, two = members.true, len(candidates), candidates.shape[2] == 2
    named = called_classes(candidates, members.positive, members.cut).T.astype(np.float64)  # [S, K]
    place = true[:, None].astype(np.float64)
    loss = -np.log(np.maximum(candidates[:, np.arange(len(true)), true], _TINY)).T
    parts = (named == place, loss, named, named**2, (named - place) ** 2, place, place**2)
    columns = np.concatenate(parts, axis=1, dtype=np.float64)
    positive = np.isin(true, members.positive)
    ranked = candidates[:, :, list(members.positive)].sum(axis=2)

    def statistic(times: Floats) -> Mapping[str, Floats]:
        drawn = times.sum(axis=1, keepdims=True)
        right, losses, first, second, missed, *rest = np.split(times @ columns, np.arange(1, 6) * count, axis=1)
        figures = {"accuracy": right / drawn, "log_loss": losses / drawn}
        if two:
            figures["auc"] = np.stack([auc(positive, one, times) for one in ranked], axis=-1)
        else:
            truth, squares = rest[0][:, :1], rest[0][:, 1:]
            expected = drawn * (squares + second) - 2 * truth * first  # sum over all pairs of their squared distance
            figures["kappa"] = 1 - ratio(missed * drawn, expected)
        return figures

    return statistic
