"""The four-view page of an exam, and the page that lists them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.imaging.prepared import Placement
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.pages.reader_page import (
    FoundBox,
    IndexEntry,
    ReaderBox,
    ReaderExam,
    ReaderView,
    boxes_from_json,
    reader_index,
    reader_page,
)
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.predictions import Predictions, view_predictions
from ensemble_mammo.records.subject import SUBJECT, Side, View
from ensemble_mammo.records.task import Task
from ensemble_mammo.stages.explain.images import ExamImage, Grey
from ensemble_mammo.stages.explain.options import ExplainOptions
from ensemble_mammo.stages.explain.shown import Shown

READER = "reader.html"
"""The page of one exam, in its folder."""

INDEX = "index.html"
"""The list of pages."""

ROWS_PX = 2048
"""Rows of a picture at most: what a screen shows at twice its height, at a size that can be mailed."""

_MAP_ROWS_PX = 512

Boxes = Mapping[tuple[str, str, View], tuple[FoundBox, ...]]


@dataclass(frozen=True)
class Page:
    """A page that was written."""

    entry: IndexEntry
    "its line in the list"
    boxed: int
    "how many boxes it shows"


def boxes_of(options: ExplainOptions) -> Boxes:
    """The boxes that are to be shown, read before anything is explained."""
    return boxes_from_json(options.boxes) if options.boxes else {}


def write_page(exam: Sequence[Shown], boxes: Boxes, task: Task, out: Path, method: str) -> Page:
    """Write the page of an exam beside its maps."""
    key = exam[0].image.key
    levels = _levels(exam, task)
    first: dict[View, Shown] = {}
    for shown in exam:
        first.setdefault(shown.image.view, shown)
    views = {view: _view(shown, boxes.get((*key, view), ()), task) for view, shown in first.items()}
    scores = {level: dict(zip(p.classes, map(float, p.scores[0]), strict=True)) for level, p in levels.items()}
    title = key[0] if key[1] == "1" else f"{key[0]}, exam {key[1]}"
    said = f"{method}; 1 is each view's own highest"
    breasts = {str(side): scores[side] for side in Side if side in scores}
    page = reader_page(ReaderExam(title, task, views, breasts, scores[SUBJECT], said, _notes(exam)))
    path = (out / exam[0].files.raw).parent / READER
    write_text(path, page)
    best = max(scores[SUBJECT], key=scores[SUBJECT].__getitem__)
    place = path.relative_to(out).as_posix()
    entry = IndexEntry(title, place, best, scores[SUBJECT][best], len(views))
    return Page(entry, sum(len(view.boxes) for view in views.values()))


def write_index(pages: Sequence[Page], boxes: Boxes, task: Task, out: Path, options: ExplainOptions) -> None:
    """Write the list.

    Raises:
        PredictionError: boxes of exams that were not explained, so that none of the boxes was shown.
    """
    if boxes and not any(page.boxed for page in pages):
        subject, exam, view = next(iter(boxes))
        raise PredictionError(
            f"{options.boxes}: none of its {len(boxes)} images was explained, the first being subject "
            f"{subject!r}, exam {exam!r}, {view}; write ids as the predictions have them"
        )
    write_text(out / INDEX, reader_index([page.entry for page in pages], task))


def _levels(exam: Sequence[Shown], task: Task) -> dict[str, Predictions]:
    """Right, left and subject, fused by the task's rule from the scores that came with the maps."""
    tables = []
    for view in dict.fromkeys(shown.image.view for shown in exam):
        own = [shown for shown in exam if shown.image.view == view]
        scores = np.array([shown.made.scores for shown in own])
        tables.append(view_predictions(view, task.classes, [shown.image.key for shown in own], scores))
    return dict(fuse(tables, task).levels)


def _notes(exam: Sequence[Shown]) -> tuple[str, ...]:
    views = [shown.image.view for shown in exam]
    several = [view for view in dict.fromkeys(views) if views.count(view) > 1]
    return (f"several images of {', '.join(several)}: the first is shown, scores are averaged",) if several else ()


def _view(shown: Shown, found: Sequence[FoundBox], task: Task) -> ReaderView:
    image = shown.image
    field = _field(image)
    picture = _scaled(image.original[field], ROWS_PX)
    share = picture.shape[0] / (field[0].stop - field[0].start)
    return ReaderView(
        image.view,
        _png(picture),
        _png(_scaled(shown.map_[field], _MAP_ROWS_PX)),
        dict(zip(task.classes, map(float, shown.made.scores), strict=True)),
        task.classes[shown.made.class_index],
        tuple(_box(one, image, picture.shape) for one in found),
        mm_per_pixel=image.mm_per_pixel / share if image.mm_per_pixel else math.nan,
    )


def _field(image: ExamImage) -> tuple[slice, slice]:
    """What of the original is shown: the crop of the breast where there is one."""
    placed = image.placement
    if placed is None:
        return slice(0, image.original.shape[0]), slice(0, image.original.shape[1])
    down, across = _reduction(image, placed)
    rows = slice(round(placed.crop_top / down), round((placed.crop_top + placed.crop_height) / down))
    return rows, slice(round(placed.crop_left / across), round((placed.crop_left + placed.crop_width) / across))


def _reduction(image: ExamImage, placed: Placement) -> tuple[float, float]:
    """Source pixels to one of the pixels read: above 1 where a file was decoded at a lower level."""
    return placed.source_height / image.original.shape[0], placed.source_width / image.original.shape[1]


def _box(found: FoundBox, image: ExamImage, picture: tuple[int, ...]) -> ReaderBox:
    """A box in pixels of the picture shown."""
    placed, shape = image.placement, (picture[0], picture[1])
    if placed is None:
        height, width = image.original.shape
        return found.shown((height, width), shape)
    source = (placed.source_height, placed.source_width)
    box = found.shown(source, source) if found.height else _to_source(found.box, placed)
    down, across = shape[0] / placed.crop_height, shape[1] / placed.crop_width
    return replace(
        box,
        x0=(box.x0 - placed.crop_left) * across,
        x1=(box.x1 - placed.crop_left) * across,
        y0=(box.y0 - placed.crop_top) * down,
        y1=(box.y1 - placed.crop_top) * down,
    )


def _to_source(box: ReaderBox, placed: Placement) -> ReaderBox:
    """A box in prepared pixels, in those of the source; sides are edges of pixels, half a pixel beside centres."""
    first = placed.point_to_source(box.y0 - 0.5, box.x0 - 0.5)
    last = placed.point_to_source(box.y1 - 0.5, box.x1 - 0.5)
    columns = sorted((first[1] + 0.5, last[1] + 0.5))
    return replace(box, x0=columns[0], x1=columns[1], y0=first[0] + 0.5, y1=last[0] + 0.5)


def _scaled(values: Grey, rows: int) -> Grey:
    if values.shape[0] <= rows:
        return values
    width = max(1, round(values.shape[1] * rows / values.shape[0]))
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize((width, rows), Image.Resampling.BOX), np.float32)


def _png(values: Grey) -> bytes:
    pixels: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
