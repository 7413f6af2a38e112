"""The COCO annotation file: its images, and its boxes, polygons and run-length codes as lesions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_mammo.archives.run_length import corners_of_runs
from ensemble_mammo.archives.tables import refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, Point, finding_of

_MOST_BYTES = 1_000_000_000
_MOST_PIXELS = 1 << 16
"rows or columns that an image may be said to have"
_DRAWS = ("bbox", "segmentation")
_SLACK = 1.0
"pixels by which rounding may push a box over the edge of its image"

Frame = tuple[int, int]


@dataclass(frozen=True)
class CocoImage:
    """One image of a COCO file."""

    file: str
    "its name, or its path in the archive, with forward slashes"
    frame: Frame
    "(rows, columns) as stated"
    lesions: tuple[ArchiveLesion, ...] = ()
    "its annotations in the file's order, numbered from 1"


@dataclass
class _Reading:
    path: Path
    problems: list[str] = field(default_factory=list)
    frames: dict[Any, Frame] = field(default_factory=dict)
    categories: dict[Any, str] = field(default_factory=dict)
    cut: int = 0
    "boxes that reach over the edge of their image"


def find_annotations(root: Path) -> Path:
    """The COCO file of an archive: its one JSON file, or the one of several that has images and annotations.

    Raises:
        DatasetError: none, or several.
    """
    jsons = sorted(path for path in root.rglob("*.json") if not path.name.startswith("."))
    found = jsons if len(jsons) == 1 else [path for path in jsons if _is_coco(path)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.relative_to(root).as_posix() for path in found)
        raise DatasetError(
            f"{root}: {len(found)} JSON files with images and annotations ({names}); choose one with --annotations"
        )
    raise DatasetError(f'{root}: no JSON file with "images" and "annotations" in it; name the file with --annotations')


def _is_coco(path: Path) -> bool:
    try:
        data = _json(path)
    except DatasetError:
        return False
    return isinstance(data, dict) and {"images", "annotations"} <= data.keys()


def _json(path: Path) -> Any:
    try:
        content = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
        data = json.loads(content) if content is not None else None
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: no JSON file: {error}") from error
    if content is None:
        raise DatasetError(f"{path}: larger than {_MOST_BYTES} bytes, more than a COCO file may have here")
    return data


def read_coco(path: Path) -> tuple[list[CocoImage], list[str]]:
    """Read the images of a COCO file with their lesions; and notes.

    Polygons are preferred over the box of an annotation, and so is a run-length code, compressed or not.

    Raises:
        DatasetError: not a COCO file, or entries that cannot be right, with their places (from 0) in its lists.
    """
    data = _json(path)
    lists = ("images", "annotations")
    if not isinstance(data, dict) or not all(isinstance(data.get(name), list) for name in lists):
        raise DatasetError(f'{path}: no COCO file; expected an object with the lists "images" and "annotations"')
    reading = _Reading(path)
    files = _images(data["images"], reading)
    categories = data.get("categories") or []
    if not isinstance(categories, list):
        raise DatasetError(f"{path}: categories are no list, expected a list of objects with id and name")
    for place, entry in enumerate(categories):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")) or not isinstance(entry.get("name"), str):
            reading.problems.append(f"categories[{place}]: expected an id and a name")
        else:
            reading.categories[entry["id"]] = entry["name"]
    lesions: dict[Any, list[ArchiveLesion]] = defaultdict(list)
    for place, entry in enumerate(data["annotations"]):
        try:
            image, lesion = _lesion(entry, reading, lesions)
        except ValueError as error:
            reading.problems.append(f"annotations[{place}]: {error}")
        else:
            lesions[image].append(lesion)
    refuse(path, reading.problems)
    if not files:
        raise DatasetError(f"{path}: holds no images; expected one entry or more in its list of images")
    notes = [f"{reading.cut} boxes of {path.name} reach over the edge of their image and end there"]
    images = [CocoImage(file, reading.frames[key], tuple(lesions[key])) for key, file in files.items()]
    return images, notes if reading.cut else []


def _images(entries: Sequence[Any], reading: _Reading) -> dict[Any, str]:
    files: dict[Any, str] = {}
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        where = f"images[{place}]:"
        wanted = ("id", "file_name", "height", "width")
        missing = [name for name in wanted if name not in entry] if isinstance(entry, dict) else wanted
        if missing:
            reading.problems.append(f"{where} {', '.join(missing)} missing")
            continue
        name, key = entry["file_name"], entry["id"]
        if not _is_id(key) or not isinstance(name, str) or not name.strip():
            reading.problems.append(f"{where} id {key!r} and file_name {name!r}, expected a number and a text")
            continue
        size = [entry["height"], entry["width"]]
        if not all(_is_number(v) and v == int(v) and 0 < v <= _MOST_PIXELS for v in size):
            reading.problems.append(f"{where} height {size[0]!r} and width {size[1]!r}, expected whole numbers above 0")
            size = [1, 1]
        name = name.strip().replace("\\", "/")
        if key in files:
            reading.problems.append(f"{where} id {key!r} stands in an earlier entry")
        elif name in places:
            reading.problems.append(f"{where} file_name {name!r} stands in images[{places[name]}] too")
        reading.frames.setdefault(key, (int(size[0]), int(size[1])))
        files.setdefault(key, name)
        places.setdefault(name, place)
    return files


def _lesion(entry: Any, reading: _Reading, known: dict[Any, list[ArchiveLesion]]) -> tuple[Any, ArchiveLesion]:
    if not isinstance(entry, dict) or "image_id" not in entry:
        raise ValueError("image_id missing")
    image = entry["image_id"]
    if not _is_id(image) or image not in reading.frames:
        raise ValueError(f"image_id {image!r} is that of no image")
    category = entry.get("category_id")
    if reading.categories and (not _is_id(category) or category not in reading.categories):
        raise ValueError(f"category_id {category!r} is that of no category")
    name = reading.categories[category] if reading.categories else ""
    words = name.lower()
    stated = [pathology for pathology in ("benign", "malignant") if pathology in words]
    outlines = _outlines(entry, reading, reading.frames[image])
    number = str(len(known.get(image, ())) + 1)
    finding = finding_of(name) if name else ""
    pathology = stated[0] if len(stated) == 1 else ""
    return image, ArchiveLesion(number, outlines, finding, pathology, descriptors=name if finding == "other" else "")


def _outlines(entry: dict[str, Any], reading: _Reading, frame: Frame) -> tuple[Outline, ...]:
    drawn = entry.get("segmentation")
    if isinstance(drawn, dict):
        return (Outline("runs", corners_of_runs(drawn, frame), frame=frame),)
    if drawn and drawn != [[]]:
        if not isinstance(drawn, list):
            raise ValueError(f"segmentation is a {type(drawn).__name__}, expected a list of polygons or a code")
        return tuple(Outline("polygon", _polygon(polygon, frame), frame=frame) for polygon in drawn)
    box = entry.get("bbox")
    if box is None:
        raise ValueError(f"neither {' nor '.join(_DRAWS)}")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise ValueError(f"bbox {str(box)[:60]}, expected four numbers [x, y, width, height]")
    left, top, width, height = (float(value) for value in box)
    if width <= 0 or height <= 0:
        raise ValueError(f"bbox {box} has no area")
    corners = ((left, top), (left + width, top + height))
    reading.cut += _inside(corners, frame, f"bbox {box}")
    return (Outline("box", corners, frame=frame),)


def _polygon(polygon: Any, frame: Frame) -> tuple[Point, ...]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or not all(map(_is_number, polygon)):
        raise ValueError("segmentation holds a polygon that is no flat list [x1, y1, x2, y2, x3, y3, …]")
    points = tuple((float(x), float(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True))
    _inside(points, frame, "a polygon of the segmentation")
    return points


def _inside(points: Sequence[Point], frame: Frame, what: str) -> bool:
    """Whether what lies between points reaches over the image's edge; refused where all of it lies beyond."""
    columns, rows = [x for x, _ in points], [y for _, y in points]
    if max(columns) <= 0 or max(rows) <= 0 or min(columns) >= frame[1] or min(rows) >= frame[0]:
        raise ValueError(f"{what} lies outside its image of {frame[0]} rows and {frame[1]} columns")
    beyond = (-min(columns), -min(rows), max(columns) - frame[1], max(rows) - frame[0])
    return max(beyond) > _SLACK


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
