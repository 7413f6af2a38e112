"""The tables of a report as files: CSV in full precision, LaTeX and Markdown for papers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.cells import is_number, written
from ensemble_mammo.merit.pages.overview import figures_tables, headline_table
from ensemble_mammo.merit.results import Report
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.records.files import write_text

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "∞": r"$\infty$",
    "κ": r"$\kappa$",
    "…": r"\dots{}",
    "\n": " ",
}


def write_tables(folder: Path, report: Report, forms: Sequence[str] = ()) -> list[Path]:
    """Write `tables/figures.csv`, `tables/<section>_<table>.csv`, and what is asked for beside them.

    Args:
        folder: of the report; the tables go into `tables/` within it.
        report: what was found.
        forms: 'latex' adds a .tex to each table, 'markdown' a .md; the figures by level have `headline`, `figures` and
            `class-figures` there.

    Returns:
        The files written, in order.

    Raises:
        OutputError: the folder cannot be written.
    """
    texts = {"figures.csv": figures_csv(report)}
    own = [(table.name, table) for table in (headline_table(report), *figures_tables(report))]
    studied = [(f"{section.name}_{table.name}", table) for section in report.sections for table in section.tables]
    texts |= {f"{name}.csv": table_csv(table) for name, table in studied}
    texts |= {f"{table.name}.csv": table_csv(table) for section in report.sections for table in section.data}
    for name, table in own + studied:
        if "latex" in forms:
            texts[f"{name}.tex"] = latex(table, f"tab:{name.replace('_', '-')}")
        if "markdown" in forms:
            texts[f"{name}.md"] = markdown(table)
    for name, text in texts.items():
        write_text(folder / "tables" / name, text)
    return [folder / "tables" / name for name in texts]


def figures_csv(report: Report) -> str:
    """A row a level and figure: value, limits, and the exams and subjects behind it."""
    rows: list[list[Any]] = [
        [level, name, one.value, one.low, one.high, report.counts[level].exams, report.counts[level].subjects]
        for level, figures in report.figures.items()
        for name, one in figures.items()
    ]
    return _csv([["level", "figure", "value", "low", "high", "exams", "subjects"], *rows])


def table_csv(table: Table) -> str:
    """A table in full precision; a column of figures with limits becomes `x`, `x_low`, `x_high`.

    Nothing is an empty cell, what is undefined is `nan`; with marked rows there is a column `marked` (1 or empty).
    """
    wide = [any(isinstance(row[place], Interval) for row in table.rows) for place in range(len(table.columns))]
    head: list[Any] = []
    for key, three in zip(table.columns, wide, strict=True):
        head += [key, f"{key}_low", f"{key}_high"] if three else [key]
    rows = [[part for cell, three in zip(row, wide, strict=True) for part in _parts(cell, three)] for row in table.rows]
    if table.marked:
        head.append("marked")
        rows = [[*row, 1 if place in table.marked else None] for place, row in enumerate(rows)]
    return _csv([head, *rows])


def latex(table: Table, label: str) -> str:
    """A `table` environment with booktabs' rules; numbers are rounded to 3 digits, limits stand in parentheses."""
    aligned = "".join("r" if right else "l" for right in _on_the_right(table))
    head = " & ".join(_escaped(title) for title in table.columns.values())
    body = [" & ".join(_escaped(written(cell)) for cell in row) + r" \\" for row in table.rows]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption{{{_escaped(_sentences(table))}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def markdown(table: Table) -> str:
    """A pipe table under its title; numbers as in LaTeX."""
    head = "| " + " | ".join(_piped(title) for title in table.columns.values()) + " |"
    rule = "|" + "|".join("---:" if right else "---" for right in _on_the_right(table)) + "|"
    body = ["| " + " | ".join(_piped(written(cell)) for cell in row) + " |" for row in table.rows]
    above = [f"**{_piped(table.title)}**", ""] if table.title else []
    below = ["", _piped(table.caption)] if table.caption else []
    return "\n".join([*above, head, rule, *body, *below]) + "\n"


def _parts(cell: Cell, three: bool) -> list[Any]:
    if isinstance(cell, Interval):
        return [cell.value, cell.low, cell.high]
    return [cell, None, None] if three else [cell]


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    """Lines of values; floats by `repr`, so that reading them back gives the same ones."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([float(v) if isinstance(v, float) else v for v in row] for row in rows)
    return text.getvalue()


def _on_the_right(table: Table) -> list[bool]:
    """Which columns hold numbers."""
    return [any(is_number(row[place]) for row in table.rows) for place in range(len(table.columns))]


def _sentences(table: Table) -> str:
    parts = [part.rstrip(".") for part in (table.title, table.caption) if part]
    return ". ".join(parts) + "." if parts else table.name


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _piped(text: str) -> str:
    """Text that stays one cell, and that Markdown does not read as marks or tags."""
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))
