"""What the header of an image says, without names or birth dates."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble_mammo.records.subject import Projection, Side, View


@dataclass(frozen=True)
class HeaderFacts:
    """What one file says of itself; '' or None where it says nothing."""

    format: str
    "'dicom', 'png', 'tiff', 'pgm', 'jpeg' or 'webp', by content"
    rows: int
    "rows of the pixels in the file"
    columns: int
    "columns of the pixels in the file"
    bits_stored: int
    "bits of a pixel value that are in use, as the header has it"
    photometric: str = ""
    "MONOCHROME1 (low values bright), MONOCHROME2, or the mode of a picture"
    patient_id: str = ""
    "PatientID, as written"
    study_uid: str = ""
    "StudyInstanceUID"
    series_uid: str = ""
    "SeriesInstanceUID"
    exam_date: str = ""
    "the day of the study, as YYYY-MM-DD"
    image_uid: str = ""
    "SOPInstanceUID"
    side: Side | None = None
    "the breast, when the header is clear about it"
    projection: Projection | None = None
    "CC or MLO; None for every other view (ML, LM, XCCL, implant displaced, ...) and for contradictions"
    view_text: str = ""
    "the view as the header has it, such as 'ML'"
    pixel_spacing_mm: float | None = None
    "distance of pixel centres, in mm: ImagerPixelSpacing (at the detector), else PixelSpacing"
    manufacturer: str = ""
    "Manufacturer"
    device: str = ""
    "ManufacturerModelName"
    age: int | None = None
    "PatientAge in full years"
    implant: str = ""
    "BreastImplantPresent: YES, NO or ''"
    presentation: str = ""
    "PresentationIntentType: FOR PRESENTATION, FOR PROCESSING or ''"
    windows: int = 0
    "how many windows and VOI LUTs there are to choose from"
    modifiers: tuple[str, ...] = ()
    "view modifiers in words: spot compression, magnification, implant displaced, …"
    magnification: float | None = None
    "EstimatedRadiographicMagnificationFactor"
    burned_in: str = ""
    "BurnedInAnnotation: YES, NO or ''"
    stored_low: int | None = None
    "lowest stored value, once the pixels are decoded"
    stored_high: int | None = None
    "highest stored value, likewise"
    transfer_syntax: str = ""
    "the encoding of the pixels, in words"
    problem: str = ""
    "where two header fields contradict each other on side or view; the side or projection is None then"
    notes: tuple[str, ...] = ()
    "what is worth saying of this file; `problem` stands here too"

    @property
    def view(self) -> View | None:
        """The view, when both projection and side are known."""
        return View.of(self.projection, self.side) if self.projection and self.side else None
