"""heatmap: where a patch classifier sees lesions in whole mammograms."""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import ensemble_mammo
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import running
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.progress import track
from ensemble_mammo.learning.provenance import seen_note
from ensemble_mammo.lesions.heatmap.hits import hits_in
from ensemble_mammo.lesions.heatmap.inputs import Wanted, wanted_images
from ensemble_mammo.lesions.heatmap.mapped import Asked, mapped
from ensemble_mammo.lesions.heatmap.networks import Networks, networks_at
from ensemble_mammo.lesions.heatmap.options import LesionMapOptions, LesionMaps
from ensemble_mammo.lesions.heatmap.predictions import write_scores
from ensemble_mammo.lesions.heatmap.written import (
    BOXES,
    FEATURES,
    LESIONS,
    defined,
    write_boxes,
    write_features,
    write_lesions,
)
from ensemble_mammo.records.manifest import Dataset

_log = logging.getLogger(__name__)
FORMAT = 1
"""Of lesions.json."""
JOURNAL = ".heatmap.jsonl"
"""What an interrupted call has done; gone when the work is whole."""
_NOT_OF_THE_MAPS = (
    *("split", "views", "view", "other_source", "predictions"),
    *("workers", "engine", "threads", "limits", "compare", "seed"),
)
"""Options that change no map: images done are kept when only these differ. Which images are compared is in the keys."""


def heatmap(
    source: Dataset | Path, models: Path | Sequence[Path], out: Path, options: LesionMapOptions | None = None
) -> LesionMaps:
    """Write the heatmaps of a dataset's images, of one subject's folder, or of one file.

    For each image `<subject>_<exam>/<VIEW>.npy` (float32 [H, W], a probability, over the source file or the dataset's
    prepared image; 0 outside the breast) and `<VIEW>_overlay.png`; for all `lesions.json` (boxes), `features.csv`
    (regions), `boxes.json` (for reader pages); where asked for, `predictions/`. An interrupted call, given again, goes
    on with the images that are left.

    Args:
        source: what is looked at.
        models: folder of a patch classifier's run, or several, whose maps are averaged.
        out: where it is written.
        options: how.

    Raises:
        RunError: no patch classifier there, or several that cannot be averaged.
        DatasetError: no usable image, or images prepared otherwise than those of training.
        ExecutionError: the engine cannot be had, or its workers cannot do the work.
    """
    options = options or LesionMapOptions()
    with running(options.engine, options.workers):
        return _heatmap(source, [models] if isinstance(models, Path) else list(models), out, options)


def _heatmap(source: Dataset | Path, models: Sequence[Path], out: Path, options: LesionMapOptions) -> LesionMaps:
    sweep = options.sweep
    device = options.device if options.engine.name == "local" else "cpu"  # beside a cluster, which computes
    networks = networks_at(models, device, sweep.mode == "exact" or options.compare > 0)
    notes = networks.notes(sweep.mode, options.compare > 0)
    images = wanted_images(source, networks, options, notes)
    made = _looked_at(images, networks, options, out, notes)
    if not made:
        where = source.root if isinstance(source, Dataset) else source
        raise DatasetError(f"{where}: no image could be read; {'; '.join(notes[:3])}")
    looked_at = [image for image in images if image.stem in made]
    entries = [made[image.stem] for image in looked_at]
    known, spared = networks.seen([(image.view, image.key[0]) for image in looked_at])
    notes += [seen_note(len(known))] if known else []
    notes += [f"subjects looked at by those networks alone that never saw them: {len(spared)}"] if spared else []
    if options.sweep.mode == "dense" and not options.compare:
        notes.append("dense maps stray from exact ones; how far was not measured here: --compare N does")
    if nothing := sum(entry["patches"] == 0 for entry in entries):
        notes.append(f"images without a patch in a breast, whose maps are empty and have no scores: {nothing}")
    about = {"models": [str(folder) for folder in models], "runs": networks.provenance(), "seen": len(known)}
    document = _document(entries, networks, options, about | {"notes": notes})
    labels = source.table[["image_id", *source.task_names()]] if isinstance(source, Dataset) else None
    write_features(out, entries, labels)
    write_boxes(out, document["images"])
    if options.predictions:
        write_scores(out, document["images"], options.predictions, about | {"notes": notes})
    write_lesions(out, document)
    (out / JOURNAL).unlink()
    hits = hits_in(out, source, [entry["image_id"] for entry in entries]) if isinstance(source, Dataset) else None
    return LesionMaps(document, hits)


