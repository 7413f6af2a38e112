"""Control datasets: a prepared dataset with lesions hidden, with nothing but lesions, or without the breast.

What a network still tells on such images it does not tell from what was taken away.
"""

from __future__ import annotations

import logging
import platform
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ensemble_mammo
from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import LOCAL, Engine, running, spread
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.blots import known_boxes, largest
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.control_files import CONTROLS, ControlImage, MadeImage, make_control_image
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import Dataset, read_dataset, read_description, write_table
from ensemble_mammo.records.shards import SHARDS
from ensemble_mammo.workflows.beside import LESION_AREA, linked, made_beside, refuse_target

_log = logging.getLogger(__name__)
_SECONDS = 300.0
"what one image may take before it is given up"


@dataclass(frozen=True)
class ControlOptions:
    """Which control is made."""

    lesions: str = "blotted"
    "blotted (hidden, the rest stays), alone (all else is black) or no-breast (the breast is black, the outside stays)"
    seed: int = 0
    "of sizes and places of stray blots, in images where no lesion has a place; the same for blotted and alone"
    workers: int = 0
    "processes; 0: one a core. The result does not hang on it"
    restart: bool = False
    "an existing dataset is made anew"
    engine: Engine = LOCAL
    "where images are made"

    def __post_init__(self) -> None:
        """Refuse a control that is none of ours."""
        if self.lesions not in CONTROLS:
            raise ValueError(f"lesions is {self.lesions!r}, expected one of {', '.join(CONTROLS)}")


