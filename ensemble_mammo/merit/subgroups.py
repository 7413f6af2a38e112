"""Figures of merit of parts of the cases: a device, an age band; and how far each part is from all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.compare import Drawn, drawn_by, main_statistic, p_of_resamples
from ensemble_mammo.merit.figures import figures_of_ranks
from ensemble_mammo.merit.intervals import Cases, Interval, interval, shares_of, with_width

FEWEST_SUBJECTS = 5
"""A group with fewer subjects is counted, but has no figure."""

AGE_BANDS = ((40, "<40"), (50, "40-49"), (60, "50-59"), (70, "60-69"))
"""Ages below the number (in full years) are in the band; older ones in `OLDEST`."""

OLDEST = "70+"
"""The last band of ages."""

_LAST = ("mixed", "unknown")
"""Groups that stand behind all others."""


@dataclass(frozen=True)
class Subgroup:
    """One part of the cases."""

    name: str
    "what its cases share"
    exams: int
    "cases in it"
    subjects: int
    "subjects that they belong to"
    mix: tuple[int, ...]
    "[C] cases of each true class"
    figures: Mapping[str, Interval]
    "name -> figure with limits; empty where the group is too small"
    others: Mapping[str, float]
    "name -> the same figure of all cases outside the group"
    differences: Mapping[str, Interval]
    "name -> the figure minus that of all others, for the figures asked for"
    p: Mapping[str, float]
    "name -> two-sided, that the difference is 0; nan where it is undefined"
    reason: str = ""
    "why there is no figure"


def age_band(text: str) -> str:
    """The band of ten years of an age in years (`62`, `062Y`, `62.0`); other text as it is."""
    try:
        years = float(text.strip().upper().removesuffix("Y"))
    except ValueError:
        return text
    if not 0 <= years < 150:
        return text
    return next((band for below, band in AGE_BANDS if years < below), OLDEST)


def subgroups(
    cases: Cases, groups: Sequence[str], names: Sequence[str], resamples: int, seed: int, classes: Sequence[str] = ()
) -> list[Subgroup]:
    """Every group of cases, in the order of the names of the groups, and its differences to all other cases.

    Subjects are drawn once for all cases, and both parts computed in each resample: the parts may share subjects.

    Args:
        cases: N of them.
        groups: [N], the group of each.
        names: the figures whose difference to all others is tested.
        resamples: how many are drawn; 0: no limits, no p.
        seed: of the draws.
        classes: C names, for the figures of each class.
    """
    labels = np.asarray(groups, dtype=str)
    return [_subgroup(cases, name, labels == name, names, (resamples, seed), classes) for name in ordered(labels)]


def ordered(groups: ArrayLike) -> list[str]:
    """The names of groups in their order; `<40` is first, `mixed` and `unknown` are last."""
    names = {str(name) for name in np.asarray(groups, dtype=str)}
    return sorted(names, key=lambda name: (_LAST.index(name) + 1 if name in _LAST else 0, name[:1] != "<", name))


def _subgroup(
    cases: Cases,
    name: str,
    inside: NDArray[np.bool_],
    names: Sequence[str],
    draws: tuple[int, int],
    classes: Sequence[str],
) -> Subgroup:
    subjects = np.asarray(cases.subjects, dtype=str)
    counted = (int(inside.sum()), len(set(subjects[inside])))
    mix = tuple(np.bincount(cases.true[inside], minlength=cases.scores.shape[1]).tolist())
    if counted[1] < FEWEST_SUBJECTS:
        return Subgroup(name, *counted, mix, {}, {}, {}, {}, f"fewer than {FEWEST_SUBJECTS} subjects")
    drawn = _drawn_parts(cases, inside, names, draws, classes)
    shares = shares_of(_part(cases, inside), classes)
    own = {key.partition(":")[2]: drawn.interval(key) for key in drawn.values if key.startswith("in:")}
    own = {one: with_width(value, shares.get(one)) for one, value in own.items()}
    others = {key.partition(":")[2]: value for key, value in drawn.values.items() if key.startswith("out:")}
    if len(set(subjects[~inside])) < FEWEST_SUBJECTS:
        return Subgroup(name, *counted, mix, own, {}, {}, {}, f"fewer than {FEWEST_SUBJECTS} other subjects")
    apart = {one: drawn.drawn[f"in:{one}"] - drawn.drawn[f"out:{one}"] for one in others}
    return Subgroup(
        name,
        *counted,
        mix,
        own,
        others,
        {one: interval(own[one].value - others[one], apart[one]) for one in others},
        {one: p_of_resamples(apart[one]) for one in others},
    )


def _drawn_parts(
    cases: Cases, inside: NDArray[np.bool_], names: Sequence[str], draws: tuple[int, int], classes: Sequence[str]
) -> Drawn:
    """`in:<figure>` of the group and `out:<figure>` of the others."""
    group, rest = _part(cases, inside), _part(cases, ~inside)
    several = bool(classes) and group.scores.shape[1] > 2
    of_group, of_rest = main_statistic(group, classes, not several), main_statistic(rest, ranks="auc" in names)

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        own, others = dict(of_group(times[:, inside])), of_rest(times[:, ~inside])
        if several:
            own |= figures_of_ranks(group.true, group.scores, group.positive, classes, times[:, inside])
        tested = {f"out:{name}": others[name] for name in names if name in others}
        return {f"in:{name}": value for name, value in own.items()} | tested

    return drawn_by(statistic, cases.subjects, *draws)


def _part(cases: Cases, chosen: NDArray[np.bool_]) -> Cases:
    subjects = np.asarray(cases.subjects, dtype=str)[chosen].tolist()
    return replace(cases, true=cases.true[chosen], scores=cases.scores[chosen], subjects=subjects)
