"""Where everything is printed: the terminal, plain tables and notes on it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_WIDTH = 120
"""Columns of what is piped."""
EXAMS_SHOWN = 20
"""Exams, or lines of a kind, that are printed; files hold them all."""


def terminal(piped_width: int = PIPED_WIDTH) -> Console:
    """Standard output: as wide as it is, or as told where it is piped."""
    console = Console()
    return console if console.is_terminal else Console(width=piped_width)


def print_table(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]], wide: bool = False) -> None:
    """Print a table of text, its first column to the left."""
    shown = Table(title=escape(title), title_justify="left")
    for i, name in enumerate(heading):
        shown.add_column(escape(name), justify="left" if i == 0 else "right", no_wrap=wide and i == 0)
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    terminal(PIPED_WIDTH * 2 if wide else PIPED_WIDTH).print(shown)


def print_notes(texts: Sequence[str]) -> None:
    """Print a line a note."""
    for note in texts:
        terminal().print(f"note: {note}", markup=False)
