"""One subject's folder as it came: her images with their views, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.dicom import FoundImage, find_images
from ensemble_mammo.archives.tables import FileKeyed
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.records.naming import StatedView, facts_of_name
from ensemble_mammo.records.subject import View


@dataclass(frozen=True)
class SubjectImage:
    """One image of a subject's folder."""

    path: Path
    "the file"
    source: str
    "relative to the subject's folder"
    key: tuple[str, str]
    "(subject_id, exam_id): the folder's name, and the exam"
    view: View
    "the projection"


def subject_images(
    folder: Path, views: FileKeyed[StatedView] | None, workers: int = 0
) -> tuple[list[SubjectImage], list[str]]:
    """The mammograms of one subject's folder, and notes on what was left out.

    Raises:
        DatasetError: no usable mammogram; files of two patients or two studies; a header that contradicts
            the file's name in side or view.
    """
    found = find_images(folder, views, workers)
    return _images(folder, folder.resolve().name, found.images, found.left_out)


def all_subject_images(
    root: Path, views: FileKeyed[StatedView] | None, workers: int = 0, engine: Engine = LOCAL
) -> tuple[list[SubjectImage], list[str]]:
    """The mammograms of every subject folder in a folder, headers read by one set of workers; and notes.

    A subject whose folder `subject_images` would refuse is left out with a note, and the others go on.

    Raises:
        DatasetError: no subject folder there, or none that is usable.
    """
    found = find_images(root, views, workers, engine)
    names = {Path(name).parts[0] for name in [i.source for i in found.images] + [s for s, _ in found.left_out]}
    names = {name for name in names if (root / name).is_dir()}
    if not names:
        raise DatasetError(f"{root}: no subject folder in it; for one subject's own folder use --subject-dir")
    own: dict[str, list[FoundImage]] = {name: [] for name in sorted(names)}
    other: dict[str, list[tuple[str, str]]] = {name: [] for name in own}
    notes = []
    for image in found.images:
        if (first := Path(image.source).parts[0]) in own:
            own[first].append(image)
        else:
            notes.append(f"left out {image.source}: in no subject's folder")
    for source, reason in found.left_out:
        first, *rest = Path(source).parts
        if first in other:
            other[first].append(("/".join(rest), reason))
    images: list[SubjectImage] = []
    refused: list[str] = []
    for name, files in own.items():
        try:
            usable, said = _images(root / name, name, files, other[name])
        except DatasetError as error:
            refused.append(f"left out {error}")
            continue
        images += usable
        notes += said
    if not images:
        raise DatasetError(f"{root}: none of the {len(own)} subject folders is usable; first: {refused[0]}")
    return images, notes + refused


def _images(
    folder: Path, name: str, found: list[FoundImage], left_out: list[tuple[str, str]]
) -> tuple[list[SubjectImage], list[str]]:
    named = [facts_of_name(image.source) for image in found]
    patients = [image.facts.patient_id or name.subject_id for image, name in zip(found, named, strict=True)]
    studies = [image.facts.study_uid or name.exam_id for image, name in zip(found, named, strict=True)]
    _refuse_two(folder, found, "patients", patients)
    _refuse_two(folder, found, "studies", studies)
    conflicts = [f"{image.source}: {image.problem}" for image in found if image.conflict]
    if conflicts:
        raise DatasetError(f"{folder}: {'; '.join(conflicts)}; say which is right in a CSV (file, view) with --views")
    images = [SubjectImage(i.path, i.source, (name, "1"), i.view) for i in found if i.view]
    if not images:
        shown = "; ".join(f"{source}: {reason}" for source, reason in left_out[:3])
        more = f" (and {len(left_out) - 3} more files)" if len(left_out) > 3 else ""
        raise DatasetError(f"{folder}: no usable mammogram: {shown}{more}")
    return images, [f"left out {name}/{source}: {reason}" for source, reason in left_out]


def _refuse_two(folder: Path, found: list[FoundImage], what: str, ids: list[str | None]) -> None:
    groups: dict[str, list[str]] = {}
    for image, identity in zip(found, ids, strict=True):
        if identity:
            groups.setdefault(identity, []).append(image.source)
    if len(groups) > 1:
        firsts = [", ".join(files[:4]) + (" …" if len(files) > 4 else "") for files in list(groups.values())[:3]]
        shown = " | ".join(firsts) + (" | …" if len(groups) > len(firsts) else "")
        raise DatasetError(
            f"{folder}: files of {len(groups)} {what} ({shown}); one folder holds one exam of one subject; a folder "
            "of subject folders is for `predict --subjects`"
        )
