"""The images that are predicted: rows of a dataset, or the files of subjects' folders."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.archives.subjects import all_subject_images, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.execution.local import Outcome, cores, one_by_one
from ensemble_mammo.imaging.raw import RawFile, prepared_of
from ensemble_mammo.learning.checkpoint import CROSSVAL, LoadedRun, read_crossval
from ensemble_mammo.learning.provenance import are_marked, subjects_seen
from ensemble_mammo.learning.scores import Fitted
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.options import PredictOptions

AHEAD = 2
"""Batches that are read while one is computed with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that is to be predicted."""

    key: tuple[str, str]
    "subject and exam"
    view: View
    "its projection"
    path: Path
    "the file"
    collection: str = ""
    "whose last layer is asked, of networks with several"
    preparation: Preparation | None = None
    "what is done to a file as it came; None: a dataset's image, prepared already"


Batch = tuple[Wanted, ...]
"""Images of one view and collection, computed at once."""
Fitting = Callable[[Wanted, NDArray[np.uint16]], Fitted]


@dataclass(frozen=True)
class Pixels:
    """What was read of a batch."""

    images: Batch
    "those that could be read"
    fitted: tuple[Fitted, ...]
    "a network's inputs of each"
    left_out: tuple[str, ...] = ()
    "a note on each of the others"
    said: tuple[str, ...] = ()
    "notes of the images that were read; the same one may come several times"


def name_of(source: Dataset | Path) -> str:
    """What an error text calls the source."""
    return str(source.root if isinstance(source, Dataset) else source)


def seen_subjects(
    dataset: Dataset, models: Sequence[Path], runs: Mapping[View, Sequence[LoadedRun]], options: PredictOptions
) -> set[str]:
    """The subjects to be predicted that these networks learned from, as far as the runs say it.

    Raises:
        RunError: networks of a cross-validation over this very dataset, and such subjects among those to be predicted:
            her out-of-fold prediction is there already.
    """
    rows = _rows(dataset, options)
    seen, chosen = subjects_seen(runs, rows), set(rows["subject_id"])
    crossed = next((folder for folder in models if _is_crossvalidated(dataset, folder)), None)
    if options.subjects is None and crossed is not None and (seen or not are_marked(runs)):
        folder = crossed if (crossed / CROSSVAL).is_file() else crossed.resolve().parent
        which = f"{len(seen)} of the {len(chosen)} subjects were" if are_marked(runs) else "subjects were"
        raise RunError(
            f"{dataset.root}: {which} in the training of {crossed}, a fold of a cross-validation over this dataset; "
            f"the out-of-fold predictions stand in {folder / 'predictions'}"
        )
    return seen


def _is_crossvalidated(dataset: Dataset, models: Path) -> bool:
    """Whether the runs are folds of a cross-validation over this very dataset."""
    folder = models.resolve()
    mark = read_crossval(folder.parent if folder.name.startswith("fold-") else folder)
    return bool(mark) and bool(mark.get("data_fingerprint") == dataset.fingerprint())


def _rows(dataset: Dataset, options: PredictOptions) -> pd.DataFrame:
    rows = dataset.rows(split=options.split or None)
    return rows if options.subjects is None else rows[rows["subject_id"].isin(sorted(options.subjects))]


def wanted_of_dataset(
    dataset: Dataset, runs: Mapping[View, Sequence[LoadedRun]], options: PredictOptions
) -> list[Wanted]:
    """The prepared images of a dataset of the views that the runs know.

    Raises:
        DatasetError: none in the split that was asked for.
    """
    rows = _rows(dataset, options)
    rows = rows[rows["view"].isin(list(runs))].sort_values("image_id", kind="stable")
    if rows.empty:
        have = ", ".join(sorted(set(dataset.table["split"]) - {""})) or "no split"
        raise DatasetError(
            f"{dataset.root}: no image in split {options.split!r} of the views {', '.join(runs)} (has {have})"
        )
    columns = (rows[name] for name in ("subject_id", "exam_id", "view", "file", "collection"))
    return [
        Wanted((subject, exam), View(view), dataset.root / file, collection)
        for subject, exam, view, file, collection in zip(*columns, strict=True)
    ]


def wanted_of_folders(
    root: Path, runs: Mapping[View, Sequence[LoadedRun]], options: PredictOptions, notes: list[str]
) -> list[Wanted]:
    """The images of one subject's folder, or of many, to be prepared as the networks learnt; notes are added to."""
    views = read_views(options.views) if options.views else None
    if options.many:
        images, said = all_subject_images(root, views, options.workers, options.engine)
    else:
        images, said = subject_images(root, views, options.workers)
    notes += said
    notes += [f"{i.key[0]}/{i.source}: no network for {i.view} in the runs" for i in images if i.view not in runs]
    return [
        Wanted(image.key, image.view, image.path, preparation=runs[image.view][0].preparation)
        for image in images
        if image.view in runs
    ]


