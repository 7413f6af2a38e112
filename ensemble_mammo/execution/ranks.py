"""Which of several processes of one training this one is, as torchrun says it in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ensemble_mammo.errors import ExecutionError


@dataclass(frozen=True)
class Ranks:
    """The place of a process among those of one training."""

    rank: int = 0
    "of this process, from 0"
    world: int = 1
    "processes in all"
    local: int = 0
    "of this process on its machine, from 0: the GPU it takes"

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0


def ranks_here(environment: Mapping[str, str] = os.environ) -> Ranks:
    """What torchrun has put into the environment; without it, a single process.

    Raises:
        ExecutionError: WORLD_SIZE is there and the rest is not, or they contradict each other.
    """
    if environment.get("WORLD_SIZE", "1") == "1":
        return Ranks()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if missing := [name for name in names if not environment.get(name)]:
        raise ExecutionError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']} and {', '.join(missing)} not set; start with torchrun, or "
            "unset WORLD_SIZE for a single process"
        )
    try:
        rank, world, local = (int(environment[name]) for name in names[:3])
    except ValueError as error:
        raise ExecutionError(
            f"RANK, WORLD_SIZE and LOCAL_RANK are whole numbers: {error}; start with torchrun"
        ) from error
    if not (0 <= rank < world and 0 <= local <= rank):
        raise ExecutionError(
            f"RANK is {rank}, WORLD_SIZE {world}, LOCAL_RANK {local}: no such place; start with torchrun"
        )
    return Ranks(rank, world, local)


def require_one(what: str) -> None:
    """Refuse what is not divided among processes.

    Raises:
        ExecutionError: there are several.
    """
    if (world := ranks_here().world) > 1:
        raise ExecutionError(f"{what} is not divided among processes, and here are {world}; start it without torchrun")
