"""The subject from predictions of her two breasts, where no views are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion, fuse_scores, stacked
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import SUBJECT
from ensemble_mammo.records.task import Task


def subject_of_breasts(breasts: Sequence[Predictions], task: Task, fusion: Fusion) -> tuple[Predictions, list[str]]:
    """The subject of two breasts: the breast with the higher score of the last class, or both by the fusion's rule.

    Joined by subject and exam; a subject with one breast has that breast's scores.

    Args:
        breasts: right and left.
        task: says how breasts become the subject, unless the fusion does.
        fusion: its rule without weights, which are of views.

    Returns:
        The predictions of the subject, and what must be noted.

    Raises:
        PredictionError: one file has ids and the other none, or files without ids differ in length.
    """
    right, left = breasts
    if right.identified != left.identified:
        raise PredictionError(
            f"predictions of {(left if right.identified else right).level} carry no ids, those of the other breast "
            "do: rows cannot be matched; give ids for both or for none"
        )
    if not right.identified and len(right) != len(left):
        raise PredictionError(
            f"predictions without ids differ in their number of rows ({right.level} {len(right)}, {left.level} "
            f"{len(left)}): rows cannot be matched; give ids"
        )
    keys = list(dict.fromkeys([*right.keys, *left.keys]))
    stack, images = stacked(breasts, keys)  # [S, 2, C], [S, 2]
    rule = fusion.breast_to_subject or task.breast_to_subject
    if rule == "maximum":
        worst = np.where(np.isnan(stack[:, :, -1]), -np.inf, stack[:, :, -1]).argmax(axis=1)
        scores = stack[np.arange(len(keys)), worst]
        how = f"the breast with the higher score of {task.classes[-1]}"
    else:
        scores = fuse_scores(stack, fusion.rule)
        how = f"both breasts by the rule {fusion.rule}"
    notes = [f"subject: made from the files of right and left: {how}"]
    if not right.identified:
        notes.append("no ids: rows of right and left are taken to be the same subjects in the same order")
    present = images > 0  # [S, 2]
    if one := int((present.sum(axis=1) == 1).sum()):
        notes.append(f"{one} of {len(keys)} exams have predictions of one breast only, whose scores the subject has")
    parts = tuple("+".join(p.level for p, is_there in zip(breasts, row, strict=True) if is_there) for row in present)
    subjects, exams = zip(*keys, strict=True)
    counts = tuple(int(count) for count in images.sum(axis=1))
    return Predictions(SUBJECT, task.classes, scores, subjects, exams, parts, counts, right.identified), notes
