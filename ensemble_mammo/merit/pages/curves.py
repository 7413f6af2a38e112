"""Curves over one pair of axes, drawn as SVG, and their legend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ensemble_mammo.merit.pages.cells import UNDEFINED, limits, number
from ensemble_mammo.merit.pages.svg import WIDTH, Frame, clipped, hit, join, svg, tag, x_axis, y_axis
from ensemble_mammo.merit.sections import Line, LineChart

COLOURS = 7
"""Of lines: the classes c0 to c6 of the style sheet, then again from the first."""
_DASHES = ("", "8 4", "2 4", "10 3 2 3")
_POINTED_AT = 40


@dataclass(frozen=True)
class Key:
    """A line of a legend."""

    label: str
    "what it stands for"
    swatch: Markup
    "its stroke, as SVG"


def keys(chart: LineChart) -> list[Key]:
    """The legend of the lines."""
    return [_key(line, place) for place, line in enumerate(chart.lines)]


def draw_lines(chart: LineChart) -> Markup:
    """Curves with their bands, points with whiskers, over one pair of axes."""
    square = chart.x_range == chart.y_range
    frame = Frame(54, 10, WIDTH - 68, 300 if square else 220, chart.x_range, chart.y_range)
    curves, marks = [], []
    for place, line in reversed(list(enumerate(chart.lines))):  # the main one is drawn last, on top
        rows = _rows(line)
        curves.append(tag("g", _curve(line, rows, frame, place), class_=_colour(line, place)))
        marks.append(tag("g", _points(chart, line, rows, frame), class_=_colour(line, place)))
    chance = tag("path", class_="chance", d=_path(_ends(chart), frame)) if chart.diagonal else Markup("")
    parts = x_axis(frame, chart.x_title) + y_axis(frame, chart.y_title)
    parts += clipped(chance + join(curves), frame) + join(marks)
    if not any(np.isfinite(_rows(line)[:, :2]).all(1).any() for line in chart.lines):
        middle = {"x": frame.left + frame.width / 2, "y": frame.top + frame.height / 2}
        parts += tag("text", UNDEFINED, class_="axis", text_anchor="middle", **middle)
    names = ", ".join(_name(line) for line in chart.lines)
    label = f"{chart.title}: {chart.y_title} by {chart.x_title}; {names}"
    return svg(parts, frame.top + frame.height + 46, label)


def _ends(chart: LineChart) -> list[tuple[float, float]]:
    return list(zip(chart.x_range, chart.y_range, strict=True))


def _rows(line: Line) -> np.ndarray:
    """[N, 4]: x, y, lower and upper limits (nan where there are none)."""
    none = [math.nan] * len(line.x)
    columns = (line.x, line.y, line.low if len(line.low) else none, line.high if len(line.high) else none)
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns]).reshape(-1, 4)


def _curve(line: Line, rows: np.ndarray, frame: Frame, place: int) -> Markup:
    banded = rows[np.isfinite(rows).all(1)]
    parts = Markup("")
    if len(banded) and not line.points:
        around = [(x, high) for x, _, _, high in banded] + [(x, low) for x, _, low, _ in banded[::-1]]
        parts += tag("path", class_="band", d=_path(around, frame) + "Z")
    stroke = {"stroke_width": 2.4 if line.strong else 1.3, "stroke_dasharray": _DASHES[place % len(_DASHES)]}
    return parts + tag("path", class_="line", d=_path(rows[:, :2], frame), **stroke)


def _path(points: Any, frame: Frame) -> str:
    """Joined points; a gap where one is undefined. Points that fall on the one before are left out."""
    steps: list[str] = []
    before, pen = "", "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            before, pen = "", "M"
            continue
        here = f"{frame.x(x):.1f} {frame.y(y):.1f}"
        if here != before:
            steps.append(pen + here + ("h0" if pen == "M" else ""))
        before, pen = here, "L"
    return "".join(steps)


def _points(chart: LineChart, line: Line, rows: np.ndarray, frame: Frame) -> Markup:
    """Places to point at: each point where marks are drawn, else some along the curve; whiskers of points."""
    shown = [row for row in rows if math.isfinite(row[0]) and math.isfinite(row[1]) and frame.holds(row[0], row[1])]
    if not line.points:
        shown = (
            [shown[i] for i in sorted(set(np.linspace(0, len(shown) - 1, _POINTED_AT).astype(int)))] if shown else []
        )
    made = []
    for x, y, low, high in shown:
        within = limits(low, high)
        tip = f"{line.label}\n{chart.x_title}: {number(x)}\n{chart.y_title}: {number(y)}"
        tip += f" ({within})" if within else ""
        mark = tag("circle", class_="mark" if line.points else "spot", cx=frame.x(x), cy=frame.y(y), r=4)
        if line.points and within:
            ends = [min(max(one, chart.y_range[0]), chart.y_range[1]) for one in (low, high)]
            mark = (
                tag("line", class_="whisker", x1=frame.x(x), x2=frame.x(x), y1=frame.y(ends[0]), y2=frame.y(ends[1]))
                + mark
            )
        made.append(hit(tip, mark))
    return join(made)


def _colour(line: Line, place: int) -> str:
    return f"c{place % COLOURS}" + ("" if line.strong else " weak")


def _name(line: Line) -> str:
    return line.label if np.isfinite(_rows(line)[:, :2]).all(1).any() else f"{line.label} ({UNDEFINED})"


def _key(line: Line, place: int) -> Key:
    stroke = {"stroke_width": 2.4 if line.strong else 1.3, "stroke_dasharray": _DASHES[place % len(_DASHES)]}
    parts = tag("line", class_="line", x1=0, x2=30, y1=6, y2=6, **stroke)
    if line.points:
        parts += tag("circle", class_="mark", cx=15, cy=6, r=4)
    swatch = tag("svg", parts, class_=f"key {_colour(line, place)}", viewBox="0 0 30 12", aria_hidden="true")
    return Key(_name(line), swatch)
