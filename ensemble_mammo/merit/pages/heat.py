"""A chart of shares over two settings: a cell each, shaded by its share."""

from __future__ import annotations

import math

from markupsafe import Markup

from ensemble_mammo.merit.pages.cells import number
from ensemble_mammo.merit.pages.svg import WIDTH, hit, join, svg, tag, turned
from ensemble_mammo.merit.sections import HeatChart

_LETTER = 7.0
"""Width of a letter of 12 units, about."""
_SHADED = (0.5, 0.6)
"""Shares from which the words of a cell change colour, on a dark page and on a light one."""
_HIGH, _NARROWEST = 20.0, 44.0
"""A cell's height, and its least width."""
_TOP = 40.0


def draw_heat(chart: HeatChart) -> Markup:
    """A heat chart as one `svg` element."""
    left = 32 + max(len(name) for name in chart.y) * _LETTER
    wide = max((WIDTH - left) / len(chart.x), _NARROWEST)
    side, bottom = wide * len(chart.x), _TOP + _HIGH * len(chart.y)
    parts = tag("text", chart.x_title, class_="axis", x=left + side / 2, y=14, text_anchor="middle")
    parts += turned(chart.y_title, (_TOP + bottom) / 2)
    parts += join(
        [
            tag("text", name, class_="label", x=left + (place + 0.5) * wide, y=_TOP - 8, text_anchor="middle")
            for place, name in enumerate(chart.x)
        ]
    )
    for row, name in enumerate(chart.y):
        top = _TOP + row * _HIGH
        parts += tag("text", name, class_="label", x=left - 8, y=top + _HIGH / 2 + 4, text_anchor="end")
        parts += join([_cell(chart, row, at, (left + at * wide, top, wide)) for at in range(len(chart.x))])
    defined = [value for of_row in chart.values for value in of_row if not math.isnan(value)]
    between = f"{number(min(defined), 2)} to {number(max(defined), 2)}" if defined else "undefined"
    label = f"{chart.title}: {between}, over {chart.x_title} and {chart.y_title}"
    return svg(parts, bottom + 4, label, left + side)


def _cell(chart: HeatChart, row: int, column: int, box: tuple[float, float, float]) -> Markup:
    """One share in its box (left, top, width)."""
    value, (x, y, wide) = chart.values[row][column], box
    share = 0.0 if math.isnan(value) else value
    text = "–" if math.isnan(value) else number(value, 2)
    text = f"({text})" if value <= chart.bracketed else text
    where = f"{chart.y_title} {chart.y[row]}, {chart.x_title} {chart.x[column]}"
    parts = tag(
        "rect",
        class_="shade",
        x=x + 1,
        y=y + 1,
        width=wide - 2,
        height=_HIGH - 2,
        rx=2,
        fill_opacity=0.04 + 0.9 * share,
    )
    parts += tag("text", text, class_="share", x=x + wide / 2, y=y + _HIGH / 2 + 4, text_anchor="middle")
    shade = "on" if share > _SHADED[1] else "mid" if share > _SHADED[0] else "off"
    return tag("g", hit(f"{where}\n{chart.title}: {number(value)}", parts), class_=shade)
