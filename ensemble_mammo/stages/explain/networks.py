"""The networks that are explained: one a view, or, of a cross-validation, for each subject one that never saw her."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.learning.checkpoint import LoadedRun, load_runs, runs_in
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.learning.provenance import are_marked, seen_note, subjects_seen
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.marks import mark_of, own_ids
from ensemble_mammo.records.recipe import HAND_FEATURES
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain.options import ExplainOptions


@dataclass(frozen=True)
class Networks:
    """The runs of each view."""

    runs: Mapping[View, Sequence[LoadedRun]]
    "one a view, or one a fold"
    own_ids: Mapping[str, str] = field(default_factory=dict)
    "of joined datasets: subject_id -> the id that she has in her own"

    @property
    def first(self) -> dict[View, LoadedRun]:
        """A run of each view: folds share recipe, classes and preparation."""
        return {view: own[0] for view, own in self.runs.items()}

    @property
    def are_folds(self) -> bool:
        """Whether there are several of a view."""
        return any(len(own) > 1 for own in self.runs.values())

    def of(self, view: View, subject: str) -> LoadedRun:
        """The run that explains a subject: of several folds the first that did not learn from her.

        Raises:
            RunError: every fold learned from her.
        """
        own = self.runs[view]
        if len(own) == 1:
            return own[0]
        marks = {mark_of(subject), mark_of(self.own_ids.get(subject, subject))}
        unseen = next((run for run in own if marks.isdisjoint(run.info["learned_from"])), None)
        if unseen is None:
            raise RunError(f"subject {subject!r}: every fold of {view} learned from her; name one fold to explain her")
        return unseen

    def every(self) -> list[LoadedRun]:
        """Each of them once: a pooled one stands under several views."""
        return list({id(run): run for own in self.runs.values() for run in own}.values())

    def notes(self, source: Dataset | Path, options: ExplainOptions) -> list[str]:
        """What must be said of subjects whom the networks know."""
        if not isinstance(source, Dataset):
            return []
        if self.are_folds:
            return ["each subject is explained by networks that never saw her (out of fold)"]
        seen = subjects_seen(self.runs, source.rows(split=options.split or None))
        return [seen_note(len(seen))] if seen else []


def networks_at(models: Path, source: Dataset | Path, options: ExplainOptions) -> Networks:
    """The networks of a folder of runs.

    Raises:
        RunError: several of one view, and not all say whom they learned from, or the source is no dataset.
        DatasetError: a class to explain that the task does not have.
    """
    device = options.device if options.engine.name == "local" else "cpu"  # beside a cluster, which computes
    several = [own for own in runs_in(models).values() if len(own) > 1]
    own = own_ids(source.table) if isinstance(source, Dataset) else {}
    found = Networks(load_runs(models, device=resolve_device(device)), own)
    if any(run.recipe.network.name == HAND_FEATURES for run in found.first.values()):
        raise RunError(
            f"{models}: a run of hand-made features, which measure the whole breast: there is no map to draw"
        )
    if several and not (isinstance(source, Dataset) and are_marked(found.runs)):
        raise RunError(
            f"{models}: {len(several[0])} runs of one view; a map shows one network: "
            f"name one fold, such as {several[0][0].parent}"
        )
    if options.class_name:
        try:
            next(iter(found.first.values())).task.index(options.class_name)
        except ValueError as error:
            raise DatasetError(f"class to explain: {error}") from error
    return found
