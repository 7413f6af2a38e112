"""The patches of one mammogram: drawn, cut and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.blots import breast_of
from ensemble_mammo.imaging.patches import (
    Drawn,
    Overlaps,
    Region,
    blobs,
    centred,
    cutter,
    drawn_around,
    drawn_at_blobs,
    drawn_elsewhere,
)
from ensemble_mammo.imaging.prepared import at_height, resized
from ensemble_mammo.lesions.patches.options import PatchOptions
from ensemble_mammo.lesions.patches.plan import Job, Target
from ensemble_mammo.records.draws import drawing
from ensemble_mammo.records.patch import PatchRow
from ensemble_mammo.records.png16 import read_lesion_mask, read_png16, write_png16
from ensemble_mammo.records.task import PATCHES

Pixels = NDArray[np.uint16]
Mask = NDArray[np.bool_]
_LETTERS = {"lesion": "L", "background": "B", "hard-negative": "H"}


@dataclass(frozen=True)
class Workshop:
    """What all mammograms of a patch set share."""

    root: Path
    "the dataset's folder"
    out: Path
    "the patch set's folder"
    options: PatchOptions
    "how patches are drawn"
    blackened: bool
    "the dataset's images are black outside the breast"


@dataclass(frozen=True)
class _Group:
    """Patches of one kind that belong to one lesion."""

    kind: str
    label: str
    target: Target
    drawn: Drawn


def cut_image(job: Job, shop: Workshop) -> dict[str, Any]:
    """Cut and write the patches of one mammogram.

    Returns:
        `rows` (fields of `PatchRow`, the label beside them) and `short` (background patches that found no place, and
        hard negatives that became random background), as JSON takes it.

    Raises:
        DatasetError: the image or a mask is missing, damaged or of another size.
        OutputError: the patch set's folder cannot be written.
    """
    options = shop.options
    pixels, lesions = _at_height(job, shop)
    cut = cutter(pixels, options.patch_px)
    same = asdict(
        PatchRow(**asdict(replace(job.row, full_file="")), mammogram=job.row.image_id, size_px=str(options.patch_px))
    )
    rows: list[dict[str, str]] = []
    groups, short = _drawn(job, pixels, lesions, shop)
    for group in groups:
        drawn = group.drawn
        for number, (row, column) in enumerate(drawn.centres.tolist(), start=1):
            patch_id = f"{group.target.lesion_id}_{_LETTERS[group.kind]}{number:02d}"
            file = f"{PATCHES}/{job.row.split or 'all'}/{group.label}/{patch_id}.png"
            write_png16(shop.out / file, cut(row, column))
            facts = {
                "image_id": patch_id,
                "exam_id": patch_id,
                "file": file,
                "kind": group.kind,
                "lesion_id": group.target.lesion_id,
                "centre_row": str(row),
                "centre_column": str(column),
                "overlap": f"{drawn.overlap[number - 1]:.4f}",
                "least_overlap": "" if np.isnan(drawn.least[number - 1]) else f"{drawn.least[number - 1]:.4g}",
                "patch": group.label,
            }
            rows.append(same | facts)
    return {"rows": rows, "short": short}


def _drawn(job: Job, pixels: Pixels, lesions: list[Region], shop: Workshop) -> tuple[list[_Group], dict[str, int]]:
    """Where patches lie, lesion after lesion."""
    options = shop.options
    rng = drawing(options.seed, job.row.image_id)
    overlaps = Overlaps(lesions, options.patch_px)
    groups = []
    for target in job.targets:
        lesion = lesions[target.place]
        if options.per_lesion == 1:
            drawn = centred(lesion, overlaps, target.place)
        else:
            drawn = drawn_around(lesion, overlaps, target.place, (options.per_lesion, options.overlap), rng)
        groups.append(_Group("lesion", target.label, target, drawn))
    short = {"background": 0, "hard-negative": 0}
    if job.background:
        groups += _backgrounds(job, pixels, overlaps, shop, (rng, short))
    return groups, short


def _backgrounds(
    job: Job, pixels: Pixels, overlaps: Overlaps, shop: Workshop, state: tuple[np.random.Generator, dict[str, int]]
) -> Iterator[_Group]:
    """As many background patches beside each lesion as it has patches; the hard ones first, no blob twice."""
    options, (rng, short) = shop.options, state
    breast = breast_of(pixels, shop.blackened)
    share = options.hard_negatives * options.per_lesion * len(job.targets)
    hard = int(share + rng.random()) if share else 0  # the share holds on average where it is no whole number
    found = blobs(pixels, breast, options.patch_px) if hard else np.zeros((0, 2), np.int64)
    at_blobs = drawn_at_blobs(found, overlaps, hard, options.background_overlap, rng)
    short["hard-negative"] += hard - len(at_blobs.centres)
    parts = np.array_split(np.arange(len(at_blobs.centres)), len(job.targets))
    for target, part in zip(job.targets, parts, strict=True):
        own = Drawn(at_blobs.centres[part], at_blobs.overlap[part], at_blobs.least[part])
        count = options.per_lesion - len(part)
        rest = drawn_elsewhere(breast, overlaps, count, options.background_overlap, rng)
        short["background"] += count - len(rest.centres)
        yield _Group("hard-negative", "background", target, own)
        yield _Group("background", "background", target, rest)


def _at_height(job: Job, shop: Workshop) -> tuple[Pixels, list[Region]]:
    """The image and its lesions at the height for sampling; the width follows by the aspect."""
    pixels = read_png16(shop.root / job.file)
    height = shop.options.image_height_px or pixels.shape[0]
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    lesions = []
    for name in job.masks:
        mask = read_lesion_mask(shop.root / name, pixels.shape)
        lesions.append(Region.of(mask if height == pixels.shape[0] else _scaled(mask, height, width)))
    return at_height(pixels, height), lesions


def _scaled(mask: Mask, height: int, width: int) -> Mask:
    """A mask at another size; a lesion never vanishes."""
    share = resized(mask.astype(np.float32), height, width)
    return np.asarray(share >= min(0.5, float(share.max())))
