"""DDSM as images converted from its LJPEG files, with `.ics` and `.OVERLAY` where they are, normal cases included."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.ddsm_files import Case, Film, read_case, read_overlay
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import refuse_task
from ensemble_mammo.errors import DatasetError, ImageReadError
from ensemble_mammo.imaging.read import is_image_file, read_facts
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.lesion import ArchiveLesion, labels_of_lesions
from ensemble_mammo.records.naming import facts_of_name
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import Projection, Side, View

DDSM_PREPARATION = Preparation(trim=0.07, white_patches="black", polarity="auto")
"""7 % off each side, white patches black (Scuccimarra's DDSM); conversions from optical density come inverted."""
DDSM_TASKS = ("density", "pathology", "birads", "abnormality", "abnormality5")
"""The tasks that the release has labels of."""
_CLASSES = {
    "normal": {"abnormality": "normal", "abnormality5": "normal"},
    "cancer": {"abnormality": "abnormal", "pathology": "malignant"},
    "benign": {"abnormality": "abnormal", "pathology": "benign"},
}
_FOLDER = re.compile(r"(normal|cancer|benign)s?([_-]?without[_-]?callbacks?)?([_-]?\d+)?$", re.I)
_CASE_FOLDER = re.compile(r"case[_-]?0*(\d+)$", re.I)
_FILM = re.compile(r"(?P<case>[A-Z][_-](?P<number>\d{3,5})[_-]\d+)[._-](?P<side>LEFT|RIGHT)_(?P<view>CC|MLO)", re.I)
_ICS = re.compile(r"([A-Z][_-]\d{3,5}[_-]\d+)$", re.I)
_NO_IMAGES = (".ics", ".overlay", ".ljpeg", ".16_pgm", ".txt", ".html", ".gif", ".csv", ".1", ".gz")
_ASPECT_TOLERANCE = 0.02
"how far width over height of a converted image may be from its film's, as a share"


@dataclass(frozen=True)
class _Found:
    """One file of a film."""

    path: Path
    source: str
    case: str
    "the subject"
    film: str
    "LEFT_CC, …"
    view: View
    folder: str
    "normal, cancer, benign, by the nearest folder that says one; else empty"

    @property
    def key(self) -> tuple[str, str]:
        return self.case, self.film


@dataclass
class _Tree:
    """What a walk found."""

    images: dict[tuple[str, str], _Found]
    originals: dict[tuple[str, str], str]
    overlays: dict[tuple[str, str], Path]
    cases: dict[str, Path]
    left_out: list[tuple[str, str]]
    stray: list[str]


def list_ddsm(root: Path, options: ArchiveOptions) -> Listing:
    """List a DDSM tree: view and case from names, class from folders and overlays, density and age from .ics.

    An image with lesions has their labels; one without, in a case that has them elsewhere, has no label but density;
    where a case has no overlay at all, its folder's class holds for all its images.

    Raises:
        DatasetError: a task without labels here, or no image.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    refuse_task(root, "DDSM", DDSM_TASKS, options.task)
    if options.labels or options.views:
        raise DatasetError(f"{root}: labels and views of this kind come from its own files; leave both tables out")
    tree = _walk(root)
    if not tree.images:
        hint = f"; {len(tree.originals)} LJPEG files: convert them to PNG, TIFF or PGM first" if tree.originals else ""
        raise DatasetError(f"{root}: no image named like A_0002_1.LEFT_CC.png below it{hint}")
    images, unreadable = [], []
    cases: dict[str, Case | str] = {name: _case(path, root) for name, path in tree.cases.items()}
    marked = {case for case, _ in tree.overlays} | {
        name
        for name, case in cases.items()
        if isinstance(case, Case) and any(f.has_overlay for f in case.films.values())
    }
    by_folder = 0
    for key, found in tree.images.items():
        case = cases.get(found.case, Case())
        try:
            if isinstance(case, str):
                raise DatasetError(case)
            image, from_folder = _image(found, case, tree.overlays.get(key), found.case in marked)
        except ImageReadError as error:
            unreadable.append((found.source, str(error).removeprefix(f"{found.path}: ")))
        except DatasetError as error:
            tree.left_out.append((found.source, str(error).replace(f"{root}/", "")))
        else:
            images.append(image)
            by_folder += from_folder
    if not images:
        first = next(iter([*tree.left_out, *unreadable]))
        raise DatasetError(f"{root}: no image can be used; first: {first[0]}: {first[1]}")
    left_out = (*tree.left_out, *unreadable, *_not_converted(tree))
    return Listing(tuple(images), left_out, tuple(unreadable), tuple(_notes(tree, by_folder)))


def _walk(root: Path) -> _Tree:
    """All files below, each put where its name says; one pass, nothing looked up twice."""
    tree = _Tree({}, {}, {}, {}, [], [])
    for path in _files(root):
        source = path.relative_to(root).as_posix()
        ending = path.suffix.lower()
        if ending == ".ics":
            named = _ICS.match(path.stem)
            tree.cases.setdefault(_case_name(named[1]) if named else _folder_case(path, root), path)
            continue
        found = _film(path, source, root)
        if ending == ".overlay":
            if found is None or _in_anothers_folder(found):
                tree.stray.append(source)
            else:
                tree.overlays.setdefault(found.key, path)
        elif ending == ".ljpeg":
            if found is not None:
                tree.originals[found.key] = source
        elif ending not in _NO_IMAGES and is_image_file(path):
            if found is None:
                tree.left_out.append((source, "neither named like A_0002_1.LEFT_CC.png, nor a view in a case's folder"))
            elif (first := tree.images.setdefault(found.key, found)) is not found:
                tree.left_out.append((source, f"the same image as {first.source}"))
    return tree


def _files(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _film(path: Path, source: str, root: Path) -> _Found | None:
    if named := _FILM.match(path.name):
        film = f"{named['side']}_{named['view']}".upper()
        view = View.of(Projection(named["view"].upper()), Side(named["side"].lower()))
        return _Found(path, source, _case_name(named["case"]), film, view, _folder_class(source, root))
    facts = facts_of_name(path.name)
    case = _folder_case(path, root)
    if facts.view is None or not case:
        return None
    film = f"{facts.view.side.name}_{facts.view.projection}"
    return _Found(path, source, case, film, facts.view, _folder_class(source, root))


def _case_name(text: str) -> str:
    return text.upper().replace("-", "_")


def _folder_case(path: Path, root: Path) -> str:
    """The volume and case that the folders name, such as cancer_01-case0001; '' without a case's folder."""
    parts = path.relative_to(root).parts[:-1]
    for place in range(len(parts) - 1, -1, -1):
        if _CASE_FOLDER.match(parts[place]):
            return "-".join(part for part in parts[max(0, place - 1) : place + 1])
    return ""


def _in_anothers_folder(found: _Found) -> bool:
    """Two overlays of the release lie in the folder of another case, where they say nothing true."""
    named = _FILM.match(found.path.name)
    folder = _CASE_FOLDER.match(found.path.parent.name)
    return bool(named and folder and int(folder[1]) != int(named["number"]))


def _case(path: Path, root: Path) -> Case | str:
    try:
        return read_case(path)
    except DatasetError as error:
        return str(error).replace(f"{root}/", "")


def _image(found: _Found, case: Case, overlay: Path | None, marked: bool) -> tuple[ArchiveImage, bool]:
    """The image, and whether its class is its folder's alone."""
    film = case.films.get(found.film)
    lesions: tuple[ArchiveLesion, ...] = ()
    facts = {"age": case.age, "device": case.digitizer}
    if film is not None:
        facts["pixel_spacing_mm"] = _spacing(found, film)
    if overlay is not None:
        lesions = read_overlay(overlay, (film.rows, film.columns) if film is not None else None)
    labels = labels_of_lesions(lesions)
    normal = found.folder == "normal"
    by_folder = not lesions and (normal or not marked or (film is not None and film.has_overlay))
    if by_folder:
        labels = dict(_CLASSES.get(found.folder, {}))
    if case.density:
        labels["density"] = case.density
    image = ArchiveImage(
        found.path,
        found.source,
        f"{found.case}_{found.film}",
        found.case,
        "1",
        found.view,
        labels,
        lesions=lesions,
        facts={name: value for name, value in facts.items() if value},
    )
    return image, by_folder and bool(labels) and not normal


def _folder_class(source: str, root: Path) -> str:
    for part in reversed((root.resolve().name, *source.split("/")[:-1])):
        if match := _FOLDER.match(part):
            return match[1].lower()
    return ""


def _spacing(found: _Found, film: Film) -> str:
    """Of the converted image: what the film's was, times how much smaller the image became.

    Raises:
        DatasetError: its aspect is another than the film's, so that no overlay would fit.
    """
    facts = read_facts(found.path)
    aspect, wanted = facts.columns / facts.rows, film.columns / film.rows
    if abs(aspect / wanted - 1) > _ASPECT_TOLERANCE:
        raise DatasetError(
            f"has {facts.rows} x {facts.columns} pixels, its .ics file says {film.rows} x {film.columns}: "
            "another aspect; convert it uncut"
        )
    return f"{film.resolution_um / 1000 * film.rows / facts.rows:.4g}" if film.resolution_um else ""


def _not_converted(tree: _Tree) -> list[tuple[str, str]]:
    return [
        (source, "LJPEG as released: convert it to PNG, TIFF or PGM first")
        for key, source in tree.originals.items()
        if key not in tree.images
    ]


def _notes(tree: _Tree, by_folder: int) -> list[str]:
    notes = []
    if by_folder:
        notes.append(f"{by_folder} images without an overlay have the class of their case's folder, both breasts alike")
    if tree.stray:
        notes.append(f"{len(tree.stray)} overlays in another case's folder are not used, such as {tree.stray[0]}")
    return notes
