"""A small dataset with lesions, written by hand: everything in it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import Dataset, ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation

HEIGHT, WIDTH = 160, 100


@dataclass(frozen=True)
class MadeLesion:
    """A lesion to be drawn as a bright disc."""

    place: tuple[int, int] | None
    "row and column of its centre; None: a lesion without a mask"
    radius: int = 10
    "in pixels"
    finding: str = "mass"
    "of lesions.csv"
    pathology: str = "benign"
    "of lesions.csv"


def breast(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey texture in a half disc, black outside; its mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    mask = ((rows - HEIGHT / 2) / (HEIGHT / 2)) ** 2 + (columns / WIDTH) ** 2 <= 1
    texture = resized(rng.random((20, 13)).astype(np.float32), HEIGHT, WIDTH)
    grey = 12_000 + 20_000 * texture + 500 * rng.random((HEIGHT, WIDTH))
    return np.where(mask, grey, 0).astype(np.uint16), mask


def write_made(
    root: Path,
    images: Mapping[str, Sequence[MadeLesion]],
    preparation: Preparation | None = None,
    full: int = 0,
    splits: Sequence[str] = ("train", "val", "test"),
) -> Dataset:
    """Write a dataset: image_id -> its lesions; a subject an image, splits in turn.

    Args:
        root: the dataset's folder.
        images: what it holds.
        preparation: as dataset.json says it; its height does not change what is written.
        full: how many times larger the images and masks at full size are; 0: none.
        splits: dealt to the images in turn.
    """
    rows, lesions = [], []
    for number, (image_id, own) in enumerate(images.items()):
        pixels, _ = breast(number)
        row = ImageRow(image_id, f"P{number}", "1", "CC_L", f"images/{image_id}.png", splits[number % len(splits)])
        row = replace(row, fold=str(number % 2), source=f"{image_id}.dcm", source_sha256=f"{number:064x}")
        for place, lesion in enumerate(own, start=1):
            found = LesionRow(f"{image_id}_{place}", image_id, row.subject_id, "CC_L", str(place), lesion.finding)
            found = replace(found, pathology=lesion.pathology)
            if lesion.place is not None:
                gridded = np.ogrid[:HEIGHT, :WIDTH]
                mask = sum((axis - at) ** 2 for axis, at in zip(gridded, lesion.place, strict=True)) < lesion.radius**2
                pixels[mask] = 60_000
                found = replace(found, mask=f"masks/{found.lesion_id}.png")
                drawn = np.where(mask, 255, 0).astype(np.uint8)
                write_mask(root / found.mask, drawn)
                if full:
                    found = replace(found, full_mask=f"full-masks/{found.lesion_id}.png")
                    write_mask(root / found.full_mask, drawn.repeat(full, 0).repeat(full, 1))
            lesions.append(found)
        write_png16(root / row.file, pixels)
        if full:
            row = replace(row, full_file=f"full/{image_id}.png")
            write_png16(root / row.full_file, pixels.repeat(full, 0).repeat(full, 1))
        rows.append(row)
    described = to_mapping(preparation or Preparation(height=HEIGHT))
    labels = {"pathology": [next((one.pathology for one in own if one.pathology), "") for own in images.values()]}
    if lesions:
        write_lesions(root, lesions)
    write_dataset(root, rows, labels, {"format": 1, "task": "pathology", "preparation": described, "folds": 2})
    return read_dataset(root)
