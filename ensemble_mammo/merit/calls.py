"""From scores to called classes: the class that scores highest, or of two classes the side of a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

HALF = 0.5
"""The threshold that needs no choosing: the positive side is the likelier one."""


@dataclass(frozen=True)
class Asked:
    """The threshold that was asked for: a score, or a recall that is wanted."""

    value: float = HALF
    "cases of two classes that score as much or more are called positive; at 0.5 the class that scores highest"
    recall: float | None = None
    "the share of positive cases that shall be found, on cases outside the test; None: the value is it"

    @property
    def is_plain(self) -> bool:
        """Whether nothing was asked for: cases are called the class that scores highest."""
        return self.recall is None and self.value == HALF


@dataclass(frozen=True)
class Acting:
    """The threshold at which the cases of a level are called, and how it came about."""

    value: float = HALF
    "cases that score as much or more are called positive; at a fixed 0.5 the class that scores highest"
    chosen_on: str = "fixed"
    "for people: the cases it was chosen on, or `fixed`"
    wanted: float | None = None
    "the recall that it was chosen for; None: it was given"
    reached: float | None = None
    "the recall of the cases it was chosen on"

    @property
    def cut(self) -> float | None:
        """As `called_classes` wants it: None where the class that scores highest is called."""
        return None if self.wanted is None and self.value == HALF else self.value

    @property
    def rule(self) -> str:
        """For people: `0.3`, `recall 0.9`."""
        return f"{self.value:g}" if self.wanted is None else f"recall {self.wanted:g}"


def threshold_asked(text: str | float) -> Asked:
    """A threshold as it is written: `0.3`, or `recall=0.9` for one that is chosen.

    Raises:
        ValueError: neither, or outside its range.
    """
    name, is_rule, number = str(text).strip().rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if is_rule and name.strip() == "recall" and 0 < value <= 1:
        return Asked(recall=value)
    if is_rule or not 0 < value < 1:
        raise ValueError(f"threshold {text}: expected a score between 0 and 1 such as 0.3, or recall=0.9")
    return Asked(value)


def called_classes(
    scores: ArrayLike, positive: Sequence[int] = (), cut: float | NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """The class that each case is called.

    Args:
        scores: [..., C].
        positive: numbers of the positive classes; looked at only with a cut.
        cut: of two classes, one of them positive: a case whose positive score is as high or higher is called
            positive; one for all, or one a case. None: the class that scores highest, of equal ones the first.

    Returns:
        Classes as numbers from 0, [...].

    Raises:
        ValueError: a cut, and not two classes of which one is positive.
    """
    scored = np.asarray(scores, dtype=np.float64)
    if cut is None:
        return np.asarray(scored.argmax(axis=-1), dtype=np.int64)
    if scored.shape[-1] != len(("negative", "positive")) or len(positive) != 1:
        raise ValueError(
            f"a threshold acts on two classes of which one is positive: found {scored.shape[-1]} classes, "
            f"{len(positive)} positive"
        )
    (up,) = positive
    return np.where(scored[..., up] >= cut, up, 1 - up).astype(np.int64)


def floor_of(true: ArrayLike) -> float:
    """The accuracy of always naming the most frequent of the true classes [N]; nan without a case."""
    counts = np.unique(np.asarray(true), return_counts=True)[1]
    return float(counts.max() / counts.sum()) if len(counts) else float("nan")
