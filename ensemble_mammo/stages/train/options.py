"""What `train` may be told, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ensemble_mammo.learning.state import Advance


@dataclass(frozen=True)
class TrainOptions:
    """How, not what, a run is trained."""

    seed: int = 0
    "of all that is random: first weights, order, augmentation, dropout"
    device: str = "auto"
    "auto, cpu or cuda"
    workers: int = 0
    "threads that read images (0: one); the result does not depend on their number"
    resume: bool = True
    "go on with an unfinished run in the folder"
    restart: bool = False
    "throw away whatever run is in the folder"
    train_subjects: frozenset[str] | None = None
    "train on these subjects, whatever their split (cross-validation); None: the split 'train'"
    val_subjects: frozenset[str] | None = None
    "validate on these; None: the split 'val', or nobody where train_subjects are given"
    allow_leakage: bool = False
    "learn although something stands in more than one split; run.json and the report then say so"
    progress: Callable[[Advance], None] | None = None
    "told after every batch"
    packed: Path | None = None
    "the folder of packed images, of a command with several trainings; None: `.packed` beside the run, then removed"


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    folder: Path
    "such as runs/CC_R"
    info: dict[str, Any]
    "run.json"
    history: pd.DataFrame
    "one row an epoch"
