"""Section: the worst errors, with their images and maps where a dataset and maps are at hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.imaging.overlay import grey_rgb, overlay, sheet
from ensemble_mammo.merit.sections import Cell, Picture, Section, Table
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import level_in_words

MAPS = "maps.json"
"""What `explain` writes beside its maps."""

_ROWS_SHOWN = 30
_PICTURES_SHOWN = 6
_PANEL_HEIGHT_PX = 300

Key = tuple[str, str]


def section(study: Study) -> Section | None:
    """The judged exams of the top level that are wrong, gravest first; None where all are right."""
    top = study.top
    order = _worst_first(top)
    if not len(order):
        return None
    total = len(top.true)
    grave = int((np.abs(top.predicted - top.true) > 1).sum()) if study.task.ordinal else 0
    are = "is" if len(order) == 1 else "are"
    lead = f"{level_in_words(top.level, True)}: {len(order)} of {total} exams {are} put in a wrong class"
    lead = lead if top.cut is None else f"{lead} at the threshold {top.cut:.3g}"
    lead += f", {grave} of them by two classes or more." if study.task.ordinal else "."
    shown = order[:_ROWS_SHOWN]
    table = Table(
        "worst-errors",
        f"The worst {len(shown)} errors" if len(shown) < len(order) else "All errors",
        {
            "error": "no.",
            "subject_id": "subject",
            "exam_id": "exam",
            "true": "true class",
            "called": "called",
            "score_called": "score of the class called",
            "score_true": "score of the true class",
            "views": "views",
        },
        [_row(top, i, number, study) for number, i in enumerate(shown, start=1)],
        "Ordered by how far the score lies on the wrong side of the threshold."
        if top.cut is not None
        else "Ordered by how many classes lie between, then by how far the called class scored above the true one.",
    )
    return Section(
        "errors",
        "Worst errors",
        lead,
        tables=(table,),
        pictures=tuple(_pictures(study, top, order[:_PICTURES_SHOWN])),
    )


def _worst_first(top: Judged) -> list[int]:
    rows = np.arange(len(top.true))
    confidence = top.scores[rows, top.predicted] - top.scores[rows, top.true]
    if top.cut is not None:
        confidence = np.abs(top.positive_score - top.cut)
    distance = np.abs(top.predicted - top.true)
    wrong = np.flatnonzero(distance)
    return [int(i) for i in sorted(wrong, key=lambda i: (-distance[i], -confidence[i], i))]


def _row(top: Judged, i: int, number: int, study: Study) -> list[Cell]:
    classes, hidden = study.task.classes, study.options.hide_ids
    called, true = int(top.predicted[i]), int(top.true[i])
    ids: list[Cell] = [f"subject {i + 1}", ""] if hidden else [top.rows.subject_ids[i], top.rows.exam_ids[i]]
    scores: list[Cell] = [float(top.scores[i, called]), float(top.scores[i, true])]
    return [number, *ids, classes[true], classes[called], *scores, top.rows.views[i]]


def _pictures(study: Study, top: Judged, order: list[int]) -> list[Picture]:
    """The four views of each error, its maps laid over them where there are some."""
    dataset = study.options.dataset
    if dataset is None:
        return []
    maps = _maps(study.options.maps) if study.options.maps else {}
    made = []
    for number, i in enumerate(order, start=1):
        key = top.rows.subject_ids[i], top.rows.exam_ids[i]
        panels = _panels(dataset, key, maps)
        if panels:
            classes = study.task.classes
            who = f"error {number}" if study.options.hide_ids else f"error {number}: {key[0]}"
            title = f"{who}, truly {classes[top.true[i]]}, called {classes[top.predicted[i]]}"
            caption = "With the map of each view's predicted class." if any((*key, v) in maps for v in panels) else ""
            made.append(Picture(title, _jpeg(sheet(panels, panel_height=_PANEL_HEIGHT_PX)), caption))
    return made


def _panels(dataset: Dataset, key: Key, maps: dict[tuple[str, str, View], Path]) -> dict[View, NDArray[np.uint8]]:
    own = dataset.table[(dataset.table["subject_id"] == key[0])]
    exam = own[own["exam_id"] == key[1]]
    rows = exam if len(exam) else own if own["exam_id"].nunique() == 1 else exam
    panels: dict[View, NDArray[np.uint8]] = {}
    for view, file in rows[["view", "file"]].itertuples(index=False):
        if View(view) in panels:
            continue
        pixels = read_png16(dataset.root / file).astype(np.float32) / np.float32(65535)
        place = maps.get((*key, View(view)))
        panels[View(view)] = overlay(pixels, _map_at(place, pixels.shape)) if place else grey_rgb(pixels)
    return panels


def _map_at(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A raw map at the size of the image."""
    try:
        values = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        raise PredictionError(f"{path}: cannot be read as a map: {error}; make the maps again") from error
    if values.shape == shape:
        return values
    return np.asarray(Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _maps(folder: Path) -> dict[tuple[str, str, View], Path]:
    path = folder / MAPS
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["maps"]
        return {(one["subject_id"], one["exam_id"], View(one["view"])): folder / one["raw"] for one in reversed(listed)}
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; make maps with `ensemble-mammo explain … --out {folder}`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a list of maps ({error!r}); make the maps again") from error


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, format="JPEG", quality=80)
    return picture.getvalue()
