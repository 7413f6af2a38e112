"""Tables and charts of calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble_mammo.merit.calibration import rated, reliability
from ensemble_mammo.merit.conformal import coverage_to_expect
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Cell, Line, LineChart, Table
from ensemble_mammo.stages.report.sections.calibration_study import LevelFound
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import percent

_KINDS = {"before.": "as given", "after.": "after temperature scaling"}

_LEVEL_FIGURES = {
    "score": "mean highest score",
    "share": "accuracy",
    "gap": "score minus accuracy",
    "ece": "ECE",
    "mce": "MCE",
    "brier": "Brier",
    "log_loss": "log loss",
}

_PART_FIGURES = {
    "share": "share",
    "score": "mean score",
    "gap": "score minus share",
    "ece": "ECE",
    "mce": "MCE",
    "brier_binary": "Brier (0 to 1)",
}

_SET_FIGURES = {
    "coverage": "coverage",
    "size": "mean classes a set",
    "single": "sets of one class",
    "empty": "empty sets",
}

_EXAMS = {False: "validation exams", True: "exams"}


def levels_table(found: Mapping[str, LevelFound]) -> Table:
    """Every level: score against accuracy, calibration errors, Brier score, log loss."""
    rows: list[list[Cell]] = []
    marked = set()
    for place, (level, one) in enumerate(found.items()):
        figures = {name: one.figures[f"before.{name}"] for name in _LEVEL_FIGURES}
        shares = np.bincount(one.judged.true) / len(one.judged.true)
        rows.append(
            [
                level,
                len(one.judged.true),
                *figures.values(),
                one.perfect,
                one.surplus,
                float(1 - (shares**2).sum()),
                float(shares.max()),
            ]
        )
        if figures["gap"].low > 0 or figures["gap"].high < 0:
            marked.add(place)
    headings = {"level": "level", "exams": "exams"} | _LEVEL_FIGURES
    headings |= {
        "perfect": "ECE if perfect",
        "surplus": "p of such an ECE if perfect",
        "floor": "Brier of class shares",
        "most_frequent": "accuracy of the most frequent class",
    }
    return Table(
        "calibration-levels",
        "Calibration of each level, scores as given",
        headings,
        rows,
        "Score minus accuracy above 0: too sure; below: not sure enough; marked where its interval leaves out 0. "
        "Brier of class shares: what stating the shares of the classes for every exam would give.",
        frozenset(marked),
    )


def bins_table(top: LevelFound) -> Table:
    """The points of the reliability diagram of the top level."""
    rows: list[list[Cell]] = []
    for kind, cases in top.kinds.items():
        made = reliability(*rated(cases)[""])
        for i, count in enumerate(made.cases):
            share = Interval(float(made.observed[i]), float(made.low[i]), float(made.high[i]))
            rows.append([_KINDS[kind], i + 1, float(made.score[i]), share, int(count)])
    return Table(
        "calibration-bins",
        f"Bins of the reliability diagram, {top.judged.level}",
        {"scores": "scores", "bin": "bin", "score": "mean score", "share": "share that is right", "exams": "exams"},
        rows,
    )


def parts_table(study: Study, top: LevelFound) -> Table:
    """Each class, and the positive ones, at the top level."""
    rows: list[list[Cell]] = []
    names = {name: name for name in study.task.classes} if len(study.task.classes) > 2 else {}
    if "before.ece_positive" in top.figures:
        names["positive"] = _positive(study)
    for name, title in names.items():
        rows.append([title, *(top.figures[f"before.{figure}_{name}"] for figure in _PART_FIGURES)])
    gaps = [top.figures[f"before.gap_{name}"] for name in names]
    return Table(
        "calibration-classes",
        f"Calibration of each class's score, {top.judged.level}",
        {"class": "class"} | _PART_FIGURES,
        rows,
        "Share: of the exams truly of the class. Marked: the interval of score minus share leaves out 0. ECE and MCE "
        "lie higher in resamples, so a value can lie below its interval.",
        frozenset(place for place, one in enumerate(gaps) if one.low > 0 or one.high < 0),
    )


def temperature_table(found: Mapping[str, LevelFound]) -> Table:
    """Every level before and after its temperature."""
    rows: list[list[Cell]] = []
    folds = any(one.applied.temperatures for one in found.values())
    for level, one in found.items():
        if one.fit is None or "change" not in one.figures:
            continue
        pairs = [one.figures[f"{kind}{name}"] for name in ("ece", "brier", "log_loss") for kind in _KINDS]
        spread: list[Cell] = [min(one.applied.temperatures), max(one.applied.temperatures)] if folds else []
        rows.append([level, one.fit.temperature.value, *spread, one.fit.exams, *pairs, one.figures["change"]])
    headings = {"level": "level", "temperature": "temperature"}
    headings |= {"least": "least of a fold", "greatest": "greatest of a fold", "exams": "exams"} if folds else {}
    headings |= {} if folds else {"validation": "validation exams"}
    for name, title in (("ece", "ECE"), ("brier", "Brier"), ("log_loss", "log loss")):
        headings |= {f"{name}_before": f"{title} before", f"{name}_after": f"{title} after"}
    caption = (
        "A temperature above 1 makes scores less sure, below 1 surer; the predicted class stays. "
        "A change of log loss below 0 is a gain."
    )
    if folds:
        caption += " Each exam has the temperature of the other folds; in the first column that of all exams."
    return Table(
        "calibration-temperature",
        f"{'Exams' if folds else 'Test exams'} before and after temperature scaling",
        headings | {"change": "change of log loss"},
        rows,
        caption,
    )


def sets_tables(study: Study, found: Mapping[str, LevelFound]) -> list[Table]:
    """Conformal sets at every level, and their coverage by true class at the top level."""
    rows: list[list[Cell]] = []
    for level, one in found.items():
        for method in one.sets:
            figures = [one.figures[f"{method}.{name}"] for name in _SET_FIGURES]
            assert one.fit is not None
            expected = coverage_to_expect(one.fit.exams, study.options.coverage) if method == "lac" else None
            rows.append([level, method.upper(), *figures, expected, one.fit.exams])
    folds = not study.validation
    headings = {"level": "level", "method": "method"} | _SET_FIGURES
    headings |= {"expected": "coverage to be expected", "exams" if folds else "validation": _EXAMS[folds]}
    top = found[study.top.level]
    of_classes: list[list[Cell]] = []
    for place, name in enumerate(study.task.classes):
        figures = [top.figures[f"{method}.coverage_{name}"] for method in top.sets]
        of_classes.append([name, int((top.judged.true == place).sum()), *figures])
    caption = (
        "Coverage to be expected: mean and 95 % limits over samples of that size to fit on. APS, as mapie has it, "
        "takes in the class that crosses the threshold: its sets cover more than is asked for, and are larger."
    )
    if folds:
        caption = "Each exam's set comes from the threshold of the other folds. " + caption
    return [
        Table(
            "conformal",
            f"Conformal sets for a coverage of {percent(study.options.coverage)}",
            headings,
            rows,
            caption,
        ),
        Table(
            "conformal-classes",
            f"Coverage of the sets by true class, {top.judged.level}",
            {"class": "class", "exams": "exams"} | {method: f"coverage, {method.upper()}" for method in top.sets},
            of_classes if top.sets else [],
            "The coverage is promised over all exams, not within each class.",
        ),
    ]


def reliability_charts(study: Study, top: LevelFound) -> list[LineChart]:
    """Reliability of the highest score and of the positive classes' score at the top level."""
    sides = {kind: rated(cases) for kind, cases in top.kinds.items()}
    titles = {"": ("highest score", "share that is right")}
    if "positive" in sides["before."]:
        titles["positive"] = (f"score of {_positive(study)}", f"share that is {_positive(study)}")
    charts = []
    for name, (x_title, y_title) in titles.items():
        lines = []
        for kind, rated_cases in sides.items():
            made = reliability(*rated_cases[name])
            x, y, low, high = (v.tolist() for v in (made.score, made.observed, made.low, made.high))
            lines.append(Line(_KINDS[kind], x, y, low, high, points=True, strong=kind == "before."))
        charts.append(
            LineChart(
                f"reliability{'-' + name if name else ''}",
                f"Reliability of the {x_title}, {top.judged.level}",
                x_title,
                y_title,
                lines,
                diagonal=True,
                caption="On the diagonal scores are probabilities; below it they are too high. Each point stands for "
                "about equally many exams; limits: Wilson, 95 %.",
            )
        )
    return charts


def _positive(study: Study) -> str:
    return " or ".join(study.task.positive)
