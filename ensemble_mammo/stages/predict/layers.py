"""Which last layer is asked, where networks have one a collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.learning.checkpoint import LoadedRun, load_run
from ensemble_mammo.learning.layers import layers_telling
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS


def asked_layers(runs: Mapping[View, Sequence[LoadedRun]], layer: str) -> Callable[[View, str], Sequence[LoadedRun]]:
    """A function from a view and an image's collection to the runs with the last layer that is asked for them.

    Args:
        runs: as loaded, with the mean of their last layers.
        layer: the collection whose layer is asked of every image; empty: the image's own, where there is one.

    Raises:
        PredictionError: a run has no such layer.
    """
    if layer:
        _require(runs, layer)
    known: dict[tuple[str, str], LoadedRun] = {}

    def asked(view: View, collection: str) -> Sequence[LoadedRun]:
        wanted = layer or collection
        return [_with(run, wanted) if wanted in _collections(run) else run for run in runs[view]]

    def _with(run: LoadedRun, wanted: str) -> LoadedRun:
        key = (str(run.folder), wanted)
        if key not in known:
            device = next(run.network.parameters()).device
            own = load_run(run.folder, device=device, collection=wanted)
            known[key] = replace(run, network=own.network, collection=wanted)
        return known[key]

    return asked


def note_of_layers(runs: Mapping[View, Sequence[LoadedRun]], layer: str) -> str:
    """What must be said of networks that learned several collections; empty for others."""
    several = sorted({name for own in runs.values() for run in own for name in _collections(run)})
    if not several:
        return ""
    which = f"that of {layer} is asked" if layer else "an image's own collection is asked, else the mean of all"
    return f"the networks have a last layer for each of {', '.join(several)}: {which}"


def _collections(run: LoadedRun) -> list[str]:
    """The collections whose last layer tells the run's task."""
    return [layer.collection for layer in layers_telling(run.recipe.network, TASKS[run.recipe.task])]


def _require(runs: Mapping[View, Sequence[LoadedRun]], layer: str) -> None:
    for own in runs.values():
        for run in own:
            if layer not in (have := _collections(run)):
                raise PredictionError(
                    f"{run.folder}: no last layer of {layer!r}; it has {', '.join(have) or 'one for all'}; "
                    "leave --layer out or name another"
                )
