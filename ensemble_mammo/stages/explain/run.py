"""explain: class activation maps over the pixels of the mammogram."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import running
from ensemble_mammo.execution.progress import counting
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.stages.explain.exam import Explained, exams_of
from ensemble_mammo.stages.explain.images import wanted_images
from ensemble_mammo.stages.explain.measure import Measure, asked_of, write_measured
from ensemble_mammo.stages.explain.networks import networks_at
from ensemble_mammo.stages.explain.options import ExplainOptions, MapFiles
from ensemble_mammo.stages.explain.reader import boxes_of, write_index
from ensemble_mammo.stages.explain.workers import explained_all

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
        ExecutionError: the engine cannot be had, or its workers cannot do the work.
    """
    options = options or ExplainOptions()
    with running(options.engine, options.workers):
        return _explain(source, models, out, options)


def _explain(source: Dataset | Path, models: Path, out: Path, options: ExplainOptions) -> list[MapFiles]:
    networks = networks_at(models, source, options)
    notes: list[str] = []
    images = wanted_images(source, networks.first, options, notes)
    notes += networks.notes(source, options)
    runs = dict(enumerate(networks.every()))
    number_of = {id(run): number for number, run in runs.items()}
    numbers = [number_of[id(networks.of(image.view, image.key[0]))] for image in images]
    boxes = boxes_of(options) if options.html else None
    asked = asked_of(source, images, options) if options.measure else []
    exams = list(exams_of(images, numbers, asked, boxes))
    root = source.root if isinstance(source, Dataset) else source
    measure, made = Measure(root, out, options), list[Explained]()
    with counting(len(images), "explain") as advance:
        for exam, one in zip(exams, explained_all(exams, runs, measure, options), strict=True):
            made.append(one)
            advance(len(exam.images), "")
    notes += [note for one in made for note in one.notes]
    written = [files for one in made for files in one.files]
    if not written:
        raise DatasetError(f"{root}: no image read; {'; '.join(notes[:3])}")
    for note in notes:
        _log.warning("%s", note)
    description = {"method": options.method, "notes": notes, "maps": [asdict(files) for files in written]}
    write_text(out / "maps.json", json.dumps(description, indent=2) + "\n")
    if options.measure:
        write_measured(out, [row for one in made for row in one.measured], runs[0], options, notes)
    if boxes is not None:
        write_index([one.page for one in made if one.page], boxes, runs[0].task, out, options)
    return written
