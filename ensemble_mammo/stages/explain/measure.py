"""Measures of the maps: overlap with lesions and breast, deletion and insertion, randomised weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.breast import found_breast
from ensemble_mammo.imaging.overlay import contours, draw_contours, overlay
from ensemble_mammo.learning.cam import CLASSLESS, ActivationMap
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.faithfulness import CurveOptions, faithfulness
from ensemble_mammo.learning.randomised import randomisation_check
from ensemble_mammo.merit.localisation import Localised, energy_inside, localised
from ensemble_mammo.records.files import written_beside
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_mask
from ensemble_mammo.stages.explain.images import ExamImage, Wanted
from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.summary import write_measures

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """What is measured of one image."""

    masks: tuple[str, ...]
    "files of its lesions' masks, relative to the dataset"
    lesions: int
    "how many lesions it has, with a mask or without"
    slow: bool
    "whether it gets the slow measures"


@dataclass(frozen=True)
class Measured:
    """The measures of one map."""

    row: dict[str, Any]
    "of measures.csv"
    likeness: tuple[dict[str, Any], ...]
    "how alike the maps of shuffled weights are"


@dataclass(frozen=True)
class Measure:
    """Measures a map, and draws it with the lesion's outline."""

    root: Path
    "of the dataset, or the subject's folder"
    out: Path
    "the folder of the maps"
    options: ExplainOptions
    "method, tolerance, seed"

    def __call__(
        self, asked: Asked, image: ExamImage, made: ActivationMap, files: MapFiles, run: LoadedRun
    ) -> Measured:
        """Measure one map of a run, over the prepared image."""
        pixels = image.prepared.astype(np.float32) / np.float32(65535)
        breast = found_breast(pixels)
        notes = [] if breast is not None else ["no breast found: the whole image counts as one"]
        lesion = self._lesion(asked, made.over_image.shape, notes)
        overlap = Localised.undefined("no mask")
        if lesion is not None:
            overlap = localised(made.over_image, lesion, breast, self.options.tolerance_px)
            notes += [overlap.reason] if overlap.reason else []
            if image.placement is None:
                self._draw(pixels, made.over_image, lesion, self.out / files.raw)
        row = _row(files, self.options.method, overlap)
        row["mask"] = "breast" if lesion is None else "lesion"
        row["energy_breast"] = energy_inside(made.over_image, breast) if breast is not None else math.nan
        likeness: list[dict[str, Any]] = []
        if asked.slow:
            row |= self._slow(run, image, made, breast, notes)
            likeness = self._likeness(run, image, made, breast, row)
        row["note"] = "; ".join(dict.fromkeys(notes))
        return Measured(row, tuple(likeness))

    def _lesion(self, asked: Asked, shape: tuple[int, ...], notes: list[str]) -> Mask | None:
        """All lesions of an image in one mask; None where none has a mask."""
        if len(asked.masks) < asked.lesions:
            notes.append("some of its lesions have no outline" if asked.masks else "no lesion of it has an outline")
        if not asked.masks:
            return None
        masks = {name: read_mask(self.root / name) for name in asked.masks}
        if wrong := [f"{name} {mask.shape}" for name, mask in masks.items() if mask.shape != shape]:
            raise DatasetError(
                f"{self.root}: {'; '.join(wrong)}: expected {shape} as the prepared image; prepare the dataset again"
            )
        return np.asarray(np.logical_or.reduce(list(masks.values())))

    def _slow(
        self, run: LoadedRun, image: ExamImage, made: ActivationMap, breast: Mask | None, notes: list[str]
    ) -> dict[str, Any]:
        curves = CurveOptions(deletion_fill=self.options.deletion_fill, seed=self.options.seed)
        areas = faithfulness(run, image.prepared, made, breast, curves)
        notes += [areas.reason] if areas.reason else []
        return {name: getattr(areas, name) for name in ("deletion", "deletion_random", "insertion", "insertion_random")}

    def _likeness(
        self, run: LoadedRun, image: ExamImage, made: ActivationMap, breast: Mask | None, row: dict[str, Any]
    ) -> list[dict[str, Any]]:
        check = randomisation_check(run, image.prepared, made, self.options.method, breast, self.options.seed)
        who = {name: row[name] for name in ("subject_id", "exam_id", "view")}
        return [who | {"shuffled": step, "spearman": one.spearman, "ssim": one.ssim} for step, one in check.items()]

    def _draw(self, pixels: NDArray[np.float32], map_: NDArray[np.float32], lesion: Mask, raw: Path) -> None:
        """The map over the image, with the outline of the lesions."""
        lines = contours(lesion.astype(np.float32), (0.5,))
        drawn = draw_contours(overlay(pixels, map_), lines, colours="cool", width=max(2, round(len(pixels) / 300)))
        with written_beside(raw.with_name(f"{raw.stem}_lesion.png")) as beside:
            Image.fromarray(drawn).save(beside, format="PNG", compress_level=1)


def asked_of(source: Dataset | Path, images: Sequence[Wanted], options: ExplainOptions) -> list[Asked]:
    """What is measured of each image: its lesions' masks, and the slow measures of those drawn by chance."""
    lesions = source.lesions() if isinstance(source, Dataset) else pd.DataFrame({"image_id": [], "mask": []})
    masks = {str(name): own["mask"].tolist() for name, own in lesions.groupby("image_id")}
    count = min(options.measure_images or len(images), len(images))
    slow = set(np.random.default_rng(options.seed).choice(len(images), count, replace=False).tolist())
    return [
        Asked(tuple(name for name in own if name), len(own), place in slow)
        for place, own in enumerate(masks.get(image.image_id, []) for image in images)
    ]


def write_measured(
    out: Path, made: Sequence[Measured], run: LoadedRun, options: ExplainOptions, notes: Sequence[str] = ()
) -> None:
    """Write measures.csv and measures.json; `run` is one of those explained."""
    about = {
        "method": options.method,
        "task": run.task.name,
        "class": options.class_name or "predicted",
        "seed": options.seed,
        "resamples": options.resamples,
        "tolerance_px": options.tolerance_px,
        "prepared_height_px": run.preparation.height,
        "deletion_fill": options.deletion_fill,
        "steps": CurveOptions.steps,
        "random_orders": CurveOptions.random_orders,
        "blur": CurveOptions.blur,
        "classless": options.method in CLASSLESS,
        "remarks": list(notes),
    }
    write_measures(out, [one.row for one in made], [line for one in made for line in one.likeness], about)


def _row(files: MapFiles, method: str, overlap: Localised) -> dict[str, Any]:
    """A row of measures.csv: who, what, how the map lies over the lesions; the slow measures are empty yet."""
    return {
        "subject_id": files.subject_id,
        "exam_id": files.exam_id,
        "view": files.view,
        "class": files.class_name,
        "score": files.score,
        "method": method,
        "mask": "",
        "pointing": overlap.pointing,
        "pointing_random": overlap.pointing_random,
        "energy_inside": overlap.energy_inside,
        "energy_gain": overlap.energy_gain,
        "iou_best": overlap.iou_best,
        "iou_mean": overlap.iou_mean,
        "coverage": overlap.coverage,
        "energy_breast": math.nan,
        "deletion": math.nan,
        "deletion_random": math.nan,
        "insertion": math.nan,
        "insertion_random": math.nan,
        "map": files.raw,
        "note": "",
    }
