"""mini-MIAS: `mdbNNN` images with `Info.txt` as released; lesions are circles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.columns import image_files
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import refuse, refuse_task
from ensemble_mammo.errors import DatasetError, ImageReadError
from ensemble_mammo.imaging.read import read_facts
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, labels_of_lesions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

MIAS_TASKS = ("tissue", "pathology", "abnormality", "abnormality5")
"""The tasks that Info.txt has labels of."""
_SIDE = 1024
"rows and columns of a released image"
_SPACING_MM = 0.2
"of a released image, by Info.txt"
_FINDINGS = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",
    "ARCH": "distortion",
    "ASYM": "asymmetry",
}
_WORDS = {
    "CALC": "calcification",
    "CIRC": "circumscribed mass",
    "SPIC": "spiculated mass",
    "MISC": "ill-defined mass",
    "ARCH": "architectural distortion",
    "ASYM": "asymmetry",
}
_SEVERITIES = {"B": "benign", "M": "malignant"}
_NAME = re.compile(r"mdb(\d{3})", re.I)


@dataclass(frozen=True)
class _Row:
    """One row of Info.txt."""

    line: int
    "its line, from 1"
    tissue: str
    "F, G or D"
    abnormality: str
    "CALC, CIRC, SPIC, MISC, ARCH, ASYM or NORM"
    severity: str = ""
    "B, M or empty"
    circle: tuple[float, float, float] | None = None
    "x and y from the bottom left corner, radius, in pixels; None where the row has no place"


def list_mini_mias(root: Path, options: ArchiveOptions) -> Listing:
    """List mini-MIAS: tissue, pathology and abnormality, with the lesions as circles.

    Odd numbers are right breasts, even ones left; a pair (1 and 2, 3 and 4, …) is one subject. All are MLO.

    Raises:
        DatasetError: a task without labels here, no Info.txt, rows that cannot be right (all at once), or no image.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    refuse_task(root, "mini-MIAS", MIAS_TASKS, options.task)
    if options.views:
        raise DatasetError(f"{root}: views of this kind come from the numbers of its files; leave --views out")
    info = options.labels or next((path for path in sorted(root.iterdir()) if path.name.lower() == "info.txt"), None)
    if info is None:
        raise DatasetError(f"{root}: no Info.txt there; name the release's table with --labels")
    rows = _read_info(info)
    images: dict[int, ArchiveImage] = {}
    left_out: list[tuple[str, str]] = []
    unreadable: list[tuple[str, str]] = []
    for path in image_files(root):
        source = path.relative_to(root).as_posix()
        named = _NAME.fullmatch(path.stem)
        number = int(named[1]) if named else 0
        if named is None:
            left_out.append((source, "not named like mdb001"))
        elif number not in rows:
            left_out.append((source, f"no row for it in {info.name}"))
        elif number in images:
            left_out.append((source, f"the same image as {images[number].source}"))
        else:
            try:
                images[number] = _image(path, source, number, rows[number])
            except ImageReadError as error:
                unreadable.append((source, str(error).removeprefix(f"{path}: ")))
    if not images and not unreadable:
        raise DatasetError(f"{root}: no image named like mdb001.pgm (or png, webp) below it that {info.name} has")
    notes = _notes(info, rows, images)
    return Listing(tuple(images.values()), (*left_out, *unreadable), tuple(unreadable), tuple(notes))


def _read_info(path: Path) -> Mapping[int, Sequence[_Row]]:
    """The rows of each image; what stands around them is passed over."""
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    rows: dict[int, list[_Row]] = defaultdict(list)
    problems: list[str] = []
    for line, text in enumerate(lines, start=1):
        if not text.lower().startswith("mdb"):
            continue
        try:
            number, row = _row(line, text)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if rows[number]:
            problems += _contradiction(number, rows[number][0], row)
        rows[number].append(row)
    refuse(path, problems)
    if not rows:
        raise DatasetError(f"{path}: holds no row such as 'mdb001 G CIRC B 535 425 197'")
    return rows


