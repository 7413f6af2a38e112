"""explain: class activation maps over the pixels of the mammogram."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.overlay import contours, draw_contours, grey_rgb, overlay, sheet
from ensemble_mammo.learning.cam import activation_maps
from ensemble_mammo.records.files import write_text, written_beside
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain.images import ExamImage, Grey, images_to_explain
from ensemble_mammo.stages.explain.measure import Measuring
from ensemble_mammo.stages.explain.networks import Networks, networks_at
from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.reader import Pages
from ensemble_mammo.stages.explain.shown import Shown

_log = logging.getLogger(__name__)


def explain(source: Dataset | Path, models: Path, out: Path, options: ExplainOptions | None = None) -> list[MapFiles]:
    """Write the class activation maps of a dataset's images, or of one subject's folder.

    For each image: `<VIEW>.npy` (float32, 0..1), `<VIEW>_map.png`, `<VIEW>_overlay.png`,
    `<VIEW>_contours.png`, all at the size of the mammogram (of the source file for a subject's folder, of
    the prepared image for a dataset), and one `sheet.png` an exam; `maps.json` lists them. Where they are measured:
    `measures.csv`, `measures.json`, and `<VIEW>_lesion.png` of each image with a lesion's mask. With `html`, a
    `reader.html` an exam, and `index.html` that lists them.

    Raises:
        RunError: no runs there, several of one view (a map shows one network; of a cross-validation each subject of a
            dataset is explained by one that never saw her), or a method that a network cannot have.
        DatasetError: no usable image, or a class that the task does not have.
    """
    options = options or ExplainOptions()
    networks = networks_at(models, source, options)
    runs = networks.first
    notes: list[str] = []
    stream, total = images_to_explain(source, runs, options, notes)
    notes += networks.notes(source, options)
    measuring = Measuring(source, runs, out, options, total) if options.measure else None
    pages = Pages(next(iter(runs.values())).task, out, options) if options.html else None
    written: list[MapFiles] = []
    for key, images in groupby(track(stream, total, "explain"), lambda image: image.key):
        exam = _shown(key, images, networks, options)
        _write_exam(exam, out, options)
        if measuring:
            for shown in exam:
                measuring.add(shown.image, shown.made, shown.files, networks.of(shown.image.view, key[0]))
        if pages:
            pages.add(exam)
        written += [shown.files for shown in exam]
    if not written:
        raise DatasetError(
            f"{source if isinstance(source, Path) else source.root}: no image read; {'; '.join(notes[:3])}"
        )
    for note in notes:
        _log.warning("%s", note)
    description = {"method": options.method, "notes": notes, "maps": [asdict(files) for files in written]}
    write_text(out / "maps.json", json.dumps(description, indent=2) + "\n")
    if measuring:
        measuring.write(out, notes)
    if pages:
        pages.finish()
    return written


def _shown(
    key: tuple[str, str], images: Iterable[ExamImage], networks: Networks, options: ExplainOptions
) -> list[Shown]:
    """The maps of one exam, with the scores of the same pass."""
    exam = list(images)
    of_images = [networks.of(image.view, key[0]) for image in exam]
    classes = [run.task.index(options.class_name) if options.class_name else None for run in of_images]
    maps = activation_maps(of_images, [image.prepared for image in exam], classes, options.method)
    folder = Path(_safe(*key))
    shown: list[Shown] = []
    for image, run, made in zip(exam, of_images, maps, strict=True):
        number = 1 + sum(other.image.view == image.view for other in shown)
        stem = image.view.value if number == 1 else f"{image.view}_{number}"
        map_ = made.over_image if image.placement is None else image.placement.to_source(made.over_image)
        raw = (folder / f"{stem}.npy").as_posix()
        name, score = run.classes[made.class_index], float(made.scores[made.class_index])
        shown.append(Shown(image, made, map_, MapFiles(*key, image.view.value, name, score, raw)))
    return shown


def _write_exam(exam: list[Shown], out: Path, options: ExplainOptions) -> None:
    """The files of each image, and the exam's sheet."""
    panels: dict[View, NDArray[np.uint8]] = {}
    titles: dict[View, str] = {}
    for shown in exam:
        drawn = _write_images((out / shown.files.raw).parent, shown.stem, shown.image.original, shown.map_, options)
        panels.setdefault(shown.image.view, drawn)
        titles.setdefault(shown.image.view, f"{shown.files.class_name}  {shown.files.score:.2f}")
    heading = f"{options.method}: class and its score. Not a medical device; for research."
    _write_png((out / exam[0].files.raw).parent / "sheet.png", sheet(panels, titles, heading))


def _write_images(folder: Path, stem: str, original: Grey, map_: Grey, options: ExplainOptions) -> NDArray[np.uint8]:
    with written_beside(folder / f"{stem}.npy") as beside:
        np.save(beside, map_)
    drawn = overlay(original, map_)
    _write_png(folder / f"{stem}_map.png", np.round(map_ * 255).astype(np.uint8))
    _write_png(folder / f"{stem}_overlay.png", drawn)
    _write_png(folder / f"{stem}_contours.png", draw_contours(grey_rgb(original), contours(map_, options.levels)))
    return drawn


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    with written_beside(path) as beside:
        Image.fromarray(pixels).save(beside, format="PNG", compress_level=1)


def _safe(subject: str, exam: str) -> str:
    """A folder's name for an exam, another for each: what a file name cannot bear is written as its code."""
    return "_".join(
        "".join(c if c.isalnum() or c in ".-" else f"%{ord(c):02x}" for c in part) for part in (subject, exam)
    )
