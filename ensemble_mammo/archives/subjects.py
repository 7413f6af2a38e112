"""One subject's folder as it came: her images with their views, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.dicom import FoundImage, find_images
from ensemble_mammo.archives.tables import FileKeyed
from ensemble_mammo.errors import DatasetError
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


def subject_folders(root: Path) -> list[Path]:
    """The subject folders in a folder.

    Raises:
        DatasetError: there is none.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DatasetError(f"{root}: no subject folder in it; for one subject's own folder use --subject-dir")
    return folders


def subject_images(folder: Path, views: FileKeyed | None, workers: int = 0) -> tuple[list[SubjectImage], list[str]]:
    """The mammograms of one subject's folder, and notes on what was left out.

    Raises:
        DatasetError: no usable mammogram; files of two patients or two studies; a header that contradicts
            the file's name in side or view.
    """
    found, left_out = find_images(folder, views, workers)
    _refuse_two(folder, found, "patients", [image.facts.patient_id for image in found])
    _refuse_two(folder, found, "studies", [image.facts.study_uid for image in found])
    conflicts = [f"{image.source}: {image.problem}" for image in found if image.conflict]
    if conflicts:
        raise DatasetError(f"{folder}: {'; '.join(conflicts)}; say which is right in a CSV (file, view) with --views")
    left_out += [(image.source, image.problem) for image in found if not image.view]
    name = folder.resolve().name
    images = [SubjectImage(i.path, i.source, (name, "1"), i.view) for i in found if i.view]
    if not images:
        shown = "; ".join(f"{source}: {reason}" for source, reason in left_out[:3])
        more = f" (and {len(left_out) - 3} more files)" if len(left_out) > 3 else ""
        raise DatasetError(f"{folder}: no usable mammogram: {shown}{more}")
    return images, [f"left out {name}/{source}: {reason}" for source, reason in left_out]


def _refuse_two(folder: Path, found: list[FoundImage], what: str, ids: list[str]) -> None:
    groups: dict[str, list[str]] = {}
    for image, identity in zip(found, ids, strict=True):
        if identity:
            groups.setdefault(identity, []).append(image.source)
    if len(groups) > 1:
        shown = " | ".join(", ".join(files[:4]) + (" …" if len(files) > 4 else "") for files in groups.values())
        raise DatasetError(
            f"{folder}: files of {len(groups)} {what} ({shown}); one folder holds one exam of one subject"
        )
