"""The patch classifiers whose maps are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import CHECKSUM, LoadedRun, load_run, load_runs
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.provenance import provenance
from ensemble_mammo.records.marks import mark_of
from ensemble_mammo.records.remote import brought
from ensemble_mammo.records.subject import View

TASK = "patch"


@dataclass(frozen=True)
class Networks:
    """The patch classifiers of each view; a pooled one stands under all."""

    runs: Mapping[View, Sequence[LoadedRun]]
    "of one patch size; those of a view are averaged"
    imitated: Mapping[Path, LoadedRun] = field(default_factory=dict)
    "folder of a run that imitates -> the run it imitates, whose exact maps are its own"

    @property
    def first(self) -> LoadedRun:
        """One of them: they share classes and patch size."""
        return next(iter(self.runs.values()))[0]

    @property
    def patch_px(self) -> int:
        """Rows and columns of a patch."""
        return self.first.recipe.input.height

    def of(self, view: View, subject: str) -> list[LoadedRun]:
        """Those of a view that did not learn from the subject; all of them where every one did."""
        mark = mark_of(subject)
        own = self.runs[view]
        return [run for run in own if mark not in (run.info.get("learned_from") or ())] or list(own)

    def patch_by_patch(self, runs: Iterable[LoadedRun]) -> list[LoadedRun]:
        """The runs that exact maps are computed with: of one that imitates, the run it imitates."""
        return [self.imitated.get(run.folder, run) for run in runs]

    def by_folder(self) -> dict[Path, LoadedRun]:
        """All of them, those imitated too."""
        every = [*(run for own in self.runs.values() for run in own), *self.imitated.values()]
        return {run.folder: run for run in every}

    def notes(self, mode: str, compared: bool) -> list[str]:
        """What is to be said of runs that imitate."""
        those = "the maps" if mode == "exact" else "the exact maps compared with" if compared else ""
        return [
            f"{run.folder} imitates {run.recipe.network.weights_file} in single passes"
            + (f"; {those} are of the run imitated" if those else "")
            for run in {run.folder: run for own in self.runs.values() for run in own}.values()
            if run.recipe.train.imitate
        ]

    def seen(self, images: Iterable[tuple[View, str]]) -> tuple[set[str], set[str]]:
        """The subjects that the networks chosen for them learned from; and those spared it by the choice.

        Args:
            images: view and subject of each.
        """
        known: set[str] = set()
        spared: set[str] = set()
        for view, subject in set(images):
            chosen = self.of(view, subject)
            if any(mark_of(subject) in (run.info.get("learned_from") or ()) for run in chosen):
                known.add(subject)
            elif len(chosen) < len(self.runs[view]):
                spared.add(subject)
        return known, spared - known

    def identity(self) -> list[str]:
        """The checksum of each network's weights."""
        folders = dict.fromkeys(run.folder for own in self.runs.values() for run in own)
        return [(folder / CHECKSUM).read_text(encoding="utf-8").split()[0] for folder in folders]

    def provenance(self) -> dict[str, list[dict[str, Any]]]:
        """What they say of their training, by view."""
        return provenance(self.runs)


def networks_at(models: Sequence[Path], device: str = "auto", exact: bool = True) -> Networks:
    """The patch classifiers of one folder of runs or several.

    Args:
        models: the folders.
        device: where the networks are put.
        exact: whether exact maps will be computed, so that the runs imitated are needed.

    Raises:
        RunError: no runs there, no patch classifiers, or such as cannot be averaged.
    """
    where = " and ".join(str(folder) for folder in models)
    if not models:
        raise RunError("no folder of runs was given; name a patch classifier with --models")
    runs = load_runs(list(models), device=resolve_device(device))
    first = next(iter(runs.values()))[0]
    if first.task.name != TASK:
        raise RunError(
            f"{where}: trained for the task {first.task.name!r}, and a heatmap takes a patch classifier; cut patches "
            "with `ensemble-mammo patches --data DATASET --out PATCHES`, then train one: `ensemble-mammo train "
            "--recipe cancer/patch-… --data PATCHES`"
        )
    own = [run for of_view in runs.values() for run in of_view]
    sizes = sorted({(run.recipe.input.height, run.recipe.input.width) for run in own})
    if len(sizes) > 1 or sizes[0][0] != sizes[0][1]:
        said = ", ".join(f"{height} x {width}" for height, width in sizes)
        raise RunError(f"{where}: patches of {said} pixels; expected squares of one size")
    if any(run.preparation != first.preparation for run in own):
        raise RunError(f"{where}: trained on images prepared differently; give runs of one preparation")
    imitating = {run.folder: run for run in own if run.recipe.train.imitate and exact}
    return Networks(runs, {folder: _imitated(run, device) for folder, run in imitating.items()})


def _imitated(run: LoadedRun, device: str) -> LoadedRun:
    """The run that a run imitates, as it was then."""
    folder = brought(run.recipe.network.weights_file)
    wanted = (run.info.get("started_from") or {}).get("weights_sha256")
    hint = "put it there again, or take mode dense without a comparison"
    try:
        found = load_run(folder, TASK, resolve_device(device))
    except RunError as error:
        raise RunError(
            f"{run.folder}: exact maps are those of the run it imitates, {folder}: {error}; {hint}"
        ) from error
    if (folder / CHECKSUM).read_text(encoding="utf-8").split()[0] != wanted:
        raise RunError(f"{run.folder}: the run it imitates, {folder}, was trained anew since; {hint}")
    return found
