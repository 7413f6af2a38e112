"""Predictions and true classes as they were given, read, joined into levels, and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.merit.sources import sources_of
from ensemble_mammo.merit.truth import UNKNOWN, Truth
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, SUBJECT, Side, View, views_of
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.options import ReportOptions

_SHOWN = 10


def read_given(
    predictions: Sequence[str | Path | Predictions], task: Task
) -> tuple[list[Predictions], tuple[PredictionFile, ...]]:
    """What was given, files and tables in memory alike, in the order of `LEVELS`.

    Raises:
        PredictionError: files that are no prediction files of the task, or a level given twice.
    """
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


def levels_of(given: Sequence[Predictions], task: Task, fusion: Fusion) -> tuple[dict[str, Predictions], list[str]]:
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


def unlabelled_exams(given: Sequence[Predictions], labels: Truth, options: ReportOptions) -> set[tuple[str, str]]:
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
