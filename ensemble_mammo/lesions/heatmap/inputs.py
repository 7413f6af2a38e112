"""The images that are looked at: rows of a dataset, the files of a subject's folder, or one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.archives.dicom import HEADER_SECONDS, found_image
from ensemble_mammo.archives.subjects import SubjectImage, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.execution.local import one_by_one
from ensemble_mammo.imaging.prepared import Placement, resized
from ensemble_mammo.imaging.raw import BothWays, RawFile, both_ways
from ensemble_mammo.imaging.read import read_facts
from ensemble_mammo.learning.looked_at import refuse_cut
from ensemble_mammo.lesions.heatmap.networks import Networks
from ensemble_mammo.lesions.heatmap.options import LesionMapOptions
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.naming import StatedView
from ensemble_mammo.records.png16 import WHITE, read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.remote import shown
from ensemble_mammo.records.shards import exists, state
from ensemble_mammo.records.subject import View

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """An image that is to be looked at."""

    key: tuple[str, str]
    "subject and exam"
    view: View
    "its projection"
    number: int
    "1, or its place among several images of the exam's view"
    path: Path
    "the file"
    image_id: str = ""
    "in the dataset; empty for files as they came"
    preparation: Preparation | None = None
    "what is done to a file as it came; None: a dataset's image, prepared already"

    @property
    def stem(self) -> str:
        """Of the files written, relative to the output folder: what a file name cannot bear is written as its code."""
        folder = "_".join("".join(c if c.isalnum() or c in ".-" else f"%{ord(c):02x}" for c in p) for p in self.key)
        return f"{folder}/{self.view}" + (f"_{self.number}" if self.number > 1 else "")

    @property
    def version(self) -> str:
        """Another one for another file, or for the same when it was changed."""
        size, changed = state(self.path) or (0, 0)
        return f"{self.stem} {self.image_id} {shown(self.path.resolve())} {size} {changed}"


@dataclass(frozen=True)
class Look:
    """An image that was read."""

    wanted: Wanted
    "which one"
    original: Grey
    "[H, W] from 0 to 1, in whose coordinates the map is written: the source file's, or the prepared image's"
    prepared: NDArray[np.uint16]
    "[h, w]"
    placement: Placement | None
    "of the prepared image in the original; None: they are the same"


def wanted_images(
    source: Dataset | Path, networks: Networks, options: LesionMapOptions, notes: list[str]
) -> list[Wanted]:
    """The images to look at, in the order of subjects, exams and views; what was left out is added to the notes.

    Raises:
        DatasetError: no usable image, a set of tiles or patches, or another preparation than in training.
    """
    if isinstance(source, Dataset):
        return _of_dataset(source, networks, options, notes)
    if not source.exists():
        raise DatasetError(f"{source}: no such file or folder")
    preparation = networks.first.preparation
    if source.is_file():
        view = _view_of(source, options)
        if view not in networks.runs:
            raise DatasetError(f"{source}: is {view}, and the runs know {', '.join(networks.runs)} alone")
        return [Wanted((source.stem, "1"), view, 1, source, "", preparation)]
    found, said = subject_images(source, read_views(options.views) if options.views else None, options.workers)
    notes += said
    known = _with_network(found, networks, notes)
    if not known:
        raise DatasetError(f"{source}: no image of a view that the runs know ({', '.join(networks.runs)})")
    seen: Counter[View] = Counter()
    images = []
    for image in known:
        seen[image.view] += 1
        images.append(Wanted(image.key, image.view, seen[image.view], image.path, "", preparation))
    return images


def read_images(
    images: Sequence[Wanted], options: LesionMapOptions, notes: list[str], worker: bool = False
) -> Iterator[Look]:
    """Read images one after the other; files as they came in worker processes, those that fail with a note.

    Args:
        images: all of a dataset, or all files as they came.
        options: workers and limits.
        notes: added to.
        worker: whether this process is a worker: it reads files as they came itself.
    """
    files = [RawFile(one.path, one.view, one.preparation, options.limits) for one in images if one.preparation]
    if not files:
        for image in images:
            pixels = read_png16(image.path)
            yield Look(image, pixels.astype(np.float32) / np.float32(WHITE), pixels, None)
        return
    read = one_by_one(both_ways, files) if worker else spread(both_ways, files, options.workers, options.limits.seconds)
    for image, outcome in zip(images, read, strict=True):
        if outcome.value is None:
            notes.append(f"left out: {outcome.error}")
        else:
            yield _look(image, outcome.value)


def _look(image: Wanted, read: BothWays) -> Look:
    pixels, placed = read.original, read.placement
    source = placed.source_height, placed.source_width
    if pixels.shape != source:  # decoded at a lower level
        pixels = resized(pixels, *source)
    return Look(image, pixels, read.prepared, placed)


def _of_dataset(source: Dataset, networks: Networks, options: LesionMapOptions, notes: list[str]) -> list[Wanted]:
    refuse_cut(source)
    folder = str(networks.first.folder)
    said = source.require_preparation(networks.first.preparation, folder, options.other_source, any_size=True)
    notes += [said] if said else []
    rows = source.rows(split=options.split or None)
    rows = rows[rows["view"].isin(list(networks.runs))]
    if rows.empty:
        of = f"in split {options.split!r} " if options.split else ""
        raise DatasetError(f"{source.root}: no image {of}of a view that the runs know ({', '.join(networks.runs)})")
    return _numbered(source.root, rows)


def _numbered(root: Path, rows: pd.DataFrame) -> list[Wanted]:
    rows = rows.sort_values(["subject_id", "exam_id", "view", "image_id"], kind="stable")
    seen: Counter[tuple[str, str, str]] = Counter()
    images = []
    for row in rows.to_dict("records"):
        of_view = row["subject_id"], row["exam_id"], row["view"]
        seen[of_view] += 1
        path = root / row["file"]
        if not exists(path):
            raise DatasetError(f"{path}: missing; prepare the dataset again")
        images.append(Wanted(of_view[:2], View(row["view"]), seen[of_view], path, row["image_id"]))
    return images


def _with_network(found: Collection[SubjectImage], networks: Networks, notes: list[str]) -> list[SubjectImage]:
    notes += [
        f"{i.key[0]}/{i.source}: no network for {i.view} in the runs" for i in found if i.view not in networks.runs
    ]
    order = list(View)
    return sorted((i for i in found if i.view in networks.runs), key=lambda i: (order.index(i.view), i.source))


def _view_of(path: Path, options: LesionMapOptions) -> View:
    """The view of a single file: as told, else by its header and name.

    Raises:
        DatasetError: it cannot be read, or its view is not known.
    """
    if options.view:
        return options.view
    (outcome,) = spread(read_facts, [path], 1, HEADER_SECONDS)
    if outcome.value is None:
        raise DatasetError(outcome.error)
    found = found_image(path, path.name, outcome.value, StatedView())
    if found.view is None:
        raise DatasetError(f"{path}: {found.problem.split('; say it')[0]}; say it with --view, such as --view CC_R")
    return found.view
