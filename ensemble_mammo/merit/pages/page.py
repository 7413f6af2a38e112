"""The report as one HTML page that needs nothing beside it.

Style and script stand in the page, and its own policy lets the browser load nothing else and run nothing but them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.cells import UNDEFINED, is_number, limits, number, sort_key, written
from ensemble_mammo.merit.pages.charts import draw, legend
from ensemble_mammo.merit.pages.overview import (
    FUSED,
    alarms,
    answer,
    called_in_words,
    definitions_section,
    figures_section,
    headline_table,
    made_section,
    matrices,
    one_class,
    warnings_first,
)
from ensemble_mammo.merit.results import Report
from ensemble_mammo.merit.sections import BarChart, Cell, Chart, HeatChart, LineChart, Section, Table

ROWS_ON_PAGE = 500
"""Rows of one table on the page; report.json and the CSV files have all."""

ROWS_PRINTED = 40
"""Rows of one table on paper."""

_CUT_FROM = 20
_NOTES_FIRST = 4
_LARGE_FROM = 4
_LONG, _SHORT, _HEADING, _SOME = 40, 28, 20, 14
_RANGE = re.compile(r"−?[\d.]+(?:–| to )−?[\d.]*\d")
_DARK = """
  --ground: #11171d; --raised: #1a222b; --ink: #e5eaef; --muted: #9dadbc; --rule: #2c3743;
  --accent: #63b3ea; --shade: #63b3ea; --on-shade: #0b1218; --on-mid: #0b1218;
  --warn: #e0a84a; --warn-ground: #262013; --warn-edge: #d09010;
  --c0: #56b4e9; --c1: #ee8a45; --c2: #2cc097; --c3: #dd96c0; --c4: #e6b020; --c5: #8fa8ff; --c6: #d5dbe1;
  color-scheme: dark;
"""


def _asset(name: str) -> str:
    return (files("ensemble_mammo.merit.pages") / "templates" / name).read_text(encoding="utf-8")


_BEFORE_ALL = ("comparison", "baseline")
"""Sections that stand before the confusion matrices: the question that the report was made for."""

STYLE = _asset("base.css")
"""What all pages share: light, calm, with tables that print."""


def page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The HTML of a report, with style, script, charts and pictures inside it.

    Args:
        report: what was found.
        pictures: level -> PNG of its confusion matrix, to be saved from the page for slides; may be empty.
    """
    style, script = STYLE + _asset("report.css").replace("/* dark */", _DARK), _asset("report.js")
    drawn = {one.name.removeprefix("confusion-"): one for one in matrices(report)}
    template = _environment().from_string(_asset("report.html").strip())
    return template.render(
        report=report,
        answer=answer(report),
        called=called_in_words(report),
        one_class=one_class(report),
        headline=headline_table(report),
        levels=tuple(report.figures),
        matrix=drawn[report.top],
        notes=[*alarms(report), *(note for note in warnings_first(report.notes) if note not in one_class(report))],
        sections=_sections(report),
        pictures={f"confusion-{level}": _data_of(data) for level, data in pictures.items()},
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
    ).lstrip()


def _sections(report: Report) -> list[Section]:
    """The studies, then the figures of every level, what they mean, and how they came about."""
    lead = (
        "Rows are true classes, columns predicted ones; a cell has the number of exams and its share of the true class."
    )
    confusion = Section("matrices", "Confusion matrices", lead, charts=matrices(report))
    first = [section for section in report.sections if section.name in _BEFORE_ALL]
    rest = [section for section in report.sections if section.name not in _BEFORE_ALL]
    matrix = [confusion] if len(report.figures) > 1 else []
    last = [figures_section(report), definitions_section(report), made_section(report)]
    return [*first, *matrix, *rest, *last]


def _policy(style: str, script: str) -> str:
    """What the page may load: its own pictures, this style and this script, and nothing from anywhere else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "any_of": _any_of,
        "cell": _cell,
        "data_of": _data_of,
        "draw": draw,
        "kept": _kept,
        "kind": _kind,
        "legend": legend,
        "plural": _plural,
    }
    environment.globals |= {
        "cut_from": _CUT_FROM,
        "head_class": _head_class,
        "notes_first": _NOTES_FIRST,
        "row_class": _row_class,
        "rows_on_page": ROWS_ON_PAGE,
        "rows_printed": ROWS_PRINTED,
    }
    return environment


def _any_of(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _kept(text: str) -> Markup:
    """Text whose intervals stay on one line."""
    return Markup(_RANGE.sub(r'<span class="kept">\g<0></span>', str(escape(text))))


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _data_of(picture: bytes) -> str:
    """A PNG or JPEG file as an address that holds it."""
    kind = "jpeg" if picture.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _kind(chart: Chart) -> str:
    if isinstance(chart, LineChart):
        return "lines"
    if isinstance(chart, BarChart):
        return "bars"
    if isinstance(chart, HeatChart):
        return "matrix"
    return "matrix large" if len(chart.classes) > _LARGE_FROM else "matrix"


def _head_class(table: Table, column: int, title: str) -> Markup:
    """Words stand on the left, numbers on the right; a long heading gets room."""
    names = [] if any(is_number(row[column]) for row in table.rows) else ["t"]
    names += ["some"] if len(title) > _HEADING else []
    return Markup(' class="{}"').format(" ".join(names)) if names else Markup("")


def _row_class(table: Table, place: int, row: Sequence[Cell], levels: Sequence[str]) -> Markup:
    """Marked rows; in the table of levels the fused ones, and the one that matters most."""
    names = ["marked"] if place in table.marked else []
    names += ["fused"] if levels and row[0] in FUSED else []
    names += ["top-level"] if len(levels) > 1 and row[0] == levels[-1] else []
    return Markup(' class="{}"').format(" ".join(names)) if names else Markup("")


def _cell(cell: Cell, first: bool) -> Markup:
    """A cell of a table, with what it is sorted by."""
    tag = "th" if first else "td"
    names, inside = _inside(cell)
    names += ["n"] if first and "n" not in names and len(written(cell)) < _SHORT else []
    attributes: dict[str, Any] = {"scope": "row"} if first else {}
    attributes |= {"class": " ".join(names)} if names else {}
    attributes |= {"data-v": sort_key(cell)} if sort_key(cell) else {}
    opened = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in attributes.items())
    return Markup("<{0}{1}>{2}</{0}>").format(tag, opened, inside)


def _inside(cell: Cell) -> tuple[list[str], Markup]:
    """The classes of a cell, and what stands in it."""
    text = written(cell)
    if isinstance(cell, Interval) and text != UNDEFINED:
        within = limits(cell.low, cell.high)
        span = Markup(' <span class="limits">{}</span>').format(within) if within else Markup("")
        return ["n"], escape(number(cell.value)) + span
    if text == UNDEFINED:
        return ["void"], escape(text)
    if is_number(cell):
        return ["n"], escape(text)
    inside = Markup("<code>{}</code>").format(text) if len(text) > _LONG and " " not in text else escape(text)
    return ["t", *(["long"] if len(text) > _LONG else ["some"] if len(text) > _SOME else [])], inside
