"""Patches: small squares cut from mammograms around lesions and elsewhere, and the rows of a patch set's manifest."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ensemble_mammo.records.manifest import ImageRow

PATCH_KINDS = ("lesion", "background", "hard-negative")
"""Where a patch comes from; the last two are both of class background."""


@dataclass(frozen=True)
class PatchRow(ImageRow):
    """One patch: a row of a patch set's manifest.csv, which is a dataset's with these columns behind (label: patch).

    `image_id` and `exam_id` are the patch's own, so that scores of patches are never averaged; `source` and
    `source_sha256` are the mammogram's.
    """

    mammogram: str = ""
    "image_id of the mammogram in the dataset that it was cut from"
    kind: str = ""
    "lesion, background or hard-negative"
    lesion_id: str = ""
    "of lesions.csv; of background the lesion beside which it was drawn, empty without one"
    centre_row: str = ""
    "of the patch in the mammogram at the patch set's image height, in pixels from 0"
    centre_column: str = ""
    "likewise"
    size_px: str = ""
    "rows and columns of the patch, before any resizing"
    overlap: str = ""
    "the larger of intersection / lesion and intersection / patch, with the lesion named; of background with any"
    least_overlap: str = ""
    "the overlap that was asked for when the draw succeeded: 0.05 less after each 1000 draws that failed"


PATCH_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(PatchRow))
"""The columns of a patch set's manifest.csv that are no labels."""
