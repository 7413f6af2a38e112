"""Measures of the maps: overlap with lesions and breast, deletion and insertion, randomised weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain.images import ExamImage
from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.summary import write_measures

Mask = NDArray[np.bool_]


class Measuring:
    """Measures map after map, holds a row an image, and writes them at the end."""

    def __init__(
        self, source: Dataset | Path, runs: Mapping[View, LoadedRun], out: Path, options: ExplainOptions, total: int
    ) -> None:
        """Find the masks of a dataset's lesions, and draw which of `total` images get the slow measures."""
        self.root = source.root if isinstance(source, Dataset) else source
        self.lesions = source.lesions() if isinstance(source, Dataset) else pd.DataFrame({"image_id": [], "mask": []})
        self.runs, self.out, self.options = runs, out, options
        count = min(options.measure_images or total, total)
        drawn = np.random.default_rng(options.seed).choice(total, count, replace=False)
        self.slow = frozenset(int(place) for place in drawn)
        self.rows: list[dict[str, Any]] = []
        self.likeness: list[dict[str, Any]] = []

    def add(self, image: ExamImage, made: ActivationMap, files: MapFiles, run: LoadedRun) -> None:
        """Measure one map of a run, over the prepared image."""
        pixels = image.prepared.astype(np.float32) / np.float32(65535)
        breast = found_breast(pixels)
        notes = [] if breast is not None else ["no breast found: the whole image counts as one"]
        lesion = self._lesion(image, made.over_image.shape, notes)
        overlap = Localised.undefined("no mask")
        if lesion is not None:
            overlap = localised(made.over_image, lesion, breast, self.options.tolerance_px)
            notes += [overlap.reason] if overlap.reason else []
            if image.placement is None:
                self._draw(pixels, made.over_image, lesion, self.out / files.raw)
        row = _row(files, self.options.method, overlap)
        row["mask"] = "breast" if lesion is None else "lesion"
        row["energy_breast"] = energy_inside(made.over_image, breast) if breast is not None else math.nan
        if len(self.rows) in self.slow:
            row |= self._slow(run, image, made, breast, notes, row)
        row["note"] = "; ".join(dict.fromkeys(notes))
        self.rows.append(row)

    def write(self, out: Path, notes: Sequence[str] = ()) -> None:
        """Write measures.csv and measures.json."""
        run = next(iter(self.runs.values()))
        about = {
            "method": self.options.method,
            "task": run.task.name,
            "class": self.options.class_name or "predicted",
            "seed": self.options.seed,
            "resamples": self.options.resamples,
            "tolerance_px": self.options.tolerance_px,
            "prepared_height_px": run.preparation.height,
            "deletion_fill": self.options.deletion_fill,
            "steps": CurveOptions.steps,
            "random_orders": CurveOptions.random_orders,
            "blur": CurveOptions.blur,
            "classless": self.options.method in CLASSLESS,
            "remarks": list(notes),
        }
        write_measures(out, self.rows, self.likeness, about)

    def _lesion(self, image: ExamImage, shape: tuple[int, ...], notes: list[str]) -> Mask | None:
        """All lesions of an image in one mask; None where none has a mask."""
        own = self.lesions[self.lesions["image_id"] == image.image_id]
        files = [name for name in own["mask"] if name]
        if len(files) < len(own):
            notes.append("some of its lesions have no outline" if files else "no lesion of it has an outline")
        if not files:
            return None
        masks = {name: read_mask(self.root / name) for name in files}
        if wrong := [f"{name} {mask.shape}" for name, mask in masks.items() if mask.shape != shape]:
            raise DatasetError(
                f"{self.root}: {'; '.join(wrong)}: expected {shape} as the prepared image; prepare the dataset again"
            )
        return np.asarray(np.logical_or.reduce(list(masks.values())))

    def _slow(
        self,
        run: LoadedRun,
        image: ExamImage,
        made: ActivationMap,
        breast: Mask | None,
        notes: list[str],
        row: dict[str, Any],
    ) -> dict[str, Any]:
        seed = self.options.seed
        curves = CurveOptions(deletion_fill=self.options.deletion_fill, seed=seed)
        areas = faithfulness(run, image.prepared, made, breast, curves)
        notes += [areas.reason] if areas.reason else []
        check = randomisation_check(run, image.prepared, made, self.options.method, breast, seed)
        who = {name: row[name] for name in ("subject_id", "exam_id", "view")}
        self.likeness += [
            who | {"shuffled": step, "spearman": one.spearman, "ssim": one.ssim} for step, one in check.items()
        ]
        return {name: getattr(areas, name) for name in ("deletion", "deletion_random", "insertion", "insertion_random")}

    def _draw(self, pixels: NDArray[np.float32], map_: NDArray[np.float32], lesion: Mask, raw: Path) -> None:
        """The map over the image, with the outline of the lesions."""
        lines = contours(lesion.astype(np.float32), (0.5,))
        drawn = draw_contours(overlay(pixels, map_), lines, colours="cool", width=max(2, round(len(pixels) / 300)))
        with written_beside(raw.with_name(f"{raw.stem}_lesion.png")) as beside:
            Image.fromarray(drawn).save(beside, format="PNG", compress_level=1)


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
