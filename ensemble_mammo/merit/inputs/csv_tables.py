"""CSV files of predictions and labels, read as text with their line numbers, before any meaning is given to them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import PredictionError

_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class TextTable:
    """The cells of a CSV as text, without spaces at their ends."""

    path: Path
    "the file"
    cells: Mapping[str, Sequence[str]]
    "name of a column -> its cells, in the order of the file; an unnamed column is called ''"
    lines: Sequence[int]
    "the line of each row in the file"

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.cells)

    def column(self, name: str) -> Sequence[str]:
        """The cells of a column; empty ones where the name is empty or the file has no such column."""
        return self.cells[name] if name and name in self.cells else [""] * len(self)

    def require(self, names: Sequence[str], expected: str) -> None:
        """Refuse a table that lacks a column.

        Raises:
            PredictionError: which columns are missing, what was found and what was expected.
        """
        missing = [name for name in names if name not in self.cells]
        if missing:
            found = ", ".join(filter(None, self.header)) or "nothing"
            if len(self.header) == 1 and ";" in found:
                found += " (columns stand apart by semicolons, expected commas)"
            raise PredictionError(
                f"{self.path} line 1: column {', '.join(missing)} missing; found {found}; expected {expected}"
            )

    def refuse(self, problems: Sequence[tuple[int, str]]) -> None:
        """Raise one error that holds what is wrong with rows, (place from 0, text) each, if anything is.

        Raises:
            PredictionError: the problems by line, the first ten.
        """
        refuse(self.path, [f"line {self.lines[place]}: {text}" for place, text in sorted(problems)])


def header_of(path: Path) -> tuple[str, ...]:
    """The names of a CSV's columns, from its first line alone; empty where it is no readable text.

    Raises:
        PredictionError: no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return tuple(name.strip() for name in next(csv.reader(stream), []))
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def read_table(path: Path) -> TextTable:
    """Read a CSV (UTF-8, commas, a header line); empty lines are passed over.

    Raises:
        PredictionError: no such file, no text, a column twice, or lines with more or fewer values than the header.
    """
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PredictionError(f"{path}: cannot be read as text: {error}") from error
    twice = [name or "(unnamed)" for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise PredictionError(f"{path} line 1: column {', '.join(twice)} stands there twice")
    wide = len(header)
    refuse(path, [f"line {n}: {len(row)} values, expected {wide}" for n, row in rows if len(row) != wide])
    cells = {name: [row[i].strip() for _, row in rows] for i, name in enumerate(header)}
    return TextTable(path, cells, [number for number, _ in rows])


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise one error that holds all problems of a file (ten are shown), if there are any.

    Raises:
        PredictionError: the path and the problems.
    """
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise PredictionError(f"{path} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)
