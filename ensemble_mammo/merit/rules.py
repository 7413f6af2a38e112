"""Rules of fusion: how the scores of several views become one row of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.subject import View

FUSION_RULES = ("mean", "geometric", "median", "vote")
"""How the scores of several views become one: see `fuse_scores`."""

SUBJECT_RULES = ("mean", "maximum")
"""How breasts become the subject: a flat rule over all views, or the breast that looks worst."""

_TINY = 1e-12


@dataclass(frozen=True)
class Fusion:
    """How views are fused."""

    rule: str = "mean"
    "mean, geometric, median or vote"
    weights: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
    "view -> weight; views that are not named weigh 1; not for the median"
    require_all_views: bool = False
    "refuse exams that lack a row in one of the files given, instead of fusing the views present"
    breast_to_subject: str = ""
    "'mean' (flat, over all views) or 'maximum' (the breast with the higher score of the last class); empty: the task's"

    def __post_init__(self) -> None:
        """Refuse unknown rules and weights that cannot weigh.

        Raises:
            PredictionError: the rule, a view's name or a weight is not usable.
        """
        if self.rule not in FUSION_RULES:
            raise PredictionError(f"fusion rule {self.rule!r} is not one of {', '.join(FUSION_RULES)}")
        if self.breast_to_subject not in ("", *SUBJECT_RULES):
            raise PredictionError(f"breast_to_subject {self.breast_to_subject!r} is not one of mean, maximum")
        weights = tuple(dict(self.weights).items())
        object.__setattr__(self, "weights", weights)
        for view, weight in weights:
            if view not in tuple(View):
                raise PredictionError(f"fusion weight for {view!r}: not one of {', '.join(View)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise PredictionError(f"fusion weight {view}={weight:g}: expected a finite number, not negative")
        if weights and self.rule == "median":
            raise PredictionError("the median takes no weights: leave them out, or choose mean, geometric or vote")

    def weight(self, view: str) -> float:
        """The weight of a view: 1 unless given."""
        return dict(self.weights).get(view, 1.0)


def fuse_scores(
    scores: NDArray[np.floating], rule: str = "mean", weights: Sequence[float] | NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Fuse the views of each exam.

    mean: weighted mean of the scores; geometric: their weighted product's root, made to add up to 1;
    median: class by class, made to add up to 1; vote: share of the (weighted) views whose highest
    score is the class, ties of a view to the lower class, so a tie between views shows as equal shares.

    Args:
        scores: [S, V, C]; a missing view is a row of nan.
        rule: one of `FUSION_RULES`.
        weights: [V], not negative; a view that weighs 0 counts as missing.

    Returns:
        [S, C]; nan where an exam has no view at all.

    Raises:
        PredictionError: an unknown rule, weights that are negative, all zero, or not one a view.
    """
    if rule not in FUSION_RULES:
        raise PredictionError(f"fusion rule {rule!r} is not one of {', '.join(FUSION_RULES)}")
    weight = checked_weights(weights, scores.shape[1])
    present = ~np.isnan(scores).any(axis=2) & (weight > 0)  # [S, V]
    share = np.where(present, weight, 0.0)
    total = share.sum(axis=1, keepdims=True)
    share = np.divide(share, total, out=np.zeros_like(share), where=total > 0)  # [S, V], adds up to 1 or is 0
    filled = np.where(present[:, :, None], scores, 0.0).astype(np.float64)
    if rule == "mean":
        fused = np.einsum("sv,svc->sc", share, filled)
    elif rule == "geometric":
        fused = _normalised(np.exp(np.einsum("sv,svc->sc", share, np.log(np.maximum(filled, _TINY)))))
    elif rule == "vote":
        fused = np.einsum("sv,svc->sc", share, np.eye(scores.shape[2])[filled.argmax(axis=2)])
    else:
        fused = np.full((scores.shape[0], scores.shape[2]), np.nan)
        some = present.any(axis=1)
        masked = np.where(present[:, :, None], scores, np.nan)[some]
        fused[some] = _normalised(np.nanmedian(masked, axis=1)) if some.any() else masked[:, 0]
    fused[~present.any(axis=1)] = np.nan
    return fused


def checked_weights(weights: Sequence[float] | NDArray[np.floating] | None, count: int) -> NDArray[np.float64]:
    """The weights of `count` views as an array [V]; 1 each where none are given.

    Raises:
        PredictionError: weights that are negative, all zero, or not one a view.
    """
    if weights is None:
        return np.ones(count)
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != (count,):
        raise PredictionError(f"{weight.size} fusion weights for {count} views: give one a view")
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise PredictionError(
            f"fusion weights {', '.join(f'{w:g}' for w in weight)}: expected finite numbers, none negative, not all 0"
        )
    return weight


def _normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    scores = np.maximum(scores, _TINY)
    normalised: NDArray[np.float64] = scores / scores.sum(axis=-1, keepdims=True)
    return normalised
