"""What `plan` may be told."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble_mammo.records.task import task_named


@dataclass(frozen=True)
class PlanOptions:
    """For which task and for which device a recipe is planned."""

    task: str = ""
    "what is told apart; empty: the task that the dataset was prepared for"
    device: str = "auto"
    "that the network will learn on: cpu, cuda or auto"
    seed: int = 0
    "of the training that is planned, and of the random images of the dry run"

    def __post_init__(self) -> None:
        """Refuse an unknown task."""
        if self.task:
            task_named(self.task)