def control(data: Path, out: Path, options: ControlOptions | None = None) -> Dataset:
    """Copy a dataset with something taken away from every image; ids, labels, splits, lesions and preparation stay.

    Args:
        data: a prepared dataset.
        out: the new dataset's folder.
        options: which control.

    Raises:
        DatasetError: no dataset there, a control already, images missing, or nothing that could be hidden or shown.
        OutputError: `out` holds a dataset already, or lies inside `data` (or `data` in it).
    """
    options = options or ControlOptions()
    dataset = read_dataset(data)
    description = read_description(data)
    refuse_target(out, [data], options.restart)
    lesions = dataset.lesions()
    boxes = known_boxes(lesions)
    _refuse_pointless(dataset, description, boxes, options.lesions)
    table = _table(dataset, options.lesions)
    notes = _notes(dataset, lesions, boxes, options.lesions)
    for note in notes:
        _log.warning("%s", note)
    with running(options.engine, options.workers), made_beside(out) as made:
        jobs = _jobs(dataset, table, made, boxes, options)
        images = _made(jobs, options)
        table["source_sha256"] = [image.sha256 for image in images]
        if len(lesions):
            _copy_lesions(dataset, lesions, made)
            _write_areas(made, table, lesions, boxes, images)
        write_folders(Dataset(made, table, dataset.preparation))
        own = {
            "control": options.lesions,
            "control_seed": options.seed,
            "control_of": {"dataset": str(data.resolve()), "fingerprint": dataset.fingerprint()},
            "notes": [*description.get("notes", []), *notes],
            "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        }
        description.pop(SHARDS, None)  # its images are files
        write_table(made, table, description | own)
    return read_dataset(out)


def _refuse_pointless(
    dataset: Dataset, description: Mapping[str, Any], boxes: Mapping[str, Sequence[Box]], name: str
) -> None:
    if description.get("control"):
        raise DatasetError(
            f"{dataset.root}: is the control {description['control']!r} already; name the dataset that it was made of, "
            f"{description.get('control_of', {}).get('dataset', 'which it does not say')}"
        )
    if name == "no-breast" and dataset.preparation.outside == "black":
        raise DatasetError(
            f"{dataset.root}: was prepared with all but the breast black, so nothing is left without the breast; "
            "prepare it with --outside keep --no-crop"
        )
    if name != "no-breast" and not any(boxes.values()):
        found = f"{len(boxes)} images with lesions without a place" if boxes else f"no lesion in {LESIONS}"
        raise DatasetError(
            f"{dataset.root}: no lesion has a mask (found {found}), so none can be hidden or shown; prepare an archive "
            "that says where lesions lie (inbreast, cbis-ddsm, coco, mini-mias, ddsm, vindr)"
        )


def _table(dataset: Dataset, name: str) -> pd.DataFrame:
    """The manifest of the control; images at full size stay behind."""
    table = dataset.table.copy()
    table["file"] = "images/" + table["view"] + "/" + table["image_id"] + ".png"
    table["full_file"] = ""
    collections = set(table["collection"])
    if len(collections) == 1:
        table["collection"] = f"{collections.pop() or dataset.root.resolve().name}, {CONTROLS[name]}"
    return table


def _jobs(
    dataset: Dataset, table: pd.DataFrame, made: Path, boxes: Mapping[str, tuple[Box, ...]], options: ControlOptions
) -> list[ControlImage]:
    """Each image; where no lesion has a place, sizes are those of an image drawn at random."""
    known = [boxes[image_id] for image_id in sorted(boxes) if boxes[image_id]]
    jobs = []
    for image_id, source, target in zip(table["image_id"], dataset.table["file"], table["file"], strict=True):
        rng = np.random.default_rng([options.seed, zlib.crc32(image_id.encode())])
        own = boxes.get(image_id, ())
        stray = known[int(rng.integers(len(known)))] if known and not own else ()
        jobs.append(
            ControlImage(
                dataset.root / source,
                made / target,
                options.lesions,
                dataset.preparation.outside == "black",
                own,
                stray,
                int(rng.integers(2**31)),
            )
        )
    return jobs


def _made(jobs: Sequence[ControlImage], options: ControlOptions) -> list[MadeImage]:
    made = []
    outcomes = spread(make_control_image, jobs, options.workers, _SECONDS, options.engine)
    for outcome in track(outcomes, len(jobs), "control"):
        if outcome.value is None:
            source = str(outcome.item.source)
            raise DatasetError(outcome.error if source in outcome.error else f"{source}: {outcome.error}")
        made.append(outcome.value)
    return made


def _copy_lesions(dataset: Dataset, lesions: pd.DataFrame, made: Path) -> None:
    own = lesions.copy()
    own["full_mask"] = ""
    has = own["mask"] != ""
    own["mask"] = ("masks/" + own["view"] + "/" + own["lesion_id"] + ".png").where(has, "")
    for source, target in zip(lesions.loc[has, "mask"], own.loc[has, "mask"], strict=True):
        linked(dataset.root / source, made / target)
    write_text(made / LESIONS, own.to_csv(index=False, lineterminator="\n"))


def _write_areas(
    made: Path,
    table: pd.DataFrame,
    lesions: pd.DataFrame,
    boxes: Mapping[str, tuple[Box, ...]],
    images: Sequence[MadeImage],
) -> None:
    """lesion-area.csv: a row an image; those whose lesions have no place have none, as their area is not known."""
    counts = lesions["image_id"].value_counts()
    rows = []
    for image, made_of in zip(table.to_dict("records"), images, strict=True):
        image_id = image["image_id"]
        own = boxes.get(image_id, ())
        if own or image_id not in boxes:
            box = largest(own) if own else Box(0, 0, 0, 0)
            ids = {name: image[name] for name in ("subject_id", "exam_id", "view", "image_id")}
            size = {"area_px": box.height * box.width, "height_px": box.height, "width_px": box.width}
            size["lesions"] = int(counts.get(image_id, 0))
            rows.append(ids | {"area_share": made_of.area_share} | size)
    areas = pd.DataFrame(rows)
    write_text(made / LESION_AREA, areas.to_csv(index=False, lineterminator="\n"))


def _notes(dataset: Dataset, lesions: pd.DataFrame, boxes: Mapping[str, Sequence[Box]], name: str) -> list[str]:
    images = len(dataset.table)
    notes = []
    if (dataset.table["full_file"] != "").any():
        notes.append("images at full size are left out of a control")
    if name == "no-breast":
        return notes
    stray = sum(not boxes.get(image_id) for image_id in dataset.table["image_id"])
    if stray:
        what = "blots" if name == "blotted" else "windows"
        notes.append(f"{stray} of {images} images have no lesion with a place: {what} of another image's sizes instead")
    bare = lesions.loc[lesions["mask"] == "", "image_id"].nunique()
    if bare:
        seen = "it may still be seen" if name == "blotted" else "it may be black"
        notes.append(f"{bare} of {images} images have a lesion without a mask: {seen}")
    return notes
