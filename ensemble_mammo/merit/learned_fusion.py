"""Fusion that is learned: weights of the views, and stacking, judged on subjects that it did not learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.members import Members
from ensemble_mammo.merit.rules import fuse_scores

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

FEWEST_SUBJECTS = 40
"""With fewer subjects nothing is learned."""

FEWEST_OF_CLASS = 5
"""With fewer subjects of a class nothing is learned."""

FOLDS = 5
"""Outer folds: each is judged by what the others taught."""

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""What scikit-learn calls C, of which inner folds choose: small values hold the stack back more."""

_INNER = 3
_TINY = 1e-6  # scores below count as this before the logarithm is taken


@dataclass(frozen=True)
class Learned:
    """The scores that learned fusion gives to exams whose subjects it did not learn from."""

    weighted: Floats
    "[S, C], by learned weights of the views"
    stacked: Floats
    "[S, C], by stacking"
    weights: Floats
    "[F, V], each row adds up to 1: the weights that each fold learned"
    strengths: tuple[float, ...]
    "F values of `STRENGTHS`, as the inner folds chose them"


def reason_against(members: Members, classes: Sequence[str]) -> str:
    """Why nothing should be learned from these exams; empty where they are enough.

    Args:
        members: exams that have every view.
        classes: C names.
    """
    subjects = np.asarray(members.subjects, dtype=str)
    if len(set(members.subjects)) < FEWEST_SUBJECTS:
        return f"{len(set(members.subjects))} subjects have every view, {FEWEST_SUBJECTS} are needed"
    few = []
    for place, name in enumerate(classes):
        count = len(set(subjects[members.true == place]))
        if count < FEWEST_OF_CLASS:
            few.append(f"{count} of {name}")
    return f"each class needs {FEWEST_OF_CLASS} subjects with every view; there are {', '.join(few)}" if few else ""


def learned_weights(scores: Floats, true: Places) -> Floats:
    """Non-negative weights [V], adding up to 1, whose weighted mean of scores has the least log loss.

    The linear opinion pool with weights of maximum likelihood (Genest & Zidek, Stat Sci 1986;1:114-135): a convex
    problem, solved by SciPy's SLSQP.

    Args:
        scores: [N, V, C], without gaps.
        true: [N] true classes as numbers from 0.
    """
    from scipy.optimize import minimize

    own = np.maximum(scores[np.arange(len(true)), :, true], _TINY)  # [N, V], the true class's score
    count = own.shape[1]

    def loss(weights: Floats) -> tuple[float, Floats]:
        pooled = np.maximum(own @ weights, _TINY)
        return float(-np.log(pooled).mean()), -(own / pooled[:, None]).mean(axis=0)

    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(len(w))},
        options={"ftol": 1e-10, "maxiter": 500},
    )
    weights = np.clip(found.x, 0, None)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def stacking(learn: tuple[Floats, Places], judge: Floats, strength: float) -> Floats:
    """Multinomial logistic regression on the log scores of all views (Wolpert, Neural Netw 1992;5:241-259).

    Args:
        learn: scores [N, V, C] and true classes [N] to learn from.
        judge: scores [M, V, C].
        strength: what scikit-learn calls C.

    Returns:
        [M, C]; a class that was not there to learn from scores 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores, true = learn
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    model.fit(_features(scores), true)
    given = np.zeros((len(judge), scores.shape[2]))
    given[:, model.classes_] = model.predict_proba(_features(judge))
    return given


def strength_chosen(members: Members, seed: int) -> float:
    """The member of `STRENGTHS` with the least log loss over inner folds of subjects."""
    losses = np.zeros(len(STRENGTHS))
    for learn, held in _folds(members, _INNER, seed):
        true = members.true[held]
        for place, strength in enumerate(STRENGTHS):
            given = stacking((members.scores[learn], members.true[learn]), members.scores[held], strength)
            losses[place] -= np.log(np.maximum(given[np.arange(len(true)), true], _TINY)).sum()
    return STRENGTHS[int(losses.argmin())]


def learned_elsewhere(members: Members, judge: Floats, seed: int) -> Learned:
    """Fusion learned from some exams, for the scores [S, V, C] of others; neither has gaps."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the matrices are tiny: threads would only wait for each other
        weights = learned_weights(members.scores, members.true)
        strength = strength_chosen(members, seed)
        stacked = stacking((members.scores, members.true), judge, strength)
    return Learned(fuse_scores(judge, "mean", weights), stacked, weights[None], (strength,))


def cross_fitted(members: Members, seed: int) -> Learned:
    """Fusion learned and judged on the same exams, each by what the subjects of the other folds taught.

    Nested: the strength of the stack is chosen in inner folds of what is learned from (Varma & Simon, BMC
    Bioinformatics 2006;7:91).
    """
    size, _, classes = members.scores.shape
    weighted, stacked = np.full((size, classes), np.nan), np.full((size, classes), np.nan)
    weights: list[Floats] = []
    strengths: list[float] = []
    for learn, held in _folds(members, FOLDS, seed):
        one = learned_elsewhere(members.taken(learn), members.scores[held], seed)
        weighted[held], stacked[held] = one.weighted, one.stacked
        weights.append(one.weights[0])
        strengths += one.strengths
    return Learned(weighted, stacked, np.array(weights), tuple(strengths))


def _features(scores: Floats) -> Floats:
    """[N, V, C] -> [N, V * C]."""
    return np.log(np.maximum(scores, _TINY)).reshape(len(scores), -1)


def _folds(members: Members, count: int, seed: int) -> Iterator[tuple[Places, Places]]:
    """Places to learn from, and places held out; a subject is on one side, and classes are spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    yield from folds.split(members.true, members.true, groups=np.asarray(members.subjects, dtype=str))
