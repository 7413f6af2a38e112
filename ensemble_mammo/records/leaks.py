"""Leaks: what stands in more than one split, so that a figure would be measured on what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.splits import SPLITS

_NAMED = r"(?=.{10})\d+(?:\.\d+)+|[0-9a-f]{12}"
"a UID, or a keyed pseudonym of one: what two subjects cannot share by chance, as they can a date or a number"


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

    Looked at: subject_id; exam_id, where it is a UID or a pseudonym; image_id (one mammogram's patches have it in
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
            keys = keys.where(keys.str.fullmatch(_NAMED), "")
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
    told = (keys != "") & (table[division] != "")
    pairs = pd.DataFrame({"key": keys[told], "part": table.loc[told, division]}).drop_duplicates()
    torn = keys.isin(pairs.loc[pairs["key"].duplicated(), "key"]) & told  # a few of perhaps millions
    rows_of: dict[str, list[int]] = {}
    for row in torn.to_numpy().nonzero()[0].tolist():
        rows_of.setdefault(keys.iloc[row], []).append(row)
    views = table["view"].to_numpy() if "view" in table.columns else None
    leaks = []
    for key, rows in sorted(rows_of.items()):
        parts = {str(stated[row]) for row in rows}
        ordered = [s for s in SPLITS if s in parts] if division == "split" else [f"fold {k}" for k in sorted(parts)]
        shown = sorted({str(views[row]) for row in rows}) if views is not None else []
        leaks.append(Leak(what, str(key), tuple(ordered), tuple(rows), tuple(shown)))
    return leaks


def _of_one(table: pd.DataFrame, leak: Leak, subjects: set[str]) -> bool:
    own = set(table["subject_id"].iloc[list(leak.rows)])
    return len(own) == 1 and own <= subjects


def refuse_leaks(leaks: Sequence[Leak], where: Path) -> None:
    """Refuse a dataset in which something stands in more than one split.

    Raises:
        DatasetError: the first leaks, and what to do.
    """
    if leaks:
        more = f" (and {len(leaks) - 5} more)" if len(leaks) > 5 else ""
        raise DatasetError(
            f"{where}: leaks between its splits: {'; '.join(map(str, leaks[:5]))}{more}; see all with `ensemble-mammo "
            f"audit {where}`, mend them with `audit {where} --fix --out FOLDER`, or learn all the same with "
            "--allow-leakage (the report will say so)"
        )
