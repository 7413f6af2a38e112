"""What a training must be for several processes to share it."""

from __future__ import annotations

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.execution.ranks import require_one
from ensemble_mammo.learning import parallel
from ensemble_mammo.learning.record import Identity


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
