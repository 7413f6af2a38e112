"""Boxes of a reader page: where a heatmap, a detector or the truth has something; the file that brings them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.subject import View

SHAPE_TOLERANCE = 0.02
"""How far two images of one field of view may differ in width / height, as a share: sizes are whole pixels."""
_PROBLEMS_SHOWN = 5
_SIDES = ("x0", "y0", "x1", "y1")
_KNOWN = ("subject_id", "exam_id", "view", *_SIDES, "score", "label", "height", "width")


@dataclass(frozen=True)
class ReaderBox:
    """A rectangle over a picture, in pixels of the picture that is shown."""

    x0: float
    "left side; 0 is the picture's left edge"
    y0: float
    "upper side; 0 is the picture's upper edge"
    x1: float
    "right side"
    y1: float
    "lower side"
    score: float
    "of the finding, 0 to 1; nan: none, as of a lesion that a reader drew"
    label: str
    "what it is, such as malignant, mass, truth"

    def __post_init__(self) -> None:
        """Refuse what is no rectangle."""
        if not all(map(math.isfinite, (self.x0, self.y0, self.x1, self.y1))):
            raise ValueError("a side is not a finite number")
        if self.x0 >= self.x1 or self.y0 >= self.y1:
            raise ValueError(f"x0 {self.x0:g}, x1 {self.x1:g}, y0 {self.y0:g}, y1 {self.y1:g} enclose nothing")


@dataclass(frozen=True)
class FoundBox:
    """A box as a file has it, in pixels of an image that may have another size than the one shown."""

    box: ReaderBox
    "in pixels of that image"
    height: int = 0
    "rows of that image; 0: those of the prepared image"
    width: int = 0
    "columns of that image; 0: those of the prepared image"

    def shown(self, prepared: tuple[int, int], shown: tuple[int, int]) -> ReaderBox:
        """The box in pixels of the picture that is shown.

        Args:
            prepared: rows and columns of the prepared image.
            shown: rows and columns of the picture.

        Raises:
            PredictionError: the box's image has another shape than the picture, so it was cut otherwise.
        """
        height, width = (self.height, self.width) if self.height else prepared
        down, across = shown[0] / height, shown[1] / width
        if abs(across / down - 1) > SHAPE_TOLERANCE:
            raise PredictionError(
                f"box {self.box.label!r} is of an image of {height} x {width} pixels, the picture shown has "
                f"{shown[0]} x {shown[1]}, another shape: one of them was cut; give the box in pixels of the prepared "
                "image, without height and width"
            )
        box = self.box
        return replace(box, x0=box.x0 * across, y0=box.y0 * down, x1=box.x1 * across, y1=box.y1 * down)


def boxes_from_json(path: Path) -> dict[tuple[str, str, View], tuple[FoundBox, ...]]:
    """Read the boxes of a heatmap or detector.

    The file is a JSON list of objects: `subject_id`, `exam_id` (`1` if absent), `view` (CC_R, CC_L, MLO_R, MLO_L),
    `x0`, `y0`, `x1`, `y1` (pixels from the upper left corner), `score` (0 to 1; null or absent: none), `label` (may be
    absent), and `height`, `width` of the image that the pixels count in (both absent: of the prepared image).

    Returns:
        (subject_id, exam_id, view) -> its boxes, in the file's order.

    Raises:
        PredictionError: the file cannot be read or is not such a list; the text names the entries, counted from 1.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PredictionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise PredictionError(f"{path}: is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise PredictionError(f"{path}: holds a {type(entries).__name__}, expected a list of boxes")
    found: dict[tuple[str, str, View], list[FoundBox]] = {}
    problems: list[str] = []
    for number, entry in enumerate(entries, start=1):
        wrong = _problems(entry)
        if wrong:
            problems.append(f"box {number}: {', '.join(wrong)}")
        else:
            key = (str(entry["subject_id"]), str(entry.get("exam_id", "1")), View(entry["view"]))
            found.setdefault(key, []).append(_box(entry))
    if problems:
        more = f"; and {len(problems) - _PROBLEMS_SHOWN} more boxes" if len(problems) > _PROBLEMS_SHOWN else ""
        raise PredictionError(f"{path}: {'; '.join(problems[:_PROBLEMS_SHOWN])}{more}")
    return {key: tuple(boxes) for key, boxes in found.items()}


def boxes_shown(found: Iterable[FoundBox], prepared: tuple[int, int], shown: tuple[int, int]) -> tuple[ReaderBox, ...]:
    """Boxes of one image in pixels of the picture shown; sizes are (rows, columns).

    Raises:
        PredictionError: a box is of an image that was cut otherwise.
    """
    return tuple(one.shown(prepared, shown) for one in found)


def _box(entry: dict[str, Any]) -> FoundBox:
    score = entry.get("score")
    x0, y0, x1, y1 = (float(entry[side]) for side in _SIDES)
    box = ReaderBox(x0, y0, x1, y1, math.nan if score is None else float(score), str(entry.get("label") or ""))
    return FoundBox(box, int(entry.get("height") or 0), int(entry.get("width") or 0))


def _problems(entry: Any) -> list[str]:
    """What is wrong with one entry, in words; nothing if it is a box."""
    if not isinstance(entry, dict):
        return [f"is {entry!r:.40}, expected an object"]
    wrong = [f"no {name}" for name in ("subject_id", "view", *_SIDES) if entry.get(name) in (None, "")]
    wrong += [f"unknown key {name!r}" for name in entry if name not in _KNOWN]
    if entry.get("view") not in (None, "", *View):
        wrong.append(f"view {entry['view']!r} is not one of {', '.join(View)}")
    numbers = [name for name in (*_SIDES, "score", "height", "width") if entry.get(name) is not None]
    odd = [name for name in numbers if isinstance(entry[name], bool) or not isinstance(entry[name], (int, float))]
    wrong += [f"{name} {entry[name]!r} is not a number" for name in odd if entry[name] != ""]
    score = entry.get("score")
    if "score" not in odd and score is not None and not 0 <= score <= 1:
        wrong.append(f"score {score} is not between 0 and 1 (null where there is none)")
    sizes = [entry.get(name) for name in ("height", "width")]
    whole = all(isinstance(one, (int, float)) and 1 <= one < math.inf and one == int(one) for one in sizes)
    if sizes != [None, None] and not {"height", "width"} & set(odd) and not whole:
        wrong.append(f"height {sizes[0]} and width {sizes[1]} must both be whole numbers above 0, or both absent")
    if not wrong:
        try:
            _box(entry)
        except ValueError as error:
            wrong.append(str(error))
    return wrong
