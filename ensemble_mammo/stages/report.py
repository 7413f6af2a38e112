"""report: figures of merit at every level, from predictions and true classes."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo import __version__
from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.displays import confusion_png
from ensemble_mammo.merit.figures import UndefinedFigureWarning, confusion_matrix, undefined
from ensemble_mammo.merit.fusion import Fusion, fuse, incomplete
from ensemble_mammo.merit.intervals import RESAMPLES, Cases, Interval, intervals
from ensemble_mammo.merit.page import page
from ensemble_mammo.merit.results import TITLES, LevelCounts, PredictionFile, Report
from ensemble_mammo.merit.sources import sources_of
from ensemble_mammo.merit.truth import ANY, UNKNOWN, Truth
from ensemble_mammo.records.files import write_bytes, write_text
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, SUBJECT, Side, View, views_of
from ensemble_mammo.records.task import Task

_SHOWN = 10


@dataclass(frozen=True)
class ReportOptions:
    """What a report may be told."""

    fusion: Fusion = field(default_factory=Fusion)
    "how views become breasts and subjects"
    resamples: int = RESAMPLES
    "bootstrap resamples of subjects; 0: no intervals"
    seed: int = 0
    "of the bootstrap"
    allow_unlabelled: bool = False
    "leave exams without a true class out, with a note, instead of refusing them"
    remarks: tuple[str, ...] = ()
    "what else stands among the notes, such as what an audit found"

    def __post_init__(self) -> None:
        """Refuse a negative number of resamples.

        Raises:
            PredictionError: resamples below 0.
        """
        if self.resamples < 0:
            raise PredictionError(f"resamples {self.resamples}: expected 0 (no intervals) or more")


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
    given, files = _read(predictions, truth.task)
    labels = truth.placed(given)
    unlabelled = _unlabelled(given, labels, options)
    levels, notes = _levels(given, truth.task, options.fusion)
    notes += [*labels.remarks, *options.remarks]
    notes += _truth_notes(given, labels, len(unlabelled))
    exams = len({key for p in given for key in p.keys})
    figures: dict[str, Mapping[str, Interval]] = {}
    confusion, counts = {}, {}
    for level, rows in levels.items():
        cases, counts[level] = _cases(rows, labels, exams)
        figures[level] = _figures(cases, truth.task, options)
        confusion[level] = confusion_matrix(cases.true, cases.scores.argmax(1), len(truth.task.classes))
    notes += _undefined_notes(figures, confusion, truth.task)
    found = Report(
        truth.task,
        figures,
        confusion,
        counts,
        truth.source,
        options.fusion,
        options.resamples,
        options.seed,
        files,
        tuple(notes),
        _versions(),
    )
    if out is not None:
        _write(found, out)
    return found


def _read(
    predictions: Sequence[str | Path | Predictions], task: Task
) -> tuple[list[Predictions], tuple[PredictionFile, ...]]:
    held = [one for one in predictions if isinstance(one, Predictions)]
    named = [one for one in predictions if not isinstance(one, Predictions)]
    sources = sources_of(named) if named or not held else []
    given = held + [source.read(task) for source in sources]
    for p in given:
        if p.classes != task.classes:
            raise PredictionError(
                f"predictions of {p.level} have the classes {', '.join(p.classes)}; "
                f"task {task.name} has {', '.join(task.classes)}"
            )
    twice = [level for level in LEVELS if sum(p.level == level for p in given) > 1]
    if twice:
        raise PredictionError(f"level {twice[0]} is given more than once: give each level once")
    given.sort(key=lambda p: LEVELS.index(p.level))
    return given, tuple(PredictionFile(s.path.name, s.sha256(), s.level) for s in sources)


def _levels(given: Sequence[Predictions], task: Task, fusion: Fusion) -> tuple[dict[str, Predictions], list[str]]:
    """The rows of each level to report, in the order of `LEVELS`; given ones as they are, others fused."""
    levels = {p.level: p for p in given}
    views = [p for p in given if p.level in tuple(View)]
    if not views:
        return {str(level): levels[level] for level in LEVELS if level in levels}, []
    fused = fuse(views, task, fusion)
    notes = list(fused.notes)
    sides = {View(p.level).side for p in views}
    for level in (*map(str, Side), SUBJECT):
        if level in levels:
            notes.append(f"{level}: reported from its own file, not fused again")
        elif level == SUBJECT and len(sides) < len(Side):
            notes.append(f"subject is left out: only views of the {next(iter(sides))} breast are given")
        elif level != SUBJECT and sum(p.level in views_of(level) for p in views) < len(views_of(level)):
            needed = " and ".join(views_of(level))
            notes.append(f"{level} is left out: it is fused from {needed}, and not both are given")
        elif level in fused.levels:
            levels[level] = fused.levels[level]
    return {str(level): levels[level] for level in LEVELS if level in levels}, notes


def _unlabelled(given: Sequence[Predictions], labels: Truth, options: ReportOptions) -> set[tuple[str, str]]:
    """The exams without a true class.

    Raises:
        PredictionError: there are some and they are not allowed, or there is nothing else.
    """
    known = {p.level: labels.of(p) != UNKNOWN for p in given}
    unknown = {key: None for p in given for key, is_known in zip(p.keys, known[p.level], strict=True) if not is_known}
    if not unknown:
        return set()
    if not all(p.identified for p in given):
        nameless = ", ".join(p.level for p in given if not p.identified)
        raise PredictionError(
            f"predictions of {nameless} carry no ids, so labels by subject_id cannot be matched to their rows; give "
            "ids (predictions_<view>.ids.csv beside each file), or true classes in file order as A=14,B=51,C=50,D=13"
        )
    if options.allow_unlabelled and all(rows.any() for rows in known.values()):
        return set(unknown)
    shown = ", ".join(f"{subject!r} exam {exam!r}" for subject, exam in list(unknown)[:_SHOWN])
    more = f" (and {len(unknown) - _SHOWN} more)" if len(unknown) > _SHOWN else ""
    known_subjects = labels.subjects()
    elsewhere = sum(subject in known_subjects for subject, _ in unknown)
    hint = f"{elsewhere} of them have labels of another exam_id or level only; " if elsewhere else ""
    raise PredictionError(
        f"{labels.source}: no true class for {len(unknown)} predicted exams: {shown}{more}; {hint}"
        "add their labels, or leave such exams out with --allow-unlabelled (some exam of each level must have one)"
    )


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
    levels_of: dict[str, list[str]] = {}
    for level in figures:
        sentences = undefined(confusion[level], task.classes)
        sentences += [f"{TITLES[name]} is undefined" for name, one in figures[level].items() if np.isnan(one.value)]
        for sentence in sentences:
            levels_of.setdefault(sentence, []).append(level)
    return [f"{', '.join(levels)}: {sentence}" for sentence, levels in levels_of.items()]


def _cases(rows: Predictions, labels: Truth, exams: int) -> tuple[Cases, LevelCounts]:
    true = labels.of(rows)
    known = true != UNKNOWN
    subjects = [subject for subject, is_known in zip(rows.subject_ids, known, strict=True) if is_known]
    positive = tuple(rows.classes.index(name) for name in labels.task.positive)
    cases = Cases(true[known], rows.scores[known], subjects, positive)
    counts = LevelCounts(
        exams=int(known.sum()),
        subjects=len(set(subjects)),
        incomplete=incomplete(rows, known),
        absent=exams - len(rows),
        unlabelled=int((~known).sum()),
        majority=float(np.bincount(true[known]).max() / known.sum()),
    )
    return cases, counts


def _figures(cases: Cases, task: Task, options: ReportOptions) -> dict[str, Interval]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedFigureWarning)  # `undefined` says it in the notes, with names
        found = intervals(cases, options.resamples, options.seed)
    if task.name == "density" and "positive" in found:
        return {("dense" if name == "positive" else name): one for name, one in found.items()}
    return found


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "matplotlib", "jinja2")}
    return {"ensemble-mammo": __version__, "python": platform.python_version(), **packages}


def _write(found: Report, out: Path) -> None:
    pictures = {level: confusion_png(counts, found.task.classes, level) for level, counts in found.confusion.items()}
    for level, picture in pictures.items():
        write_bytes(out / f"confusion_{level}.png", picture)
    write_text(out / "report.json", json.dumps(found.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "report.html", page(found, pictures))
