"""Which mammograms give tiles of lesions and of normal tissue, at which scale, and what is left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.prepared import Placement, placement_of
from ensemble_mammo.imaging.tiles import NETWORK_PX, Scale, scale_of
from ensemble_mammo.lesions.tiles.options import TileOptions
from ensemble_mammo.records.lesion import counted_as, pathology_of
from ensemble_mammo.records.manifest import MANIFEST, Dataset, ImageRow, image_row
from ensemble_mammo.records.png16 import png_shape
from ensemble_mammo.records.preparation import Preparation

NOWHERE = "its lesions have no mask"
OTHER = "none of its lesions is of the findings asked for"
UNSAID = "no lesion, and no label that says it is normal"
LEAST_PX = 32
"""Rows and columns of the smallest tile that is worth a network."""

Record = Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """A lesion that gives tiles."""

    lesion_id: str
    "of lesions.csv"
    mask: str
    "relative to the dataset"
    pathology: str
    "benign, malignant or empty"
    finding: str
    "mass, calcification or empty"


@dataclass(frozen=True)
class Job:
    """One mammogram and what it may give."""

    root: Path
    "the dataset's folder"
    row: ImageRow
    "its row of the manifest"
    blackened: bool
    "the image is black outside the breast"
    scale: Scale
    "how it stands to its film"
    targets: tuple[Target, ...]
    "lesions that give tiles"
    masks: tuple[str, ...]
    "of all its lesions, relative to the dataset"
    normal: bool
    "whether it gives normal tiles: it has no lesion, or the place of each is known"
    sampled: int = 0
    "tiles at random places for the bounds"


@dataclass(frozen=True)
class Plan:
    """All that may be cut."""

    jobs: tuple[Job, ...]
    "one a mammogram of each dataset"
    size_px: int
    "rows and columns of the tiles"
    notes: tuple[str, ...]
    "what was decided on the way"
    left_out: tuple[tuple[str, str], ...]
    "image_id and reason"


def planned(dataset: Dataset, options: TileOptions, normals: Dataset | None = None) -> Plan:
    """Choose mammograms and lesions.

    Args:
        dataset: gives lesions, and normal tiles too where no other does.
        options: how.
        normals: the dataset that gives normal tiles instead, its splits dealt.

    Raises:
        DatasetError: no lesions, none with a mask, or images too small for tiles.
    """
    if dataset.lesions().empty:
        raise DatasetError(
            f"{dataset.root}: no lesion at all (lesions.csv missing or empty); tiles need lesions with masks"
        )
    wanted = options.normal_share > 0
    jobs, left_out = _jobs(dataset, options, (True, wanted and normals is None))
    if not any(job.targets for job in jobs):
        _refuse_nothing(dataset, left_out)
    if normals is not None and wanted:
        others, without = _jobs(normals, options, (False, True))
        jobs, left_out = [*jobs, *others], [*left_out, *without]
    if wanted and not any(job.normal for job in jobs):
        raise DatasetError(
            f"{(normals or dataset).root}: no mammogram can give normal tiles: that takes masks of all its lesions, "
            "or an abnormality label normal; give --normals DATASET, or --normal-share 0"
        )
    if normals is not None and wanted:
        _refuse_one_sided(normals, jobs)
    size, said = _size([job for job in jobs if job.targets], options)
    notes = [f"{n} images left out: {reason}" for reason, n in Counter(why for _, why in left_out).most_common()]
    return Plan(tuple(jobs), size, (*notes, *_notes(jobs, dataset, options), *said), tuple(left_out))


def _jobs(dataset: Dataset, options: TileOptions, wanted: tuple[bool, bool]) -> tuple[list[Job], list[tuple[str, str]]]:
    """The work on a dataset's images; wanted: tiles of lesions, normal tiles."""
    lesions = dataset.lesions_by_image()
    jobs: list[Job] = []
    left_out: list[tuple[str, str]] = []
    blackened = dataset.preparation.outside == "black"
    for number, record in enumerate(dataset.table.to_dict("records")):
        image = {str(name): str(value) for name, value in record.items()}
        own = lesions.get(image["image_id"], [])
        placed = [lesion for lesion in own if lesion["mask"]]
        targets = _targets(placed, len(own) == 1, image, options) if wanted[0] else ()
        normal = wanted[1] and (len(placed) == len(own) if own else _is_normal(image))
        if not targets and not normal:
            if reason := _reason(own, placed, wanted):
                left_out.append((image["image_id"], reason))
            continue
        try:
            scale = _scale(dataset, image, number, options.trim)
        except DatasetError as error:
            left_out.append((image["image_id"], str(error).removeprefix(f"{dataset.root}/")))
            continue
        row = replace(image_row(image), full_file="")
        masks = tuple(lesion["mask"] for lesion in placed)
        jobs.append(Job(dataset.root, row, blackened, scale, targets, masks, normal))
    return jobs, left_out


