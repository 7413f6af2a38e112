"""One exam explained: its images read, its maps written, drawn, measured and put on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.imaging.overlay import contours, draw_contours, grey_rgb, overlay, sheet
from ensemble_mammo.learning.cam import activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.records.files import written_beside
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain.images import ExamImage, Grey, Wanted, read_images
from ensemble_mammo.stages.explain.measure import Asked, Measure, Measured
from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.reader import Boxes, Page, write_page
from ensemble_mammo.stages.explain.shown import Shown


@dataclass(frozen=True)
class Exam:
    """The images of an exam, and what is wanted of each."""

    images: tuple[Wanted, ...]
    "one after the other"
    runs: tuple[int, ...]
    "which of the networks explains each"
    asked: tuple[Asked, ...] = ()
    "what is measured of each; empty: nothing"
    boxes: Boxes | None = None
    "what is shown on its page; None: there is no page"

    def without(self, places: Sequence[int]) -> Exam:
        """The exam without some images."""
        kept = [place for place in range(len(self.images)) if place not in places]
        return replace(
            self,
            images=tuple(self.images[place] for place in kept),
            runs=tuple(self.runs[place] for place in kept),
            asked=tuple(self.asked[place] for place in kept) if self.asked else (),
        )


@dataclass(frozen=True)
class Explained:
    """What came of an exam."""

    files: tuple[MapFiles, ...]
    "of each image that could be read"
    measured: tuple[Measured, ...]
    "likewise, where asked for"
    page: Page | None
    "where asked for"
    notes: tuple[str, ...]
    "on images that could not be read"


def exams_of(
    images: Sequence[Wanted], runs: Sequence[int], asked: Sequence[Asked], boxes: Boxes | None
) -> Iterator[Exam]:
    """Images that follow one another, exam by exam."""
    of_exam: dict[tuple[str, str], Boxes] = {}
    for (subject, exam, view), shown in (boxes or {}).items():
        of_exam[subject, exam] = {**of_exam.get((subject, exam), {}), (subject, exam, view): shown}
    for key, own in groupby(range(len(images)), lambda place: images[place].key):
        places = list(own)
        yield Exam(
            tuple(images[place] for place in places),
            tuple(runs[place] for place in places),
            tuple(asked[place] for place in places) if asked else (),
            None if boxes is None else of_exam.get(key, {}),
        )


def explained(
    exam: Exam, runs: Mapping[int, LoadedRun], measure: Measure, options: ExplainOptions, worker: bool = False
) -> Explained:
    """Read an exam and write its maps.

    Args:
        exam: what is wanted.
        runs: the networks that it names.
        measure: knows the folders, and measures where that is asked for.
        options: how.
        worker: whether this process is a worker: it reads files as they came itself.
    """
    notes: list[str] = []
    found = list(read_images(exam.images, options, notes, worker))
    read = [image for image in found if image is not None]
    if not read:
        return Explained((), (), None, tuple(notes))
    taken = exam.without([place for place, image in enumerate(found) if image is None])
    of_images = [runs[number] for number in taken.runs]
    all_shown = _shown(read, of_images, options)
    _write_exam(all_shown, measure.out, options)
    measured = [
        measure(asked, shown.image, shown.made, shown.files, run)
        for asked, shown, run in zip(taken.asked, all_shown, of_images, strict=False)
    ]
    page = None
    if exam.boxes is not None:
        page = write_page(all_shown, exam.boxes, of_images[0].task, measure.out, options.method)
    return Explained(tuple(shown.files for shown in all_shown), tuple(measured), page, tuple(notes))


def _shown(exam: Sequence[ExamImage], of_images: Sequence[LoadedRun], options: ExplainOptions) -> list[Shown]:
    """The maps of one exam, with the scores of the same pass."""
    key = exam[0].key
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
