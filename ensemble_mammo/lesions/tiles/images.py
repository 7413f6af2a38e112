"""The tiles of one mammogram: where they may lie, and those that were chosen, written."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.imaging.blots import breast_of
from ensemble_mammo.imaging.breast import breast_box
from ensemble_mammo.imaging.lesion_tiles import Site, lesion_squares
from ensemble_mammo.imaging.tiles import (
    Mask,
    Pixels,
    Square,
    cut,
    drawn_turn,
    mean_and_variance,
    normal_grid,
    random_squares,
    turned,
)
from ensemble_mammo.lesions.tiles.plan import Job, Target
from ensemble_mammo.records.draws import drawing
from ensemble_mammo.records.png16 import read_lesion_mask, read_png16, write_png16
from ensemble_mammo.records.task import TILES
from ensemble_mammo.records.tile import TileRow

_LETTERS = {
    "own-size": "O",
    "whole": "W",
    "half": "H",
    "crop": "C",
    "fixed-context": "F",
    "padded": "P",
    "overlapping": "V",
    "grid": "N",
}
"""What stands in the ids of tiles."""
_LESIONS, _NORMALS, _SAMPLE = range(3)


@dataclass(frozen=True)
class Workshop:
    """What all mammograms of a tile set share."""

    out: Path
    "the tile set's folder"
    set: str
    "6, 8 or 9"
    size_px: int
    "rows and columns of a tile as written"
    seed: int
    "of all that is drawn"


@dataclass(frozen=True)
class Laid:
    """A tile that may be cut."""

    tile_id: str
    "its id"
    square: Square
    "where it lies"
    turn: str
    "how it is turned"
    target: Target | None = None
    "the lesion that it shows; None: normal tissue"


@dataclass(frozen=True)
class Chosen:
    """A mammogram and those of its tiles that are cut."""

    job: Job
    "the mammogram"
    tiles: tuple[tuple[Laid, str], ...]
    "and the split of each"


def surveyed(job: Job, shop: Workshop) -> dict[str, Any]:
    """Where the tiles of one mammogram may lie.

    Returns:
        `lesions` (lesion's place, square, turn), `normals` (square, turn, mean, variance: those that touch no lesion)
        and `sample` (mean, variance of tissue at random places), as JSON takes it.

    Raises:
        DatasetError: the image or a mask is missing, damaged or of another size.
    """
    pixels = read_png16(job.root / job.row.file)
    masks = {name: read_lesion_mask(job.root / name, pixels.shape) for name in job.masks}
    rng = drawing(shop.seed, job.row.image_id, _LESIONS)
    lesions = []
    for place, target in enumerate(job.targets):
        site = Site(masks[target.mask], breast_box(masks[target.mask]), job.scale)
        lesions += [(place, *astuple(square), drawn_turn(rng)) for square in lesion_squares(shop.set, site, rng)]
    normals = _normals(job, shop, pixels, list(masks.values())) if job.normal else []
    return {"lesions": lesions, "normals": normals, "sample": _sample(job, shop, pixels) if job.sampled else []}


def _normals(job: Job, shop: Workshop, pixels: Pixels, masks: list[Mask]) -> list[tuple[Any, ...]]:
    rng = drawing(shop.seed, job.row.image_id, _NORMALS)
    found = []
    for square in normal_grid(shop.set, job.scale, rng):
        turn = drawn_turn(rng)
        rows, columns = (slice(start, start + square.side) for start in (square.top, square.left))
        if not any(mask[rows, columns].any() for mask in masks):
            found.append((*astuple(square), turn, *mean_and_variance(cut(pixels, square, shop.size_px))))
    return found


def _sample(job: Job, shop: Workshop, pixels: Pixels) -> list[tuple[float, float]]:
    """Mean and variance of tiles at random places most pixels of which lie in the breast."""
    breast = breast_of(pixels, job.blackened)
    rng = drawing(shop.seed, job.row.image_id, _SAMPLE)
    found = []
    for square in random_squares(job.sampled, shop.set, job.scale, rng):
        inside = breast[square.top : square.top + square.side, square.left : square.left + square.side]
        if inside.mean() > 0.5:
            found.append(mean_and_variance(cut(pixels, square, shop.size_px)))
    return found


def laid_of_lesions(job: Job, survey: dict[str, Any]) -> list[Laid]:
    """The lesion tiles of a survey."""
    found: list[Laid] = []
    counts: dict[str, int] = {}
    for place, method, top, left, side, turn in survey["lesions"]:
        start = f"{job.targets[place].lesion_id}_{_LETTERS[method]}"
        counts[start] = counts.get(start, 0) + 1
        found.append(Laid(f"{start}{counts[start]:02d}", Square(method, top, left, side), turn, job.targets[place]))
    return found


def laid_of_normals(job: Job, survey: dict[str, Any]) -> list[tuple[Laid, float, float]]:
    """The normal tiles of a survey, with mean and variance."""
    return [
        (Laid(f"{job.row.image_id}_{_LETTERS[method]}{number:03d}", Square(method, top, left, side), turn), mean, var)
        for number, (method, top, left, side, turn, mean, var) in enumerate(survey["normals"], start=1)
    ]


def cut_image(chosen: Chosen, shop: Workshop) -> dict[str, Any]:
    """Cut and write the chosen tiles of one mammogram.

    Returns:
        `rows`: fields of `TileRow`, the labels beside them, as JSON takes it.

    Raises:
        DatasetError: the image is missing or damaged.
        OutputError: the tile set's folder cannot be written.
    """
    job, rows = chosen.job, []
    pixels = read_png16(job.root / job.row.file)
    for laid, split in chosen.tiles:
        square, target = laid.square, laid.target
        labels = _labels(target)
        row = TileRow(**asdict(replace(job.row, image_id=laid.tile_id, exam_id=laid.tile_id, split=split)))
        row = replace(
            row,
            file=f"{TILES}/{split or 'all'}/{labels['abnormality']}/{laid.tile_id}.png",
            mammogram=job.row.image_id,
            kind="lesion" if target else "normal",
            method=square.method,
            lesion_id=target.lesion_id if target else "",
            centre_row=str(square.top + square.side // 2),
            centre_column=str(square.left + square.side // 2),
            cover_px=str(square.side),
            size_px=str(shop.size_px),
            turned=laid.turn,
        )
        write_png16(shop.out / row.file, turned(cut(pixels, square, shop.size_px), laid.turn))
        rows.append(asdict(row) | labels)
    return {"rows": rows}


def _labels(target: Target | None) -> dict[str, str]:
    if target is None:
        return {"abnormality": "normal", "abnormality5": "normal", "finding": "", "pathology": ""}
    five = f"{target.pathology}-{target.finding}" if target.pathology and target.finding else ""
    return {
        "abnormality": "abnormal",
        "abnormality5": five,
        "finding": target.finding,
        "pathology": target.pathology,
    }
