"""From images to the scores of every level, at each contrast that was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.execution.progress import counting
from ensemble_mammo.learning.provenance import provenance, seen_note
from ensemble_mammo.learning.travel import computing_with
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.records.predictions import Predictions, view_predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.asked import Asked
from ensemble_mammo.stages.predict.contrasts import Runs, note_of_contrast
from ensemble_mammo.stages.predict.inputs import Wanted, batches_of
from ensemble_mammo.stages.predict.options import PredictOptions, Scores
from ensemble_mammo.stages.predict.workers import scored_by_workers

Keys = Mapping[View, Sequence[tuple[str, str]]]
OfViews = Mapping[View, Sequence[NDArray[np.float64]]]


@dataclass(frozen=True)
class About:
    """What is known of predictions beside their scores."""

    source: str
    "what an error text calls the source of the images"
    runs: Runs
    "as loaded"
    notes: tuple[str, ...]
    "what was said while images were read"
    seen: int
    "how many of the subjects the networks learned from"


def score(
    images: Sequence[Wanted], runs: Runs, options: PredictOptions, notes: list[str]
) -> tuple[Keys, dict[float | None, OfViews]]:
    """The ids of the images of each view, and their scores [C] at each contrast; notes are added to.

    Returns:
        view -> (subject, exam) of each image; and contrast (None: the recipe's own) -> view -> scores, the contrast
        of the plain tables first.

    Raises:
        RunError: contrasts were asked for, and a network measures hand-made features.
        PredictionError: a run has not the last layer that is asked for.
        ExecutionError: the engine cannot be had, or a worker fails.
    """
    asked, batches = Asked(runs, options), batches_of(images, options.batch_size)
    keys: dict[View, list[tuple[str, str]]] = defaultdict(list)
    scores: dict[float | None, dict[View, list[NDArray[np.float64]]]] = {at: defaultdict(list) for at in asked.runs}
    said: Counter[str] = Counter()
    with computing_with(options.threads) as threads, counting(len(images), "predict") as advance:
        local = options.engine.name == "local"
        made = asked.scored(batches) if local else scored_by_workers(batches, runs, options, threads)
        for one in made:
            keys[one.view] += one.keys
            for at, own in one.scores.items():
                scores[at][one.view].extend(own)
            notes += one.left_out
            said.update(one.said)
            advance(len(one.keys) + len(one.left_out), "")
    notes += [f"{note} (images: {count})" for note, count in said.most_common()]
    return {view: own for view, own in keys.items() if own}, dict(scores)


def joined(keys: Keys, scores: OfViews, contrast: float | None, about: About, fusion: Fusion) -> Scores:
    """The scores of every level at one contrast.

    Raises:
        PredictionError: a view is missing and all are required.
    """
    first = next(iter(about.runs.values()))[0]
    views = {
        view: view_predictions(view, first.classes, keys[view], np.array(scores[view])) for view in View if view in keys
    }
    absent = _absent(views, about.source, fusion)
    fused = fuse(list(views.values()), first.task, fusion)
    own = note_of_contrast(about.runs, contrast)
    notes = [*([own] if own else []), *about.notes, *absent, *_repeated(views), *fused.notes]
    notes += [seen_note(about.seen)] if about.seen else []
    return Scores(first.task, views, fused, tuple(notes), provenance(about.runs), about.seen, contrast=contrast)


def _absent(views: Mapping[View, Predictions], source: str, fusion: Fusion) -> list[str]:
    """A note on views that no exam has; fusion itself sees only gaps in those that are there.

    Raises:
        PredictionError: all views are required.
    """
    absent = [view.value for view in View if view not in views]
    if absent and fusion.require_all_views:
        raise PredictionError(
            f"{source}: no scores of {', '.join(absent)}; add the images (and networks), or leave "
            "--require-all-views out to fuse the views present"
        )
    return [f"no scores of {', '.join(absent)}: the views present were fused"] if absent else []


def _repeated(views: Mapping[View, Predictions]) -> list[str]:
    notes = []
    for view, table in views.items():
        several = sum(number > 1 for number in table.images)
        if several:
            notes.append(f"{view}: exams with several images of this view, whose scores were averaged: {several}")
    return notes
