"""Fusion: the scores of a subject's views become those of her breasts and of the subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.rules import FUSION_RULES, SUBJECT_RULES, Fusion, checked_weights, fuse_scores
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import SUBJECT, Side, View, views_of
from ensemble_mammo.records.task import Task

__all__ = [
    "FUSION_RULES",
    "SUBJECT_RULES",
    "Fused",
    "Fusion",
    "check_views",
    "fuse",
    "fuse_scores",
    "incomplete",
    "stacked",
]

_SHOWN = 10


@dataclass(frozen=True)
class Fused:
    """The predictions of right, left and subject, as far as views were given for them."""

    levels: Mapping[str, Predictions]
    "'right', 'left', 'subject' -> predictions; a level without any exam is left out"
    missing: Mapping[str, int] = field(default_factory=dict)
    "view -> how many exams have no row in its file; views without gaps are not named"
    notes: tuple[str, ...] = ()
    "what a reader of the results must know, in sentences without ids"


def fuse(views: Sequence[Predictions], task: Task, fusion: Fusion | None = None) -> Fused:
    """Join the predictions of views by (subject_id, exam_id), never by row, and fuse them.

    Rows come in the order in which exams first appear (CC_R's rows, then what the other views add). An exam
    is left out of a level of which it has no view; where it has some of them, those present are fused, and
    the column `views` says which.

    Args:
        views: one Predictions a view, in any order.
        task: says how breasts become the subject.
        fusion: the rule; the mean unless given.

    Raises:
        PredictionError: levels that are no views or stand twice, other classes, files with and without ids
            together, files without ids of unequal length, or (where asked) exams that lack a view.
    """
    fusion = fusion or Fusion()
    notes = check_views(views, task)
    given = sorted(views, key=lambda p: list(View).index(View(p.level)))
    weights = np.array([fusion.weight(p.level) for p in given])
    checked_weights(weights, len(given))
    keys = list(dict.fromkeys(key for p in given for key in p.keys))
    scores, images = stacked(given, keys)
    absent = images == 0  # [S, V]
    if fusion.require_all_views and absent.any():
        raise PredictionError(_lacking(keys, given, absent))
    missing = {p.level: int(gaps) for p, gaps in zip(given, absent.sum(axis=0), strict=True) if gaps}
    notes += _gap_notes(missing, absent)
    images[:, weights == 0] = 0
    stack = _Stack(given, keys, scores, images, weights)
    levels = {str(side): _level(stack, str(side), fusion.rule) for side in Side}
    levels[SUBJECT] = _level(stack, SUBJECT, fusion.rule)
    if (fusion.breast_to_subject or task.breast_to_subject) == "maximum":
        levels[SUBJECT] = _worst_breast(levels)
    return Fused({level: rows for level, rows in levels.items() if len(rows)}, missing, tuple(notes))


def check_views(views: Sequence[Predictions], task: Task) -> list[str]:
    """Refuse predictions that cannot be fused; return what must be noted when they can.

    Raises:
        PredictionError: as `fuse`.
    """
    if not views:
        raise PredictionError(f"no view to fuse: give the predictions of at least one of {', '.join(View)}")
    for level, times in Counter(p.level for p in views).items():
        if level not in tuple(View):
            raise PredictionError(f"level {level!r} cannot be fused: expected views, {', '.join(View)}")
        if times > 1:
            raise PredictionError(f"view {level} is given {times} times: give each view once")
    for p in views:
        if p.classes != task.classes:
            raise PredictionError(
                f"predictions of {p.level} have the classes {', '.join(p.classes)}; "
                f"task {task.name} has {', '.join(task.classes)}"
            )
    nameless = [p for p in views if not p.identified]
    if not nameless or len(views) == 1:
        return []
    if len(nameless) < len(views):
        named = ", ".join(p.level for p in views if p.identified)
        raise PredictionError(
            f"predictions of {', '.join(p.level for p in nameless)} carry no ids, those of {named} do: rows cannot "
            "be matched; give ids for all (predictions_<view>.ids.csv beside the file) or for none"
        )
    if len({len(p) for p in nameless}) > 1:
        counts = ", ".join(f"{p.level} {len(p)}" for p in nameless)
        raise PredictionError(
            f"predictions without ids differ in their number of rows ({counts}): rows cannot be matched; "
            "give ids (predictions_<view>.ids.csv beside each file)"
        )
    return [f"no ids: rows of the {len(views)} files are taken to be the same subjects in the same order"]


def incomplete(predictions: Predictions, among: NDArray[np.bool_] | None = None) -> int:
    """How many rows (of those that `among` [N] marks) lack a view that other rows of the level were fused from."""
    parts = [set(text.split("+")) for text in predictions.views]
    everything = set().union(*parts)
    marked = np.ones(len(parts), dtype=bool) if among is None else among
    return sum(part != everything for part, is_marked in zip(parts, marked, strict=True) if is_marked)


@dataclass(frozen=True)
class _Stack:
    """The views of all exams, joined."""

    given: list[Predictions]
    keys: list[tuple[str, str]]
    scores: NDArray[np.float64]  # [S, V, C]
    images: NDArray[np.int64]  # [S, V]; 0 where the view is missing
    weights: NDArray[np.float64]  # [V]


def stacked(
    given: Sequence[Predictions], keys: Sequence[tuple[str, str]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The scores [S, V, C] and numbers of images [S, V] of views, joined by (subject_id, exam_id); missing: nan and 0.

    Args:
        given: one Predictions a view, all of the same classes.
        keys: (subject_id, exam_id) of the rows wanted; every key of the views must be among them.
    """
    row_of = {key: row for row, key in enumerate(keys)}
    scores = np.full((len(keys), len(given), len(given[0].classes)), np.nan)
    images = np.zeros((len(keys), len(given)), dtype=np.int64)
    for column, p in enumerate(given):
        rows = [row_of[key] for key in p.keys]
        scores[rows, column] = p.scores
        images[rows, column] = np.maximum(p.images, 1)
    return scores, images


def _level(stack: _Stack, level: str, rule: str) -> Predictions:
    chosen = np.array([p.level in views_of(level) for p in stack.given]) & (stack.weights > 0)
    columns = np.flatnonzero(chosen)
    images = stack.images[:, columns]
    rows = np.flatnonzero(images.any(axis=1))
    scores = np.zeros((0, len(stack.given[0].classes)))
    if len(rows):
        scores = fuse_scores(stack.scores[np.ix_(rows, columns)], rule, stack.weights[columns])
    names = np.array([stack.given[i].level for i in columns], dtype=object)
    return Predictions(
        level,
        stack.given[0].classes,
        scores,
        tuple(stack.keys[row][0] for row in rows),
        tuple(stack.keys[row][1] for row in rows),
        tuple("+".join(names[images[row] > 0]) for row in rows),
        tuple(int(number) for number in images[rows].sum(axis=1)),
        all(p.identified for p in stack.given),
    )


def _worst_breast(levels: Mapping[str, Predictions]) -> Predictions:
    """The subject with the whole row of the breast that scores highest in the last class (ties: the right)."""
    flat = levels[SUBJECT]
    scores = np.full((2, *flat.scores.shape), -np.inf)  # [breast, S, C]
    row_of = {key: row for row, key in enumerate(flat.keys)}
    for breast, side in enumerate(Side):
        scores[breast, [row_of[key] for key in levels[side].keys]] = levels[side].scores
    worst = scores[:, :, -1].argmax(axis=0)
    return Predictions(
        SUBJECT,
        flat.classes,
        scores[worst, np.arange(len(flat))],
        flat.subject_ids,
        flat.exam_ids,
        flat.views,
        flat.images,
        flat.identified,
    )


def _gap_notes(missing: Mapping[str, int], absent: NDArray[np.bool_]) -> list[str]:
    if not missing:
        return []
    if ((~absent).sum(axis=1) == 1).all():
        return [
            "no exam has more than one view, as tiles and patches have it; of mammograms: check that subject_id and "
            "exam_id are written alike in all files"
        ]
    gaps = ", ".join(f"{view} {count}" for view, count in missing.items())
    return [
        f"{int(absent.any(axis=1).sum())} of {len(absent)} exams lack a view ({gaps}): "
        "those present were fused (the tables' column views says which)"
    ]


def _lacking(keys: Sequence[tuple[str, str]], given: Sequence[Predictions], absent: NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(absent.any(axis=1))
    named = [
        f"subject {keys[row][0]!r} exam {keys[row][1]!r} lacks "
        + ", ".join(p.level for p, gap in zip(given, absent[row], strict=True) if gap)
        for row in rows[:_SHOWN]
    ]
    more = f" (and {len(rows) - _SHOWN} more)" if len(rows) > _SHOWN else ""
    return (
        f"{len(rows)} of {len(keys)} exams lack a view: {'; '.join(named)}{more}; "
        "predict the missing views, or allow fusion of the views present"
    )
