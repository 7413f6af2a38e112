"""The four views of one exam as a page for reading: pictures, maps, boxes and scores in one file, no server.

The page hangs the views as radiologists do (R CC, L CC above R MLO, L MLO, chest walls meeting in the middle), applies
window, map and boxes in the browser, and asks the network for nothing: its own content policy forbids it.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from ensemble_mammo.merit.pages.reader_boxes import (
    FoundBox,
    ReaderBox,
    boxes_from_json,
    boxes_shown,
)
from ensemble_mammo.merit.pages.reader_index import IndexEntry, reader_index
from ensemble_mammo.records.subject import SUBJECT, Projection, Side, View
from ensemble_mammo.records.task import Task

__all__ = [
    "FoundBox",
    "IndexEntry",
    "ReaderBox",
    "ReaderExam",
    "ReaderView",
    "boxes_from_json",
    "boxes_shown",
    "reader_index",
    "reader_page",
    "stands_turned",
]

HANGING = tuple(tuple(View.of(projection, side) for side in Side) for projection in Projection)
"""Rows of the page, each the right and the left breast: right breasts hang on the left."""

COLOURS = ("inferno", "viridis", "Blues_r")
"""Colour maps offered, by matplotlib's names; the last has one hue."""
_STOPS = 33
_OFF_CENTRE = 0.04
"""Share of the width by which the tissue's centre must lie on the wrong side before an image is called turned."""
_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class ReaderView:
    """One mammogram of the page."""

    view: View
    "its projection and side"
    picture: bytes
    "grey PNG or JPEG of 8 bits at display size, tissue bright, the whole range of greys kept (no window burned in)"
    map_: bytes | None
    "grey PNG of 8 bits: the map, 255 where it is 1, over the same field as the picture, at any size; None: no map"
    scores: Mapping[str, float]
    "class -> softmax score of this view"
    explained: str
    "the class that the map explains; empty without a map"
    boxes: tuple[ReaderBox, ...] = ()
    "in pixels of the picture"
    note: str = ""
    "said below the view's name"
    mm_per_pixel: float = math.nan
    "size of a pixel of the picture, in mm, for a scale and one magnification of all views; nan: not known"

    def __post_init__(self) -> None:
        """Refuse files that a browser would not show."""
        _kind(self.picture)
        if self.map_ is not None:
            _kind(self.map_)


@dataclass(frozen=True)
class ReaderExam:
    """What one page shows."""

    title: str
    "subject and exam as they may be shown; no patient's name"
    task: Task
    "its classes order the scores"
    views: Mapping[View, ReaderView]
    "those present"
    breasts: Mapping[str, Mapping[str, float]]
    "'right', 'left' -> class -> score"
    subject: Mapping[str, float]
    "class -> score"
    method: str
    "how the maps were made, such as grad-cam; empty: no maps"
    notes: tuple[str, ...] = ()
    "said beside the scores"

    def __post_init__(self) -> None:
        """Refuse scores of other classes, and views under another's name."""
        for view, one in self.views.items():
            if view != one.view:
                raise ValueError(f"view {one.view} stands under {view}")
        levels = {view.value: one.scores for view, one in self.views.items()} | dict(self.breasts)
        for level, scores in (levels | {SUBJECT: self.subject}).items():
            if scores and set(scores) != set(self.task.classes):
                raise ValueError(f"{level}: scores of {', '.join(scores)}, expected {', '.join(self.task.classes)}")


def reader_page(exam: ReaderExam) -> str:
    """The page of one exam, with pictures, maps, style and program inside it.

    Args:
        exam: what it shows.

    Returns:
        HTML that needs no other file and no network.
    """
    folder = resources.files("ensemble_mammo.merit.pages") / "templates"
    text = {name: (folder / name).read_text("utf-8") for name in ("reader.html", "reader.css", "reader.js")}
    turned = [view for row in HANGING for view in row if view in exam.views]
    turned = [view for view in turned if stands_turned(exam.views[view].picture, view)]
    notes = [*exam.notes, *([_turned_note(turned)] if turned else [])]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["two"] = _two
    return environment.from_string(text["reader.html"]).render(
        exam=exam,
        style=text["reader.css"],
        program=text["reader.js"],
        rows=[[_tile(exam, view, view in turned) for view in row] for row in HANGING],
        levels=_levels(exam),
        tall=any(len(name) > 9 for name in exam.task.classes),  # longer headings stand upright
        notes=notes,
        mapped=any(one.map_ for one in exam.views.values()),
        boxed=any(one.boxes for one in exam.views.values()),
        scored=any(not math.isnan(box.score) for one in exam.views.values() for box in one.boxes),
        data={
            "colours": {name: _stops(name) for name in COLOURS},
            "views": {view.value: _described(one) for view, one in exam.views.items()},
        },
    )


