"""Several systems become one: the scores of each view are averaged over them, exam by exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import check_views
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import Task

_SHOWN = 10


def mean_of_systems(
    systems: Mapping[str, Sequence[Predictions]], task: Task, weights: Mapping[str, float] | None = None
) -> list[Predictions]:
    """The weighted mean of the scores of each view over the systems, joined by (subject_id, exam_id), never by row.

    Rows come in the order of the first system.

    Args:
        systems: name -> a Predictions a view; all systems have the same views and the same exams of each.
        task: says the classes.
        weights: name -> weight of a system; 1 unless given.

    Raises:
        PredictionError: fewer than two systems, weights of none of them or below 0, a view or exams that a system
            lacks (named), files without ids, or what `fuse` refuses of one system.
    """
    if len(systems) < 2:
        raise PredictionError(f"systems: found {', '.join(systems) or 'none'}, expected two or more to average")
    share = _shares(systems, weights or {})
    for name, given in systems.items():
        if nameless := [p.level for p in given if not p.identified]:
            raise PredictionError(
                f"{name}: files of {', '.join(nameless)} carry no ids: exams of several systems are joined by ids "
                "alone; give predictions_<view>.ids.csv beside each file"
            )
        check_views(given, task)
    tables = {name: {p.level: p for p in given} for name, given in systems.items()}
    every = list(dict.fromkeys(level for own in tables.values() for level in own))
    for name, own in tables.items():
        if lacking := [level for level in every if level not in own]:
            raise PredictionError(
                f"{name}: no file of view {', '.join(lacking)}, which other systems have; predict it, or name the "
                "files of the views that all have"
            )
    return [_view(level, {name: own[level] for name, own in tables.items()}, share) for level in every]


def _shares(systems: Mapping[str, Sequence[Predictions]], weights: Mapping[str, float]) -> dict[str, float]:
    """The weight of each system, all adding up to 1."""
    if unknown := [name for name in weights if name not in systems]:
        raise PredictionError(f"weight of {', '.join(unknown)}: no such system; the systems are {', '.join(systems)}")
    given = {name: float(weights.get(name, 1.0)) for name in systems}
    total = sum(given.values())
    if not np.isfinite(total) or min(given.values()) < 0 or total == 0:
        shown = ", ".join(f"{name} {value:g}" for name, value in given.items())
        raise PredictionError(f"weights of systems: found {shown}; expected finite numbers from 0 up, one above 0")
    return {name: value / total for name, value in given.items()}


def _view(level: str, tables: Mapping[str, Predictions], share: Mapping[str, float]) -> Predictions:
    first = next(iter(tables.values()))
    every = list(dict.fromkeys(key for p in tables.values() for key in p.keys))
    problems = []
    for name, p in tables.items():
        own = set(p.keys)
        if lacking := [key for key in every if key not in own]:
            shown = ", ".join(f"subject {subject!r} exam {exam!r}" for subject, exam in lacking[:_SHOWN])
            more = f" (and {len(lacking) - _SHOWN} more)" if len(lacking) > _SHOWN else ""
            problems.append(f"{name} lacks {len(lacking)} of {len(every)} exams of {level}: {shown}{more}")
    if problems:
        raise PredictionError("; ".join(problems) + "; predict the same exams with every system")
    scores, images = np.zeros(first.scores.shape), np.ones(len(first), dtype=np.int64)
    for name, p in tables.items():
        place_of = {key: place for place, key in enumerate(p.keys)}
        places = [place_of[key] for key in first.keys]
        scores += share[name] * p.scores[places]
        images = np.maximum(images, np.array(p.images)[places])
    return replace(first, scores=scores, images=tuple(images.tolist()))