def _reason(own: Sequence[Record], placed: Sequence[Record], wanted: tuple[bool, bool]) -> str:
    """Why an image gives nothing that it was asked for; empty where it was asked for nothing."""
    if own and not placed:
        return NOWHERE
    if own:
        return OTHER
    return UNSAID if wanted[1] else ""


def _is_normal(image: Record) -> bool:
    return "normal" in (image.get("abnormality"), image.get("abnormality5"))


def _targets(placed: Sequence[Record], alone: bool, image: Record, options: TileOptions) -> tuple[Target, ...]:
    return tuple(
        Target(
            lesion["lesion_id"],
            lesion["mask"],
            pathology_of(lesion, image, alone, options.birads),
            lesion["finding"] and counted_as(lesion["finding"]),
        )
        for lesion in placed
        if not options.findings or lesion["finding"] in options.findings
    )


def _scale(dataset: Dataset, image: Record, number: int, trim: float) -> Scale:
    """The scale of an image, by its crop in the manifest; an image without one is taken for the whole film."""
    rows, columns = png_shape(dataset.root / image["file"])
    names = ("source_height", "source_width", "crop_top", "crop_left", "crop_height", "crop_width")
    if not any(image[name] for name in names):
        placement = Placement(rows, columns, 0, 0, rows, columns, rows, columns, 0, 0, rows, columns)
    else:
        placement = _placement(dataset.preparation, [image[name] for name in names], f"line {number + 2}", dataset.root)
    if (placement.height, placement.width) != (rows, columns):
        raise DatasetError(
            f"{dataset.root / image['file']}: {rows} x {columns} pixels, expected {placement.height} x "
            f"{placement.width} by its crop and the preparation; prepare the dataset again"
        )
    return scale_of(placement, trim, dataset.preparation.orientation != "kept")


def _placement(preparation: Preparation, texts: Sequence[str], line: str, root: Path) -> Placement:
    try:
        height, width, *box = (int(float(text)) for text in texts)
        return placement_of((height, width), Box(*box), preparation)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise DatasetError(
            f"{root / MANIFEST} {line}: source_height, source_width and the crop are {', '.join(map(repr, texts))}, "
            "expected six numbers of a crop within its source; prepare the dataset again"
        ) from error


def _size(jobs: Sequence[Job], options: TileOptions) -> tuple[int, list[str]]:
    """Rows and columns of the tiles, and what is to be said of them."""
    cover = round(median(job.scale.cover_px for job in jobs))
    size = options.size_px or (NETWORK_PX if cover >= NETWORK_PX else cover)
    if size < LEAST_PX:
        raise DatasetError(
            f"{jobs[0].root}: 598 film pixels are {cover} pixels of the prepared images, too few for a tile; prepare "
            f"the dataset at more rows, or give --size {LEAST_PX} or more, which enlarges them"
        )
    notes = []
    if size != NETWORK_PX:
        notes.append(
            f"tiles have {size} x {size} pixels, not the published {NETWORK_PX}: a network's input.height and "
            "input.width must follow"
        )
    if size > cover:
        notes.append(f"tiles are enlarged: 598 film pixels are {cover} pixels of the prepared images (median)")
    return size, notes


def _notes(jobs: Sequence[Job], dataset: Dataset, options: TileOptions) -> list[str]:
    notes = []
    if options.normal_share:
        own = [job for job in jobs if job.root == dataset.root]
        without = sum(not job.normal for job in own)
        if without and any(job.normal for job in own):
            notes.append(f"{without} images give no normal tiles: they have lesions without a mask")
    for name, number in Counter(target.pathology for job in jobs for target in job.targets).items():
        if not name:
            notes.append(f"{number} lesions have no pathology: their tiles have none, and none of the five classes")
    unknown = sum(not target.finding for job in jobs for target in job.targets)
    if unknown:
        notes.append(f"{unknown} lesions have no finding: their tiles have none, and none of the five classes")
    return notes


def _refuse_one_sided(normals: Dataset, jobs: Sequence[Job]) -> None:
    """Refuse to train on lesions alone."""
    lesions = {job.row.split for job in jobs if job.targets}
    free = {job.row.split for job in jobs if job.normal}
    if "train" in lesions and "train" not in free:
        raise DatasetError(
            f"{normals.root / MANIFEST}: no mammogram of the split train can give normal tiles, while lesions of it do "
            f"(found: {', '.join(sorted(free))}); prepare that dataset with a --split that has training images"
        )


def _refuse_nothing(dataset: Dataset, left_out: Sequence[tuple[str, str]]) -> None:
    reasons = "; ".join(f"{n} images: {reason}" for reason, n in Counter(why for _, why in left_out).most_common())
    raise DatasetError(f"{dataset.root}: no lesion can give tiles ({reasons}); that takes lesions with a mask")
