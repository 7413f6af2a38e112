"""Tiles: squares cut from mammograms for telling normal from abnormal, and the rows of a tile set's manifest."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ensemble_mammo.records.manifest import ImageRow

TILE_KINDS = ("lesion", "normal")
"""What a tile shows."""
TILE_METHODS = (
    "own-size", "whole", "half", "crop", "fixed-context", "padded", "overlapping", "grid",
)  # fmt: skip
"""How a tile was laid; `grid` is of normal tiles."""
TILE_LABELS = ("abnormality", "abnormality5", "finding", "pathology")
"""The label columns of a tile set."""


@dataclass(frozen=True)
class TileRow(ImageRow):
    """One tile: a row of a tile set's manifest.csv, which is a dataset's with these columns behind, then the labels.

    `image_id` and `exam_id` are the tile's own, so that scores of tiles are never averaged; `source` and
    `source_sha256` are the mammogram's.
    """

    mammogram: str = ""
    "image_id of the mammogram in its dataset"
    kind: str = ""
    "lesion or normal"
    method: str = ""
    "own-size, whole, half, crop, fixed-context, padded, overlapping, or grid (normal tiles)"
    lesion_id: str = ""
    "of lesions.csv; empty for normal tiles"
    centre_row: str = ""
    "of the tile in the prepared mammogram, in pixels from 0: the tile begins at centre_row - cover_px // 2"
    centre_column: str = ""
    "likewise"
    cover_px: str = ""
    "rows and columns of the prepared mammogram that the tile covers"
    size_px: str = ""
    "rows and columns of the tile as written"
    turned: str = ""
    "quarter turns counter-clockwise (0 to 3), then h if flipped left for right, v if upside down, in that order"


TILE_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(TileRow))
"""The columns of a tile set's manifest.csv that are no labels."""
