"""What a field may hold, as one sentence where it holds something else."""

from __future__ import annotations

import math
from collections.abc import Sequence


def expect(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of the words allowed.

    Raises:
        ValueError: with the name, the value and the words.
    """
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def expect_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a number outside a range, ends included.

    Raises:
        ValueError: with the name, the number and the range.
    """
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
        raise ValueError(f"{name} is {value}, expected {limit}")
