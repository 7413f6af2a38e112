"""Probes: how well a label is told from features that should not tell it, cross-validated by subject."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ensemble_mammo.merit.figures import auc
from ensemble_mammo.merit.intervals import CONFIDENCE, Interval

CHANCE = 0.5
"""The AUC of features that tell nothing."""
WARNING_LOW = 0.6
"""A label counts as told where the interval of its AUC begins above this. Chance is .5, and its interval reaches
over it on either side; up to .6 go honest links, such as that of age and size of the breast with cancer, which
explain no network's figure. The borders of the CBIS-DDSM films, which do, reach .75."""
LEAST_SUBJECTS = 2
"""Subjects of a class that each fold must hold."""
RULES = ("linear", "trees")
"""Logistic regression, for many features; extremely randomised trees, for a few that may matter jointly."""

_STRENGTH = 1.0
"""The regression's C times the number of features: their weights together may move a score by about one unit, whether
there are ten or a thousand. The same for every dataset. Of 0.1, 0.3, 1 and 10, tried on images of the CBIS-DDSM masses
(raw: whole and blotted; cropped and black outside: blotted), 1 told the label best or as well as any, by .00 to .04:
its figures on those images are that much on the high side, which is the strict side for an audit."""
_TREES = 100
_CELLS = 2_000_000


@dataclass(frozen=True)
class ProbeOptions:
    """How a probe is fitted and judged."""

    folds: int = 5
    "folds of subjects; fewer where a class has too few subjects"
    resamples: int = 1000
    "bootstrap resamples of subjects; 0: no interval"
    seed: int = 0
    "of folds, trees and resamples"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}, expected 2 or more")
        if self.resamples < 0:
            raise ValueError(f"resamples is {self.resamples}, expected 0 or more")


@dataclass(frozen=True)
class Probed:
    """What a probe found."""

    auc: Interval
    "of out-of-fold scores; of several classes the mean of each against the rest; nan where undefined"
    images: int
    "how many were scored"
    subjects: int
    "of how many subjects"
    classes: tuple[str, ...] = ()
    "those told apart"
    reason: str = ""
    "why it is undefined, or which classes or folds had to be given up"
    scores: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    "[images, classes], out of fold"

    @property
    def undefined(self) -> bool:
        """Whether there is no figure; `reason` says why."""
        return bool(np.isnan(self.auc.value))

    @property
    def told(self) -> bool:
        """Whether the interval begins above `WARNING_LOW`; without an interval, whether the value lies above."""
        low = self.auc.value if np.isnan(self.auc.low) else self.auc.low
        return bool(low > WARNING_LOW)


def probe(
    features: ArrayLike,
    labels: Sequence[str],
    subjects: Sequence[str],
    options: ProbeOptions | None = None,
    rule: str = "linear",
) -> Probed:
    """Cross-validate by subject how well features tell a label.

    Args:
        features: [N, F].
        labels: [N] class names; rows with an empty one are left out.
        subjects: [N]; no subject stands on both sides of a fold.
        options: folds, resamples, seed.
        rule: 'linear' or 'trees'.

    Raises:
        ValueError: parts of different lengths, or an unknown rule.
    """
    options = options or ProbeOptions()
    values = np.asarray(features, np.float32)
    if not len(values) == len(labels) == len(subjects):
        raise ValueError(f"{len(values)} rows of features, {len(labels)} labels and {len(subjects)} subjects")
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is not one of {', '.join(RULES)}")
    named, women = np.asarray(labels, str), np.asarray(subjects, str)
    folds, classes, reason = _feasible(named, women, options.folds)
    chosen = np.isin(named, classes)
    count, persons = int(chosen.sum()), len(np.unique(women[chosen]))
    if len(classes) < 2:
        return Probed(Interval(np.nan, np.nan, np.nan), count, persons, tuple(classes), reason)
    truth = np.searchsorted(classes, named[chosen])
    scores = _out_of_fold(values[chosen], truth, women[chosen], (folds, options.seed, rule))
    interval = _interval(truth, scores, women[chosen], options)
    return Probed(interval, count, persons, tuple(classes), reason, scores)


