"""What a report is made of: sections of tables, charts and pictures, held apart from how they are computed and drawn.

One section is one question ("does a device fail?"). The page, report.json, the CSV files and the LaTeX and Markdown
tables are all written from these same objects, so they cannot say different things.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from ensemble_mammo.merit.intervals import Interval

Cell = str | int | float | Interval | None
"""What stands in a table: text, a count, a number, a figure with its limits, or nothing."""


@dataclass(frozen=True)
class Table:
    """Named columns and rows of cells."""

    name: str
    "key in report.json and file name among the CSV tables: lower case, digits, hyphens"
    title: str
    "what it shows, for people"
    columns: Mapping[str, str]
    "key of a column -> its heading"
    rows: Sequence[Sequence[Cell]]
    "a cell a column each"
    caption: str = ""
    "what one must know to read it"
    marked: frozenset[int] = frozenset()
    "places from 0 of the rows that deserve the eye, such as a failing device"

    def __post_init__(self) -> None:
        """Refuse rows that have not a cell for each column."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} cells for {len(self.columns)} columns")

    def records(self) -> list[dict[str, Any]]:
        """The rows as JSON has them; undefined numbers are null, intervals `value`, `low`, `high`."""
        return [
            {key: _plain(cell) for key, cell in zip(self.columns, row, strict=True)}
            | ({"marked": True} if place in self.marked else {})
            for place, row in enumerate(self.rows)
        ]


@dataclass(frozen=True)
class Line:
    """One curve, or points joined."""

    label: str
    "as the legend has it"
    x: Sequence[float]
    "from left to right"
    y: Sequence[float]
    "as many"
    low: Sequence[float] = ()
    "lower limits of y; empty: no band"
    high: Sequence[float] = ()
    "upper limits of y"
    points: bool = False
    "draw a mark at each point"
    strong: bool = True
    "False: a thin line beside the one that matters"


@dataclass(frozen=True)
class LineChart:
    """Curves over one pair of axes, such as ROC, precision-recall, reliability."""

    name: str
    "key in report.json"
    title: str
    "what it shows"
    x_title: str
    "name and unit of the horizontal axis"
    y_title: str
    "name and unit of the vertical axis"
    lines: Sequence[Line]
    "the curves, the main one first"
    x_range: tuple[float, float] = (0.0, 1.0)
    "ends of the horizontal axis"
    y_range: tuple[float, float] = (0.0, 1.0)
    "ends of the vertical axis"
    diagonal: bool = False
    "draw the line of chance, or of perfect calibration, from corner to corner"
    caption: str = ""
    "what one must know to read it"


@dataclass(frozen=True)
class Bar:
    """A value with its limits."""

    label: str
    "what it is of"
    value: float
    "nan: undefined"
    low: float = math.nan
    "lower limit; nan: none"
    high: float = math.nan
    "upper limit"
    marked: bool = False
    "draw the eye to it"
    note: str = ""
    "said beside it, such as a count"


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars or points with whiskers, one below the other."""

    name: str
    "key in report.json"
    title: str
    "what it shows"
    x_title: str
    "what is measured, with its unit"
    bars: Sequence[Bar]
    "from top to bottom"
    x_range: tuple[float, float] = (0.0, 1.0)
    "ends of the axis"
    reference: float | None = None
    "a vertical line, such as the figure of all cases, or no difference"
    caption: str = ""
    "what one must know to read it"


@dataclass(frozen=True)
class MatrixChart:
    """Counts of true (rows) by predicted (columns) classes."""

    name: str
    "key in report.json"
    title: str
    "of which level"
    classes: Sequence[str]
    "C names"
    counts: Sequence[Sequence[int]]
    "[C, C]"
    caption: str = ""
    "what one must know to read it"


@dataclass(frozen=True)
class HeatChart:
    """Shares over two settings, a cell each, the shade by the share."""

    name: str
    "key in report.json"
    title: str
    "which figure"
    x_title: str
    "what is set from column to column"
    x: Sequence[str]
    "K settings"
    y_title: str
    "what is set from row to row"
    y: Sequence[str]
    "T settings, from top to bottom"
    values: Sequence[Sequence[float]]
    "[T, K], 0 to 1; nan: undefined"
    bracketed: float = -math.inf
    "values up to it stand in brackets, such as accuracies no better than that of the most frequent class"
    caption: str = ""
    "what one must know to read it"


Chart = LineChart | BarChart | MatrixChart | HeatChart


@dataclass(frozen=True)
class Picture:
    """A small image on the page; it is not in report.json."""

    title: str
    "what it shows, without ids unless the table beside it has them"
    png: bytes
    "a PNG or JPEG file"
    caption: str = ""
    "what one must know to read it"


@dataclass(frozen=True)
class Section:
    """One question, and what answers it."""

    name: str
    "key in report.json and anchor on the page: lower case, digits, hyphens"
    title: str
    "the heading"
    lead: str
    "the answer in a sentence or two that a clinician understands"
    tables: tuple[Table, ...] = ()
    "in order"
    charts: tuple[Chart, ...] = ()
    "in order"
    pictures: tuple[Picture, ...] = ()
    "in order"
    notes: tuple[str, ...] = ()
    "warnings: what makes these figures less than they seem"
    method: str = ""
    "how it was computed, with the source"
    data: tuple[Table, ...] = ()
    "for programs, a row a value: in report.json and as `tables/<name>.csv`, not on the page"

    def as_json(self) -> dict[str, Any]:
        """What report.json holds of it."""
        return {
            "title": self.title,
            "lead": self.lead,
            "notes": list(self.notes),
            "method": self.method,
            "tables": {one.name: {"title": one.title, "rows": one.records()} for one in (*self.tables, *self.data)},
            "charts": {one.name: _plain(asdict(one)) for one in self.charts},
        }


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers of numpy as Python's, what is not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
