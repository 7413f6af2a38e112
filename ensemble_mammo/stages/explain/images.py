"""The images that are explained: rows of a dataset, or the files of one subject's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.archives.subjects import subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.execution.local import one_by_one
from ensemble_mammo.imaging.prepared import Placement
from ensemble_mammo.imaging.raw import RawFile, both_ways
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


@dataclass(frozen=True)
class Wanted:
    """An image that is to be explained, not yet read."""

    key: tuple[str, str]
    "subject and exam"
    view: View
    "its projection"
    path: Path
    "the file"
    preparation: Preparation | None = None
    "what is done to a file as it came; None: a dataset's image, prepared already"
    image_id: str = ""
    "in the dataset; empty for files as they came"
    crop_mm: float = 0.0
    "of a dataset's image: its height in millimetres; 0: not known"


def wanted_images(
    source: Dataset | Path, runs: Mapping[View, LoadedRun], options: ExplainOptions, notes: list[str]
) -> list[Wanted]:
    """The images, exam by exam; what was left out is added to the notes.

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
        return [_of_row(source.root, row) for row in rows.to_dict("records")]
    stated = read_views(options.views) if options.views else None
    found, said = subject_images(source, stated, options.workers)
    notes += said
    wanted = [Wanted(i.key, i.view, i.path, runs[i.view].preparation) for i in found if i.view in runs]
    if not wanted:
        raise RunError(f"{source}: has {', '.join(sorted({i.view for i in found}))}, the runs are of {', '.join(runs)}")
    return wanted


def _of_row(root: Path, row: dict[Any, str]) -> Wanted:
    key = row["subject_id"], row["exam_id"]
    return Wanted(key, View(row["view"]), root / row["file"], None, row["image_id"], _crop_mm(row))


def _crop_mm(row: dict[Any, str]) -> float:
    """Height of what the prepared image shows; 0 for a tile or patch: the crop is its mammogram's."""
    if row.get("size_px"):
        return 0.0
    spacing, crop = row["pixel_spacing_mm"], row["crop_height"] or row["source_height"]
    return float(spacing) * float(crop) if spacing and crop else 0.0


def read_images(
    images: Sequence[Wanted], options: ExplainOptions, notes: list[str], worker: bool = False
) -> Iterator[ExamImage | None]:
    """Read images; files as they came in worker processes. One that fails is None, with a note.

    Args:
        images: all of a dataset, or all files as they came.
        options: workers and limits.
        notes: added to.
        worker: whether this process is a worker: it reads files as they came itself.
    """
    files = files_of(images, options)
    if not files:
        for image in images:
            pixels = read_png16(image.path)
            original = pixels.astype(np.float32) / np.float32(65535)
            mm = image.crop_mm / len(pixels)
            yield ExamImage(image.key, image.view, original, pixels, None, image.image_id, mm)
        return
    read = one_by_one(both_ways, files) if worker else spread(both_ways, files, options.workers, options.limits.seconds)
    for image, outcome in zip(images, read, strict=True):
        if outcome.value is None:
            notes.append(f"left out: {outcome.error}")
            yield None
        else:
            made = outcome.value
            yield ExamImage(
                image.key, image.view, made.original, made.prepared, made.placement, mm_per_pixel=made.mm_per_pixel
            )


def files_of(images: Sequence[Wanted], options: ExplainOptions) -> list[RawFile]:
    """The files as they came among images."""
    return [RawFile(one.path, one.view, one.preparation, options.limits) for one in images if one.preparation]
