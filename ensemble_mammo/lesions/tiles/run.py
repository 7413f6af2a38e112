"""tiles: squares of lesions and of normal tissue become a dataset of normal and abnormal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ensemble_mammo
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.cut_set import CutSet, gone_on_with, key_of, refuse_names
from ensemble_mammo.execution.engine import running, spread
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.progress import track
from ensemble_mammo.lesions.tiles.images import (
    Chosen,
    Laid,
    Workshop,
    cut_image,
    laid_of_lesions,
    laid_of_normals,
    surveyed,
)
from ensemble_mammo.lesions.tiles.kept import (
    Bounds,
    balanced,
    dealt,
    first_half,
    fitted,
    halved,
    read_bounds,
    refuse_without_test,
    with_sample,
)
from ensemble_mammo.lesions.tiles.options import TileOptions
from ensemble_mammo.lesions.tiles.plan import Job, Plan, planned
from ensemble_mammo.lesions.tiles.written import source_notes, write_set
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import (
    MANIFEST,
    Dataset,
    read_dataset,
)
from ensemble_mammo.records.task import TILES

_log = logging.getLogger(__name__)
_SECONDS = 600.0
"""An image that takes longer is given up."""
HALVED = (
    "the test tiles are halved in file order, as in the work: tiles of one lesion, and images of one woman, can stand "
    "in both halves, so the validation set tells something of the test set; what validated before is training"
)


@dataclass(frozen=True)
class _Found:
    """What a survey found."""

    lesions: list[tuple[Job, Laid]]
    "lesion tiles, in file order"
    normals: list[tuple[Job, Laid, float, float]]
    "normal tiles with mean and variance, in file order"
    sample: list[Sequence[float]]
    "mean and variance of tissue"
    left_out: list[tuple[str, str]]
    "images that could not be read"


@dataclass(frozen=True)
class _Kept:
    """What is cut."""

    chosen: list[Chosen]
    "mammograms and their tiles"
    bounds: Bounds | None
    "of normal tiles; None without them"
    notes: list[str]
    "what was decided"


def tiles(
    dataset: Dataset,
    out: Path,
    options: TileOptions | None = None,
    normals: Dataset | None = None,
    bounds: Path | None = None,
) -> Dataset:
    """Cut a tile set from the mammograms of a dataset.

    Args:
        dataset: prepared, with lesions; nothing in it is changed.
        out: the tile set's folder.
        options: how.
        normals: a dataset that normal tiles are taken from instead.
        bounds: a tile set whose bounds of normal tiles are taken, instead of fitted.

    Returns:
        The tile set, itself a dataset with the labels of `TILE_LABELS`, as `read_dataset(out)` gives it.

    Raises:
        DatasetError: no lesion there can give a tile, or no mammogram a normal one; a tile set without bounds.
        OutputError: `out` holds a tile set already, or other files.
    """
    options = options or TileOptions()
    folder = CutSet(out, TILES, "tile set")
    for one in (dataset, normals):
        if one is not None:
            folder.refuse(one.root, options.restart)
    given = read_bounds(bounds) if bounds is not None else None
    if options.split == "scuccimarra":
        refuse_without_test(dataset)
    others = None if normals is None else dealt(normals, dataset, options.seed)
    plan = _prepared_plan(planned(dataset, options, others), options, given)
    refuse_names(dataset.root / LESIONS, "lesion_id", [one.lesion_id for job in plan.jobs for one in job.targets])
    refuse_names(dataset.root / MANIFEST, "image_id", [job.row.image_id for job in plan.jobs])
    with running(options.engine, options.workers):
        folder.clear(options.restart)
        return _tiles(dataset, normals, plan, options, given, folder)


def _tiles(
    dataset: Dataset, normals: Dataset | None, plan: Plan, options: TileOptions, given: Bounds | None, folder: CutSet
) -> Dataset:
    sources = {"source": dataset.fingerprint(), "normals": normals.fingerprint() if normals is not None else ""}
    head = {
        **sources,
        "options": options.decisive(),
        "bounds": None if given is None else to_mapping(given),
        "version": ensemble_mammo.__version__,
    }
    journal = Journal(folder.journal, head)
    try:
        with closing(journal):
            rows, said = _made(plan, options, given, journal, folder)
    except DatasetError:
        journal.remove()
        raise
    said["notes"] += source_notes(dataset, normals)
    write_set(dataset, folder, (options, plan.size_px), rows, said | sources)
    journal.remove()
    return read_dataset(folder.root)


def _made(
    plan: Plan, options: TileOptions, given: Bounds | None, journal: Journal, folder: CutSet
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Look where tiles may lie, choose among them, cut them; their rows, and what dataset.json says of them."""
    shop = Workshop(folder.root, options.set, plan.size_px, options.seed)
    found = _surveyed(plan, shop, journal, folder, options)
    kept = _kept(found, options, given)
    rows: list[dict[str, Any]] = []
    left_out = [*plan.left_out, *found.left_out]
    for one, made, error in _cut(kept.chosen, shop, journal, folder, options):
        if made is None:
            left_out.append((one.job.row.image_id, _short(one.job, error)))
        else:
            rows += made["rows"]
    if not rows:
        raise DatasetError(f"{plan.jobs[0].root}: no tile could be cut; first: {': '.join(left_out[0])}")
    notes = [*plan.notes, *kept.notes]
    if failed := len(left_out) - len(plan.left_out):
        notes.append(f"{failed} images left out: they could not be read")
    return rows, {"notes": notes, "left_out": left_out, "bounds": kept.bounds}


