"""prepare: an archive becomes a dataset of 16-bit images with a manifest."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import ensemble_mammo
from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.fixes import with_fixes
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.engine import LOCAL, refuse_lost, running, spread
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.prepared_files import Workplace, file_of, prepare_image
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import beside
from ensemble_mammo.records.manifest import Dataset, read_dataset
from ensemble_mammo.stages.prepare.options import PrepareOptions
from ensemble_mammo.stages.prepare.packing import Packing
from ensemble_mammo.stages.prepare.target import JOURNAL, clear, refuse_images, refuse_target, take_away_halves
from ensemble_mammo.stages.prepare.written import lesions_of, row_of, write

_log = logging.getLogger(__name__)


def prepare(kind: str, path: Path, out: Path, options: PrepareOptions | None = None) -> Dataset:
    """Turn an archive into a dataset folder.

    Args:
        kind: one of `archives.KINDS`, such as `folders`, `dicom` or `cbis-ddsm`.
        path: the archive's folder (or its manifest); nothing in it is changed.
        out: the dataset's folder.
        options: how.

    Returns:
        The dataset, as `read_dataset(out)` gives it. `dataset.json` lists the files left out and why; where
        PatientIDs became pseudonyms, `<out>.sources.csv` does, and names the source of each image.

    Raises:
        DatasetError: nothing usable there; with `strict`, a file that cannot be read.
        OutputError: `out` holds a dataset already, lies inside the archive, or cannot be written.
    """
    options = options or PrepareOptions()
    if kind not in KINDS:
        near = get_close_matches(kind, [*KINDS, "join"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DatasetError(f"archive kind {kind!r} is not one of {', '.join(KINDS)}, join{hint}")
    preparation = options.preparation or KINDS[kind].preparation
    options = replace(options, preparation=preparation)
    place = Workplace(out, preparation, options.limits, options.full_size)
    refuse_target(path, out, options)
    with running(options.engine, options.workers):
        return _dataset(kind, path, place, options)


def _dataset(kind: str, path: Path, place: Workplace, options: PrepareOptions) -> Dataset:
    out = place.out
    listing = _listed(kind, path, out, options)
    clear(out, options.restart, bool(options.shards))
    head = {
        "preparation": to_mapping(place.preparation),
        "full_size": options.full_size,
        "version": ensemble_mammo.__version__,
    } | ({"shards": options.shards} if options.shards else {})
    journal = Journal(out / JOURNAL, head)
    keys = {image.image_id: _key(image) for image in listing.images}
    made_of: dict[str, dict[str, Any]] = {}
    left_out = list(listing.left_out)
    with closing(journal):
        packing = _packing(out, options, journal, keys)
        for image, made, error in _prepared(listing, place, options, journal, keys, packing):
            if made is None:
                left_out.append((image.source, error))
                if options.strict:
                    _refuse_unreadable(image.path, error)
                continue
            made_of[image.image_id] = made
            if packing is not None:
                row = row_of(image, made, listing.hidden, options.full_size)
                packing.add(keys[image.image_id], row, image.labels, lesions_of(made))
        if packing is not None:
            packing.close()
        if options.engine != LOCAL:
            take_away_halves(out)
    if not made_of:
        journal.remove()
        raise DatasetError(f"{path}: no file could be prepared; first: {left_out[0][0]}: {left_out[0][1]}")
    origin = {"kind": kind, "archive": "" if listing.hidden else str(path.resolve())}
    write(out, replace(listing, left_out=tuple(left_out)), made_of, options, origin, packing)
    journal.remove()
    return read_dataset(out)


def _listed(kind: str, path: Path, out: Path, options: PrepareOptions) -> Listing:
    """What the archive lists, with the fixes of an audit, and nothing in it that forbids to go on."""
    key = options.archive.key or beside(out, ".key")
    listing = KINDS[kind].listing(path, replace(options.archive, key=key))
    if options.archive.fixes:
        listing = with_fixes(listing, options.archive.fixes)
    for note in listing.notes:
        _log.info("%s", note)
    refuse_images(out, listing.images, options)
    if options.strict and listing.unreadable:
        _refuse_unreadable(path / listing.unreadable[0][0], listing.unreadable[0][1])
    return listing


def _refuse_unreadable(path: Path, reason: str) -> NoReturn:
    raise DatasetError(f"{path}: {reason} (--strict; without it the file is left out)")


def _packing(out: Path, options: PrepareOptions, journal: Journal, keys: Mapping[str, str]) -> Packing | None:
    """What packs the images, gone on with where an earlier call ended; None where each is a file."""
    if not options.shards:
        return None
    return Packing(out, options.shards, journal, {key: image_id for image_id, key in keys.items()})


def _prepared(
    listing: Listing,
    place: Workplace,
    options: PrepareOptions,
    journal: Journal,
    keys: Mapping[str, str],
    packing: Packing | None,
) -> Iterator[tuple[ArchiveImage, dict[str, Any] | None, str]]:
    """Each image with what was made of it, in the order of the archive; what an earlier call did is kept.

    Raises:
        OutputError: the dataset's folder cannot be written, or the disk is full.
    """
    whole = {}
    for image in listing.images:
        made = journal.made(keys[image.image_id])
        packed = packing is not None and image.image_id in packing.shard_of
        if made is not None and (packed or (place.out / file_of(image)).is_file()):
            whole[image.image_id] = made
    todo = [image for image in listing.images if image.image_id not in whole]
    if whole:
        _log.info("%d of %d images are prepared already", len(whole), len(listing.images))
    work = partial(prepare_image, place=place)
    outcomes = spread(work, todo, options.workers, place.limits.seconds, options.engine)
    outcomes = track(outcomes, len(todo), "prepare")
    for image in listing.images:
        if image.image_id in whole:
            yield image, whole[image.image_id], ""
            continue
        outcome = next(outcomes)
        if outcome.error.startswith(f"{place.out}/"):
            raise OutputError(outcome.error)
        if outcome.value is not None:
            refuse_lost(place.out / file_of(image))
            journal.add(keys[image.image_id], outcome.value)
        yield image, outcome.value, outcome.error.removeprefix(f"{image.path}: ")


def _key(image: ArchiveImage) -> str:
    """What says that an image is the one that an earlier call prepared."""
    state = image.path.stat()
    drawn = hashlib.sha256(repr((image.lesions, image.facts)).encode()).hexdigest()[:16] if image.lesions else ""
    turned = "|turned" if image.turned else ""
    return f"{image.source}|{image.image_id}|{image.view}|{state.st_size}|{state.st_mtime_ns}|{drawn}{turned}"
