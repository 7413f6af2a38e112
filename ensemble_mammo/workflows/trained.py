"""Many trainings of one command, spread over processes or a cluster: the same weights from any of them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import torch

from ensemble_mammo.errors import OutputError, RunError, TrainingError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.execution.local import Outcome, Share
from ensemble_mammo.execution.ranks import ranks_here, require_one
from ensemble_mammo.learning.checkpoint import CHECKSUM, read_info
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.packed import packs_in
from ensemble_mammo.learning.stopping import asked_to_stop
from ensemble_mammo.records import remote
from ensemble_mammo.records.manifest import Dataset, read_dataset
from ensemble_mammo.workflows import spreading as places
from ensemble_mammo.workflows.spreading import Spreading
from ensemble_mammo.workflows.trainings import Answer, Ended, Training, learned, learned_away
from ensemble_mammo.workflows.watch import Progress, watched

_log = logging.getLogger(__name__)

_LARGE_ROWS = 20_000
"""From so many on, a manifest is read where it is needed instead of sent there."""


def trained(dataset: Dataset, trainings: Sequence[Training], spreading: Spreading | None = None) -> Iterator[Ended]:
    """Train each; one that fails ends no other. Finished runs are taken as they are, unfinished ones gone on with.

    With the same cores each, the same weights come out bit by bit of any engine, in any order.

    Args:
        dataset: that all learn from.
        trainings: all those of the command: the cores of each follow from their number.
        spreading: where, and how many at once.

    Yields:
        One that has ended each, in the order of the trainings.

    Raises:
        OutputError: a folder cannot be written; the others stop and keep what they have.
        ExecutionError: the engine is not installed, cannot be reached, or has no room.
        TrainingError: the device is missing.
    """
    if not trainings:
        return
    spreading = spreading or Spreading()
    device, share = _share(trainings, spreading)
    at_once = _at_once(sum(not _is_finished(one) for one in trainings), share, spreading)
    with _sharing_packs(trainings) as together:
        here = ranks_here().world > 1 or places.stays_here(spreading, at_once, len(trainings))
        if here and spreading.engine.name == "local":
            yield from _here(dataset, together, share.cores)
            return
        spreading = replace(spreading, at_once=at_once)
        away = _elsewhere(dataset, together, spreading, device, share)
        with asked_to_stop(at_once=True), closing(away) as ended:  # each of them saves its state
            yield from ended


@contextmanager
def _sharing_packs(trainings: Sequence[Training]) -> Iterator[Sequence[Training]]:
    """Let several trainings fit each image once, for all of them."""
    if len(trainings) == 1 or trainings[0].options.packed is not None:
        yield trainings
        return
    with packs_in(Path(os.path.commonpath([one.out for one in trainings]))) as packed:
        yield [replace(one, options=replace(one.options, packed=packed)) for one in trainings]


def _share(trainings: Sequence[Training], spreading: Spreading) -> tuple[str, Share]:
    """The device of all trainings, and what each uses of a machine."""
    asked, far = trainings[0].options.device, spreading.engine.name == "ray"
    device = asked if far and asked == "cuda" else resolve_device(asked).type  # the cluster may have what is not here
    most = len(trainings)
    if device == "cuda" and not far:
        most = min(most, torch.cuda.device_count())
    return device, Share(spreading.cores or max(1, torch.get_num_threads() // most), int(device == "cuda"))


def _at_once(count: int, share: Share, spreading: Spreading) -> int:
    """How many trainings run at once; 0: as many as a cluster has room for."""
    if ranks_here().world > 1:  # one network on many processes: they go through all trainings together
        if spreading.engine.name != "local":
            require_one(f"work of engine {spreading.engine.name}")
        return 1
    if spreading.engine.name == "ray":
        return spreading.at_once
    gpus = torch.cuda.device_count() if share.gpus else 0
    wanted = spreading.at_once or places.room(share, gpus)
    return max(1, min(wanted, count, gpus if share.gpus else count))


def _here(dataset: Dataset, trainings: Sequence[Training], cores: int) -> Iterator[Ended]:
    """Train one after another in this process."""
    for number, one in enumerate(trainings, start=1):
        if len(trainings) > 1:
            _log.info("%s (%d of %d): %s", one.name, number, len(trainings), one.recipe.network.name)
        ended = Ended(one, learned(dataset, cores, one))
        if ended.failure and len(trainings) > 1:
            _log.warning("%s: failed: %s", one.name, ended.failure)
        yield _unless_unwritten(ended)


def _elsewhere(
    dataset: Dataset, trainings: Sequence[Training], spreading: Spreading, device: str, share: Share
) -> Generator[Ended]:
    """Train in other processes; finished runs are looked at in this one."""
    todo = {one.name: _to_send(one, device) for one in trainings if not _is_finished(one)}
    work = partial(learned_away, _parcel(dataset), share.cores)
    outcomes = spread(work, list(todo.values()), spreading.at_once, math.inf, spreading.engine, share)
    rows = [Progress(one.name, one.folder, one.recipe.train.epochs) for one in trainings]
    closed = closing(cast(Generator[Outcome[Training, Answer]], outcomes))
    with watched(rows, spreading.show) as watch, closed:
        for one in trainings:
            if one.name not in todo:
                ended = Ended(one, learned(dataset, share.cores, one))
                watch.ended(one.name, ended.failure, before=True)
            else:
                outcome = next(outcomes)
                error, said = outcome.value or (TrainingError(outcome.error), [])
                ended = Ended(one, error or _unseen(one))
                for text in said:
                    _log.warning("%s: %s", one.name, text)
                watch.ended(one.name, ended.failure)
            watch.hide(True)  # whoever takes it may show something himself
            yield _unless_unwritten(ended)
            watch.hide(False)


def _unless_unwritten(ended: Ended) -> Ended:
    if isinstance(ended.error, OutputError):  # the disk is full: so it is for the others
        raise ended.error
    if ended.error and ranks_here().world > 1:  # others of its processes may not have met it
        raise ended.error
    return ended


def _is_finished(training: Training) -> bool:
    """Whether a finished run seems to lie there: to look at it closely needs no process of its own."""
    return not training.options.restart and _holds_finished(training.folder)


def _holds_finished(folder: Path) -> bool:
    try:
        return (folder / CHECKSUM).is_file() and read_info(folder).get("status") == "finished"
    except RunError:
        return False


def _unseen(training: Training) -> RunError | None:
    """What an answer says is trained and does not lie here finished: an older, unfinished run is not it."""
    if _holds_finished(training.folder):
        return None
    remote.brought_back(training.folder)
    if _holds_finished(training.folder):
        return None
    return RunError(
        f"{training.folder}: trained, but not to be seen from here; --out (of a URL: ENSEMBLE_MAMMO_CACHE) must be a "
        "folder that all nodes share"
    )


def _to_send(training: Training, device: str) -> Training:
    return replace(training, options=replace(training.options, progress=None, device=device))


def _parcel(dataset: Dataset) -> Dataset | Path:
    """The dataset itself, or, of a large one that lies on the disk as it is here, where."""
    if len(dataset.table) < _LARGE_ROWS:
        return dataset
    there = read_dataset(dataset.root)
    same = there.preparation == dataset.preparation and there.table.equals(dataset.table)
    return dataset.root if same else dataset
