"""report: figures of merit at every level, from predictions and true classes, and the studies behind them."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo import __version__
from ensemble_mammo.merit.definitions import FIGURES, title_of
from ensemble_mammo.merit.displays import confusion_png
from ensemble_mammo.merit.figures import UndefinedFigureWarning, confusion_matrix, undefined
from ensemble_mammo.merit.fusion import incomplete
from ensemble_mammo.merit.intervals import Interval, intervals
from ensemble_mammo.merit.page import page
from ensemble_mammo.merit.results import LevelCounts, Report
from ensemble_mammo.merit.truth import ANY, UNKNOWN, Truth
from ensemble_mammo.records.files import write_bytes, write_text
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.contents import sections_of
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.read import levels_of, read_given, unlabelled_exams
from ensemble_mammo.stages.report.study import Judged, Study, judged


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
    given, files = read_given(predictions, truth.task)
    labels = truth.placed(given)
    unlabelled = unlabelled_exams(given, labels, options)
    levels, notes = levels_of(given, truth.task, options.fusion)
    notes += [*labels.remarks, *options.remarks]
    notes += _truth_notes(given, labels, len(unlabelled))
    study = Study(truth.task, labels, options, tuple(given), {level: judged(p, labels) for level, p in levels.items()})
    exams = len({key for p in given for key in p.keys})
    figures = {level: _figures(one, truth.task, options) for level, one in study.levels.items()}
    confusion = {
        level: confusion_matrix(one.true, one.predicted, len(truth.task.classes)) for level, one in study.levels.items()
    }
    notes += _undefined_notes(figures, confusion, truth.task)
    found = Report(
        truth.task,
        figures,
        confusion,
        {level: _counts(one, levels[level], labels, exams) for level, one in study.levels.items()},
        truth.source,
        options.fusion,
        options.resamples,
        options.seed,
        files,
        tuple(notes),
        _versions(),
        tuple(sections_of(study)),
    )
    if out is not None:
        _write(found, out)
    return found


def _truth_notes(given: Sequence[Predictions], labels: Truth, unlabelled: int) -> list[str]:
    notes = []
    if unlabelled:
        notes.append(f"predicted exams left out because they have no true class: {unlabelled}")
    predicted = {subject for p in given for subject in p.subject_ids}
    if seen := len(labels.learned & predicted):
        notes.append(
            f"of the {len(predicted)} subjects {seen} are of the dataset's splits train and val: figures of networks "
            "that learned from this dataset are no test figures"
        )
    unused = len(labels.subjects() - labels.learned - predicted)
    if unused:
        notes.append(f"subjects with a true class but no prediction: {unused}")
    if labels.task.breast_to_subject == "maximum" and all(level == ANY for level, _, _ in labels.labels):
        notes.append("the true class of an exam was taken for each of its views and breasts")
    return notes


def _undefined_notes(
    figures: Mapping[str, Mapping[str, Interval]], confusion: Mapping[str, NDArray[np.int64]], task: Task
) -> list[str]:
    levels_of_sentence: dict[str, list[str]] = {}
    for level in figures:
        sentences = undefined(confusion[level], task.classes)
        of_classes = tuple(f"_{name}" for name in task.classes)  # said by `undefined` already
        sentences += [
            f"{title_of(name)} is undefined"
            for name, one in figures[level].items()
            if np.isnan(one.value) and not name.endswith(of_classes)
        ]
        for sentence in sentences:
            levels_of_sentence.setdefault(sentence, []).append(level)
    return [f"{', '.join(levels)}: {sentence}" for sentence, levels in levels_of_sentence.items()]


def _counts(one: Judged, rows: Predictions, labels: Truth, exams: int) -> LevelCounts:
    known = labels.of(rows) != UNKNOWN
    return LevelCounts(
        exams=len(one.true),
        subjects=len(set(one.rows.subject_ids)),
        incomplete=incomplete(rows, known),
        absent=exams - len(rows),
        unlabelled=int((~known).sum()),
        majority=float(np.bincount(one.true).max() / len(one.true)),
    )


def _figures(one: Judged, task: Task, options: ReportOptions) -> dict[str, Interval]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedFigureWarning)  # `undefined` says it in the notes, with names
        found = intervals(one.cases, options.resamples, options.seed, task.classes)
    if task.name == "density":
        found = {name.replace("positive", "dense", 1): value for name, value in found.items()}
    ordered = [*(name for name in FIGURES if name in found), *(name for name in found if name not in FIGURES)]
    return {name: found[name] for name in ordered}


def _versions() -> dict[str, str]:
    names = ("numpy", "scipy", "scikit-learn", "statsmodels", "mapie", "matplotlib", "jinja2")
    return {
        "ensemble-mammo": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _write(found: Report, out: Path) -> None:
    pictures = {level: confusion_png(counts, found.task.classes, level) for level, counts in found.confusion.items()}
    for level, picture in pictures.items():
        write_bytes(out / f"confusion_{level}.png", picture)
    write_text(out / "report.json", json.dumps(found.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "report.html", page(found, pictures))