def _prepared_plan(plan: Plan, options: TileOptions, given: Bounds | None) -> Plan:
    """The plan with splits as they are wanted, and with the sample that bounds are fitted on."""
    jobs: Sequence[Job] = plan.jobs
    if options.split == "scuccimarra":
        jobs = halved(jobs)
    if options.normal_share and given is None:
        jobs = with_sample(jobs, options.seed)
    return replace(plan, jobs=tuple(jobs))


def _surveyed(plan: Plan, shop: Workshop, journal: Journal, folder: CutSet, options: TileOptions) -> _Found:
    """Where the tiles of all mammograms may lie."""
    keyed = [
        (key_of(f"survey|{job.row.image_id}", job, job.root, (job.row.file, *job.masks)), job) for job in plan.jobs
    ]
    start = partial(_started, partial(surveyed, shop=shop), options, "looking")
    found = _Found([], [], [], [])
    for job, survey, error in gone_on_with(keyed, start, journal, folder):
        if survey is None:
            found.left_out.append((job.row.image_id, _short(job, error)))
            continue
        found.lesions.extend((job, laid) for laid in laid_of_lesions(job, survey))
        found.normals.extend((job, *laid) for laid in laid_of_normals(job, survey))
        found.sample.extend(survey["sample"])
    if not found.lesions:
        first = ": ".join(found.left_out[0]) if found.left_out else ""
        raise DatasetError(f"{plan.jobs[0].root}: no tile of a lesion could be cut; first: {first}")
    return found


def _kept(found: _Found, options: TileOptions, given: Bounds | None) -> _Kept:
    """Which tiles are cut, each with its split."""
    share, bounds = options.normal_share, given
    notes: list[str] = []
    lesions = found.lesions
    normals: list[tuple[Job, Laid]] = []
    if share:
        bounds = given or fitted(found.sample, options.bounds_share)
        within = [(job, laid) for job, laid, *figures in found.normals if bounds.hold(*figures)]
        normals, lesions, notes = balanced(within, lesions, options)
        out = len(found.normals) - len(within)
        notes.insert(0, f"{out} of {len(found.normals)} normal tiles lie beyond the bounds of mean and variance")
    moved: set[str] = set()
    if options.split == "scuccimarra":
        for part in (lesions, normals):
            moved |= first_half([laid.tile_id for job, laid in part if job.row.split == "test"])
        notes.append(HALVED)
    chosen: dict[tuple[str, str], tuple[Job, list[tuple[Laid, str]]]] = {}
    for job, laid in (*lesions, *normals):
        split = "val" if laid.tile_id in moved else job.row.split
        chosen.setdefault((str(job.root), job.row.image_id), (job, []))[1].append((laid, split))
    return _Kept([Chosen(job, tuple(laid)) for job, laid in chosen.values()], bounds if share else None, notes)


def _cut(
    chosen: Sequence[Chosen], shop: Workshop, journal: Journal, folder: CutSet, options: TileOptions
) -> Iterator[tuple[Chosen, dict[str, Any] | None, str]]:
    keyed = [(key_of(f"cut|{one.job.row.image_id}", one, one.job.root, (one.job.row.file,)), one) for one in chosen]
    start = partial(_started, partial(cut_image, shop=shop), options, "tiles")
    return gone_on_with(keyed, start, journal, folder)


def _started(function: Any, options: TileOptions, what: str, todo: Sequence[Any]) -> Iterator[Any]:
    return track(spread(function, todo, options.workers, _SECONDS, options.engine), len(todo), what)


def _short(job: Job, error: str) -> str:
    _log.warning("%s: left out: %s", job.row.image_id, error)
    return error.removeprefix(f"{job.root}/")
