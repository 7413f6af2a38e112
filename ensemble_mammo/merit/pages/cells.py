"""How numbers and cells of tables are written for people; files for machines hold them as they are."""

from __future__ import annotations

import math
from numbers import Integral, Real

from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Cell

UNDEFINED = "undefined"
"""What stands where a figure is nan; the reason is among the notes."""

_LARGE, _SMALL = 100, 0.0005


def number(value: float, digits: int = 3) -> str:
    """A count as it is, any other number with so many digits after the point (one from 100 on); minus as `−`."""
    if isinstance(value, Integral):
        return str(int(value)).replace("-", "−")
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 0 < value < _SMALL and digits >= 3:
        return "<0.001"
    text = f"{value:.{digits if abs(value) < _LARGE else 1}f}"
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def limits(low: float, high: float, digits: int = 3) -> str:
    """The limits of an interval, `0.734–0.867`, or with words where a minus would confuse; empty without limits."""
    if math.isnan(low) or math.isnan(high):
        return ""
    between = " to " if min(low, high) < 0 else "–"
    return between.join(_plain(one, digits) for one in (low, high))


def written(cell: Cell) -> str:
    """A cell as text: `0.805 (0.734–0.867)`; nothing is the empty text."""
    if cell is None:
        return ""
    if isinstance(cell, Interval):
        within = limits(cell.low, cell.high)
        return number(cell.value) + (f" ({within})" if within else "")
    return number(cell) if isinstance(cell, Real) else str(cell)


def sort_key(cell: Cell) -> str:
    """What a table sorts by: a number in full, nothing for text and for what is undefined."""
    value = cell.value if isinstance(cell, Interval) else cell
    return repr(float(value)) if isinstance(value, Real) and math.isfinite(value) else ""


def is_number(cell: Cell) -> bool:
    """Whether it stands on the right of its column."""
    return isinstance(cell, (Interval, Real))


def _plain(value: float, digits: int) -> str:
    return number(value if abs(value) >= _SMALL else 0.0, digits)
