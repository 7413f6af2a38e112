"""What calling cases positive comes to at thresholds and contrasts of the input: a table of both.

Scuccimarra's table of one network: accuracy and recall, a row a threshold, a column a contrast at test time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_mammo.merit.figures import ratio

Floats = NDArray[np.float64]

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""0.05, 0.1 … 0.95."""


@dataclass(frozen=True)
class ContrastGrid:
    """Figures of the same cases at each threshold and contrast."""

    thresholds: tuple[float, ...]
    "T, the lowest first: cases that score as much or more are called positive"
    contrasts: tuple[float, ...]
    "K, the lowest first"
    cases: int
    "how many"
    positives: int
    "how many of them are positive"
    figures: Mapping[str, Floats]
    """[T, K] each, nan where undefined: `accuracy`; `recall`, the share of positive cases that are called so;
    `precision`, the share of the positive calls that are right; `called`, the share of cases called positive"""

    @property
    def most_frequent(self) -> float:
        """The accuracy of calling every case what most are."""
        return max(self.positives, self.cases - self.positives) / self.cases

    @property
    def most_are_positive(self) -> bool:
        """Whether most cases are positive."""
        return 2 * self.positives > self.cases

    def value(self, figure: str, threshold: float, contrast: float) -> float:
        """A figure at a threshold and a contrast of the table."""
        place = self.thresholds.index(threshold), self.contrasts.index(contrast)
        return float(self.figures[figure][place])


def contrast_grid(
    positive: ArrayLike, scores: Mapping[float, ArrayLike], thresholds: Sequence[float] = THRESHOLDS
) -> ContrastGrid:
    """The figures of cases at every threshold and contrast.

    Args:
        positive: [N] booleans, at least one case.
        scores: contrast -> [N] scores of the positive side, case i being the same in all.
        thresholds: T of them; equal ones count once.

    Raises:
        ValueError: no case, no contrast, or scores of another number of cases.
    """
    side = np.asarray(positive, dtype=bool)
    contrasts = tuple(sorted(scores))
    if not len(side) or not contrasts:
        raise ValueError(f"{len(side)} cases at {len(contrasts)} contrasts: expected at least one of each")
    held = [np.asarray(scores[contrast], dtype=np.float64) for contrast in contrasts]
    other = [f"{len(one)} at contrast {contrast:g}" for contrast, one in zip(contrasts, held, strict=True)]
    if any(one.shape != side.shape for one in held):
        raise ValueError(f"{len(side)} cases, and scores of {', '.join(other)}")
    limits = tuple(sorted(set(thresholds)))
    called = np.stack(held) >= np.array(limits)[:, None, None]  # [T, K, N]
    calls, hits = called.sum(axis=-1), (called & side).sum(axis=-1)
    positives, cases = int(side.sum()), len(side)
    passes = (cases - positives) - (calls - hits)
    figures = {
        "accuracy": ratio(hits + passes, np.full(hits.shape, cases)),
        "recall": ratio(hits, np.full(hits.shape, positives)),
        "precision": ratio(hits, calls),
        "called": ratio(calls, np.full(hits.shape, cases)),
    }
    return ContrastGrid(limits, contrasts, cases, positives, figures)
