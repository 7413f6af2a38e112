"""Predictions and true classes as they were given, read, joined into levels, and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.breasts import subject_of_breasts
from ensemble_mammo.merit.fusion import Fused, Fusion, fuse
from ensemble_mammo.merit.inputs.columns import Columns
from ensemble_mammo.merit.inputs.sources import UNNAMED, predictions_of, read_sources, systems_of
from ensemble_mammo.merit.inputs.truth import UNKNOWN, Truth
from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, SUBJECT, Side, View, views_of
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.report.options import ReportOptions

_SHOWN = 10


@dataclass(frozen=True)
class SystemRead:
    """One system as it was given."""

    predictions: list[Predictions]
    "one a level, in the order of `LEVELS`"
    files: tuple[PredictionFile, ...]
    "what was read; of a file that holds several levels one entry each"
    notes: tuple[str, ...] = ()
    "what a reader must know; no ids"
    folders: tuple[Path, ...] = ()
    "where the files lie"


def read_given(
    predictions: Sequence[str | Path | Predictions], task: Task, columns: Columns | None = None
) -> tuple[list[Predictions], tuple[PredictionFile, ...]]:
    """What was given of one system, files and tables in memory alike, in the order of `LEVELS`.

    Raises:
        PredictionError: files that are no prediction files of the task, or a level given twice.
    """
    systems = read_systems(predictions, task, columns)
    if len(systems) > 1:
        raise PredictionError(f"expected one system, found {', '.join(systems)}")
    (read,) = systems.values()
    return read.predictions, read.files


def read_systems(
    predictions: Sequence[str | Path | Predictions],
    task: Task,
    columns: Columns | None = None,
    truth: Truth | None = None,
) -> dict[str, SystemRead]:
    """What was given of each system, in the order given; one without a name is called ''.

    Args:
        predictions: arguments as `systems_of` takes them; tables in memory are of the system without a name.
        task: its classes.
        columns: of CSV that are neither ours nor peers'.
        truth: puts ids onto the rows of plain files where it comes from class folders.

    Raises:
        PredictionError: files that are no prediction files of the task, or a level given twice.
    """
    held = [one for one in predictions if isinstance(one, Predictions)]
    named = [one for one in predictions if not isinstance(one, Predictions)]
    systems = systems_of(named) if named or not held else {UNNAMED: []}
    if held and list(systems) != [UNNAMED]:
        raise PredictionError(f"predictions in memory have no system's name, {next(iter(systems))}=… has; name none")
    found = {}
    for name, sources in systems.items():
        readings = read_sources(sources, task, columns)
        given = [*held, *predictions_of(readings)]
        _check(given, task)
        given.sort(key=lambda p: LEVELS.index(p.level))
        files = tuple(
            PredictionFile(source.path.name, source.sha256(), p.level)
            for source, reading in zip(sources, readings, strict=True)
            for p in reading.predictions
        )
        notes = tuple(note for reading in readings for note in reading.notes)
        folders = tuple(dict.fromkeys(source.path.parent for source in sources))
        found[name] = SystemRead(truth.named(given) if truth else given, files, notes, folders)
    return found


def _check(given: Sequence[Predictions], task: Task) -> None:
    for p in given:
        if p.classes != task.classes:
            raise PredictionError(
                f"predictions of {p.level} have the classes {', '.join(p.classes)}; "
                f"task {task.name} has {', '.join(task.classes)}"
            )
    twice = [level for level in LEVELS if sum(p.level == level for p in given) > 1]
    if twice:
        raise PredictionError(f"level {twice[0]} is given more than once: give each level once")


def levels_of(given: Sequence[Predictions], task: Task, fusion: Fusion) -> tuple[dict[str, Predictions], list[str]]:
    """The rows of each level to report, in the order of `LEVELS`; given ones as they are, others fused.

    Where the rule takes the worse breast and both breasts have files of their own, the subject is made from these.
    """
    levels = {p.level: p for p in given}
    views = [p for p in given if p.level in tuple(View)]
    breasts = [levels[side] for side in Side if side in levels]
    by_maximum = (fusion.breast_to_subject or task.breast_to_subject) == "maximum"
    notes: list[str] = []
    if SUBJECT not in levels and len(breasts) == len(Side) and (by_maximum or not views):
        levels[SUBJECT], made = subject_of_breasts(breasts, task, fusion)
        notes += made
    if views:
        fused = fuse(views, task, fusion)
        notes = [*fused.notes, *notes]
        own = {p.level for p in given}
        for level in (*map(str, Side), SUBJECT):
            if level in own:
                notes.append(f"{level}: reported from its own file, not fused again")
            elif level not in levels:
                notes += _from_views(level, views, fused, levels)
    return {str(level): levels[level] for level in LEVELS if level in levels}, notes


def _from_views(level: str, views: Sequence[Predictions], fused: Fused, levels: dict[str, Predictions]) -> list[str]:
    """Put a fused level among the others, or say why not."""
    sides = {View(p.level).side for p in views}
    if level == SUBJECT and len(sides) < len(Side):
        return [f"subject is left out: only views of the {next(iter(sides))} breast are given"]
    if level != SUBJECT and sum(p.level in views_of(level) for p in views) < len(views_of(level)):
        return [f"{level} is left out: it is fused from {' and '.join(views_of(level))}, and not both are given"]
    if level in fused.levels:
        levels[level] = fused.levels[level]
    return []


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
