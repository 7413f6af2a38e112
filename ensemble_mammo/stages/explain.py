"""explain: class activation maps over the pixels of the mammogram."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.archives.subjects import SubjectImage, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.execution.local import spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.overlay import contours, draw_contours, grey_rgb, overlay, sheet
from ensemble_mammo.imaging.prepared import Placement, prepare_pixels
from ensemble_mammo.imaging.read import Limits, read_mammogram
from ensemble_mammo.learning.cam import METHODS, activation_map
from ensemble_mammo.learning.checkpoint import LoadedRun, load_runs, runs_in
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.records.files import write_text, written_beside
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View

_log = logging.getLogger(__name__)
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class ExplainOptions:
    """Which images, which class, which method."""

    split: str = ""
    "of a dataset: train, val, test; empty: every image"
    views: Path | None = None
    "CSV (file, view) that says what headers and names do not"
    method: str = "grad-cam"
    "one of the methods of the grad-cam package, by name"
    class_name: str = ""
    "the class that is explained; empty: the one that the view's network predicts"
    levels: tuple[float, ...] = (0.3, 0.6, 0.9)
    "values of the map (0..1) at which contours are drawn"
    device: str = "auto"
    "cpu, cuda or auto"
    workers: int = 0
    "processes that read files; 0: one a core"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"

    def __post_init__(self) -> None:
        """Refuse an unknown method and levels outside the map's range."""
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is not one of {', '.join(METHODS)}")
        if not self.levels or not all(0 < level < 1 for level in self.levels):
            raise ValueError(f"contour levels {self.levels} must lie between 0 and 1")


@dataclass(frozen=True)
class MapFiles:
    """One map that was written."""

    subject_id: str
    "of the image"
    exam_id: str
    "of the image"
    view: str
    "of the image"
    class_name: str
    "the class explained"
    score: float
    "its softmax score"
    raw: str
    "float32 map [H, W] in 0..1, relative to the output folder"


@dataclass(frozen=True)
class _Image:
    """An image on its way to its map: original pixels, prepared pixels, and how they lie."""

    key: tuple[str, str]
    view: View
    original: Grey
    prepared: NDArray[np.uint16]
    placement: Placement | None


def explain(source: Dataset | Path, models: Path, out: Path, options: ExplainOptions | None = None) -> list[MapFiles]:
    """Write the class activation maps of a dataset's images, or of one subject's folder.

    For each image: `<VIEW>.npy` (float32, 0..1), `<VIEW>_map.png`, `<VIEW>_overlay.png`,
    `<VIEW>_contours.png`, all at the size of the mammogram (of the source file for a subject's folder, of
    the prepared image for a dataset), and one `sheet.png` an exam; `maps.json` lists them.

    Raises:
        RunError: no runs there, or several of one view (a map shows one network).
        DatasetError: no usable image, or a class that the task does not have.
    """
    options = options or ExplainOptions()
    runs = _load(models, options)
    notes: list[str] = []
    stream, total = _images(source, runs, options, notes)
    written: list[MapFiles] = []
    for key, exam in groupby(track(stream, total, "explain"), lambda image: image.key):
        written += _explain_exam(key, exam, runs, out, options)
    if not written:
        raise DatasetError(
            f"{source if isinstance(source, Path) else source.root}: no image read; {'; '.join(notes[:3])}"
        )
    for note in notes:
        _log.warning("%s", note)
    description = {"method": options.method, "maps": [asdict(files) for files in written]}
    write_text(out / "maps.json", json.dumps(description, indent=2) + "\n")
    return written


