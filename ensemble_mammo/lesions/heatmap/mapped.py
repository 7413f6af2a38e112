"""Map after map: in this process, or on the workers of a cluster, which read the images and write the maps too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import EnsembleMammoError, ExecutionError
from ensemble_mammo.execution.engine import LOCAL, refuse_lost, spread
from ensemble_mammo.execution.local import Share
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.travel import Travelling, arrived, computing_with, device_of_workers, sent
from ensemble_mammo.lesions.heatmap.found import found_in
from ensemble_mammo.lesions.heatmap.inputs import Wanted, read_images
from ensemble_mammo.lesions.heatmap.networks import Networks
from ensemble_mammo.lesions.heatmap.options import LesionMapOptions
from ensemble_mammo.lesions.heatmap.written import write_map

_SECONDS = 86_400.0
"""How long a worker of a cluster may take for one image; one that hangs is replaced then."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """An image, and which networks look at it, named by their folders."""

    image: Wanted
    "which one"
    used: tuple[Path, ...]
    "whose mean the map is"
    exact: tuple[Path, ...] = ()
    "whose exact map it is compared with"

    @staticmethod
    def of(image: Wanted, networks: Networks, mode: str, compared: bool) -> Asked:
        """The networks of an image's view that never saw its subject."""
        runs = networks.of(image.view, image.key[0])
        exact = tuple(run.folder for run in networks.patch_by_patch(runs))
        return Asked(image, exact if mode == "exact" else tuple(run.folder for run in runs), exact * compared)


def mapped(
    asked: Sequence[Asked], networks: Networks, out: Path, options: LesionMapOptions, notes: list[str]
) -> Iterator[tuple[Wanted, Entry]]:
    """Write the map of each image that can be read.

    Args:
        asked: the images.
        networks: all that any of them asks.
        out: where it is written.
        options: how, and by which engine.
        notes: added to.

    Yields:
        The image, and its entry in lesions.json with its features.

    Raises:
        ExecutionError: the engine cannot be had, or a worker fails in another way than this process would.
    """
    runs = networks.by_folder()
    with computing_with(options.threads) as threads:
        if options.engine.name == "local":
            yield from _mapped(asked, runs, out, options, notes)
        else:
            device = device_of_workers(options.device)
            work = _Work({name: sent(run, device) for name, run in runs.items()}, out, _of_worker(options, threads))
            yield from _mapped_by_workers(work, asked, options, notes)


def _of_worker(options: LesionMapOptions, threads: int) -> LesionMapOptions:
    return replace(options, engine=LOCAL, threads=threads)


def _mapped_by_workers(
    work: _Work, asked: Sequence[Asked], options: LesionMapOptions, notes: list[str]
) -> Iterator[tuple[Wanted, Entry]]:
    """An image at once on each worker that the engine has room for."""
    device = next(iter(work.runs.values())).device
    threads = work.options.threads
    share = Share(threads, int(device == "cuda"))
    for outcome in spread(work, asked, options.workers, _SECONDS, options.engine, share):
        made, image = outcome.value, outcome.item.image
        if made is None and image.preparation is None:
            raise ExecutionError(f"{image.path}: {outcome.error}")
        if isinstance(made, EnsembleMammoError):
            raise made
        entry, said = made or (None, [f"left out: {outcome.error}"])
        notes += said
        if entry is not None:
            refuse_lost(work.out / entry["raw"])
            yield image, entry


@dataclass(frozen=True)
class _Work:
    """What a worker does with each image; the networks are read once a process."""

    runs: Mapping[Path, Travelling]
    "by folder"
    out: Path
    "where the maps are written"
    options: LesionMapOptions
    "how, with the threads that torch computes with"

    def __call__(self, asked: Asked) -> tuple[Entry | None, list[str]] | EnsembleMammoError:
        """The entry of an image, None where it cannot be read, and notes; or the error that ends the run."""
        notes: list[str] = []
        try:
            runs = {name: arrived(self.runs[name]) for name in dict.fromkeys((*asked.used, *asked.exact))}
            with computing_with(self.options.threads):
                made = list(_mapped([asked], runs, self.out, self.options, notes, worker=True))
        except EnsembleMammoError as error:
            return error
        return (made[0][1] if made else None), notes


def _mapped(
    asked: Collection[Asked],
    runs: Mapping[Path, LoadedRun],
    out: Path,
    options: LesionMapOptions,
    notes: list[str],
    worker: bool = False,
) -> Iterator[tuple[Wanted, Entry]]:
    of_image = {one.image.stem: one for one in asked}
    for look in read_images([one.image for one in asked], options, notes, worker):
        one = of_image[look.wanted.stem]
        used, exact = ([runs[name] for name in names] for names in (one.used, one.exact))
        found = found_in(look, used, options, exact)
        yield look.wanted, write_map(out, look, found) | {"features": found.features}
