"""Scores computed on the workers of a cluster, which read the images too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ensemble_mammo.errors import EnsembleMammoError, ExecutionError
from ensemble_mammo.execution.engine import LOCAL, spread
from ensemble_mammo.execution.local import Outcome, Share
from ensemble_mammo.imaging.raw import tried
from ensemble_mammo.learning.travel import Travelling, arrived, computing_with, device_of_workers, sent
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.asked import Asked, Scored
from ensemble_mammo.stages.predict.contrasts import Runs
from ensemble_mammo.stages.predict.inputs import Batch, files_of
from ensemble_mammo.stages.predict.options import PredictOptions

CHUNK = 8
"""Batches of prepared images that a worker takes at once; of files as they came it takes one."""
_COMPUTING_SECONDS = 600.0
"""How long a worker may take for a chunk, beside what its files may take; one that hangs is replaced then."""

_Made = list[Scored] | EnsembleMammoError


@dataclass(frozen=True)
class _Work:
    """What a worker does with each chunk; the networks are read once a process."""

    runs: Mapping[View, Sequence[Travelling]]
    "of each view"
    options: PredictOptions
    "as they hold within a worker"
    threads: int
    "that torch computes with"

    def __call__(self, chunk: Sequence[Batch]) -> _Made:
        """The scores of each batch, or the error that ends the run."""
        try:
            runs = {view: [arrived(run) for run in own] for view, own in self.runs.items()}
            with computing_with(self.threads):
                return list(Asked(runs, self.options).scored(chunk, worker=True))
        except EnsembleMammoError as error:
            return error


def scored_by_workers(batches: Sequence[Batch], runs: Runs, options: PredictOptions, threads: int) -> Iterator[Scored]:
    """The scores of each batch, in order, computed where the engine has room.

    A file as it came that ends or hangs its worker is found, and its batch is scored without it.

    Raises:
        EnsembleMammoError: as in this process; an ExecutionError where a worker fails in another way.
    """
    device = device_of_workers(options.device)
    travelling = {view: [sent(run, device) for run in own] for view, own in runs.items()}
    work = _Work(travelling, replace(options, engine=LOCAL, subjects=None, workers=threads), threads)
    raw = bool(files_of(batches[0][:1], options)) if batches else False
    size = 1 if raw else CHUNK
    chunks = [tuple(batches[start : start + size]) for start in range(0, len(batches), size)]
    for outcome in _spread(work, chunks, options, raw):
        made = outcome.value
        if made is None and raw:
            made = _without_the_deadly(work, outcome.item[0], options)
        if made is None:
            raise ExecutionError(f"predict: {outcome.error}")
        if isinstance(made, EnsembleMammoError):
            raise made
        yield from made


def _spread(
    work: _Work, chunks: Sequence[tuple[Batch, ...]], options: PredictOptions, raw: bool
) -> Iterator[Outcome[tuple[Batch, ...], _Made]]:
    images = options.batch_size * (1 if raw else CHUNK)
    seconds = _COMPUTING_SECONDS + images * options.limits.seconds
    device = next(iter(work.runs.values()))[0].device
    share = Share(work.threads, int(device == "cuda"))
    return spread(work, chunks, options.workers, seconds, options.engine, share)


def _without_the_deadly(work: _Work, batch: Batch, options: PredictOptions) -> _Made | None:
    """The scores of a batch without the files that cannot be read; None where that is not what was wrong."""
    files = files_of(batch, options)
    errors = [one.error for one in spread(tried, files, options.workers, options.limits.seconds, options.engine)]
    if not any(errors):
        return None
    left_out = tuple(f"left out: {error}" for error in errors if error)
    usable = tuple(image for image, error in zip(batch, errors, strict=True) if not error)
    if not usable:
        return [Scored(batch[0].view, (), {}, left_out, ())]
    (outcome,) = _spread(work, [(usable,)], options, raw=True)
    if not isinstance(outcome.value, list):
        return outcome.value
    return [replace(one, left_out=left_out) for one in outcome.value]
