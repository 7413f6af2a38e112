"""INbreast's lesions: the release's XML, one property list an image, and contours of masses in one JSON file."""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from ensemble_mammo.archives.tables import refuse
from ensemble_mammo.errors import DatasetError, ImageReadError
from ensemble_mammo.imaging.read import read_facts
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, Point, finding_of

CONTOURS = "mass-contours.json"
"""The file of mass contours, in the archive's folder."""
ORIGINALS = ((3328, 2560), (4084, 3328))
"""(rows, columns) of the release's images, by its two plate sizes."""

_MOST_BYTES = 1 << 26
_ASPECT_TOLERANCE = 0.02
_POINT = re.compile(r"^\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)$")


def read_lesions_of(
    root: Path, images: Sequence[str], contours: Path | None
) -> tuple[dict[str, tuple[ArchiveLesion, ...]], list[str]]:
    """Lesions by image, with points in pixels of the originals; the XML of an image counts before the JSON.

    Args:
        root: the archive's folder.
        images: ids of its images.
        contours: the JSON file; None: `mass-contours.json` in the folder, if it is there.

    Returns:
        image -> lesions (an image that a file knows without lesions has none), and notes.

    Raises:
        DatasetError: a file that cannot be right, with the image.
    """
    wanted = set(images)
    json_file = contours or root / CONTOURS
    found = _read_contours(json_file, wanted) if contours or json_file.is_file() else {}
    regions = {path.stem: path for path in sorted(root.rglob("*.xml")) if path.stem in wanted}
    if found and (both := len(found.keys() & regions.keys())):
        notes = [f"{both} images have contours in {json_file.name} and in XML: the XML counts"]
    else:
        notes = []
    return found | {image: _read_regions(path, image) for image, path in regions.items()}, notes


def with_frame(lesions: Sequence[ArchiveLesion], path: Path) -> tuple[tuple[ArchiveLesion, ...], bool]:
    """Lesions with the size of the original that their points refer to, by the size of the image's file.

    A file of an original's size is an original. Any other is a copy of the original whose aspect it has.

    Returns:
        The lesions, and whether the file fits one; where it fits none they have no place.
    """
    try:
        facts = read_facts(path)
    except ImageReadError:
        return tuple(lesions), True  # prepare leaves it out, with the reason
    if (facts.rows, facts.columns) in ORIGINALS:
        return tuple(lesions), True
    aspect = facts.columns / facts.rows
    frame = min(ORIGINALS, key=lambda size: abs(aspect * size[0] / size[1] - 1))
    fits = abs(aspect * frame[0] / frame[1] - 1) <= _ASPECT_TOLERANCE
    made = [
        _replaced(lesion, tuple(_framed(outline, frame) for outline in lesion.outlines) if fits else ())
        for lesion in lesions
    ]
    return tuple(made), fits


def _replaced(lesion: ArchiveLesion, outlines: tuple[Outline, ...]) -> ArchiveLesion:
    return ArchiveLesion(lesion.number, outlines, lesion.finding, descriptors=lesion.descriptors)


def _framed(outline: Outline, frame: tuple[int, int]) -> Outline:
    return Outline(outline.kind, outline.points, frame=frame)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size <= _MOST_BYTES:
            return path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    raise DatasetError(f"{path}: larger than {_MOST_BYTES} bytes, more than a file of lesions has")


def _read_contours(path: Path, wanted: set[str]) -> dict[str, tuple[ArchiveLesion, ...]]:
    content = _content(path)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: no JSON file: {error}") from error
    if not isinstance(data, dict):
        raise DatasetError(f"{path}: expected an object, image_id -> list of contours")
    found: dict[str, tuple[ArchiveLesion, ...]] = {}
    problems = []
    for image, contours in data.items():
        if not isinstance(contours, list):
            problems.append(f"image {image}: expected a list of contours")
            continue
        lesions = []
        for number, contour in enumerate(contours, start=1):
            if not isinstance(contour, list) or len(contour) < 3 or not all(map(_is_point, contour)):
                problems.append(f"image {image}: contour {number} is no list of three or more points [x, y]")
                continue
            points = tuple((float(x), float(y)) for x, y in contour)
            lesions.append(ArchiveLesion(str(number), (Outline("polygon", points),), "mass"))
        if image in wanted:
            found[image] = tuple(lesions)
    refuse(path, problems)
    return found


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e6 for v in value)
    )


def _read_regions(path: Path, image: str) -> tuple[ArchiveLesion, ...]:
    content = _content(path)
    try:
        data = plistlib.loads(content, fmt=plistlib.FMT_XML)  # refuses entities
    except (ExpatError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise DatasetError(f"{path} image {image}: no XML property list: {error or type(error).__name__}") from error
    entries = data.get("Images") if isinstance(data, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise DatasetError(f"{path} image {image}: expected a dict with Images, a list of dicts with ROIs")
    lesions: list[ArchiveLesion] = []
    singles: dict[str, list[Point]] = {}
    problems = []
    regions = [region for entry in entries for region in (entry.get("ROIs") or [])]
    for place, region in enumerate(regions, start=1):
        try:
            name, points = _region(region)
        except ValueError as error:
            problems.append(f"image {image}: ROI {place}: {error}")
            continue
        if len(points) < 3:
            singles.setdefault(name, []).extend(points)
        else:
            lesions.append(_lesion(str(place), Outline("polygon", tuple(points)), name))
    refuse(path, problems)
    for number, (name, points) in enumerate(singles.items(), start=1):
        lesions.append(_lesion(f"points-{number}", Outline("points", tuple(points)), name))
    return tuple(lesions)


def _lesion(number: str, outline: Outline, name: str) -> ArchiveLesion:
    finding = finding_of(name)
    words = [name] if finding == "other" else []
    words += [f"{len(outline.points)} points"] if outline.kind == "points" else []
    return ArchiveLesion(number, (outline,), finding, descriptors="; ".join(words))


def _region(region: Any) -> tuple[str, list[Point]]:
    if not isinstance(region, Mapping) or not isinstance(region.get("Point_px"), list) or not region["Point_px"]:
        raise ValueError("expected a dict with Name and Point_px, a list of one point or more")
    name = region.get("Name", "")
    points = []
    for text in region["Point_px"]:
        match = _POINT.match(text.strip()) if isinstance(text, str) else None
        try:
            point = (float(match[1]), float(match[2])) if match else None
        except ValueError:
            point = None
        if point is None or not all(abs(value) < 1e6 for value in point):
            raise ValueError(f"point {str(text)[:40]!r}, expected text such as '(224.09, 1180.09)'")
        points.append(point)
    return (name.strip() if isinstance(name, str) else "") or "unnamed", points
