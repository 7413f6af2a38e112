"""Which mammograms and which of their lesions give patches, and what is left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.cut_set import key_of
from ensemble_mammo.lesions.patches.options import PatchOptions
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.lesion import counted_as, pathology_of
from ensemble_mammo.records.manifest import Dataset, ImageRow, image_row

UNKNOWN = "several lesions and no word which of them is malignant"
BARE = "its lesion has no pathology"
OTHER = "none of its lesions is of the findings asked for"
NOWHERE = "its lesions have no mask"


@dataclass(frozen=True)
class Target:
    """A lesion that gives patches."""

    lesion_id: str
    "of lesions.csv"
    label: str
    "the class of its patches"
    place: int
    "of its mask among the image's"


@dataclass(frozen=True)
class Job:
    """One mammogram and what is to be cut from it."""

    row: ImageRow
    "its row of the manifest"
    file: str
    "the image, relative to the dataset"
    masks: tuple[str, ...]
    "of all its lesions, relative to the dataset"
    targets: tuple[Target, ...]
    "lesions that give patches"
    background: bool
    "whether background may be cut: the place of every lesion is known"

    def key(self, root: Path) -> str:
        """What says that this is the work that an earlier call did."""
        return key_of(self.row.image_id, self, root, (self.file, *self.masks))


@dataclass(frozen=True)
class Plan:
    """All that is to be cut."""

    jobs: tuple[Job, ...]
    "one a mammogram"
    notes: tuple[str, ...]
    "what was decided on the way"
    left_out: tuple[tuple[str, str], ...]
    "image_id and reason"


def planned(dataset: Dataset, options: PatchOptions) -> Plan:
    """Choose mammograms and lesions.

    Raises:
        DatasetError: no lesions, none that can give a patch, or no images at the source's size where they are wanted.
    """
    lesions = dataset.lesions_by_image()
    if not lesions:
        raise DatasetError(
            f"{dataset.root}: no lesion at all (lesions.csv missing or empty); patches need lesions with masks"
        )
    full = options.image_height_px == 0 and dataset.preparation.height != 0
    if full:
        _refuse_small(dataset, lesions)
    jobs: list[Job] = []
    left_out: list[tuple[str, str]] = []
    for image in dataset.table.to_dict("records"):
        own = lesions.get(str(image["image_id"]))
        if own is None:
            continue
        row = image_row(image)
        job = _job(row, own, {str(k): str(v) for k, v in image.items()}, options, full)
        if isinstance(job, str):
            left_out.append((row.image_id, job))
        else:
            jobs.append(job)
    if not jobs:
        _refuse_nothing(dataset, left_out)
    return Plan(tuple(jobs), tuple(_notes(dataset, jobs, lesions, left_out, options)), tuple(left_out))


def class_of(finding: str, pathology: str) -> str:
    """The class of a lesion's patches: what is no calcification counts as a mass."""
    return f"{pathology}-{counted_as(finding)}"


def _job(
    row: ImageRow, lesions: Sequence[Mapping[str, str]], image: Mapping[str, str], options: PatchOptions, full: bool
) -> Job | str:
    """The work on one image, or why there is none."""
    column = "full_mask" if full else "mask"
    placed = [lesion for lesion in lesions if lesion[column]]
    if not placed:
        return NOWHERE
    targets, wanted = [], False
    for place, lesion in enumerate(placed):
        if options.findings and lesion["finding"] not in options.findings:
            continue
        wanted = True
        if pathology := pathology_of(lesion, image, len(lesions) == 1, options.birads):
            targets.append(Target(lesion["lesion_id"], class_of(lesion["finding"], pathology), place))
    if not targets:
        return (UNKNOWN if len(lesions) > 1 else BARE) if wanted else OTHER
    masks = tuple(lesion[column] for lesion in placed)
    return Job(row, row.full_file if full else row.file, masks, tuple(targets), len(placed) == len(lesions))


def _refuse_small(dataset: Dataset, lesions: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    files = dict(zip(dataset.table["image_id"], dataset.table["full_file"], strict=True))
    lacking = [name for name in lesions if not files[name]]
    bare = [row["lesion_id"] for own in lesions.values() for row in own if row["mask"] and not row["full_mask"]]
    if lacking or bare:
        first = f"{lacking[0]} has no image" if lacking else f"lesion {bare[0]} has no mask"
        raise DatasetError(
            f"{dataset.root}: image height 0 asks for the source's own size, and {first} at that size; prepare the "
            "dataset again with --full-size, or give --image-height"
        )


def _refuse_nothing(dataset: Dataset, left_out: Sequence[tuple[str, str]]) -> None:
    reasons = "; ".join(f"{n} images: {reason}" for reason, n in Counter(why for _, why in left_out).most_common())
    raise DatasetError(
        f"{dataset.root}: no image can give patches ({reasons}); the class of a patch needs a mask and a pathology "
        "(benign or malignant) of each lesion, in lesions.csv, or --birads and a BI-RADS class of its image"
    )


def _notes(
    dataset: Dataset,
    jobs: Sequence[Job],
    lesions: Mapping[str, Sequence[Mapping[str, Any]]],
    left_out: Sequence[tuple[str, str]],
    options: PatchOptions,
) -> list[str]:
    notes = [f"{n} images left out: {reason}" for reason, n in Counter(why for _, why in left_out).most_common()]
    if normal := len(dataset.table) - len(jobs) - len(left_out):
        notes.append(f"{normal} images have no lesion and give no patch")
    without = sum(not job.background for job in jobs)
    if without:
        notes.append(f"{without} images give no background: they have lesions without a mask, which may lie anywhere")
    targets = {target.lesion_id for job in jobs for target in job.targets}
    used = [row for job in jobs for row in lesions[job.row.image_id]]
    unknown = sum(bool(row["mask"]) and not row["pathology"] and row["lesion_id"] not in targets for row in used)
    if unknown:
        notes.append(f"{unknown} lesions without pathology give no patches; background keeps off them")
    others = Counter(row["finding"] or "not said" for row in used if row["lesion_id"] in targets)
    for finding, count in others.most_common():
        if finding not in ("mass", "calcification"):
            notes.append(f"{count} lesions of finding '{finding}' count as masses")
    rows = dataset.preparation.height
    if options.image_height_px and rows and options.image_height_px > rows:
        notes.append(
            f"images are enlarged from {rows} to {options.image_height_px} rows; prepare the dataset at that height"
        )
    if leaks := leaks_of(dataset.table):
        notes.append(f"leaks between the splits of the dataset are leaks of the patch set too: {leaks[0]}, …")
    return notes
