"""Networks with another contrast of their input than that of their recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.records.recipe import HAND_FEATURES
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.options import PredictOptions

Runs = Mapping[View, list[LoadedRun]]


def runs_at(runs: Runs, options: PredictOptions) -> dict[float | None, Runs]:
    """The networks at each contrast that is predicted, the one whose tables are the plain ones first.

    Args:
        runs: as loaded.
        options: says the contrasts.

    Returns:
        contrast -> the runs, their recipes changed; None: the recipe's own.

    Raises:
        RunError: one of the networks measures hand-made features, which are defined on the image as it is.
    """
    if options.contrasts:
        _require_pixels(runs)
    plain: dict[float | None, Runs] = {} if len(options.contrasts) == 1 else {None: runs}
    return plain | {value: at_contrast(runs, value) for value in options.contrasts}


def at_contrast(runs: Runs, contrast: float) -> dict[View, list[LoadedRun]]:
    """The runs with another contrast of their input."""
    return {view: [_changed(run, contrast) for run in own] for view, own in runs.items()}


def _changed(run: LoadedRun, contrast: float) -> LoadedRun:
    return replace(run, recipe=replace(run.recipe, input=replace(run.recipe.input, contrast=contrast)))


def note_of_contrast(runs: Runs, contrast: float | None) -> str:
    """What must be said of scores at another contrast than the networks learned from; empty for the recipe's own.

    Args:
        runs: as loaded.
        contrast: the one asked for; None: the recipe's own.
    """
    if contrast is None:
        return ""
    own = sorted({run.recipe.input.contrast for of_view in runs.values() for run in of_view})
    learned = " and ".join(f"{value:g}" for value in own)
    return f"images were given to the networks at contrast {contrast:g}; they learned at {learned}"


def _require_pixels(runs: Runs) -> None:
    found = next((run for own in runs.values() for run in own if run.recipe.network.name == HAND_FEATURES), None)
    if found is not None:
        raise RunError(
            f"{found.folder}: hand-made features are measured on the image as it is, values in 0..1; leave --contrast "
            "out, or name runs of networks"
        )
