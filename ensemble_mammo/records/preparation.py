"""All that is done to pixels before augmentation, chosen once and carried by dataset and checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

VOI_RULES = ("auto", "lut", "window", "min-max", "stored")
POLARITIES = ("header", "auto")
OUTSIDE_RULES = ("keep", "black")
WHITE_PATCHES = ("keep", "black")
DECODES = ("full", "fast")
INTENSITIES = ("kept", "range", "rank", "local")
ORIENTATIONS = ("kept", "chest-left")
PECTORAL_RULES = ("keep", "black")
OF_THE_SOURCE = ("voi", "window", "decode", "polarity", "bits_used", "source_aspect", "trim", "white_patches")
"""Fields that say how one kind of file is read; the others say what the prepared image is like."""


@dataclass(frozen=True)
class Preparation:
    """From a file's pixels to a prepared mammogram (16 bits, tissue bright, breast cropped, aspect kept)."""

    voi: str = "auto"
    """values of interest of a DICOM file: 'auto' (its VOI LUT, else its window, else the stored range), 'lut',
    'window', 'min-max' (the image's own extremes: throws absolute intensity away), 'stored' (all bits stored)"""
    window: int | str = 0
    "which of several windows or VOI LUTs: its place from 0, or its explanation, such as 'HARDER'"
    decode: str = "full"
    """'fast': JPEG 2000 is decoded at a lower resolution level where that still has twice the rows wanted; the
    pixels then differ a little from those of 'full'"""
    polarity: str = "header"
    """'header': only MONOCHROME1 is turned; 'auto': an image without a header is turned too where its
    background is brighter than its breast"""
    bits_used: int = 0
    "bits in use of a 16-bit PNG, TIFF or PGM (12: 4095 is white); 0: as many as the file has"
    source_aspect: float = 0.0
    "width over height of the original where an export lost it; 0: pixels are square"
    trim: float = 0.0
    "share of height and width taken off each side before all else, film borders with it (0.07 in Scuccimarra's DDSM)"
    white_patches: str = "keep"
    "white rectangles that cover what stood on a film: 'keep' or 'black' (those inside the breast too)"
    crop: bool = True
    "cut to the breast, found by segmentation"
    outside: str = "black"
    "what lies outside the breast, labels and film borders included: 'black' or 'keep'"
    intensity: str = "kept"
    """values within the breast: 'kept'; 'range' (their 1st and 99th percentile become 0.05 and 0.95); 'rank' (equal
    shares of pixels at every level); 'local' (each pixel against the mean and deviation of its surroundings). The last
    three take away what tells a digitiser, and absolute intensity, which density is read from, with it"""
    pectoral: str = "keep"
    """the pectoral muscle of MLO views: 'keep', or 'black' where it is found; a rule of intensity then leaves it out.
    Images of other views, or of a view that is not known, are not touched"""
    orientation: str = "kept"
    "'kept', or 'chest-left': turned over where the chest wall stands on the right, so that all breasts point one way"
    height: int = 1152
    "rows of the prepared image, in pixels; 0: those of the source"
    width: int = 0
    "columns, reached by padding both sides alike (never by squashing); 0: what the aspect gives"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, allowed in (
            ("voi", VOI_RULES),
            ("polarity", POLARITIES),
            ("outside", OUTSIDE_RULES),
            ("white_patches", WHITE_PATCHES),
            ("intensity", INTENSITIES),
            ("decode", DECODES),
            ("orientation", ORIENTATIONS),
            ("pectoral", PECTORAL_RULES),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        if not 0 <= self.bits_used <= 16:
            raise ValueError(f"bits_used is {self.bits_used}, expected 0 to 16")
        if not (self.source_aspect == 0 or 0.1 <= self.source_aspect <= 10):
            raise ValueError(f"source_aspect is {self.source_aspect}, expected 0, or width / height from 0.1 to 10")
        if not 0 <= self.trim <= 0.4:
            raise ValueError(f"trim is {self.trim}, expected 0 to 0.4 of height and width")
        if not (self.height == 0 or 32 <= self.height <= 16384):
            raise ValueError(f"height is {self.height}, expected 0, or 32 to 16384 pixels")
        if not (self.width == 0 or 32 <= self.width <= 16384):
            raise ValueError(f"width is {self.width}, expected 0, or 32 to 16384 pixels")
        if self.width and not self.height:
            raise ValueError(f"width is {self.width} with height 0 (that of the source); give a height too")

    @property
    def looks_for_breast(self) -> bool:
        """Whether anything here needs the breast to be found."""
        changed = self.intensity != "kept" or self.orientation != "kept" or self.pectoral != "keep"
        return self.crop or self.outside == "black" or changed
