"""report: figures of merit at every level, from predictions and true classes, and the studies behind them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo import __version__
from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.definitions import FIGURES, title_of
from ensemble_mammo.merit.figures import confusion_matrix, undefined
from ensemble_mammo.merit.fusion import incomplete
from ensemble_mammo.merit.inputs.truth import UNKNOWN, Truth
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.displays import confusion_png
from ensemble_mammo.merit.pages.exports import write_tables
from ensemble_mammo.merit.pages.page import page
from ensemble_mammo.merit.results import LevelCounts, Report
from ensemble_mammo.merit.thresholds import reaching, youden
from ensemble_mammo.records.calibration_file import CALIBRATION, write_calibration
from ensemble_mammo.records.files import write_bytes, write_text
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.contents import sections_of
from ensemble_mammo.stages.report.gather import VALIDATION, gather
from ensemble_mammo.stages.report.one_class import WARNING, one_class_warnings
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.calibration_study import calibrating, fitted
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import figure_key

_FEW = 30
"""Below so many subjects a report warns."""


def report(
    predictions: Sequence[str | Path | Predictions],
    truth: Truth,
    out: Path | None = None,
    options: ReportOptions | None = None,
) -> Report:
    """Judge predictions at every level that their views allow, and write report.json, report.html and PNGs.

    Args:
        predictions: of views (fused here), and of right, left or subject where these are to be taken as they are;
            files (their names or `LEVEL=path` say the level), folders, or what `predict` returned.
        truth: true classes; its task says the classes.
        out: the folder to write to; nothing is written without one.
        options: fusion, bootstrap, and what to do with exams without true class.

    Raises:
        PredictionError: predictions and true classes do not fit each other, or are damaged.
        OutputError: the folder cannot be written.
    """
    options = options or ReportOptions()
    gathered = gather(predictions, truth, options)
    study = gathered.study
    classes = len(truth.task.classes)
    figures = {level: _named(one, truth.task) for level, one in study.figures.items()}
    confusion = {level: confusion_matrix(one.true, one.predicted, classes) for level, one in study.levels.items()}
    sections = tuple(sections_of(study))
    warned = [note for section in sections for note in section.notes if note.startswith(WARNING)]
    found = Report(
        truth.task,
        figures,
        confusion,
        {level: _counts(one, gathered.rows[level], study.truth, gathered.exams) for level, one in study.levels.items()},
        truth.source,
        options.fusion,
        options.resamples,
        options.seed,
        gathered.files,
        (
            *one_class_warnings(study),
            *warned,
            *_few_notes(study),
            *gathered.notes,
            *_undefined_notes(figures, confusion, truth.task),
        ),
        _versions(),
        sections,
        study.thresholds,
    )
    if out is not None:
        _write(found, study, out)
    return found


def _undefined_notes(
    figures: Mapping[str, Mapping[str, Interval]], confusion: Mapping[str, NDArray[np.int64]], task: Task
) -> list[str]:
    levels_of_sentence: dict[str, list[str]] = {}
    for level in figures:
        sentences = undefined(confusion[level], task.classes)
        of_classes = tuple(f"_{name}" for name in task.classes)  # said by `undefined` already
        sentences += [
            f"{title_of(name)} is undefined{_reason(name)}"
            for name, one in figures[level].items()
            if np.isnan(one.value) and not name.endswith(of_classes)
        ]
        for sentence in sentences:
            levels_of_sentence.setdefault(sentence, []).append(level)
    return [f"{', '.join(levels)}: {sentence}" for sentence, levels in levels_of_sentence.items()]


def _reason(name: str) -> str:
    """Why a figure can be undefined."""
    if name.startswith("auc"):
        return ": all exams are on one side"
    if name.startswith("kappa"):
        return ": all exams are of one class, and all are called it"
    if name.endswith("_sensitivity"):
        return ": no exam is truly on the positive side"
    return ": no exam is truly on the negative side" if name.endswith("_specificity") else ""


def _few_notes(study: Study) -> list[str]:
    subjects = len(set(study.top.rows.subject_ids))
    if subjects >= _FEW:
        return []
    return [f"only {subjects} subjects at level {study.top.level}: figures and intervals of so few say little"]


def _counts(one: Judged, rows: Predictions, labels: Truth, exams: int) -> LevelCounts:
    known = labels.of(rows) != UNKNOWN
    return LevelCounts(
        exams=len(one.true),
        subjects=len(set(one.rows.subject_ids)),
        incomplete=incomplete(rows, known),
        absent=exams - len(rows),
        unlabelled=int((~known).sum()),
        majority=floor_of(one.true),
    )


def _named(figures: Mapping[str, Interval], task: Task) -> dict[str, Interval]:
    """The figures in the order of tables; the positive classes of density are called dense."""
    figures = {figure_key(task, name): value for name, value in figures.items()}
    ordered = [*(name for name in FIGURES if name in figures), *(name for name in figures if name not in FIGURES)]
    return {name: figures[name] for name in ordered}


def _thresholds(one: Judged, study: Study) -> dict[str, float]:
    """The operating points chosen on these exams, by name; none where one side has no exam."""
    if not 0 < one.is_positive.sum() < len(one.true):
        return {}
    side, score = one.is_positive, one.positive_score
    return {"youden": youden(side, score), "sensitivity": reaching(side, score, study.options.sensitivity)}


def _versions() -> dict[str, str]:
    names = ("numpy", "scipy", "scikit-learn", "statsmodels", "mapie", "matplotlib", "jinja2")
    return {
        "ensemble-mammo": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _write(found: Report, study: Study, out: Path) -> None:
    pictures = {level: confusion_png(counts, found.task.classes, level) for level, counts in found.confusion.items()}
    for level, picture in pictures.items():
        write_bytes(out / f"confusion_{level}.png", picture)
    given = tuple(file for file in found.files if (file.system == VALIDATION) == bool(study.validation))
    calibration = fitted(study, given, {level: _thresholds(one, study) for level, one in calibrating(study).items()})
    if calibration is not None:
        write_calibration(out / CALIBRATION, calibration)
    write_tables(out, found, study.options.tables)
    write_text(out / "report.json", json.dumps(found.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "report.html", page(found, pictures))
