"""Calibration: whether a score of 80 % is right in 80 % of the cases, and one temperature that mends it.

Whatever is rated (the highest score, the score of one class, the summed score of the positive classes) is a pair of
arrays [N]: the score, and whether what it speaks of came true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.intervals import CONFIDENCE, Cases, Interval, Statistic, bootstrap, interval
from ensemble_mammo.records.calibration_file import SMALLEST

Floats = NDArray[np.float64]

BINS = 10
"""Bins of a reliability diagram where there are cases enough."""

CASES_A_BIN = 10
"""Fewer cases than this times `BINS` make fewer bins."""

SIMULATIONS = 1_000
"""How often outcomes are drawn from the scores, for the error of a perfectly calibrated system."""

FEWEST = 10
"""Validation cases below which no temperature is fitted."""

TEMPERATURES = (0.05, 20.0)
"""Between these the temperature is sought."""

_CELLS = 2_000_000


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: a value a bin, from low to high scores."""

    score: Floats
    "[B] mean score"
    observed: Floats
    "[B] share of the cases in which it came true"
    low: Floats
    "[B] lower limit of the share (Wilson)"
    high: Floats
    "[B] upper limit"
    cases: NDArray[np.int64]
    "[B]"


@dataclass(frozen=True)
class Temperature:
    """What a fit found."""

    value: float
    "the temperature; 1 where none could be determined"
    reason: str = ""
    "why none could be determined; empty: it was"


def rated(cases: Cases, classes: Sequence[str] = ()) -> dict[str, tuple[Floats, Floats]]:
    """What can be rated: a name -> scores [N], and 1 where it came true, else 0 [N].

    Args:
        cases: scored cases.
        classes: C names, to rate the score of each class.

    Returns:
        `""`, the highest score (right or wrong); `positive`, where there are positive classes beside others; the
        classes.
    """
    true, scores = cases.true, cases.scores
    found = {"": (scores.max(axis=1), true == scores.argmax(axis=1))}
    if 0 < len(cases.positive) < scores.shape[1]:
        found["positive"] = (scores[:, list(cases.positive)].sum(axis=1), np.isin(true, cases.positive))
    found |= {name: (scores[:, place], true == place) for place, name in enumerate(classes)}
    return {name: (score, came.astype(np.float64)) for name, (score, came) in found.items()}