def _explain_exam(
    key: tuple[str, str], images: Iterable[_Image], runs: dict[View, LoadedRun], out: Path, options: ExplainOptions
) -> list[MapFiles]:
    """The maps of one exam, and its sheet."""
    folder = Path(_safe(*key))
    written: list[MapFiles] = []
    panels: dict[View, NDArray[np.uint8]] = {}
    titles: dict[View, str] = {}
    for image in images:
        number = 1 + sum(files.view == image.view for files in written)
        stem = image.view.value if number == 1 else f"{image.view}_{number}"
        map_, name, score = _map(image, runs[image.view], options)
        drawn = _write_images(out / folder, stem, image.original, map_, options)
        written.append(MapFiles(*key, image.view.value, name, score, (folder / f"{stem}.npy").as_posix()))
        panels.setdefault(image.view, drawn)
        titles.setdefault(image.view, f"{name}  {score:.2f}")
    heading = f"{options.method}: class and its score. Not a medical device; for research."
    _write_png(out / folder / "sheet.png", sheet(panels, titles, heading))
    return written


def _load(models: Path, options: ExplainOptions) -> dict[View, LoadedRun]:
    several = [own for own in runs_in(models).values() if len(own) > 1]
    if several:
        raise RunError(
            f"{models}: {len(several[0])} runs of one view; a map shows one network: "
            f"name one fold, such as {several[0][0].parent}"
        )
    runs = {view: own[0] for view, own in load_runs(models, device=resolve_device(options.device)).items()}
    if options.class_name:
        try:
            next(iter(runs.values())).task.index(options.class_name)
        except ValueError as error:
            raise DatasetError(f"class to explain: {error}") from error
    return runs


def _images(
    source: Dataset | Path, runs: dict[View, LoadedRun], options: ExplainOptions, notes: list[str]
) -> tuple[Iterator[_Image], int]:
    if isinstance(source, Dataset):
        for view, run in runs.items():
            source.require_preparation(run.preparation, view)
        rows = source.rows(split=options.split or None)
        rows = rows[rows["view"].isin(list(runs))]
        if rows.empty:
            raise DatasetError(f"{source.root}: no image in split {options.split!r} of the views {', '.join(runs)}")
        rows = rows.sort_values(["subject_id", "exam_id", "view", "image_id"], kind="stable")
        return _from_rows(source, rows.to_dict("records")), len(rows)
    found, said = subject_images(source, read_views(options.views) if options.views else None, options.workers)
    notes += said
    jobs = [(image, runs[image.view].preparation, options.limits) for image in found if image.view in runs]
    if not jobs:
        raise RunError(f"{source}: has {', '.join(sorted({i.view for i in found}))}, the runs are of {', '.join(runs)}")
    return _from_files(jobs, options, notes), len(jobs)


def _from_rows(dataset: Dataset, rows: list[dict[Any, str]]) -> Iterator[_Image]:
    for row in rows:
        pixels = read_png16(dataset.root / row["file"])
        original = pixels.astype(np.float32) / np.float32(65535)
        yield _Image((row["subject_id"], row["exam_id"]), View(row["view"]), original, pixels, None)


def _from_files(
    jobs: list[tuple[SubjectImage, Preparation, Limits]], options: ExplainOptions, notes: list[str]
) -> Iterator[_Image]:
    for outcome in spread(_read, jobs, options.workers, options.limits.seconds):
        image = outcome.item[0]
        if outcome.value is None:
            notes.append(f"left out: {outcome.error}")
        else:
            yield _Image(image.key, image.view, *outcome.value)


def _read(job: tuple[SubjectImage, Preparation, Limits]) -> tuple[Grey, NDArray[np.uint16], Placement]:
    image, preparation, limits = job
    mammogram = read_mammogram(image.path, preparation, limits)
    prepared = prepare_pixels(mammogram, preparation)
    return mammogram.pixels, prepared.pixels, prepared.placement


def _map(image: _Image, run: LoadedRun, options: ExplainOptions) -> tuple[Grey, str, float]:
    scores = scores_of([run], [image.prepared])[0]
    index = run.task.index(options.class_name) if options.class_name else int(np.argmax(scores))
    map_ = activation_map(run, image.prepared, index, options.method)
    if image.placement is not None:
        map_ = image.placement.to_source(map_)
    return map_, run.classes[index], float(scores[index])


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