def stands_turned(picture: bytes, view: View) -> bool:
    """Whether a mammogram's chest wall seems to stand on the other side than that on which radiologists hang it.

    A right breast hangs with its chest wall at the right edge, a left one at the left edge. The chest wall is taken to
    be where the tissue's centre of mass is; the background is the most frequent grey along the picture's edges.
    """
    from PIL import Image

    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L").reduce(4), np.float64)
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = 8 * np.bincount((edges // 8).astype(int), minlength=32).argmax() + 4
    tissue = np.clip(np.abs(grey - background) - 12, 0, None).sum(axis=0)
    if not tissue.any():
        return False
    centre = float((tissue * (np.arange(len(tissue)) + 0.5)).sum() / tissue.sum() / len(tissue)) - 0.5
    return centre < -_OFF_CENTRE if view.side == Side.RIGHT else centre > _OFF_CENTRE


def _turned_note(views: list[View]) -> str:
    names = ", ".join(_short(view) for view in views)
    return (
        f"{names}: the chest wall seems to stand at the outer edge, not in the middle of the page. Shown as it came; "
        "“Turn over” on a view, or the key T for all of these, mirrors it here."
    )


def _tile(exam: ReaderExam, view: View, turned: bool) -> dict[str, Any]:
    """What the template says of one place of the page."""
    one = exam.views.get(view)
    place = {"view": view, "short": _short(view), "side": view.side, "shown": one, "turned": turned}
    if one is None:
        return place
    name, score = _predicted(one.scores, exam.task)
    return place | {
        "predicted": name,
        "score": score,
        "picture": _address(one.picture),
        "map": _address(one.map_) if one.map_ else "",
    }


def _levels(exam: ReaderExam) -> list[dict[str, Any]]:
    """Rows of the table of scores: subject, breasts, views; a cell a class."""
    rows: list[tuple[str, str, Mapping[str, float]]] = [("Subject", SUBJECT, exam.subject)]
    rows += [(f"{side.value.capitalize()} breast", "breast", exam.breasts.get(side, {})) for side in Side]
    views = [view for row in HANGING for view in row]
    rows += [(_short(view), "view", exam.views[view].scores if view in exam.views else {}) for view in views]
    found = []
    for name, kind, scores in rows:
        best = _predicted(scores, exam.task)[0]
        cells = [{"score": scores.get(one, math.nan), "best": one == best} for one in exam.task.classes]
        found.append({"name": name, "kind": kind, "cells": cells if scores else []})
    return found


def _predicted(scores: Mapping[str, float], task: Task) -> tuple[str, float]:
    """The class of the highest score, the first of equals, and that score; no class where none is defined."""
    defined = [(name, scores[name]) for name in task.classes if not math.isnan(scores.get(name, math.nan))]
    return max(defined, key=lambda pair: pair[1], default=("", math.nan))


def _described(one: ReaderView) -> dict[str, Any]:
    """What the page's program must know of a view; what is not known is null."""
    boxes = [
        {
            "at": [box.x0, box.y0, box.x1, box.y1],
            "score": None if math.isnan(box.score) else box.score,
            "label": box.label,
        }
        for box in one.boxes
    ]
    return {"boxes": boxes, "mm": one.mm_per_pixel if one.mm_per_pixel > 0 else None}


def _stops(name: str) -> list[list[int]]:
    """A colour map as `_STOPS` colours `[red, green, blue]` from 0 to 255, evenly spaced."""
    from matplotlib import colormaps

    return np.rint(colormaps[name](np.linspace(0, 1, _STOPS))[:, :3] * 255).astype(int).tolist()


def _short(view: View) -> str:
    """RCC, LCC, RMLO or LMLO, as it is written on films."""
    return f"{view.side.letter}{view.projection.value}"


def _kind(data: bytes) -> str:
    for start, kind in _KINDS.items():
        if data.startswith(start):
            return kind
    raise ValueError(f"picture begins with {data[:8]!r}, expected a PNG or JPEG file")


def _address(data: bytes) -> str:
    return f"data:{_kind(data)};base64,{base64.b64encode(data).decode('ascii')}"


def _two(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
