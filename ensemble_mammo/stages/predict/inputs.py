"""The images that are predicted: rows of a dataset, or the files of subjects' folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.archives.subjects import SubjectImage, all_subject_images, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.execution.local import spread
from ensemble_mammo.imaging.prepared import prepare_file
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.learning.checkpoint import CROSSVAL, LoadedRun, read_crossval
from ensemble_mammo.learning.provenance import are_marked, subjects_seen
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict.options import PredictOptions


@dataclass(frozen=True)
class Input:
    """One prepared image on its way into a network."""

    key: tuple[str, str]
    view: View
    pixels: NDArray[np.uint16]
    collection: str = ""


def name_of(source: Dataset | Path) -> str:
    """What an error text calls the source."""
    return str(source.root if isinstance(source, Dataset) else source)


def seen_subjects(
    dataset: Dataset, models: Sequence[Path], runs: Mapping[View, list[LoadedRun]], options: PredictOptions
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


def from_dataset(
    dataset: Dataset, runs: Mapping[View, list[LoadedRun]], options: PredictOptions
) -> tuple[Iterator[Input], int]:
    """The prepared images of a dataset of the views that the runs know, and how many there are.

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

    def stream() -> Iterator[Input]:
        for row in rows.to_dict("records"):
            pixels = read_png16(dataset.root / row["file"])
            yield Input((row["subject_id"], row["exam_id"]), View(row["view"]), pixels, row["collection"])

    return stream(), len(rows)


def from_folders(
    root: Path, runs: Mapping[View, list[LoadedRun]], options: PredictOptions, notes: list[str]
) -> tuple[Iterator[Input], int]:
    """The images of one subject's folder, or of many, prepared as the networks learnt; notes are added to."""
    views = read_views(options.views) if options.views else None
    images, said = (all_subject_images if options.many else subject_images)(root, views, options.workers)
    notes += said
    known = [image for image in images if image.view in runs]
    notes += [f"{i.key[0]}/{i.source}: no network for {i.view} in the runs" for i in images if i.view not in runs]
    jobs = [(image, runs[image.view][0].preparation, options.limits) for image in known]

    def stream() -> Iterator[Input]:
        of_images: Counter[str] = Counter()
        for outcome in spread(_prepare, jobs, options.workers, options.limits.seconds):
            image = outcome.item[0]
            if outcome.value is None:
                notes.append(f"left out: {outcome.error}")
                continue
            pixels, own = outcome.value
            of_images.update(own)
            yield Input(image.key, image.view, pixels)
        notes.extend(f"{note} (images: {count})" for note, count in of_images.most_common())

    return stream(), len(jobs)


def _prepare(job: tuple[SubjectImage, Preparation, Limits]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    image, preparation, limits = job
    file = prepare_file(image.path, preparation, limits, image.view)
    return file.prepared.pixels, (*file.facts.notes, *file.prepared.notes)
