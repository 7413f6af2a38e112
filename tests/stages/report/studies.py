"""A Study made of random scores, for tests of single sections."""

import numpy as np

from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.inputs.truth import ANY, Truth
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS, View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.study import Study, judged

FEW = ReportOptions(resamples=100)


def views_made(task, count, seed=0, skill=1.5, views=tuple(View), first=0):
    """Predictions of views that know something: the true class's logit is raised by `skill`; and the true classes."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(task.classes), count)
    subjects = tuple(f"S{first + i:04d}" for i in range(count))
    made = []
    for view in views:
        logits = rng.normal(size=(count, len(task.classes)))
        logits[np.arange(count), true] += skill
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        ones = (1,) * count
        made.append(
            Predictions(view.value, task.classes, scores, subjects, ("1",) * count, (view.value,) * count, ones)
        )
    return made, {(ANY, s, ANY): int(t) for s, t in zip(subjects, true, strict=True)}


def study_made(task="density", count=60, options=FEW, seed=0, skill=1.5, views=tuple(View), validation=0):
    """A study of `count` subjects, with as many of validation as asked for."""
    known = TASKS[task]
    given, labels = views_made(known, count, seed, skill, views)
    held, more = views_made(known, validation, seed + 1, skill, views, first=count) if validation else ([], {})
    truth = Truth(known, "labels.csv", labels | more)

    def levels(tables):
        fused = {p.level: p for p in tables} | dict(fuse(tables, known).levels)
        return {level: judged(fused[level], truth) for level in LEVELS if level in fused}

    return Study(known, truth, options, tuple(given), levels(given), levels(held) if held else {})