def _row(line: int, text: str) -> tuple[int, _Row]:
    words = text.split()
    named = _NAME.fullmatch(words[0])
    if named is None or int(named[1]) == 0:
        raise ValueError(f"image {words[0]!r} is not one of mdb001, mdb002, …")
    tissue, abnormality = [*words[1:3], "", ""][:2]
    if tissue not in TASKS["tissue"].classes:
        raise ValueError(f"tissue {tissue!r} is not one of {', '.join(TASKS['tissue'].classes)}")
    if abnormality == "NORM":
        if len(words) > 3:
            raise ValueError(f"{' '.join(words[3:])!r} behind NORM, expected nothing")
        return int(named[1]), _Row(line, tissue, abnormality)
    if abnormality not in _FINDINGS:
        raise ValueError(f"class {abnormality!r} is not one of {', '.join((*_FINDINGS, 'NORM'))}")
    severity = words[3] if len(words) > 3 else ""
    if severity not in _SEVERITIES:
        raise ValueError(f"severity {severity!r} is not one of {', '.join(_SEVERITIES)}")
    return int(named[1]), _Row(line, tissue, abnormality, severity, _circle(words[4:]))


def _circle(words: Sequence[str]) -> tuple[float, float, float] | None:
    if not words or " ".join(words).strip("*").upper().startswith("NOTE"):
        return None
    expected = f"expected x, y (0 to {_SIDE}) and a radius above 0, '*NOTE 3*', or nothing"
    try:
        x, y, radius = (float(word) for word in words)
    except ValueError as error:
        raise ValueError(f"place {' '.join(words)!r}, {expected}") from error
    if not (0 <= x <= _SIDE and 0 <= y <= _SIDE and 0 < radius <= _SIDE):
        raise ValueError(f"place {' '.join(words)!r}, {expected}")
    return x, y, radius


def _contradiction(number: int, first: _Row, row: _Row) -> list[str]:
    name = f"line {row.line}: mdb{number:03d}"
    if row.tissue != first.tissue:
        return [f"{name} has tissue {row.tissue}, but {first.tissue} in line {first.line}"]
    if "NORM" in (row.abnormality, first.abnormality):
        return [f"{name} is {row.abnormality}, but {first.abnormality} in line {first.line}"]
    return []


def _image(path: Path, source: str, number: int, rows: Sequence[_Row]) -> ArchiveImage:
    facts = read_facts(path)
    if facts.rows != facts.columns:
        raise ImageReadError(
            f"{path}: has {facts.rows} x {facts.columns} pixels, expected a square like the released {_SIDE} x {_SIDE}"
        )
    lesions = tuple(_lesion(place, row) for place, row in enumerate(rows, start=1) if row.severity)
    labels = {"tissue": rows[0].tissue} | labels_of_lesions(lesions)
    if not lesions:
        labels |= {"abnormality": "normal", "abnormality5": "normal"}
    odd = number if number % 2 else number - 1
    return ArchiveImage(
        path,
        source,
        f"mdb{number:03d}",
        f"mdb{odd:03d}-{odd + 1:03d}",
        "1",
        View.MLO_R if number % 2 else View.MLO_L,
        labels,
        lesions=lesions,
        facts={"pixel_spacing_mm": f"{_SPACING_MM * _SIDE / facts.rows:g}"},
    )


def _lesion(place: int, row: _Row) -> ArchiveLesion:
    outlines: tuple[Outline, ...] = ()
    if row.circle is not None:
        x, y, radius = row.circle
        outlines = (Outline("circle", ((x, _SIDE - y),), radius, (_SIDE, _SIDE)),)
    return ArchiveLesion(
        str(place), outlines, _FINDINGS[row.abnormality], _SEVERITIES[row.severity], descriptors=_WORDS[row.abnormality]
    )


def _notes(info: Path, rows: Mapping[int, Sequence[_Row]], images: Mapping[int, ArchiveImage]) -> list[str]:
    missing = len(set(rows) - set(images))
    bare = sum(not lesion.outlines for image in images.values() for lesion in image.lesions)
    notes = [f"{missing} images of {info.name} have no file here"] if missing else []
    return notes + ([f"{bare} lesions have no place in {info.name}: listed, without a mask"] if bare else [])
