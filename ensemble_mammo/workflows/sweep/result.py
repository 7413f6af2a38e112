"""What a sweep found, as it is written: sweep.csv, sweep.json and sweep.md."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_mammo import __version__
from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.merit.pages.exports import markdown, table_csv
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.recipe_files import setting_value
from ensemble_mammo.workflows.sweep.judge import FIGURES, WARNING, Judgement
from ensemble_mammo.workflows.sweep.points import RECIPE, SEED, Axis, Point

SWEEP = "sweep.json"
"""The document of a sweep, in its folder."""
FAILED = "FAILED"
"""How the note of a point that could not be trained or judged begins."""

_HEADINGS = {"majority": "most frequent", "f1": "F1", "auc": "AUC", "kappa": "kappa"}
_CAPTION = (
    "Judged at the level of the subject, one row an exam. Accuracy tells all classes apart; beside it stands that of "
    "always naming the most frequent class. Recall, precision and F1 are those of the positive classes together "
    "(any of them counts as found), or means over the classes where a task has none. AUC: of the summed scores of "
    "the positive classes, or the mean over the classes. Kappa: quadratic weights."
)


@dataclass(frozen=True)
class Outcome:
    """What became of one point."""

    point: Point
    "its values"
    seconds: float
    "that its networks learned, all calls together"
    judged: tuple[Judgement, ...] = ()
    "a set of cases each"
    failure: str = ""
    "why it could not be trained, or not be judged everywhere"


@dataclass(frozen=True)
class Sweep:
    """Every point of a grid, judged alike."""

    axes: tuple[Axis, ...]
    "what was varied"
    outcomes: tuple[Outcome, ...]
    "a point each: of values of an earlier call alone, then in the order of the grid"
    about: Mapping[str, Any]
    "recipe, settings, seed, folds, fingerprints of the data: what all points share"
    planned: int
    "how many points there are when all are done"

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The points with a failure."""
        return tuple(one for one in self.outcomes if one.failure)

    def table(self) -> Table:
        """A row a point and set of cases, or a failure."""
        figures = self._figures()
        columns = {"point": "point", **{axis.key: axis.key for axis in self.axes}, "on": "on", "images": "images"}
        columns |= {name: _HEADINGS.get(name, name) for name in figures}
        columns |= {"threshold": "threshold", "threshold_from": "chosen on", "seconds": "seconds"}
        columns |= {"folder": "predictions", "note": "note"}
        rows: list[list[Cell]] = []
        for one in self.outcomes:
            first: list[Cell] = [one.point.name, *(_typed(axis.key, one.point) for axis in self.axes)]
            for found in one.judged:
                values = [found.figures.get(name) for name in figures]
                at = found.threshold
                chosen: list[Cell] = [None, None] if at is None else [at.value, _chosen(at)]
                last: list[Cell] = [round(one.seconds, 1), found.folder, "; ".join(found.notes)]
                rows.append([*first, found.on, found.images, *values, *chosen, *last])
            if one.failure:
                nothing = [None] * (len(figures) + 4)
                rows.append([*first, *nothing, round(one.seconds, 1), None, f"{FAILED}: {one.failure}"])
        marked = frozenset(place for place, row in enumerate(rows) if str(row[-1]).startswith((WARNING, FAILED)))
        return Table("sweep", "sweep", columns, rows, _CAPTION, marked)

    def seeds(self) -> Table | None:
        """Mean and standard deviation (n - 1) over points that differ in the seed alone; None without such an axis."""
        if SEED not in (axis.key for axis in self.axes):
            return None
        figures = self._figures()
        others = [axis.key for axis in self.axes if axis.key != SEED]
        groups: dict[tuple[Cell, ...], dict[str, list[Judgement]]] = {}
        points: Counter[tuple[Cell, ...]] = Counter()
        for one in self.outcomes:
            alike = tuple(_typed(key, one.point) for key in others)
            points[alike] += 1
            for found in one.judged:
                groups.setdefault(alike, {}).setdefault(found.on, []).append(found)
        columns = {key: key for key in others} | {"on": "on", "seeds": "seeds"}
        for name in figures:
            heading = _HEADINGS.get(name, name)
            columns |= {f"{name}_mean": f"{heading}, mean", f"{name}_sd": "SD"}
        columns["note"] = "note"
        rows = [
            [*values, on, len(of), *_spread(figures, of), _said_of(figures, of, points[values])]
            for values, sets in groups.items()
            for on, of in sets.items()
        ]
        caption = "A figure that is undefined for one of the seeds has no mean here."
        return Table("sweep-seeds", "over seeds", columns, rows, caption)

    def shown(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """What a console shows: title, heading and rows of text, of the points and, where there are some, of seeds."""
        figures = self._figures()
        headings = [_HEADINGS.get(name, name) for name in figures]
        rows = [
            [
                *(one.point.name, found.on, str(found.images)),
                *(_text(found.figures.get(name)) for name in figures),
                "-" if found.threshold is None else f"{found.threshold.value:.3g}",
                f"{one.seconds:.0f}",
            ]
            for one in self.outcomes
            for found in one.judged
        ]
        chosen = sorted({_chosen(found.threshold) for one in self.outcomes for found in one.judged if found.threshold})
        title = f"sweep (threshold: {', '.join(chosen)})" if chosen else "sweep"
        tables = [(title, ["point", "on", "images", *headings, "threshold", "seconds"], rows)]
        over_seeds = self.seeds()
        if over_seeds is not None:
            keys = [axis.key for axis in self.axes if axis.key != SEED]
            spread = [
                [", ".join(f"{key} {row[key]}" for key in keys) or "all", row["on"], str(row["seeds"])]
                + [f"{_text(row[f'{name}_mean'])} ± {_text(row[f'{name}_sd'])}" for name in figures]
                for row in over_seeds.records()
            ]
            tables.append(("mean ± standard deviation over seeds", ["points", "on", "seeds", *headings], spread))
        return [one for one in tables if one[2]]

    def remarks(self) -> list[str]:
        """A line for each warning, note and failure."""
        said = [
            f"{one.point.name} on {found.on}: {'; '.join(found.notes)}"
            for one in self.outcomes
            for found in one.judged
            if found.notes
        ]
        return said + [f"{one.point.name}: {FAILED}: {one.failure}" for one in self.failed]

    def _figures(self) -> list[str]:
        """The figures that any point has."""
        have = {name for one in self.outcomes for found in one.judged for name in found.figures}
        return [name for name in FIGURES if name in have]

    def as_json(self) -> dict[str, Any]:
        """What sweep.json holds."""
        over_seeds = self.seeds()
        return {
            **self.about,
            "over": {axis.key: list(axis.values) for axis in self.axes},
            "finished": len(self.outcomes) == self.planned,
            "planned": self.planned,
            "points": [_as_json(one, self.axes) for one in self.outcomes],
            "seeds": [] if over_seeds is None else over_seeds.records(),
            "versions": {"ensemble-mammo": __version__, "python": platform.python_version()},
            "disclaimer": "Not a medical device; for research.",
        }


def write_sweep(out: Path, found: Sweep) -> None:
    """Write sweep.csv, sweep.md and sweep.json, and sweep-seeds.csv where the seed is an axis.

    Raises:
        OutputError: the folder cannot be written.
    """
    tables = [found.table(), *([seeds] if (seeds := found.seeds()) else [])]
    for table in tables:
        write_text(out / f"{table.name}.csv", table_csv(table))
    over = " × ".join(f"`{axis.key}`" for axis in found.axes)
    source = found.about.get("recipe") or "several recipes"
    head = (
        f"# Sweep of {source} over {over}\n\nDataset: {found.about.get('dataset', '')}. Seed: {found.about['seed']}.\n"
    )
    write_text(out / "sweep.md", "\n".join([head, *(markdown(table) for table in tables)]))
    write_text(out / SWEEP, json.dumps(found.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _as_json(one: Outcome, axes: Sequence[Axis]) -> dict[str, Any]:
    point = one.point
    return {
        "name": point.name,
        "folder": point.name,
        "values": {axis.key: _typed(axis.key, point) for axis in axes},
        "recipe": point.recipe,
        "settings": list(point.settings),
        "task": point.task.name,
        "seed": point.seed,
        "seconds": one.seconds,
        "judged": [found.as_json() for found in one.judged],
        "failure": one.failure,
    }


def _typed(key: str, point: Point) -> Cell:
    """The value of an axis: a number where it is one, else as it was written."""
    text = point.values[key]
    value = text if key == RECIPE else setting_value(text)
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else text


def _text(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"


def _chosen(at: Acting) -> str:
    return at.chosen_on if at.wanted is None else f"{at.chosen_on}, {at.rule}"


def _spread(figures: Sequence[str], of: Sequence[Judgement]) -> list[Cell]:
    cells: list[Cell] = []
    for name in figures:
        values = np.array([one.figures.get(name, np.nan) for one in of])
        cells += [float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")]
    return cells


def _said_of(figures: Sequence[str], of: Sequence[Judgement], points: int) -> str:
    """How many seeds collapsed or failed, and what is undefined for some of them."""
    collapsed = sum(bool(one.collapsed) for one in of)
    notes = [f"{WARNING}: {collapsed} of {len(of)} name one class for every image"] if collapsed else []
    notes += [f"{points - len(of)} of {points} {FAILED}"] if len(of) < points else []
    for name in figures:
        lacking = sum(bool(np.isnan(one.figures.get(name, np.nan))) for one in of)
        notes += [f"{_HEADINGS.get(name, name)} undefined for {lacking} of {len(of)}"] if lacking else []
    return "; ".join(notes)
