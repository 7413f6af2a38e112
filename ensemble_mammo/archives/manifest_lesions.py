"""lesions.csv beside a manifest: one row a lesion, with a mask or a box."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.read import read_facts
from ensemble_mammo.records.lesion import FINDINGS, LESIONS, ArchiveLesion, Outline

_BOX = ("left", "top", "width", "height")
_WORDS = ("number", "finding", "pathology", "assessment", "subtlety", "descriptors", "mask", *_BOX)
_NUMBER = re.compile(r"[\w+-]+")


def lesions_beside(
    folder: Path, images: Mapping[str, Path], left_out: Collection[str]
) -> dict[str, list[ArchiveLesion]]:
    """Read lesions.csv of a manifest's folder.

    A mask counts before a box; a row with neither is a lesion without a place. Rows without a number are counted.

    Args:
        folder: where the manifest lies.
        images: image_id -> file of the manifest's images.
        left_out: image_ids of its rows that are left out; their lesions are passed over.

    Returns:
        image_id -> lesions; empty where there is no lesions.csv.

    Raises:
        DatasetError: columns missing, or rows that cannot be right, all at once with their lines.
    """
    path = folder / LESIONS
    if not path.is_file():
        return {}
    table = read_table(path, ["image_id"], advice="lesions.csv has the columns image_id, and mask or a box, and more")
    table = table.apply(lambda column: column.str.strip())
    for name in _WORDS:
        if name not in table.columns:
            table[name] = ""
    found: dict[str, list[ArchiveLesion]] = defaultdict(list)
    numbers: dict[tuple[str, str], int] = {}
    problems: list[str] = []
    sizes = cache(_size)
    for line, row in enumerate(table.to_dict("records"), start=2):
        image = str(row["image_id"])
        if image in left_out and image not in images:
            continue
        if image not in images:
            problems.append(f"line {line}: image_id {image!r} is not in the manifest")
            continue
        try:
            number = _number(str(row["number"]) or str(len(found[image]) + 1))
            if (first := numbers.setdefault((image, number), line)) != line:
                raise ValueError(f"lesion {number!r} of image {image!r} stands in line {first} already")
            found[image].append(_lesion({str(k): str(v) for k, v in row.items()}, number, folder, sizes(images[image])))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(path, problems)
    return dict(found)


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"number {text!r} cannot be part of a file name; give letters, digits, - or _")
    return text


def _lesion(row: Mapping[str, str], number: str, folder: Path, size: tuple[int, int] | None) -> ArchiveLesion:
    for name, allowed in (("finding", FINDINGS), ("pathology", ("benign", "malignant"))):
        if row[name] and row[name] not in allowed:
            raise ValueError(f"{name} {row[name]!r} is not one of {', '.join(allowed)}")
    words = {name: row[name] for name in ("finding", "pathology", "assessment", "subtlety", "descriptors")}
    return ArchiveLesion(number, _outlines(row, folder, size), **words)


def _outlines(row: Mapping[str, str], folder: Path, size: tuple[int, int] | None) -> tuple[Outline, ...]:
    if row["mask"]:
        mask = folder / row["mask"]
        if not mask.is_file():
            raise ValueError(f"mask {row['mask']!r} is not there ({mask})")
        return (Outline("mask", masks=(mask,)),)
    stated = {name: row[name] for name in _BOX}
    if not any(stated.values()):
        return ()
    numbers = {}
    for name, text in stated.items():
        try:
            numbers[name] = float(text)
        except ValueError as error:
            raise ValueError(f"{name} {text!r} is no number; a box has left, top, width and height") from error
    left, top, width, height = (numbers[name] for name in _BOX)
    if not (width > 0 and height > 0 and max(map(abs, numbers.values())) < float("inf")):
        raise ValueError(f"a box of width {row['width']} and height {row['height']}, expected more than 0")
    if size is not None and not (left < size[1] and top < size[0] and left + width > 0 and top + height > 0):
        raise ValueError(f"a box at {left:g}, {top:g} outside its image of {size[0]} x {size[1]} pixels")
    return (Outline("box", ((left, top), (left + width, top + height))),)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        facts = read_facts(path)
    except ImageReadError:  # said when it is prepared
        return None
    return facts.rows, facts.columns