def _looked_at(
    images: Sequence[Wanted], networks: Networks, options: LesionMapOptions, out: Path, notes: list[str]
) -> dict[str, dict[str, Any]]:
    """The entry of each image, by its stem: of an interrupted call where it came to it, else made now."""
    drawn = np.random.default_rng(options.seed).permutation(len(images))[: options.compare]
    compared = frozenset(images[place].stem for place in drawn)
    keys = {image.stem: f"{image.version} {'compared' * (image.stem in compared)}" for image in images}
    journal = Journal(out / JOURNAL, _head(networks, options))
    try:
        made = {image.stem: entry for image in images if (entry := _made(journal, keys[image.stem], out))}
        if made:
            _log.info("%d of %d images were done before", len(made), len(images))
        for name in (LESIONS, FEATURES, BOXES):  # of an earlier call: a folder that has them is whole
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "predictions", ignore_errors=True)
        left = [image for image in images if image.stem not in made]
        asked = [Asked.of(image, networks, options.sweep.mode, image.stem in compared) for image in left]
        for image, entry in track(mapped(asked, networks, out, options, notes), len(left), "heatmap"):
            made[image.stem] = entry
            journal.add(keys[image.stem], entry)
    finally:
        journal.close()
    if not made:
        journal.remove()
    return made


def _made(journal: Journal, key: str, out: Path) -> dict[str, Any] | None:
    """What an interrupted call made of an image, if its files are still there."""
    entry = journal.made(key)
    whole = entry is not None and (out / entry["raw"]).is_file() and (out / entry["overlay"]).is_file()
    return entry if whole else None


def _head(networks: Networks, options: LesionMapOptions) -> dict[str, Any]:
    """What the maps depend on, images apart."""
    said = {name: value for name, value in asdict(options).items() if name not in _NOT_OF_THE_MAPS}
    return {
        "version": ensemble_mammo.__version__,
        "weights": networks.identity(),
        "options": said | {"cutoffs": list(options.cutoffs)},
    }


def _document(
    entries: Sequence[Mapping[str, Any]],
    networks: Networks,
    options: LesionMapOptions,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """lesions.json: what is undefined is None."""
    found: dict[str, Any] = defined(
        {
            "format": FORMAT,
            "task": networks.first.task.name,
            "classes": list(networks.first.classes),
            **about,
            "of": options.of,
            "patch_px": networks.patch_px,
            "image_height_px": networks.first.preparation.height,
            **asdict(options.sweep),
            "smoothing_px": options.smoothing_px,
            "apart_px": options.apart_px,
            "images": [{name: value for name, value in entry.items() if name != "features"} for entry in entries],
            "compared": _compared(entries),
            "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
            "disclaimer": "Not a medical device; for research.",
        }
    )
    return found


def _compared(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How far dense maps lie from exact ones, over the images that were computed both ways."""
    own = [entry for entry in entries if "deviation" in entry]
    if not own:
        return None
    of = {name: np.array([e["deviation"][name] for e in own], np.float64) for name in own[0]["deviation"]}
    known = of["correlation"][np.isfinite(of["correlation"])]
    return {
        "images": len(own),
        "correlation": float(known.mean()) if len(known) else float("nan"),
        "lowest_correlation": float(known.min()) if len(known) else float("nan"),
        "mean_difference": float(of["mean_difference"].mean()),
        "largest_difference": float(of["largest_difference"].max()),
        "times": float(of["exact_seconds"].sum() / max(1e-9, sum(entry["seconds"] for entry in own))),
    }