def bins_of(score: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each case [N], from 0: as many cases in each as possible; equal scores are never parted.

    Args:
        score: [N].
        bins: at most so many; fewer where there are less than `CASES_A_BIN` cases for each, or equal scores.
    """
    count = len(score)
    wanted = min(bins, max(2, count // CASES_A_BIN))
    _, block, sizes = np.unique(score, return_inverse=True, return_counts=True)
    middle = sizes.cumsum() - sizes / 2  # of each block of equal scores, among the cases in order
    place = np.minimum((middle * wanted / count).astype(np.int64), wanted - 1)
    return np.unique(place, return_inverse=True)[1][block].astype(np.int64)


def reliability(score: Floats, observed: Floats, bins: int = BINS) -> Reliability:
    """The points of a reliability diagram with equal-count bins and Wilson intervals (JASA 1927).

    Args:
        score: [N].
        observed: [N], 1 where it came true, else 0.
        bins: at most so many.
    """
    from statsmodels.stats.proportion import proportion_confint

    place = bins_of(score, bins)
    cases = np.bincount(place)
    came = np.bincount(place, observed)
    low, high = proportion_confint(came, cases, 1 - CONFIDENCE, "wilson")
    return Reliability(np.bincount(place, score) / cases, came / cases, np.asarray(low), np.asarray(high), cases)


def calibration_errors(
    score: Floats, observed: Floats, bins: NDArray[np.int64], times: Floats | None = None
) -> tuple[Floats, Floats]:
    """Expected and maximum calibration error (Naeini et al., AAAI 2015): mean and maximum over bins of |score - share|.

    Args:
        score: [N].
        observed: [N], 1 where it came true, else 0; or [..., N], of several draws.
        bins: [N], the bin of each case; the mean weighs bins by their cases.
        times: [..., N], how often each case is drawn; once unless given.

    Returns:
        [...] and [...]; a bin of which nothing is drawn is not in the maximum.
    """
    member = np.eye(int(bins.max()) + 1)[bins]  # [N, B]
    if times is None:
        return _errors(score @ member - observed @ member, member.sum(axis=0))
    return _errors(times @ (member * (score - observed)[:, None]), times @ member)


def _errors(gaps: Floats, cases: Floats) -> tuple[Floats, Floats]:
    """ECE and MCE from sums over the cases of each bin: of score - observed [..., B], and of ones [..., B]."""
    sums = np.abs(gaps)
    each = np.divide(sums, cases, out=np.zeros(sums.shape), where=np.broadcast_to(cases > 0, sums.shape))
    return np.asarray(sums.sum(axis=-1) / cases.sum(axis=-1)), np.asarray(each.max(axis=-1))


def error_when_perfect(score: Floats, bins: NDArray[np.int64], seed: int, simulations: int = SIMULATIONS) -> Floats:
    """Expected calibration errors of a perfectly calibrated system with these scores; [simulations].

    Outcomes are drawn from the scores (Bröcker & Smith, Weather and Forecasting 2007), as if cases were independent:
    by chance alone the error is above 0, the more the fewer the cases.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS // len(score))
    parts = []
    for start in range(0, simulations, chunk):
        drawn = generator.random((min(chunk, simulations - start), len(score))) < score
        parts.append(calibration_errors(score, drawn.astype(np.float64), bins)[0])
    return np.concatenate(parts)


def briers(true: NDArray[np.int64], scores: Floats) -> Floats:
    """The Brier score of each case (Brier, Mon Weather Rev 1950): squared errors summed over classes, 0 to 2; [N]."""
    squared: Floats = ((scores - np.eye(scores.shape[1])[true]) ** 2).sum(axis=1)
    return squared


def log_losses(true: NDArray[np.int64], scores: Floats) -> Floats:
    """The log loss of each case: minus the natural logarithm of the true class's score, kept above 1e-12; [N]."""
    losses: Floats = -np.log(np.maximum(scores[np.arange(len(true)), true], SMALLEST))
    return losses


def calibration_statistic(cases: Cases, classes: Sequence[str] = ()) -> Statistic:
    """Every figure of calibration, for `bootstrap`; the bins are those of the whole sample.

    Figures of the highest score, and with `_positive` or `_<class>` behind them of what else `rated` gives:
    `score` (its mean), `share` (in which it came true), `gap` (score - share: above 0 too sure), `ece`, `mce`,
    `brier_binary` (mean squared error of the score, 0 to 1). Of all classes together: `brier`, `log_loss`.
    """
    ends, columns, widths = [], [], []
    for name, (score, came) in rated(cases, classes).items():
        member = np.eye(int((bins := bins_of(score)).max()) + 1)[bins]  # [N, B]
        ends.append(f"_{name}" if name else "")
        widths.append(member.shape[1])
        columns += [score, came, (score - came) ** 2, member * (score - came)[:, None], member]
    columns += [briers(cases.true, cases.scores), log_losses(cases.true, cases.scores), np.ones(len(cases.true))]
    design = np.column_stack(columns)  # [N, K]: every figure comes from weighted sums of these

    def statistic(times: Floats) -> Mapping[str, Floats]:
        sums = times @ design
        means, place = sums / sums[:, -1:], 0
        figures = {"brier": means[:, -3], "log_loss": means[:, -2]}
        for end, width in zip(ends, widths, strict=True):
            first, second = place + 3, place + 3 + width
            ece, mce = _errors(sums[:, first:second], sums[:, second : second + width])
            score, share, square = means[:, place : place + 3].T
            figures |= {f"score{end}": score, f"share{end}": share, f"gap{end}": score - share}
            figures |= {f"ece{end}": ece, f"mce{end}": mce, f"brier_binary{end}": square}
            place = second + width
        return figures

    return statistic


def joined(parts: Mapping[str, Statistic]) -> Statistic:
    """Several statistics of the same cases as one, each figure's name behind that of its part."""

    def statistic(times: Floats) -> Mapping[str, Floats]:
        return {f"{part}{name}": value for part, one in parts.items() for name, value in one(times).items()}

    return statistic


def with_intervals(subjects: Sequence[str], statistic: Statistic, resamples: int, seed: int) -> dict[str, Interval]:
    """The figures of all cases as they are, with limits by bootstrap over subjects (0 resamples: nan)."""
    values = statistic(np.ones((1, len(subjects))))
    drawn = bootstrap(subjects, statistic, resamples, seed) if resamples else {}
    return {name: interval(float(one[0]), drawn.get(name, np.empty(0))) for name, one in values.items()}


def fit_temperature(true: NDArray[np.int64], scores: Floats) -> Temperature:
    """The temperature that makes the log loss of these cases smallest (Guo et al., ICML 2017).

    Args:
        true: [N] true classes of validation cases.
        scores: [N, C].
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if len(true) < FEWEST:
        return Temperature(1.0, f"{len(true)} validation exams are too few, expected {FEWEST} or more")
    logits = np.log(np.maximum(scores, SMALLEST))
    own = logits[np.arange(len(true)), true]

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float((logsumexp(logits * inverse, axis=1) - own * inverse).mean())

    low, high = np.log(TEMPERATURES)
    found = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    if found - low < 1e-3:
        return Temperature(1.0, "the validation exams are told apart without an error, so surer is always better")
    if high - found < 1e-3:
        return Temperature(1.0, "the scores tell nothing about the validation exams, so less sure is always better")
    return Temperature(float(np.exp(found)))
