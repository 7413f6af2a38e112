"""lesions.json: the boxes that heatmaps gave, image by image."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.hitting import Boxes

HEATMAPS = "lesions.json"
"""What `heatmap` writes beside its maps."""

_AGAIN = "make it with: ensemble-mammo heatmap --models RUN --data dataset"
_TEXTS = ("image_id", "subject_id", "view")
_NUMBERS = ("score", "row", "column", "top", "left", "height", "width")
_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class ImageBoxes:
    """One image of lesions.json."""

    image_id: str
    "as the dataset has it"
    subject_id: str
    "the patient"
    exam_id: str
    "the visit"
    view: str
    "CC_R, CC_L, MLO_R or MLO_L"
    shape: tuple[int, int]
    "(rows, columns) of the image that the boxes lie in"
    boxes: Boxes
    "highest score first, as given"
    overlay: Path | None = None
    "the picture of its heatmap"


@dataclass(frozen=True)
class Heatmaps:
    """A folder that `heatmap` wrote."""

    path: Path
    "its lesions.json"
    images: tuple[ImageBoxes, ...]
    "in the order of the file"
    settings: Mapping[str, Any]
    "mode, stride_px and patch_px, as far as they are said"
    notes: tuple[str, ...] = ()
    "what it says that a reader must know"


def read_heatmaps(folder: Path) -> Heatmaps:
    """Read the boxes of a folder of heatmaps.

    Args:
        folder: the folder, or its lesions.json.

    Raises:
        PredictionError: no such file, or entries that cannot be right, with their places, all at once.
    """
    path = folder / HEATMAPS if folder.is_dir() else folder
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        found = f"holds no {HEATMAPS}" if folder.is_dir() else "no such folder"
        raise PredictionError(f"{folder}: {found}; {_AGAIN}") from error
    except (ValueError, OSError) as error:
        raise PredictionError(f"{path}: cannot be read as JSON: {error}; {_AGAIN}") from error
    entries = held.get("images") if isinstance(held, dict) else None
    if not isinstance(entries, list):
        raise PredictionError(f"{path}: expected an object with a list 'images'; {_AGAIN}")
    problems: list[str] = []
    images = [_image(entry, f"images[{i}]", path.parent, problems) for i, entry in enumerate(entries)]
    ids = [one.image_id for one in images if one is not None]
    twice = {one for one in ids if ids.count(one) > 1} if len(set(ids)) < len(ids) else set()
    problems += [f"image_id {one!r} stands in several entries" for one in sorted(twice)]
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise PredictionError(f"{path}: " + "; ".join(problems[:_PROBLEMS_SHOWN]) + f"{more}; {_AGAIN}")
    settings = {name: held[name] for name in ("mode", "stride_px", "patch_px") if name in held}
    notes = held.get("notes", [])
    said = tuple(str(note) for note in notes) if isinstance(notes, list) else ()
    return Heatmaps(path, tuple(one for one in images if one is not None), settings, said)


def _image(entry: Any, where: str, folder: Path, problems: list[str]) -> ImageBoxes | None:
    before = len(problems)
    if not isinstance(entry, dict):
        problems.append(f"{where} is {type(entry).__name__}, expected an object")
        return None
    problems += [
        f"{where}.{name} is {entry.get(name)!r}, expected text"
        for name in _TEXTS
        if not isinstance(entry.get(name), str) or not entry[name]
    ]
    problems += [
        f"{where}.{name} is {entry.get(name)!r}, expected a number of pixels"
        for name in ("height", "width")
        if type(entry.get(name)) is not int or entry[name] < 1
    ]
    boxes = entry.get("boxes")
    if not isinstance(boxes, list):
        problems.append(f"{where}.boxes is {type(boxes).__name__}, expected a list")
        return None
    rows = [_box(box, f"{where}.boxes[{i}]", problems) for i, box in enumerate(boxes)]
    if len(problems) > before:
        return None
    overlay = entry.get("overlay")
    return ImageBoxes(
        entry["image_id"],
        entry["subject_id"],
        str(entry.get("exam_id") or "1"),
        entry["view"],
        (entry["height"], entry["width"]),
        _boxes(rows),
        folder / overlay if isinstance(overlay, str) and overlay else None,
    )


def _box(box: Any, where: str, problems: list[str]) -> list[float]:
    values = [box.get(name) if isinstance(box, dict) else None for name in _NUMBERS]
    wrong = [
        f"{where}.{name} is {value!r}, expected a finite number"
        for name, value in zip(_NUMBERS, values, strict=True)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ]
    problems += wrong
    return [] if wrong else [float(value) for value in values if value is not None]


def _boxes(rows: Sequence[Sequence[float]]) -> Boxes:
    table = np.array(rows, dtype=np.float64).reshape(-1, len(_NUMBERS))
    return Boxes(table[:, 0], table[:, 1:3], table[:, 3:])
