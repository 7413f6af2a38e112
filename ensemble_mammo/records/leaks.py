"""Leaks: what stands in more than one split, so that a figure would be measured on what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.splits import SPLITS

_TRIVIAL = 8
"an exam id shorter than this, such as '1' or a year, is no name that two subjects could share only by mistake"


@dataclass(frozen=True)
class Leak:
    """One thing in several splits."""

    what: str
    "subject, exam, mammogram, lesion, pixels or near duplicate"
    name: str
    "its id"
    splits: tuple[str, ...]
    "where it stands"
    rows: tuple[int, ...]
    "numbers of its rows in the table, from 0"
    views: tuple[str, ...] = ()
    "the views of those rows: splits may differ between views"

    def __str__(self) -> str:
        views = f" (views {', '.join(self.views)})" if len(self.views) > 1 else ""
        return f"{self.what} {self.name} stands in {' and '.join(self.splits)}{views}"


def leaks_of(table: pd.DataFrame, groups: Sequence[tuple[str, str]] = ()) -> list[Leak]:
    """Everything in a table that stands in more than one split, or more than one fold.

    Looked at: subject_id; exam_id, where it is a name of its own; image_id (one mammogram's patches have it in
    common); lesion_id; source_sha256 and pixel_sha256 (the same file, the same pixels).

    Args:
        table: text columns, `split` among them (empty: in no split); `view` and `fold` where there are.
        groups: further (what, column) pairs that tell things apart, such as a number of near duplicates.
    """
    found: list[Leak] = []
    columns = [
        ("subject", "subject_id"),
        ("exam", "exam_id"),
        ("mammogram", "image_id"),
        ("lesion", "lesion_id"),
        ("file", "source_sha256"),
        ("picture", "pixel_sha256"),
        *groups,
    ]
    subjects_told: set[str] = set()
    for what, column in columns:
        if column not in table.columns:
            continue
        keys = table[column]
        if column == "exam_id":
            keys = keys.where(keys.str.len() >= _TRIVIAL, "")
        for division in ("split", "fold"):
            if division in table.columns:
                leaks = _in_several(table, keys, what, division)
                if column == "subject_id":
                    subjects_told |= {leak.name for leak in leaks}
                elif "subject_id" in table.columns:  # what a leaking subject's own rows share is told with her
                    leaks = [leak for leak in leaks if not _of_one(table, leak, subjects_told)]
                found += leaks
    return found


def _in_several(table: pd.DataFrame, keys: pd.Series, what: str, division: str) -> list[Leak]:
    stated = table[division].to_numpy()
    known = (keys != "") & (table[division] != "")
    pairs = pd.DataFrame({"key": keys[known], "part": table.loc[known, division]})
    counts = pairs.drop_duplicates().groupby("key", sort=True).size()
    torn = list(counts.index[counts > 1])
    if not torn:
        return []
    places = pd.Series(range(len(table)), index=keys.to_numpy())
    leaks = []
    for key in torn:
        rows = tuple(sorted(int(i) for i in places.loc[[key]] if stated[int(i)]))
        parts = {str(stated[row]) for row in rows}
        ordered = [s for s in SPLITS if s in parts] if division == "split" else [f"fold {k}" for k in sorted(parts)]
        views = sorted({str(table["view"].iloc[row]) for row in rows}) if "view" in table.columns else []
        leaks.append(Leak(what, str(key), tuple(ordered), rows, tuple(views)))
    return leaks


def _of_one(table: pd.DataFrame, leak: Leak, subjects: set[str]) -> bool:
    own = set(table["subject_id"].iloc[list(leak.rows)])
    return len(own) == 1 and own <= subjects


def refuse_leaks(table: pd.DataFrame, where: Path) -> None:
    """Refuse a dataset in which something stands in more than one split.

    Raises:
        DatasetError: the first leaks, and what to do.
    """
    leaks = leaks_of(table)
    if leaks:
        more = f" (and {len(leaks) - 5} more)" if len(leaks) > 5 else ""
        raise DatasetError(
            f"{where}: leaks between its splits: {'; '.join(map(str, leaks[:5]))}{more}; see all with `ensemble-mammo "
            f"audit {where}`, mend them with `audit {where} --fix --out FOLDER`, or learn all the same with "
            "--allow-leakage (the report will say so)"
        )
