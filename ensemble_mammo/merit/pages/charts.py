"""Charts as SVG that stands in a page: colours come from its style sheet, and every value can be pointed at.

A place with a value is a `g` of class `hit` whose `title` browsers show without a script; the page's script shows the
same text sooner, and by the arrow keys. Lines differ in colour (Okabe & Ito's, seen apart by colour-blind readers) and
in dashes, so that they differ on a grey print too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ensemble_mammo.merit.pages.cells import limits, number
from ensemble_mammo.merit.pages.curves import Key, draw_lines, keys
from ensemble_mammo.merit.pages.heat import draw_heat
from ensemble_mammo.merit.pages.svg import WIDTH, Frame, hit, join, svg, tag, turned, x_axis
from ensemble_mammo.merit.sections import Bar, BarChart, Chart, HeatChart, LineChart, MatrixChart

_LETTER = 7.0
"""Width of a letter of 12 units, about."""
_SHADED = (0.5, 0.6)
"""Shares from which the words of a cell change colour, on a dark page and on a light one."""
_BESIDE = 0.62
"""Of the width: names and values that take more of it stand in two rows."""
_LARGE = 100


def draw(chart: Chart) -> Markup:
    """Any chart as one `svg` element."""
    if isinstance(chart, LineChart):
        return draw_lines(chart)
    if isinstance(chart, HeatChart):
        return draw_heat(chart)
    return _bars(chart) if isinstance(chart, BarChart) else _matrix(chart)


def legend(chart: Chart) -> list[Key]:
    """What the lines of a chart are; nothing for one line alone, and for charts that name their parts themselves."""
    if not isinstance(chart, LineChart) or len(chart.lines) < 2:
        return []
    return keys(chart)


def _bars(chart: BarChart) -> Markup:
    values = [_value(bar, chart) for bar in chart.bars]
    longest = max((_width(_named(bar), bar) for bar in chart.bars), default=0.0)
    column = max((_width(value, bar) for bar, value in zip(chart.bars, values, strict=True)), default=0.0) + 8
    stacked = longest + column > _BESIDE * WIDTH  # long names stand above their bars
    left, step = (16.0, 42.0) if stacked else (longest + 12, 27.0)
    top = 20.0 if chart.reference is not None else 8.0
    frame = Frame(left, top, WIDTH - left - column, step * len(chart.bars) + 4, chart.x_range)
    parts = x_axis(frame, chart.x_title) + _reference(chart, frame)
    for place, (bar, value) in enumerate(zip(chart.bars, values, strict=True)):
        head = top + step * place + 2
        middle = head + (28 if stacked else step / 2)
        name = {"x": left, "y": head + 15} if stacked else {"x": left - 10, "y": middle + 4, "text_anchor": "end"}
        words = tag("text", _shortened(_named(bar)), class_="label", **name)
        words += tag("text", value, class_="value", x=WIDTH - 2, y=middle + 4, text_anchor="end")
        row = tag("rect", class_="row", x=0, y=head, width=WIDTH, height=step)
        tip = f"{_named(bar)}\n{chart.x_title}: {_value(bar, chart, 3)}"
        inside = hit(tip, row + _bar(bar, frame, middle) + words)
        parts += tag("g", inside, class_="bar marked" if bar.marked else "bar")
    label = f"{chart.title}; " + "; ".join(f"{_named(b)} {v}" for b, v in zip(chart.bars, values, strict=True))
    return svg(parts, top + frame.height + 46, label)


def _reference(chart: BarChart, frame: Frame) -> Markup:
    """The vertical line, with its value above."""
    if chart.reference is None or not chart.x_range[0] <= chart.reference <= chart.x_range[1]:
        return Markup("")
    at = frame.x(chart.reference)
    line = tag("line", class_="reference", x1=at, x2=at, y1=frame.top, y2=frame.top + frame.height)
    return line + tag("text", number(chart.reference), class_="tick", x=at, y=frame.top - 6, text_anchor="middle")


def _width(text: str, bar: Bar) -> float:
    """Of words beside a bar; those of a marked one are bold."""
    return len(text) * _LETTER * (1.25 if bar.marked else 1.0)


def _named(bar: Bar) -> str:
    return f"{bar.label}, {bar.note}" if bar.note else bar.label


def _shortened(text: str) -> str:
    """What fits above a bar; what is pointed at says all of it."""
    most = int((WIDTH - 16) / _LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"


def _value(bar: Bar, chart: BarChart, digits: int = 2) -> str:
    """The value and its limits; axes beyond 100 need no digits after the point."""
    digits = digits if max(map(abs, chart.x_range)) < _LARGE else 0
    within = limits(bar.low, bar.high, digits)
    return number(bar.value, digits) + (f" ({within})" if within else "")


def _bar(bar: Bar, frame: Frame, middle: float) -> Markup:
    """A bar from 0, or a point where the axis does not begin there; its limits as a whisker."""
    low, high = frame.x_range
    if not math.isfinite(bar.value):
        return Markup("")
    at = frame.x(min(max(bar.value, low), high))
    parts = Markup("")
    if low == 0:
        parts += tag("rect", class_="fill", x=frame.left, y=middle - 6, width=at - frame.left, height=12, rx=2)
    if math.isfinite(bar.low) and math.isfinite(bar.high):
        ends = [frame.x(min(max(one, low), high)) for one in (bar.low, bar.high)]
        parts += tag("line", class_="whisker", x1=ends[0], x2=ends[1], y1=middle, y2=middle)
        parts += join([tag("line", class_="whisker", x1=e, x2=e, y1=middle - 4, y2=middle + 4) for e in ends])
    if low != 0:
        parts += tag("circle", class_="mark", cx=at, cy=middle, r=4.5)
    return parts


def _matrix(chart: MatrixChart) -> Markup:
    counts = np.asarray(chart.counts, dtype=np.int64)
    names = [_folded(name) for name in chart.classes]
    left = 34 + max(len(part) for name in names for part in name) * _LETTER
    left = max(left, 34 + max(len(f"n {n}") for n in counts.sum(1)) * 6)
    cell = max((360 - left) / len(names), max(len(part) for name in names for part in name) * _LETTER + 8, 44)
    side, top = cell * len(names), 22 + 15 * max(map(len, names))
    parts = tag("text", "predicted", class_="axis", x=left + side / 2, y=14, text_anchor="middle")
    parts += turned("true", top + side / 2)
    for place, name in enumerate(names):
        middle = (place + 0.5) * cell
        parts += _words(name, left + middle, top - 8 - 15 * (len(name) - 1), "middle")
        parts += _words(name, left - 8, top + middle - 15 * (len(name) - 1), "end")
        total = f"n {counts[place].sum()}"
        parts += tag("text", total, class_="tick", x=left - 8, y=top + middle + 15, text_anchor="end")
        for other in range(len(names)):
            parts += _cell(chart, counts, (place, other), (left + other * cell, top + place * cell, cell))
    right = int(np.trace(counts))
    label = f"{chart.title}: confusion matrix of {counts.sum()}, {right} in their true class"
    return svg(parts, top + side + 4, label, left + side + 4)


def _cell(chart: MatrixChart, counts: np.ndarray, cell: tuple[int, int], box: tuple[float, float, float]) -> Markup:
    row, column = cell
    x, y, size = box
    total = int(counts[row].sum())
    share = counts[row, column] / total if total else math.nan
    percent = "–" if math.isnan(share) else f"{share:.0%}"
    tip = f"true {chart.classes[row]}, predicted {chart.classes[column]}\n{counts[row, column]} of {total} ({percent})"
    opacity = {"fill_opacity": 0.04 + 0.9 * (0 if math.isnan(share) else share)}
    parts = tag("rect", class_="shade", x=x + 1, y=y + 1, width=size - 2, height=size - 2, rx=3, **opacity)
    middle = {"x": x + size / 2, "text_anchor": "middle"}
    parts += tag("text", str(counts[row, column]), class_="count", y=y + size / 2 + 1, **middle)
    parts += tag("text", percent, class_="share", y=y + size / 2 + 18, **middle)
    shade = "on" if share > _SHADED[1] else "mid" if share > _SHADED[0] else "off"
    return tag("g", hit(tip, parts), class_=shade)


def _words(lines: Sequence[str], x: float, y: float, anchor: str) -> Markup:
    return join(
        [
            tag("text", line, class_="label", x=x, y=y + 15 * place, text_anchor=anchor)
            for place, line in enumerate(lines)
        ]
    )


def _folded(name: str) -> list[str]:
    """A long name in lines, broken at its hyphen or space."""
    if len(name) <= 9:
        return [name]
    for mark in ("-", " "):
        first, found, second = name.partition(mark)
        if found:
            return [first + found.strip(), second]
    return [name]
