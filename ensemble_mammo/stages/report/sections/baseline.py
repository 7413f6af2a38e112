"""Section: the figures beside those of a cheap method on the same data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.results import main_figures
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.stages.report.study import Study


def section(study: Study) -> Section | None:
    """What the networks gain over a cheap method's report; None without one."""
    path = study.options.baseline
    if path is None:
        return None
    theirs, exams = _figures(path, study.task.name)
    names = main_figures(study.task)
    rows: list[list[Cell]] = []
    for level in study.levels:
        ours = study.figures[level]
        rows += [
            [level, title_of(name), ours[name], theirs[level][name], ours[name].value - theirs[level][name].value]
            for name in names
            if name in theirs.get(level, {}) and name in ours
        ]
    if not rows:
        raise PredictionError(f"{path}: has none of the levels {', '.join(study.levels)}; give a report of the same")
    *_, last = (row for row in rows if row[1] == title_of(names[0]))
    ours_last, theirs_last = last[2], last[3]
    assert isinstance(ours_last, Interval)
    assert isinstance(theirs_last, Interval)
    verdict = "above" if ours_last.value > theirs_last.value else "not above"
    return Section(
        "baseline",
        "Against the baseline",
        f"{last[0]}, {last[1]}: {ours_last}, {verdict} the baseline's {theirs_last}.",
        notes=_other_exams(study, exams),
        tables=(
            Table(
                "baseline",
                "Figures beside the baseline's",
                {
                    "level": "level",
                    "figure": "figure",
                    "here": "here",
                    "baseline": "baseline",
                    "difference": "difference",
                },
                rows,
                "The two reports are compared as they are; to test the difference on the same exams, report both as "
                "systems: `report network=… baseline=…`.",
            ),
        ),
    )


def _other_exams(study: Study, exams: Mapping[str, int]) -> tuple[str, ...]:
    """A note where the baseline was judged on another number of exams."""
    other = [
        f"{level} {exams[level]} exams, here {len(one.true)}"
        for level, one in study.levels.items()
        if exams.get(level, len(one.true)) != len(one.true)
    ]
    return (f"the baseline was judged on other exams: {'; '.join(other)}",) if other else ()


def _figures(path: Path, task: str) -> tuple[dict[str, dict[str, Interval]], dict[str, int]]:
    """The figures of each level of a report, and how many exams stand behind them."""
    try:
        held: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if held["task"] != task:
            raise PredictionError(f"{path}: a report of {held['task']}, expected one of {task}")
        levels = held["figures"].items()
        exams = {level: int(one["exams"]) for level, one in held["counts"].items()}
        return {level: {name: _interval(one) for name, one in own.items()} for level, own in levels}, exams
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file; give the report.json of the baseline") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PredictionError):
            raise
        raise PredictionError(f"{path}: not a report.json ({error!r})") from error


def _interval(one: Mapping[str, float | None]) -> Interval:
    value, low, high = (float("nan") if one[key] is None else float(one[key] or 0) for key in ("value", "low", "high"))
    return Interval(value, low, high)
