"""Features of a dataset's images for the probes: each image is read once, only numbers are kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.execution.local import cores
from ensemble_mammo.execution.progress import counting
from ensemble_mammo.imaging.blots import (
    blotted,
    breast_of,
    known_boxes,
    largest,
    outside_only,
    stray_boxes,
    strips,
    thumbnail,
)
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.learning.frozen import FrozenNetwork
from ensemble_mammo.records.png16 import read_png16

Numbers = NDArray[np.float32]

_AHEAD = 4
"images a thread that are read before their turn"


@dataclass(frozen=True)
class Job:
    """One image, and what is hidden in it."""

    place: int
    "its row"
    file: Path
    "the prepared PNG"
    blackened: bool
    "whether the preparation made all but the breast black"
    boxes: tuple[Box, ...] = ()
    "of its lesions"
    stray: tuple[Box, ...] = ()
    "boxes of another image's lesions, whose sizes the blots of an image without lesion take"
    seed: int = 0
    "of their places"


@dataclass(frozen=True)
class _Look:
    place: int
    pictures: dict[str, NDArray[np.uint16]]
    numbers: dict[str, Numbers]


def lesion_boxes(lesions: pd.DataFrame, rows: pd.DataFrame) -> dict[str, tuple[Box, ...] | None]:
    """image_id -> boxes of its lesions in the prepared image; () where it has none, None where one has no mask.

    Empty where no lesion of these rows has a mask.

    Args:
        lesions: of lesions.csv.
        rows: of the manifest.
    """
    own = lesions[lesions["image_id"].isin(rows["image_id"])]
    if not (own["mask"] != "").any():
        return {}
    unplaced = set(own.loc[own["mask"] == "", "image_id"])
    found = known_boxes(own)
    return {image_id: None if image_id in unplaced else found.get(image_id, ()) for image_id in rows["image_id"]}


def jobs_of(
    rows: pd.DataFrame, root: Path, blackened: bool, boxes: Mapping[str, tuple[Box, ...] | None], seed: int
) -> list[Job]:
    """What is to be looked at; images without lesion get blots as large as those of an image drawn at random."""
    known = [own for own in boxes.values() if own]
    rng = np.random.default_rng(seed)
    jobs = []
    for place, (image_id, file) in enumerate(zip(rows["image_id"], rows["file"], strict=True)):
        own = boxes.get(image_id)
        stray = known[int(rng.integers(len(known)))] if own == () and known else ()
        jobs.append(Job(place, root / file, blackened, own or (), stray, int(rng.integers(2**31))))
    return jobs


def seen(jobs: Sequence[Job], count: int, network: FrozenNetwork, workers: int = 0) -> dict[str, Numbers]:
    """The features of every kind: name -> `[count, F]`, nan where nothing was looked at.

    Raises:
        DatasetError: an image is missing or damaged.
    """
    parts: dict[str, Numbers] = {}
    tags: deque[tuple[str, int]] = deque()

    def put(name: str, place: int, values: Numbers) -> None:
        if name not in parts:
            parts[name] = np.full((count, len(values)), np.nan, np.float32)
        parts[name][place] = values

    with counting(len(jobs), "shortcuts: images probed") as advance:

        def pictures() -> Iterator[NDArray[np.uint16]]:
            for look in _looks(jobs, workers):
                for name, values in look.numbers.items():
                    put(name, look.place, values)
                for name, picture in look.pictures.items():
                    tags.append((name, look.place))
                    yield picture
                advance(1, "")

        for values in network.features(pictures()):
            put(*tags.popleft(), values)
    return parts


def _looks(jobs: Sequence[Job], workers: int) -> Iterator[_Look]:
    """The images in order, read and changed by threads that stay a few images ahead."""
    threads = workers or cores()
    with ThreadPoolExecutor(threads, thread_name_prefix="probe") as pool:
        waiting: deque[Future[_Look]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(_look, job))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _look(job: Job) -> _Look:
    pixels = read_png16(job.file)
    mask = breast_of(pixels, job.blackened)
    pictures = {"whole": pixels}
    numbers = {"strips": strips(pixels), "thumbnail": thumbnail(pixels)}
    if job.blackened:
        numbers["outside"] = np.zeros(1, np.float32)  # nothing but black is left: no network need look at it
    else:
        pictures["outside"] = outside_only(pixels, mask)
    if job.boxes or job.stray:
        boxes = list(job.boxes) or stray_boxes(mask, job.stray, job.seed)
        pictures["blotted"] = blotted(pixels, mask, boxes)
        numbers["blots"] = _places(boxes, pixels.shape)
    return _Look(job.place, pictures, numbers)


def _places(boxes: Sequence[Box], shape: tuple[int, ...]) -> Numbers:
    """What the blots tell by themselves: how many, and place and size of the largest, as shares of the image."""
    height, width = shape
    if not boxes:
        return np.zeros(6, np.float32)
    box = largest(boxes)
    row, column = (box.top + box.height / 2) / height, (box.left + box.width / 2) / width
    return np.asarray([len(boxes), box.height / height, box.width / height, row, column, abs(column - 0.5)], np.float32)
