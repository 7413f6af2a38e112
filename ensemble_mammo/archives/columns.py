"""Large tables read a column at a time: each distinct text is looked at once, problems are told by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.naming import facts_of_cells
from ensemble_mammo.records.subject import View


@dataclass(frozen=True)
class Columns:
    """A table of text, and what is wrong with it so far."""

    path: Path
    "the file"
    table: pd.DataFrame
    "its cells as text, without spaces at their ends"
    problems: list[tuple[int, str]] = field(default_factory=list)
    "(line, what is wrong)"

    @classmethod
    def read(cls, path: Path, required: Sequence[str], advice: str = "") -> Columns:
        """Read a CSV that has those columns.

        Raises:
            DatasetError: no such file, no table, or columns missing.
        """
        table = read_table(path, required, advice=advice)
        return cls(path, table.apply(lambda column: column.str.strip()))

    def blame(self, wrong: pd.Series | NDArray[np.bool_], text: Callable[[int], str]) -> None:
        """Note a problem of each row that is marked; `text` gets the row's place from 0."""
        self.problems.extend((int(place) + 2, text(int(place))) for place in np.flatnonzero(np.asarray(wrong, bool)))

    def filled(self, *names: str) -> None:
        """Note each empty cell of those columns."""
        for name in names:
            self.blame(self.table[name] == "", lambda _, name=name: f"{name} is empty")  # type: ignore[misc]

    def unique(self, name: str) -> None:
        """Note each value of a column that stands in an earlier row."""
        column = self.table[name]
        again = column.duplicated() & (column != "")
        if not again.any():
            return
        first = {value: place + 2 for place, value in reversed(list(enumerate(column)))}
        self.blame(again, lambda at: f"{name} {column.iloc[at]!r} stands in line {first[column.iloc[at]]} already")

    def mapped(self, name: str, meaning: Callable[[str], Any], empty: Any = "") -> pd.Series:
        """What each cell of a column means; a ValueError of `meaning` is a problem of each row that has the text."""
        column = self.table[name]
        known, wrong = {"": empty}, {}
        for text in column.unique():
            if text:
                try:
                    known[text] = meaning(text)
                except ValueError as error:
                    wrong[text] = str(error)
        if wrong:
            self.blame(column.isin(list(wrong)), lambda at: f"{name}: {wrong[column.iloc[at]]}")
        return pd.Series([known.get(text, empty) for text in column], index=column.index, dtype=object)

    def views(self, view: str, side: str) -> tuple[pd.Series, pd.Series]:
        """The View of each row, or None; and the word of those that are neither CC nor MLO."""
        pairs = pd.Series(list(zip(self.table[view], self.table[side], strict=True)), dtype=object)
        views: dict[Any, View | None] = {}
        others, wrong = {}, {}
        for pair in pairs.unique():
            try:
                said = facts_of_cells(*pair)
            except ValueError as error:
                wrong[pair] = str(error)
                continue
            others[pair] = said.other
            views[pair] = View.of(said.projection, said.side) if said.projection and said.side else None
            if not said.side or not (said.projection or said.other):
                wrong[pair] = f"{view} {pair[0]!r} with {side} {pair[1]!r} is no view, expected CC or MLO with L or R"
        if wrong:
            self.blame(pairs.isin(list(wrong)), lambda at: wrong[pairs.iloc[at]])
        given = [None if others.get(pair) else views.get(pair) for pair in pairs]
        return pd.Series(given, dtype=object), pd.Series([others.get(pair, "") for pair in pairs], dtype=object)

    def refuse(self) -> None:
        """Raise one DatasetError with all problems, by line, if there are any."""
        refuse(self.path, [f"line {line}: {text}" for line, text in sorted(self.problems)])


def counted(values: Iterable[str]) -> str:
    """A number of what table rows or files are, in words: `1 row`, `53,896 rows`."""
    count = len(list(values))
    return f"{count:,} row{'' if count == 1 else 's'}"


def image_files(root: Path) -> list[Path]:
    """The image files below a folder, in order of their paths.

    Raises:
        DatasetError: no such folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    return [path for path in sorted(root.rglob("*")) if is_image_file(path)]


def found_table(root: Path, names: Sequence[str]) -> Path | None:
    """The first of those tables in a folder, else one folder up, else in one of its folders."""
    folders = [root, root.resolve().parent, *sorted(path for path in root.iterdir() if path.is_dir())]
    places = [folder / name for folder in folders for name in names]
    return next((place for place in places if place.is_file()), None)
