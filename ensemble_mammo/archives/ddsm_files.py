"""The two text files of a DDSM case: `.ics` (the case and its films) and `.OVERLAY` (the lesions of a film)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ensemble_mammo.archives.tables import refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.lesion import ArchiveLesion, Outline, Point

_STEPS = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
"(x, y) of the chain code's 0 to 7: north, north-east, … clockwise; y grows downwards (DDSM's case description)"
_FINDINGS = {"MASS": "mass", "CALCIFICATION": "calcification", "OTHER": "other"}
_PATHOLOGIES = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
    "UNPROVEN": "",
}
_SEQUENCE = re.compile(r"(LEFT|RIGHT)_(CC|MLO)$", re.I)


@dataclass(frozen=True)
class Film:
    """What an .ics file says of one film."""

    rows: int
    "LINES of the original"
    columns: int
    "PIXELS_PER_LINE of the original"
    resolution_um: float
    "distance of pixel centres of the original, in micrometres; 0: not said"
    has_overlay: bool
    "whether an .OVERLAY file belongs to it"


@dataclass(frozen=True)
class Case:
    """What an .ics file says."""

    density: str = ""
    "A to D, or empty"
    age: str = ""
    "in years, or empty"
    digitizer: str = ""
    "the machine that digitised the films"
    films: dict[str, Film] = field(default_factory=dict)
    "by LEFT_CC, LEFT_MLO, RIGHT_CC, RIGHT_MLO"


def read_case(path: Path) -> Case:
    """Read an .ics file; a density that is none of 1 to 4, or an age that is not there, is left empty.

    Raises:
        DatasetError: a film's line without its size, with its number.
    """
    stated: dict[str, str] = {}
    films: dict[str, Film] = {}
    problems: list[str] = []
    for line, words in _lines(path):
        if _SEQUENCE.match(words[0]) and len(words) > 1:
            pairs = dict(pairwise(words))
            try:
                rows, columns = int(pairs["LINES"]), int(pairs["PIXELS_PER_LINE"])
                resolution = float(pairs.get("RESOLUTION", 0))
                if min(rows, columns) < 1:
                    raise ValueError(words)
            except (KeyError, ValueError):
                problems.append(f"line {line}: {' '.join(words)!r}, expected LINES n PIXELS_PER_LINE n RESOLUTION n")
                continue
            films[words[0].upper()] = Film(rows, columns, resolution, words[-1].upper() == "OVERLAY")
        elif len(words) > 1:
            stated.setdefault(words[0].upper(), " ".join(words[1:]))
    refuse(path, problems)
    density = dict(zip("1234", "ABCD", strict=True)).get(stated.get("DENSITY", ""), "")
    age = stated.get("PATIENT_AGE", "")
    return Case(density, age if age.isdigit() else "", stated.get("DIGITIZER", ""), films)


def read_overlay(path: Path, frame: tuple[int, int] | None) -> tuple[ArchiveLesion, ...]:
    """Read the lesions of an .OVERLAY file: the outer boundaries (the cores lie within them) as polygons.

    The outlines that are there count, whatever TOTAL_OUTLINES says: some released files state too many.

    Args:
        path: the file.
        frame: (rows, columns) of the original film, which its coordinates refer to; None: those of the image.

    Raises:
        DatasetError: words or numbers that cannot be right, with their lines.
    """
    lesions: list[_Draft] = []
    problems: list[str] = []
    expects = ""
    for line, words in _lines(path):
        key = words[0].upper()
        try:
            if expects:
                points = _boundary(words)
                if expects == "BOUNDARY":
                    lesions[-1].outlines.append(Outline("polygon", points, frame=frame))
                expects = ""
            elif key == "ABNORMALITY":
                lesions.append(_Draft(words[1] if len(words) > 1 else str(len(lesions) + 1)))
            elif key in ("BOUNDARY", "CORE"):
                expects = key
                if not lesions:
                    raise ValueError(f"{key} before any ABNORMALITY")
            elif key not in ("TOTAL_ABNORMALITIES", "TOTAL_OUTLINES"):
                if not lesions:
                    raise ValueError(f"{key} before any ABNORMALITY")
                lesions[-1].state(key, words[1:])
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            expects = ""
    if expects:
        problems.append(f"ends behind {expects}, expected a chain code there")
    if not lesions and not problems:
        problems.append("holds no ABNORMALITY")
    refuse(path, problems)
    return tuple(lesion.made() for lesion in lesions)


@dataclass
class _Draft:
    """A lesion while its lines are read."""

    number: str
    finding: str = ""
    pathology: str = ""
    assessment: str = ""
    subtlety: str = ""
    descriptors: list[str] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)

    def state(self, key: str, words: Sequence[str]) -> None:
        """Take what one line says; the first of several LESION_TYPE lines is the finding."""
        value = words[0].upper() if words else ""
        if key == "LESION_TYPE":
            if value not in _FINDINGS:
                raise ValueError(f"LESION_TYPE {value!r} is not one of {', '.join(_FINDINGS)}")
            self.finding = self.finding or _FINDINGS[value]
            self.descriptors.append(" ".join(words))
        elif key == "PATHOLOGY":
            if value not in _PATHOLOGIES:
                raise ValueError(f"PATHOLOGY {value!r} is not one of {', '.join(_PATHOLOGIES)}")
            self.pathology = _PATHOLOGIES[value]
        elif key == "ASSESSMENT":
            self.assessment = value
        elif key == "SUBTLETY":
            self.subtlety = value
        else:
            raise ValueError(f"{key!r} is no word of an .OVERLAY file; is it cut short?")

    def made(self) -> ArchiveLesion:
        return ArchiveLesion(
            self.number,
            tuple(self.outlines),
            self.finding,
            self.pathology,
            self.assessment,
            self.subtlety,
            "; ".join(self.descriptors),
        )


def _boundary(words: Sequence[str]) -> tuple[Point, ...]:
    """Start column, start row, then steps 0 to 7, `#` behind the last."""
    try:
        x, y = int(words[0]), int(words[1])
        steps = [_STEPS[int(word)] for word in words[2:-1]]
    except (ValueError, IndexError) as error:
        shown = " ".join(words[:6])
        raise ValueError(f"chain code {shown + ' …'!r}, expected column, row and steps of 0 to 7") from error
    if words[-1] != "#" or any(word not in set("01234567") for word in words[2:-1]):
        raise ValueError(f"chain code ends in {words[-1]!r}, expected steps of 0 to 7 and '#'; is it cut short?")
    points = [(float(x), float(y))]
    for across, down in steps:
        x, y = x + across, y + down
        points.append((float(x), float(y)))
    if len(points) < 3:
        raise ValueError(f"chain code of {len(points)} points, expected 3 or more")
    return tuple(points)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    for line, words in enumerate(map(str.split, text.splitlines()), start=1):
        if words:
            yield line, words
