"""The images that are explained: rows of a dataset, or the files of one subject's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.archives.subjects import SubjectImage, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.execution.local import spread
from ensemble_mammo.imaging.prepared import Placement, prepare_pixels
from ensemble_mammo.imaging.read import Limits, read_mammogram
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.looked_at import require_looked_at
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain.options import ExplainOptions

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class ExamImage:
    """An image on its way to its map: original pixels, prepared pixels, and how they lie."""

    key: tuple[str, str]
    "subject and exam"
    view: View
    "its projection"
    original: Grey
    "[H, W] as the map is laid over it: of the source file, or of the dataset's prepared image; 0 to 1"
    prepared: NDArray[np.uint16]
    "[h, w] as the network's input is made from it"
    placement: Placement | None
    "of the prepared image in the original; None: they are the same"
    image_id: str = ""
    "in the dataset; empty for a subject's folder"
    mm_per_pixel: float = 0.0
    "height of a pixel of `original`, in millimetres; 0: not known"


def images_to_explain(
    source: Dataset | Path, runs: Mapping[View, LoadedRun], options: ExplainOptions, notes: list[str]
) -> tuple[Iterator[ExamImage], int]:
    """The images, exam by exam, and how many there are; what was left out is added to the notes.

    Raises:
        DatasetError: no usable image, another preparation, or tiles or mammograms where the other is looked at.
        RunError: no run of a view that is there.
    """
    require_looked_at(source, next(iter(runs.values())), "explain")
    if isinstance(source, Dataset):
        said = [
            source.require_preparation(run.preparation, v, options.other_source, run.recipe.resizes_tiles)
            for v, run in runs.items()
        ]
        notes += [note for note in dict.fromkeys(said) if note]
        rows = source.rows(split=options.split or None)
        rows = rows[rows["view"].isin(list(runs))]
        if rows.empty:
            raise DatasetError(f"{source.root}: no image in split {options.split!r} of the views {', '.join(runs)}")
        rows = rows.sort_values(["subject_id", "exam_id", "view", "image_id"], kind="stable")
        return _from_rows(source, rows.to_dict("records")), len(rows)
    found, said = subject_images(source, read_views(options.views) if options.views else None, options.workers)
    notes += said
    jobs = [(image, runs[image.view].preparation, options.limits) for image in found if image.view in runs]
    if not jobs:
        raise RunError(f"{source}: has {', '.join(sorted({i.view for i in found}))}, the runs are of {', '.join(runs)}")
    return _from_files(jobs, options, notes), len(jobs)


def _from_rows(dataset: Dataset, rows: list[dict[Any, str]]) -> Iterator[ExamImage]:
    for row in rows:
        pixels = read_png16(dataset.root / row["file"])
        original = pixels.astype(np.float32) / np.float32(65535)
        key = row["subject_id"], row["exam_id"]
        yield ExamImage(key, View(row["view"]), original, pixels, None, row["image_id"], _mm_of(row, len(pixels)))


def _mm_of(row: dict[Any, str], rows: int) -> float:
    """Height of a prepared pixel: the source's spacing, as many times as the crop was made smaller.

    0 for a tile or patch: the crop is its mammogram's.
    """
    if row.get("size_px"):
        return 0.0
    spacing, crop = row["pixel_spacing_mm"], row["crop_height"] or row["source_height"]
    return float(spacing) * float(crop) / rows if spacing and crop else 0.0


def _from_files(
    jobs: list[tuple[SubjectImage, Preparation, Limits]], options: ExplainOptions, notes: list[str]
) -> Iterator[ExamImage]:
    for outcome in spread(_read, jobs, options.workers, options.limits.seconds):
        image = outcome.item[0]
        if outcome.value is None:
            notes.append(f"left out: {outcome.error}")
        else:
            pixels, prepared, placement, mm = outcome.value
            yield ExamImage(image.key, image.view, pixels, prepared, placement, mm_per_pixel=mm)


def _read(job: tuple[SubjectImage, Preparation, Limits]) -> tuple[Grey, NDArray[np.uint16], Placement, float]:
    image, preparation, limits = job
    mammogram = read_mammogram(image.path, preparation, limits)
    prepared = prepare_pixels(mammogram, preparation, image.view)
    mm = (mammogram.facts.pixel_spacing_mm or 0.0) * mammogram.reduction
    return mammogram.pixels, prepared.pixels, prepared.placement, mm
