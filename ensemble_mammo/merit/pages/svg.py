"""SVG in small pieces: elements, a plot's frame, its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

WIDTH = 380.0
"""Of a chart in its own units; the page scales it."""


@dataclass(frozen=True)
class Frame:
    """A plot's place in the chart, and the values at its ends."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """A value's place from the left of the chart."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * self.width

    def y(self, value: float) -> float:
        """A value's place from the top of the chart."""
        low, high = self.y_range
        return self.top + self.height - (value - low) / (high - low) * self.height

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies within the axes."""
        return self.x_range[0] <= x <= self.x_range[1] and self.y_range[0] <= y <= self.y_range[1]


def tag(name: str, inside: object = "", /, **attributes: Any) -> Markup:
    """An element; `class_` is class, `stroke_width` is stroke-width, numbers are cut to a hundredth."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value not in ("", None)
    )
    return Markup(f"<{name}{written}>{escape(inside)}</{name}>")


def _short(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def join(parts: Iterable[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("").join(parts)


def svg(inside: Markup, height: float, label: str, width: float = WIDTH) -> Markup:
    """A whole chart, so high and so wide, with its words for those who do not see it."""
    box = f"0 0 {_short(width)} {_short(height)}"
    return tag("svg", inside, viewBox=box, class_="chart", role="img", tabindex="0", aria_label=label)


def hit(tip: str, inside: Markup) -> Markup:
    """What can be pointed at, and the text that it then shows."""
    return tag("g", tag("title", tip) + inside, class_="hit")


def x_axis(frame: Frame, title: str) -> Markup:
    """Ticks, grid and title of the horizontal axis."""
    bottom = frame.top + frame.height
    places = ticks(*frame.x_range)
    marks = [
        tag("line", class_="grid", x1=frame.x(at), x2=frame.x(at), y1=frame.top, y2=bottom)
        + tag("text", _tick(at, places), class_="tick", x=frame.x(at), y=bottom + 16, text_anchor="middle")
        for at in places
    ]
    middle = frame.left + frame.width / 2
    return join(marks) + tag("text", title, class_="axis", x=middle, y=bottom + 36, text_anchor="middle")


def y_axis(frame: Frame, title: str) -> Markup:
    """Ticks, grid and title of the vertical axis."""
    places, right = ticks(*frame.y_range), frame.left + frame.width
    marks = [
        tag("line", class_="grid", x1=frame.left, x2=right, y1=frame.y(at), y2=frame.y(at))
        + tag("text", _tick(at, places), class_="tick", x=frame.left - 7, y=frame.y(at) + 4, text_anchor="end")
        for at in places
    ]
    return join(marks) + turned(title, frame.top + frame.height / 2)


def turned(title: str, middle: float) -> Markup:
    """The title of a vertical axis, at the left edge of the chart."""
    place = f"translate(13 {_short(middle)}) rotate(-90)"
    return tag("text", title, class_="axis", transform=place, text_anchor="middle")


def clipped(inside: Markup, frame: Frame) -> Markup:
    """What reaches out of the plot is cut; a stroke on its edge is not."""
    x, y, width, height = frame.left - 3, frame.top - 3, frame.width + 6, frame.height + 6
    box = " ".join(map(_short, (x, y, width, height)))
    return tag("svg", inside, x=x, y=y, width=width, height=height, viewBox=box)


def _tick(value: float, places: Sequence[float]) -> str:
    """A tick's number, with the digits that its neighbours need."""
    digits = next((d for d in range(6) if all(abs(round(p, d) - p) < 1e-9 for p in places)), 6)
    return f"{value:.{digits}f}".replace("-", "−")


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most so many: steps of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]
