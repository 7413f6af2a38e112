"""The boxes of heatmaps held against the lesions of a dataset: which box hits which lesion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.froc import Curve, Held, Marked
from ensemble_mammo.merit.hitting import HitRule, Mask, hits_of, widened
from ensemble_mammo.merit.inputs.heatmaps import Heatmaps, ImageBoxes, read_heatmaps
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import WHITE, png_shape, read_mask, read_png16
from ensemble_mammo.records.task import TASKS

Breast = Callable[[NDArray[np.float32]], Mask]
"""Finds the breast [H, W] on pixels [H, W] from 0 to 1."""

_LESION_TASKS = ("abnormality", "abnormality5", "pathology", "birads")
"""Tasks whose positive classes say that an image has a lesion."""
_SHOWN = 5


@dataclass(frozen=True)
class KnownLesion:
    """One lesion that has a mask."""

    lesion_id: str
    "as lesions.csv has it"
    place: int
    "of its image among the marked ones"
    finding: str
    "mass, calcification, … or empty"
    pathology: str
    "benign, malignant or empty"
    mask: Path
    "its file"
    area_px: int
    "pixels of it in the prepared image"


@dataclass(frozen=True)
class Hits:
    """The images that count, and the lesions in them."""

    held: Held
    "the images, marked"
    entries: tuple[ImageBoxes, ...]
    "the same images as lesions.json has them"
    lesions: tuple[KnownLesion, ...]
    "in the order of `held.units['lesion']`"
    rule: HitRule
    "when a box hits"
    left_out: int
    "images of lesions.json that are not among them"
    without_mask: int
    "lesions without a mask on the images of lesions.json"
    notes: tuple[str, ...] = ()
    "what a reader must know"


def hits_in_dataset(
    heatmaps: Heatmaps, dataset: Dataset, breast: Breast | None = None, rule: HitRule | None = None
) -> Hits:
    """Hold the boxes of heatmaps against the masks of a dataset's lesions.

    A lesion counts if it has a mask, whatever its finding. Where a lesion has none although lesions of its finding
    have masks in this collection (or its finding is not said), a box could be on it: the image's false positives are
    not counted, and without any mask it is left out. A finding that never has a mask (INbreast's calcifications) makes
    no such exception, or hardly an image would be left: boxes on it are false positives, and a note says so.

    Args:
        heatmaps: boxes in pixels of the prepared images.
        dataset: with lesions.csv and masks.
        breast: finds the breast, of which lesions are a share, where all around it is not black already; None: the
            whole image counts there.
        rule: when a box hits; by the centre unless given.

    Raises:
        PredictionError: images that are not the dataset's, or of another size; no lesion with a mask at all.
        DatasetError: damaged masks or images.
    """
    table, rule = dataset.table.set_index("image_id"), rule or HitRule()
    _refuse_others(heatmaps, dataset, table)
    lesions = dataset.lesions()
    if not (lesions["mask"] != "").any():
        raise PredictionError(
            f"{dataset.root}: lesions.csv names no mask, so nothing says where lesions lie; prepare an archive with "
            "outlines, or report without the heatmaps"
        )
    unknown = _unlocated(lesions, table)
    masked = {name: own.to_dict("records") for name, own in lesions[lesions["mask"] != ""].groupby("image_id")}
    entries = tuple(one for one in heatmaps.images if one.image_id in masked or one.image_id not in unknown)
    free = set(table.index) - set(lesions["image_id"]) - unknown
    images, known, black = list[Marked](), list[KnownLesion](), dataset.preparation.outside == "black"
    for entry in entries:
        rows = masked.get(entry.image_id, [])
        masks = [_mask(dataset.root / row["mask"], entry) for row in rows]
        for row, mask in zip(rows, masks, strict=True):
            words = row["lesion_id"], len(images), row["finding"], row["pathology"]
            known.append(KnownLesion(*words, dataset.root / row["mask"], int(mask.sum())))
        pixels = _Pixels(dataset.root / str(table.loc[entry.image_id, "file"]), black, breast)
        shares, covered = _shares(masks, pixels, rule)
        hits = hits_of(entry.boxes, masks, rule)
        counted = entry.image_id not in unknown, entry.image_id in free
        images.append(Marked(entry.subject_id, entry.boxes.scores, hits, shares, covered, *counted))
    notes = _notes(heatmaps, lesions, unknown, entries)
    absent = (lesions["mask"] == "") & lesions["image_id"].isin([one.image_id for one in heatmaps.images])
    left_out = len(heatmaps.images) - len(entries)
    return Hits(Held(images), entries, tuple(known), rule, left_out, int(absent.sum()), notes)


def froc_of_dataset(
    folder: Path,
    dataset: Dataset,
    breast: Breast | None = None,
    rule: HitRule | None = None,
    rates: Sequence[float] = (1.0,),
    resamples: int = 0,
) -> tuple[Hits, list[Interval]]:
    """The sensitivity for lesions at rates of false positives, of a folder of heatmaps.

    Args:
        folder: holds lesions.json.
        dataset: whose prepared images the heatmaps are of.
        breast: finds the breast, for the figures of chance alone.
        rule: when a box hits.
        rates: false positives an image.
        resamples: of subjects; 0: no limits.

    Raises:
        PredictionError, DatasetError: as `read_heatmaps` and `hits_in_dataset`.
    """
    hits = hits_in_dataset(read_heatmaps(folder), dataset, breast, rule)
    return hits, Curve(hits.held).with_limits(rates, resamples)[0]


def _refuse_others(heatmaps: Heatmaps, dataset: Dataset, table: pd.DataFrame) -> None:
    """Refuse images that the dataset lacks, of other subjects, or of another size."""
    problems = []
    for entry in heatmaps.images:
        if entry.image_id not in table.index:
            problems.append(f"image_id {entry.image_id!r} is not in {dataset.root / 'manifest.csv'}")
            continue
        row = table.loc[entry.image_id]
        if row["subject_id"] != entry.subject_id:
            problems.append(f"{entry.image_id}: subject {entry.subject_id!r}, in the dataset {row['subject_id']!r}")
        shape = png_shape(dataset.root / str(row["file"]))
        if shape != entry.shape:
            problems.append(
                f"{entry.image_id}: boxes in an image of {entry.shape[0]} x {entry.shape[1]}, prepared are "
                f"{shape[0]} x {shape[1]}"
            )
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise PredictionError(
            f"{heatmaps.path}: {'; '.join(problems[:_SHOWN])}{more}; the heatmaps are not of this dataset: make them "
            f"with `ensemble-mammo heatmap --data {dataset.root}`"
        )


def _unlocated(lesions: pd.DataFrame, table: pd.DataFrame) -> set[str]:
    """The images that have a lesion which could lie anywhere in them, by lesions.csv or by their label alone."""
    collections = table["collection"].to_dict()
    kinds = [
        (collections[image], finding) for image, finding in lesions[["image_id", "finding"]].itertuples(index=False)
    ]
    rows = list(zip(lesions["image_id"], kinds, lesions["mask"] != "", strict=True))
    located = {kind for _, kind, masked in rows if masked}
    told = np.zeros(len(table), dtype=bool)
    for name in (name for name in _LESION_TASKS if name in table.columns):
        told |= table[name].isin(TASKS[name].positive).to_numpy()
    by_label = set(table.index[told]) - set(lesions["image_id"])
    return by_label | {image for image, kind, masked in rows if not masked and (kind in located or not kind[1])}


def _notes(
    heatmaps: Heatmaps, lesions: pd.DataFrame, unknown: set[str], entries: Sequence[ImageBoxes]
) -> tuple[str, ...]:
    """What was left out, and what counts against the heatmaps though it may be right."""
    shown, counted = {one.image_id for one in heatmaps.images}, {one.image_id for one in entries}
    said = []
    if out := len(shown) - len(counted):
        said.append(
            f"images left out, since by lesions.csv or their label they have a lesion, and none has a mask: {out}"
        )
    if some := len(counted & unknown):
        said.append(
            f"images whose false positives are not counted, since they have a lesion without a mask too: {some}"
        )
    never = lesions[(lesions["mask"] == "") & lesions["image_id"].isin(counted - unknown)]
    if len(never):
        kinds = ", ".join(sorted(set(never["finding"])))
        said.append(
            f"lesions of a finding that has no masks here ({kinds}): {len(never)}, on {never['image_id'].nunique()} of "
            f"the {len(counted)} images; boxes on them count as false positives"
        )
    subjects = {one.subject_id for one in heatmaps.images}
    absent = lesions[(lesions["mask"] != "") & lesions["subject_id"].isin(subjects) & ~lesions["image_id"].isin(shown)]
    if len(absent):
        said.append(f"lesions with a mask on images of these subjects that have no heatmap, not counted: {len(absent)}")
    return (*said, *heatmaps.notes)


def _mask(path: Path, entry: ImageBoxes) -> Mask:
    mask = read_mask(path)
    if mask.shape != entry.shape or not mask.any():
        found = f"{mask.shape}" if mask.shape != entry.shape else "a mask without a pixel"
        raise DatasetError(f"{path}: {found}, expected a mask of {entry.shape}; prepare the dataset again")
    return mask


@dataclass(frozen=True)
class _Pixels:
    """A prepared image, and how to find the breast on it."""

    file: Path
    "the prepared PNG"
    black: bool
    "whether all outside the breast is 0"
    breast: Breast | None
    "finds it where it is not; None: the whole image counts"

    def area(self) -> Mask:
        """The breast [H, W]."""
        pixels = read_png16(self.file)
        if self.black:
            return pixels > 0
        return (
            np.ones(pixels.shape, bool)
            if self.breast is None
            else self.breast(pixels.astype(np.float32) / np.float32(WHITE))
        )


def _shares(masks: Sequence[Mask], pixels: _Pixels, rule: HitRule) -> tuple[NDArray[np.float64], float]:
    """[L] share of the breast that each lesion covers, and that of all together; nan where a centre does not decide."""
    if not masks:
        return np.empty(0), 0.0
    if rule.iou:
        return np.full(len(masks), np.nan), float("nan")
    areas = [widened(mask, rule.tolerance_px) for mask in masks]
    together = np.logical_or.reduce(areas)
    size = float((pixels.area() | together).sum())
    return np.array([area.sum() / size for area in areas]), float(together.sum() / size)
