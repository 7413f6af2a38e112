"""Section: the figures beside those of a cheap method: its predictions of the same exams, or its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.compare import difference, drawn_figures
from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.results import main_figures
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.records.origin import BASELINE
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.matching import common_exams
from ensemble_mammo.stages.report.one_class import WARNING
from ensemble_mammo.stages.report.read import levels_of, read_given
from ensemble_mammo.stages.report.study import Study, judged
from ensemble_mammo.stages.report.wording import figure_title, level_in_words, number, shown_figures

_HERE = "here"
"""What the network's predictions are called where the two are matched."""


def section(study: Study) -> Section | None:
    """What the networks gain over a cheap method.

    Its predictions are those of the folder that was given, or of `baseline/` beside the predictions reported; a
    report.json can be given as well. None without any.

    Raises:
        PredictionError: no such file or folder, predictions without an exam in common, or a report of another task.
    """
    path = study.options.baseline or next((f / BASELINE for f in study.folders if (f / BASELINE).is_dir()), None)
    if path is None:
        return None
    return _of_predictions(study, path) if path.is_dir() else _of_report(study, path)


def _of_predictions(study: Study, folder: Path) -> Section:
    """Both on the exams that both have, with the paired difference."""
    read, _ = read_given([str(folder)], study.task, study.options.columns)
    theirs, _ = levels_of(read, study.task, study.options.fusion)
    rows, notes = common_exams({_HERE: {name: one.rows for name, one in study.levels.items()}, BASELINE: theirs})
    gains = [gain for level in rows[_HERE] for gain in _gains(study, rows[_HERE][level], rows[BASELINE][level])]
    leading = [gain for gain in gains if gain.name in leading_figures(study.task)]
    below = [gain for gain in leading if gain.apart.value < 0]
    top = [gain for gain in leading if gain.level == leading[-1].level]
    warning = f"{WARNING}the network lies below its baseline: " + "; ".join(
        f"{level_in_words(one.level)}, {one}" for one in below
    )
    cells: list[list[Cell]] = [
        [one.level, one.exams, figure_title(study.task, one.name), one.here, one.theirs, one.apart, one.floor]
        for one in gains
    ]
    columns = {
        "level": "level",
        "exams": "exams",
        "figure": "figure",
        "here": "network",
        "baseline": "baseline",
        "difference": "difference",
        "floor": "most frequent class",
    }
    caption = (
        "On the exams that both have. Difference: network minus baseline, with the 95 % interval of the paired "
        "bootstrap over subjects. Marked: the network is below its baseline in a leading figure. Most frequent class: "
        "the accuracy of always naming it."
    )
    if study.options.asked.recall is not None:
        caption += " The baseline is called by its highest score, since the threshold was chosen for the network."
    marked = frozenset(place for place, one in enumerate(gains) if one in below)
    return Section(
        "baseline",
        "Against the baseline",
        f"{level_in_words(top[-1].level, True)}: {'; '.join(map(str, top))}.",
        (Table("baseline", "The network and its baseline", columns, cells, caption, marked),),
        notes=(*([warning] if below else []), *notes),
    )


@dataclass(frozen=True)
class _Gain:
    """One figure of the network and of its baseline, at one level."""

    level: str
    exams: int
    name: str
    title: str
    here: Interval
    theirs: Interval
    apart: Interval
    floor: float | None = None

    def __str__(self) -> str:
        apart, sign = self.apart, "+" if self.apart.value > 0 else ""
        between = "" if np.isnan(apart.low) else f", 95 % {number(apart.low)} to {number(apart.high)}"
        return (
            f"{self.title} {number(self.here.value)} against the baseline's {number(self.theirs.value)} "
            f"({sign}{number(apart.value)}{between})"
        )


def leading_figures(task: Task) -> tuple[str, ...]:
    """The figures in which a network must not be below its baseline."""
    return ("auc",) if len(task.classes) == 2 else ("accuracy", "kappa")


def _gains(study: Study, here: Predictions, theirs: Predictions) -> list[_Gain]:
    """The shown figures of both at one level, row i being the same exam."""
    cut = study.cut_of(here.level)
    ours = judged(here, study.truth, cut)
    options = study.options
    both = [
        drawn_figures(replace(ours.cases, scores=one.scores, cut=own), options.resamples, options.seed)
        for one, own in ((here, cut), (theirs, cut if options.asked.recall is None else None))
    ]
    return [
        _Gain(
            here.level,
            len(ours.true),
            name,
            figure_title(study.task, name),
            both[0].interval(name),
            both[1].interval(name),
            difference(both[0], both[1], name)[0],
            floor_of(ours.true) if name == "accuracy" else None,
        )
        for name in shown_figures(study.task)
        if name in both[0].values
    ]


def _of_report(study: Study, path: Path) -> Section:
    theirs, exams = _figures(path, study.task.name)
    names = main_figures(study.task)
    rows: list[list[Cell]] = []
    for level in study.levels:
        ours = study.figures[level]
        rows += [
            [
                level,
                title_of(name),
                ours[name],
                theirs[level][name],
                ours[name].value - theirs[level][name].value,
                floor_of(study.levels[level].true) if name == "accuracy" else None,
            ]
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
                    "floor": "most frequent class",
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
        raise PredictionError(
            f"{path}: no such file or folder; give the baseline's predictions, or its report.json"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PredictionError):
            raise
        raise PredictionError(f"{path}: not a report.json ({error!r})") from error


def _interval(one: Mapping[str, float | None]) -> Interval:
    value, low, high = (float("nan") if one[key] is None else float(one[key] or 0) for key in ("value", "low", "high"))
    return Interval(value, low, high)
