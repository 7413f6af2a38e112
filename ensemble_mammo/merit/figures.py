"""Figures of merit: plain functions of a confusion matrix, vectorised over leading axes, and of scores.

A confusion matrix holds counts `[..., C, C]`: rows are true classes, columns predicted ones; leading axes are
bootstrap resamples. What is not defined is nan: the recall of a class that no case has, the precision of a class
never predicted, the F1 of a class that is neither, kappa when everything lies in one class. A macro mean is taken
over the classes for which the figure is defined, in the point estimate and in every resample alike (scikit-learn
counts the undefined ones as 0); for a single matrix, `UndefinedFigureWarning` says which classes are left out and why.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.calls import called_classes

Floats = NDArray[np.float64]


class UndefinedFigureWarning(UserWarning):
    """A figure of merit, or its part for one class, is not defined for these cases."""


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts [C, C] of true classes [N] (rows) by predicted classes [N] (columns), both as numbers from 0."""
    cells = np.asarray(true, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(confusion: ArrayLike) -> Floats:
    """Share of cases in their true class; [..., C, C] -> [...]."""
    counts = _counts(confusion)
    return ratio(_diagonal(counts).sum(-1), counts.sum((-2, -1)))


def recalls(confusion: ArrayLike) -> Floats:
    """Share of each class's cases that are found; [..., C, C] -> [..., C]."""
    counts = _counts(confusion)
    return ratio(_diagonal(counts), counts.sum(-1))


def precisions(confusion: ArrayLike) -> Floats:
    """Share of the cases called a class that are of it; [..., C, C] -> [..., C]."""
    counts = _counts(confusion)
    return ratio(_diagonal(counts), counts.sum(-2))


def f1s(confusion: ArrayLike) -> Floats:
    """Harmonic mean of recall and precision of each class; [..., C, C] -> [..., C]."""
    counts = _counts(confusion)
    return ratio(2 * _diagonal(counts), counts.sum(-1) + counts.sum(-2))


def macro_recall(confusion: ArrayLike) -> Floats:
    """Mean of the recalls of the classes that occur; [..., C, C] -> [...]."""
    return _macro(recalls(confusion), "recall", "no case is truly of it")


def macro_precision(confusion: ArrayLike) -> Floats:
    """Mean of the precisions of the classes that are predicted; [..., C, C] -> [...]."""
    return _macro(precisions(confusion), "precision", "it is never predicted")


def macro_f1(confusion: ArrayLike) -> Floats:
    """Mean of the F1 of the classes that occur or are predicted; [..., C, C] -> [...]."""
    return _macro(f1s(confusion), "F1", "it neither occurs nor is predicted")


def kappa(confusion: ArrayLike, power: int = 2) -> Floats:
    """Weighted kappa of Cohen (Psychol Bull 1968): 1 - observed / expected disagreement; [..., C, C] -> [...].

    Args:
        confusion: counts [..., C, C].
        power: disagreement is the distance of the classes to this power: 2 quadratic, 1 linear weights.
    """
    counts = _counts(confusion)
    place = np.arange(counts.shape[-1])
    distance = np.abs(place[:, None] - place).astype(np.float64) ** power
    total = counts.sum((-2, -1))
    expected = (counts.sum(-1)[..., :, None] * counts.sum(-2)[..., None, :] * distance).sum((-2, -1))
    value = 1 - ratio((counts * distance).sum((-2, -1)) * total, expected)
    if value.ndim == 0 and np.isnan(value):
        _warn("kappa is undefined: all true and all predicted classes are one and the same")
    return value


def grouped(confusion: ArrayLike, positive: Sequence[int]) -> Floats:
    """Counts when only positive (say dense) and other classes are told apart; [..., C, C] -> [..., 2, 2]."""
    counts = _counts(confusion)
    side = np.eye(2)[np.isin(np.arange(counts.shape[-1]), positive).astype(int)]  # [C, 2]
    two: Floats = np.einsum("...ij,ia,jb->...ab", counts, side, side)
    return two


def auc(positive: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve: how often a positive case scores above a negative one, ties counting half.

    Args:
        positive: [N] booleans, the true side of each case.
        score: [N], higher for the positive side; never argmax labels.
        weights: [..., N], how often each case is drawn; once unless given.

    Returns:
        [...]; nan where one side has no case.
    """
    scored, side = np.asarray(score, dtype=np.float64), np.asarray(positive, dtype=bool)
    times = np.ones(len(scored)) if weights is None else np.asarray(weights, dtype=np.float64)
    downs, ups = np.flatnonzero(~side), np.flatnonzero(side)
    downs = downs[np.argsort(scored[downs], kind="stable")]
    drawn = np.take(times, ups, axis=-1)  # [..., positive cases]
    upto = np.zeros((*times.shape[:-1], len(downs) + 1))  # weight of the n lowest negative cases
    np.cumsum(np.take(times, downs, axis=-1), axis=-1, out=upto[..., 1:])
    first, last = (np.searchsorted(scored[downs], scored[ups], which) for which in ("left", "right"))
    below = np.take(upto, first, axis=-1)
    if (first < last).any():  # ties: half of the negative cases that score alike
        below = (below + np.take(upto, last, axis=-1)) / 2
    value = ratio(np.einsum("...n,...n->...", drawn, below), drawn.sum(-1) * upto[..., -1])
    if value.ndim == 0 and np.isnan(value):
        _warn("AUC is undefined: all cases are on one side")
    return value


def figures_of_confusion(
    confusion: ArrayLike, positive: Sequence[int] = (), classes: Sequence[str] = ()
) -> dict[str, Floats]:
    """Every figure that a confusion matrix gives, by name; [..., C, C] -> [...] each.

    Args:
        confusion: counts [..., C, C].
        positive: numbers of the positive classes; with some, and others beside them, `positive`,
            `positive_sensitivity` and `positive_specificity` are among the figures.
        classes: C names; with them, `recall_<class>`, `precision_<class>` and `f1_<class>` are among the figures.
    """
    counts = _counts(confusion)
    figures = {
        "accuracy": accuracy(counts),
        "recall": macro_recall(counts),
        "precision": macro_precision(counts),
        "f1": macro_f1(counts),
        "kappa": kappa(counts),
        "kappa_linear": kappa(counts, power=1),
    }
    figures["balanced_accuracy"] = figures["recall"]
    if 0 < len(positive) < counts.shape[-1]:
        two = grouped(counts, positive)
        figures["positive"] = accuracy(two)
        figures["positive_sensitivity"], figures["positive_specificity"] = recalls(two)[..., 1], recalls(two)[..., 0]
    for kind, values in (("recall", recalls), ("precision", precisions), ("f1", f1s)):
        of_each = values(counts) if classes else np.empty((*counts.shape[:-2], 0))
        figures |= {f"{kind}_{name}": of_each[..., place] for place, name in enumerate(classes)}
    return figures


def figures_of_ranks(
    true: ArrayLike,
    scores: ArrayLike,
    positive: Sequence[int] = (),
    classes: Sequence[str] = (),
    weights: ArrayLike | None = None,
) -> dict[str, Floats]:
    """The areas under ROC curves: of the positive classes against the others, and of each class against the rest.

    Args:
        true: [N] true classes as numbers from 0.
        scores: [N, C].
        positive: numbers of the positive classes, whose summed scores `auc` ranks.
        classes: C names; with them and more than two, `auc_<class>` is there too.
        weights: [..., N], how often each case is drawn; once unless given.

    Returns:
        `auc` (with positive classes), `auc_macro` (more than two classes: the mean over the classes where it is
        defined), and those of each class; [...] each.
    """
    truth, scored = np.asarray(true), np.asarray(scores)
    width = scored.shape[1]
    figures = {}
    if 0 < len(positive) < width:
        figures["auc"] = auc(np.isin(truth, positive), scored[:, list(positive)].sum(1), weights)
    if width > 2:
        each = np.stack([auc(truth == place, scored[:, place], weights) for place in range(width)], axis=-1)
        figures["auc_macro"] = _macro(each, "AUC", "all cases or none are of it")
        figures |= {f"auc_{name}": each[..., place] for place, name in enumerate(classes)}
    return figures


def figures_of(
    true: ArrayLike,
    scores: ArrayLike,
    positive: Sequence[int] = (),
    classes: Sequence[str] = (),
    cut: float | NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """The figures of merit of scored cases, by name.

    Args:
        true: [N] true classes as numbers from 0.
        scores: [N, C]; the highest is the predicted class, of equal ones the lowest, unless there is a cut.
        positive: numbers of the positive classes, for `positive` and `auc` (of their summed scores).
        classes: C names, for the figures of each class.
        cut: of two classes, the positive score from which a case is called positive: see `called_classes`.
    """
    truth, scored = np.asarray(true), np.asarray(scores)
    confusion = confusion_matrix(truth, called_classes(scored, positive, cut), scored.shape[1])
    figures = figures_of_confusion(confusion, positive, classes)
    figures |= figures_of_ranks(truth, scored, positive, classes)
    return {name: float(value) for name, value in figures.items()}


def undefined(confusion: ArrayLike, classes: Sequence[str]) -> list[str]:
    """Sentences on what one confusion matrix [C, C] leaves undefined, with the names of the classes."""
    counts = _counts(confusion)
    absent = [name for name, cases in zip(classes, counts.sum(1), strict=True) if not cases]
    unsaid = [name for name, cases in zip(classes, counts.sum(0), strict=True) if not cases]
    sentences = []
    if absent:
        sentences.append(f"no case is truly {', '.join(absent)}: its recall is undefined and not in the macro recall")
    if unsaid:
        sentences.append(
            f"{', '.join(unsaid)} is never predicted: its precision is undefined and not in the macro mean"
        )
    if len(absent) == len(classes) - 1:
        sentences.append("all cases are of one class, so kappa is 0 or undefined, and an AUC has no meaning")
    return sentences


def _counts(confusion: ArrayLike) -> Floats:
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"confusion matrix of shape {counts.shape}: expected [..., C, C]")
    return counts


def _diagonal(counts: Floats) -> Floats:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """part / whole, nan where the whole is not above 0; the two are broadcast together."""
    parts, wholes = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0)


def _macro(values: Floats, name: str, reason: str) -> Floats:
    """Mean over the last axis of what is defined; for one row of values, say what is not."""
    defined = ~np.isnan(values)
    if values.ndim == 1 and not defined.all():
        classes = ", ".join(str(c) for c in np.flatnonzero(~defined))
        _warn(f"{name} of class number {classes} (from 0) is undefined, {reason}: left out of the macro mean")
    return ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def _warn(text: str) -> None:
    warnings.warn(text, UndefinedFigureWarning, stacklevel=4)
