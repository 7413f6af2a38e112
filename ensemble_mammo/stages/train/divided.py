"""What a training must be for several processes to share it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.execution.ranks import require_one
from ensemble_mammo.learning import parallel
from ensemble_mammo.learning.record import STATE, Identity
from ensemble_mammo.learning.state import State


def require_divisible(identity: Identity, images: int) -> None:
    """Refuse a recipe that several processes cannot share, and processes that do not see the same.

    Raises:
        ExecutionError: the recipe does not learn step by step.
        TrainingError: more processes than images, or other data in one process than in another.
    """
    if parallel.world() == 1:
        return
    recipe = identity.passport.recipe.train
    if recipe.imitate or recipe.fit != "steps":
        require_one("train.imitate" if recipe.imitate else f"train.fit = {recipe.fit!r}")
    parallel.require_work(recipe.batch_size, min(recipe.images_an_epoch or images, images))
    if any(other != identity.as_table() for other in parallel.gathered(identity.as_table())):
        raise TrainingError(
            "the processes of this training have other images, labels, recipes or seeds; start all of them with the "
            "same command and version, with --data and --out on storage that all machines share"
        )


def require_same_start(folder: Path) -> None:
    """Refuse processes that would begin from different states, before any of them reads its own.

    Raises:
        TrainingError: one found another state in the folder than another, or none.
    """
    if parallel.world() == 1:
        return
    file, digest = folder / STATE, "none"
    if file.is_file():
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    _require_same(folder, digest)


def require_same_end(folder: Path, state: State) -> None:
    """Refuse processes that end with different epochs.

    Raises:
        TrainingError: they do.
    """
    _require_same(folder, f"epoch {state.epoch}, kept {state.kept_epoch}")


def _require_same(folder: Path, own: str) -> None:
    every = parallel.gathered(own)
    if len(set(every)) > 1:
        raise TrainingError(
            f"{folder}: --out is not the same folder for all processes of this training, their states are "
            f"{'; '.join(every)}; put it on storage that all machines share"
        )
