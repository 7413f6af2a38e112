"""One image of an archive, prepared and written: its pixels, and the masks of its lesions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.breast import breast_box
from ensemble_mammo.imaging.lesions import LesionProblem, lesion_mask, prepared_mask
from ensemble_mammo.imaging.prepared import Prepared, cleared_pixels, scaled_pixels
from ensemble_mammo.imaging.read import Limits, Mammogram, read_mammogram
from ensemble_mammo.records.archive import ArchiveImage
from ensemble_mammo.records.lesion import ArchiveLesion, LesionRow
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation

ROW_FACTS = (
    "manufacturer",
    "device",
    "age",
    "implant",
    "pixel_spacing_mm",
    "source_height",
    "source_width",
    "crop_top",
    "crop_left",
    "crop_height",
    "crop_width",
)
"""Columns of the manifest that reading and preparing fill."""


@dataclass(frozen=True)
class Workplace:
    """Where and how the images of an archive are prepared."""

    out: Path
    "the dataset's folder"
    preparation: Preparation
    "what is done to the pixels"
    limits: Limits
    "what one file may cost"
    full_size: bool = False
    "whether image and masks are also written at the source's own size"

    def __post_init__(self) -> None:
        """Refuse full size of what is decoded at a lower resolution."""
        if self.full_size and self.preparation.decode == "fast":
            raise DatasetError("full size and decode 'fast' contradict each other; leave one of them out")


def file_of(image: ArchiveImage, folder: str = "images") -> str:
    """Where an image lies in the dataset."""
    return f"{folder}/{image.view}/{image.image_id}.png"


def prepare_image(image: ArchiveImage, place: Workplace) -> dict[str, Any]:
    """Read one image, write it and the masks of its lesions.

    Returns:
        `ROW_FACTS`, `source_sha256`, `notes` and `lesions` (fields of `LesionRow`): texts and numbers that JSON takes.

    Raises:
        ImageReadError: the file cannot be turned into a mammogram.
        OutputError: the dataset's folder cannot be written.
    """
    mammogram = _read(image, place)
    cleared = cleared_pixels(mammogram, place.preparation, image.view)
    prepared = scaled_pixels(cleared, place.preparation)
    write_png16(place.out / file_of(image), prepared.pixels)
    full = None
    if place.full_size:
        full = scaled_pixels(cleared, replace(place.preparation, height=0, width=0))
        write_png16(place.out / file_of(image, "full"), full.pixels)
    facts = {name: getattr(mammogram.facts, name, None) for name in ROW_FACTS}
    facts |= asdict(prepared.placement)
    notes = [*mammogram.facts.notes, *prepared.notes]
    made = {name: "" if facts.get(name) is None else facts[name] for name in ROW_FACTS}
    lesions = [_lesion_row(image, lesion, prepared, full, place) for lesion in image.lesions]
    return made | {"source_sha256": mammogram.sha256, "notes": notes, "lesions": lesions}


def _read(image: ArchiveImage, place: Workplace) -> Mammogram:
    """The image with tissue bright; what the archive says of it stands above what its pixels look like."""
    if not image.turned:
        return read_mammogram(image.path, place.preparation, place.limits)
    mammogram = read_mammogram(image.path, replace(place.preparation, polarity="header"), place.limits)
    facts = replace(
        mammogram.facts, notes=(*mammogram.facts.notes, "turned: so stated by the archive, or by the fixes of an audit")
    )
    return replace(mammogram, pixels=1 - mammogram.pixels, facts=facts)


def _lesion_row(
    image: ArchiveImage, lesion: ArchiveLesion, prepared: Prepared, full: Prepared | None, place: Workplace
) -> dict[str, str]:
    """Draw a lesion into the prepared image; one without a place, or without a mask that fits, stays as a row."""
    lesion_id = f"{image.image_id}_{lesion.number}"
    known = {name: getattr(lesion, name) for name in ("number", "finding", "pathology", "assessment", "subtlety")}
    row = LesionRow(
        lesion_id, image.image_id, image.subject_id, image.view.value, descriptors=lesion.descriptors, **known
    )
    lies = prepared.placement
    try:
        mask, note = lesion_mask(lesion.outlines, (lies.source_height, lies.source_width), place.limits)
        drawn, visible = prepared_mask(mask, lies)
        whole = prepared_mask(mask, full.placement)[0] if full else None
    except LesionProblem as problem:
        return asdict(replace(row, note=str(problem)))
    file = f"masks/{image.view}/{lesion_id}.png"
    write_mask(place.out / file, drawn)
    if whole is not None:
        write_mask(place.out / f"full-{file}", whole)
    box = breast_box(drawn > 0)
    row = replace(row, outline="+".join(sorted({o.kind for o in lesion.outlines})), mask=file, note=note)
    row = replace(row, full_mask=f"full-{file}" if whole is not None else "", visible=f"{visible:.4g}")
    return asdict(replace(row, top=str(box.top), left=str(box.left), height=str(box.height), width=str(box.width)))
