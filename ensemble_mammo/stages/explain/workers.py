"""Exam after exam: in this process, or on the workers of a cluster, which read the images and write the maps too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ensemble_mammo.errors import EnsembleMammoError, ExecutionError
from ensemble_mammo.execution.engine import LOCAL, refuse_lost, spread
from ensemble_mammo.execution.local import Share
from ensemble_mammo.imaging.raw import tried
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.travel import Travelling, arrived, computing_with, device_of_workers, sent
from ensemble_mammo.stages.explain.exam import Exam, Explained, explained
from ensemble_mammo.stages.explain.images import files_of
from ensemble_mammo.stages.explain.measure import Measure
from ensemble_mammo.stages.explain.options import ExplainOptions

_SECONDS = 86_400.0
"""How long a worker of a cluster may take for one exam; one that hangs is replaced then."""


@dataclass(frozen=True)
class _Work:
    """What a worker does with each exam; the networks are read once a process."""

    runs: Mapping[int, Travelling]
    "by number"
    measure: Measure
    "knows the folders"
    options: ExplainOptions
    "how, with the threads that torch computes with"

    def __call__(self, exam: Exam) -> Explained | EnsembleMammoError:
        """What came of the exam, or the error that ends the run."""
        try:
            runs = {number: arrived(self.runs[number]) for number in set(exam.runs)}
            with computing_with(self.options.threads):
                return explained(exam, runs, self.measure, self.options, worker=True)
        except EnsembleMammoError as error:
            return error


def explained_all(
    exams: Sequence[Exam], runs: Mapping[int, LoadedRun], measure: Measure, options: ExplainOptions
) -> Iterator[Explained]:
    """What comes of each exam, in order, by the engine that is asked for.

    Raises:
        ExecutionError: the engine cannot be had, or a worker fails in another way than this process would.
    """
    with computing_with(options.threads) as threads:
        if options.engine.name == "local":
            for exam in exams:
                yield explained(exam, runs, measure, options)
            return
        device = device_of_workers(options.device)
        own = replace(options, engine=LOCAL, threads=threads, boxes=None)
        work = _Work({number: sent(run, device) for number, run in runs.items()}, replace(measure, options=own), own)
        share = Share(threads, int(device == "cuda"))
        yield from _by_workers(work, exams, options, share)


def _by_workers(work: _Work, exams: Sequence[Exam], options: ExplainOptions, share: Share) -> Iterator[Explained]:
    for outcome in spread(work, exams, options.workers, _SECONDS, options.engine, share):
        made = outcome.value or _without_the_deadly(work, outcome.item, options, share)
        if made is None:
            raise ExecutionError(f"explain: {outcome.error}")
        if isinstance(made, EnsembleMammoError):
            raise made
        if made.files:
            refuse_lost(work.measure.out / made.files[-1].raw)
        yield made


def _without_the_deadly(
    work: _Work, exam: Exam, options: ExplainOptions, share: Share
) -> Explained | EnsembleMammoError | None:
    """An exam without the files as they came that cannot be read; None where that is not what was wrong."""
    files = files_of(exam.images, options)
    errors = [one.error for one in spread(tried, files, options.workers, options.limits.seconds, options.engine)]
    if not any(errors):
        return None
    notes = tuple(f"left out: {error}" for error in errors if error)
    rest = exam.without([place for place, error in enumerate(errors) if error])
    if not rest.images:
        return Explained((), (), None, notes)
    (outcome,) = spread(work, [rest], options.workers, _SECONDS, options.engine, share)
    return replace(outcome.value, notes=notes) if isinstance(outcome.value, Explained) else outcome.value
