"""What an archive hands to `prepare`: its images with their ids and labels, before any pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.records.lesion import ArchiveLesion
from ensemble_mammo.records.subject import View


@dataclass(frozen=True)
class ArchiveImage:
    """One image of an archive, by what its name, folder, header and tables say."""

    path: Path
    "the file"
    source: str
    "the file relative to the archive"
    image_id: str
    "unique in the archive"
    subject_id: str
    "the patient"
    exam_id: str
    "one visit"
    view: View
    "the projection"
    labels: Mapping[str, str] = field(default_factory=dict)
    "task -> class; a task that is missing is unknown"
    split: str = ""
    "the split that the archive itself states"
    lesions: tuple[ArchiveLesion, ...] = ()
    "the lesions that the archive knows of in it"
    facts: Mapping[str, str] = field(default_factory=dict)
    "columns of the manifest that the archive's tables fill: device, age, implant, pixel_spacing_mm, …"
    turned: bool = False
    "the archive knows that light and dark are exchanged in the file: its pixels are inverted once read"


@dataclass(frozen=True)
class Listing:
    """All that was found in an archive."""

    images: tuple[ArchiveImage, ...]
    "what will be prepared"
    left_out: tuple[tuple[str, str], ...] = ()
    "(file relative to the archive, why it is left out)"
    unreadable: tuple[tuple[str, str], ...] = ()
    "those among them that are images whose header cannot be read"
    notes: tuple[str, ...] = ()
    "decisions that the user should know of"
    validation_share: float = 0.0
    "share of the stated training subjects that go to validation, where the archive states no validation split"
    hidden: bool = False
    "whether PatientIDs became pseudonyms; file names and folders, which often tell them, then stay out of the dataset"