def batches_of(images: Sequence[Wanted], size: int) -> list[Batch]:
    """Batches of one view and collection each, in the order in which they become full; rests come last."""
    filling: dict[tuple[View, str], list[Wanted]] = {}
    batches: list[Batch] = []
    for image in images:
        kind = image.view, image.collection
        own = filling.setdefault(kind, [])
        own.append(image)
        if len(own) == size:
            batches.append(tuple(filling.pop(kind)))
    return [*batches, *(tuple(own) for own in filling.values())]


def read_batches(batches: Sequence[Batch], fitting: Fitting, options: PredictOptions, worker: bool) -> Iterator[Pixels]:
    """Read batch after batch, the next ones while one is computed with.

    Args:
        batches: what is read.
        fitting: makes a network's inputs of a prepared image.
        options: workers and limits.
        worker: whether this process is a worker: it reads files as they came itself.

    Yields:
        One for each batch, without the images that cannot be read.

    Raises:
        DatasetError: a prepared image is missing or damaged.
    """
    files = files_of([image for batch in batches for image in batch], options)
    if not files:
        return _prepared(batches, fitting, options.workers or cores())
    if worker:
        return _as_they_came(batches, one_by_one(prepared_of, files), fitting)
    return _as_they_came(batches, spread(prepared_of, files, options.workers, options.limits.seconds), fitting)


def files_of(images: Sequence[Wanted], options: PredictOptions) -> list[RawFile]:
    """The files as they came among images."""
    return [
        RawFile(image.path, image.view, image.preparation, options.limits)
        for image in images
        if image.preparation is not None
    ]


def _prepared(batches: Sequence[Batch], fitting: Fitting, threads: int) -> Iterator[Pixels]:
    """Read by threads: decoding and resizing leave Python's lock alone, and nothing is copied between processes."""

    def read(image: Wanted) -> Fitted:
        return fitting(image, read_png16(image.path))

    with ThreadPoolExecutor(threads, thread_name_prefix="images") as pool:
        coming = ([pool.submit(read, image) for image in batch] for batch in batches)
        ahead = deque(islice(coming, AHEAD))
        try:
            for batch in batches:
                fitted = tuple(one.result() for one in ahead.popleft())
                ahead.extend(islice(coming, 1))
                yield Pixels(batch, fitted)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _as_they_came(
    batches: Sequence[Batch],
    outcomes: Iterator[Outcome[RawFile, tuple[NDArray[np.uint16], tuple[str, ...]]]],
    fitting: Fitting,
) -> Iterator[Pixels]:
    for batch in batches:
        read, fitted = list[Wanted](), list[Fitted]()
        left_out, said = list[str](), list[str]()
        for image, outcome in zip(batch, outcomes, strict=False):  # the next batch goes on with the outcomes
            if outcome.value is None:
                left_out.append(f"left out: {outcome.error}")
                continue
            pixels, own = outcome.value
            read.append(image)
            fitted.append(fitting(image, pixels))
            said += own
        yield Pixels(tuple(read), tuple(fitted), tuple(left_out), tuple(said))
