"""What was published, what was obtained, and why they differ."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.sections import Cell, Table

COLUMNS = {
    "what": "what",
    "published": "published",
    "obtained": "obtained",
    "difference": "difference",
    "why": "why they differ, or what is missing",
}


@dataclass(frozen=True)
class Reproduction:
    """The tables of one pack."""

    pack: str
    "infn, shen or scuccimarra"
    title: str
    "what was published"
    source: str
    "where"
    tables: tuple[Table, ...]
    "published beside obtained"
    notes: tuple[str, ...] = ()
    "what a reader must know"
    failed: tuple[str, ...] = ()
    "networks that could not be trained or judged"

    def as_json(self) -> dict[str, Any]:
        """What reproduce.json holds."""
        return {
            "pack": self.pack,
            "title": self.title,
            "source": self.source,
            "tables": {one.name: {"title": one.title, "rows": one.records()} for one in self.tables},
            "notes": list(self.notes),
            "disclaimer": "Not a medical device; for research.",
        }


def facts_of(pack: str) -> dict[str, Any]:
    """The published facts of a pack, with their sources."""
    text = (files(__package__) / "published" / f"{pack}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def compared(what: str, published: float | None, obtained: float | None, why: str) -> list[Cell]:
    """A row of `COLUMNS`; what was not obtained is None, and `why` says what is missing."""
    difference = None if published is None or obtained is None else obtained - published
    return [what, published, obtained, difference, why]


def result_rows(results: Sequence[Mapping[str, Any]], obtained: Mapping[str, Path]) -> list[list[Cell]]:
    """Published figures beside those of our own reports.

    Args:
        results: of a pack's facts: id, what, figure, value, why, and the tasks whose report can show it.
        obtained: id -> report.json of a run of ours.

    Raises:
        PredictionError: an id that the pack does not have, or a file that is no report with that figure.
    """
    known = list(dict.fromkeys(one["id"] for one in results))
    unknown = [name for name in obtained if name not in known]
    if unknown:
        raise PredictionError(f"--obtained {', '.join(unknown)}: no such result; this pack has {', '.join(known)}")
    rows = []
    for one in results:
        path = obtained.get(one["id"])
        value = figure_of_report(path, one["figure"], one["tasks"]) if path else None
        missing = "" if path else f"not obtained yet (--obtained {one['id']}=report.json); "
        rows.append(compared(one["what"], one["value"], value, missing + one.get("why", "")))
    return rows


def figure_of_report(path: Path, name: str, tasks: Sequence[str]) -> float:
    """A figure of the highest level of a report.json.

    Raises:
        PredictionError: no report there, one of another task, or one without the figure.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        figures, task = held["figures"], held["task"]
        value = figures[list(figures)[-1]][name]["value"]
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file; make it with `ensemble-mammo report … --out FOLDER`") from error
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        raise PredictionError(f"{path}: no report.json with the figure {name} ({error!r})") from error
    if task not in tasks:
        raise PredictionError(f"{path}: a report of {task}, expected one of {' or '.join(tasks)}")
    return math.nan if value is None else float(value)
