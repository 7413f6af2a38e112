"""The views of a study, joined: what the studies of fusion and of disagreement are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.fusion import Fusion, fuse, stacked
from ensemble_mammo.merit.inputs.truth import UNKNOWN
from ensemble_mammo.merit.members import Members
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import SUBJECT, View
from ensemble_mammo.stages.report.study import Study, rows_taken


@dataclass(frozen=True)
class Ensemble:
    """The views of all exams, and what they are fused to."""

    rows: Predictions
    "[S] fused exams, of the subject or of the one breast that was given; unlabelled ones too"
    scores: NDArray[np.float64]
    "[S, V, C] of the views that weigh something; nan where an exam lacks the view"
    true: NDArray[np.int64]
    "[S] true classes of the exams at the fused level; -1 where none is known"
    views: tuple[View, ...]
    "V names"
    fusion: Fusion
    "the rule in use, with `breast_to_subject` written out"
    positive: tuple[int, ...]
    "numbers of the positive classes"
    cut: float | None = None
    "the threshold that acts at the fused level; None: exams are called the class that scores highest"

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """[S] whether a true class is known."""
        return self.true != UNKNOWN

    @property
    def by_breast(self) -> bool:
        """Whether the subject is her worse breast, not the flat fusion of all views."""
        return self.fusion.breast_to_subject == "maximum"

    def members(self) -> Members:
        """The labelled exams."""
        known = self.labelled
        of_all = Members(self.scores, self.true, self.rows.subject_ids, self.views, self.positive, self.cut)
        return of_all.taken(known)


def ensemble_of(study: Study) -> Ensemble | None:
    """The views of a study; None where fewer than two weigh something, or no fused exam has a true class."""
    fusion = study.options.fusion
    given = [p for p in study.views if p.level in tuple(View) and fusion.weight(p.level) > 0]
    given.sort(key=lambda p: list(View).index(View(p.level)))
    if len(given) < 2:
        return None
    level = fused_level([View(p.level) for p in given])
    rows = fuse(given, study.task, fusion).levels[level]
    true = study.truth.of(rows)
    if (true == UNKNOWN).all():
        return None
    return Ensemble(
        rows,
        stacked(given, rows.keys)[0],
        true,
        tuple(View(p.level) for p in given),
        replace(fusion, breast_to_subject=fusion.breast_to_subject or study.task.breast_to_subject),
        tuple(study.task.classes.index(name) for name in study.task.positive),
        study.cut_of(level),
    )


def fused_level(views: list[View]) -> str:
    """What views are fused to: the subject, or the breast where all are of one side."""
    sides = {view.side for view in views}
    return SUBJECT if len(sides) > 1 else str(next(iter(sides)))


def validation_of(study: Study, views: tuple[View, ...]) -> Members | None:
    """The exams of validation that have every one of these views; None where a view or the fused level is not there."""
    level = fused_level(list(views))
    if not study.validation or not {level, *views} <= set(study.validation):
        return None
    whole = study.validation[level]
    keys = whole.rows.keys
    wanted = set(keys)
    rows = [study.validation[view].rows for view in views]
    rows = [rows_taken(one, np.array([key in wanted for key in one.keys], dtype=bool)) for one in rows]
    return Members(stacked(rows, keys)[0], whole.true, whole.rows.subject_ids, views, whole.positive).complete()


def remarks_on(ensemble: Ensemble, study: Study) -> list[str]:
    """What must be known of any study of these views."""
    notes = []
    level = ensemble.rows.level
    if any(p.level == level for p in study.views):
        notes.append(f"the {level} has a file of its own; here it is fused from its views instead")
    if ensemble.by_breast and len({view.side for view in ensemble.views}) > 1:
        notes.append(
            "every view is judged against the class of the subject here, which is that of her worse breast: a view of "
            "the other breast cannot know it, so single views look worse than at their own level"
        )
    return notes


def groups_of(ensemble: Ensemble) -> list[int]:
    """[V] a number each; views of one number should agree: all, or those of a breast where the worse one counts."""
    return [int(ensemble.by_breast and view.side.letter == "L") for view in ensemble.views]
