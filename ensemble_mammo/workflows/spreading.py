"""How the trainings of one command are spread: where they run, how many at once, with how many cores each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.execution.local import Share, cores
from ensemble_mammo.workflows.watch import Progress


@dataclass(frozen=True)
class Spreading:
    """Where and how several trainings run; the weights depend on `cores` alone."""

    engine: Engine = LOCAL
    "processes of this machine, or a Ray cluster"
    at_once: int = 0
    "trainings at once; 0: as many as there is room for; 1: one after another, of the local engine in this process"
    cores: int = 0
    "that each computes with; 0: those of this machine divided by the trainings of the command, at least 1"
    show: Callable[[Sequence[Progress]], None] | None = None
    "told every second how far the trainings in other processes are; None: the log says when one begins and ends"

    def __post_init__(self) -> None:
        """Refuse numbers below 0."""
        for name in ("at_once", "cores"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")

    def device_here(self, asked: str) -> str:
        """The device of work in this process: a GPU that is asked for may be on the cluster alone."""
        return "auto" if asked == "cuda" and self.engine.name == "ray" else asked


def stays_here(spreading: Spreading, at_once: int, trainings: int) -> bool:
    """Whether the trainings run in the process of the command: a crash of one of several shall not end the others.

    Args:
        spreading: as it was asked for.
        at_once: how many run at once.
        trainings: of the command.
    """
    return at_once == 1 and (spreading.at_once == 1 or trainings == 1)


def room(share: Share, gpus: int) -> int:
    """How many trainings this machine has room for at once.

    Args:
        share: what each uses.
        gpus: those of this machine.
    """
    of_cores = max(1, cores() // share.cores)
    return min(of_cores, max(1, gpus // share.gpus)) if share.gpus else of_cores