def _feasible(labels: NDArray[np.str_], subjects: NDArray[np.str_], folds: int) -> tuple[int, list[str], str]:
    """The most folds at which two classes or more have enough subjects, those classes, and what was given up."""
    found = sorted(set(labels.tolist()) - {""})
    women = {name: len(np.unique(subjects[labels == name])) for name in found}
    if len(found) < 2:
        return folds, found, f"{'one class only: ' + found[0] if found else 'no labels'}; nothing to tell apart"
    for fewer in range(folds, 1, -1):
        kept = [name for name in found if women[name] >= LEAST_SUBJECTS * fewer]
        if len(kept) > 1:
            lost = [f"{name} ({women[name]})" for name in found if name not in kept]
            reasons = [f"{fewer} folds instead of {folds}, for want of subjects"] if fewer < folds else []
            reasons += [f"left out, with too few subjects: {', '.join(lost)}"] if lost else []
            return fewer, kept, "; ".join(reasons)
    counts = ", ".join(f"{name} {women[name]}" for name in found)
    return folds, [], f"too few subjects a class ({counts}), expected {LEAST_SUBJECTS * 2} or more of two classes"


def _out_of_fold(
    features: NDArray[np.float32],
    truth: NDArray[np.int64],
    subjects: NDArray[np.str_],
    how: tuple[int, int, str],
) -> NDArray[np.float64]:
    """Scores [N, C], each by a model that did not see the subject; `how` is (folds, seed, rule)."""
    folds, seed, rule = how
    classes = int(truth.max()) + 1
    scores = np.full((len(truth), classes), 1 / classes)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a direction that separates perfectly has no optimum
        warnings.filterwarnings("ignore", "The least populated class")  # counts images; subjects are counted above
        for learn, test in parts.split(features, truth, subjects):
            if len(np.unique(truth[learn])) < 2 or not np.ptp(features[learn], axis=0).any():
                continue  # nothing to learn, or from: every class is as likely
            model = _model(rule, features.shape[1], seed).fit(features[learn], truth[learn])
            last = model.steps[-1][1]
            scores[test] = 0
            scores[np.ix_(test, last.classes_)] = model.predict_proba(features[test])
    return scores


def _model(rule: str, width: int, seed: int) -> Any:
    if rule == "trees":
        last = ExtraTreesClassifier(_TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed)
    else:
        last = LogisticRegression(C=min(1.0, _STRENGTH / width), max_iter=500, class_weight="balanced")
    return make_pipeline(StandardScaler(), last)


def _interval(
    truth: NDArray[np.int64], scores: NDArray[np.float64], subjects: NDArray[np.str_], options: ProbeOptions
) -> Interval:
    """The AUC with its 95 % interval: percentile bootstrap over subjects."""
    value = float(_macro_auc(truth, scores))
    if not options.resamples:
        return Interval(value, np.nan, np.nan)
    _, subject_of = np.unique(subjects, return_inverse=True)
    count = int(subject_of.max()) + 1
    generator = np.random.default_rng(options.seed)
    drawn: list[NDArray[np.float64]] = []
    chunk = max(1, _CELLS // len(truth))
    for start in range(0, options.resamples, chunk):
        size = min(chunk, options.resamples - start)
        places = generator.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(places.ravel(), minlength=size * count).reshape(size, count)
        drawn.append(_macro_auc(truth, scores, times[:, subject_of].astype(np.float64)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(np.concatenate(drawn), [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def _macro_auc(
    truth: NDArray[np.int64], scores: NDArray[np.float64], times: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The AUC of two classes, or the mean of each class against the rest; [...] as the weights `[..., N]` have it."""
    classes = range(scores.shape[1]) if scores.shape[1] > 2 else (1,)
    return np.mean([auc(truth == place, scores[:, place], times) for place in classes], axis=0)
