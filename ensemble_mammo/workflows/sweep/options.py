"""What `sweep` may be told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ensemble_mammo.merit.calls import Asked, threshold_asked
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.origin import BASELINE, CONTRASTS
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.spreading import Spreading

OUT_OF_FOLD = "out-of-fold"
"""What the judged cases of a cross-validation are called."""
VALIDATION = "val"
"""The split that thresholds are chosen on."""
JUDGED_SPLITS = ("val", "test")
"""The splits of its own dataset that a network may be judged on."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = (*SPLITS, OUT_OF_FOLD, BASELINE, CONTRASTS)


@dataclass(frozen=True)
class SweepOptions:
    """What is varied, what is trained at each point, and what it is judged on."""

    over: tuple[str, ...]
    "the axes, as `loss.positive_weight=1,2,4`: a field of the recipe, `recipe` or `seed`; all are crossed"
    recipe: str = ""
    "path or name of the recipe; empty where `recipe` is an axis"
    settings: tuple[str, ...] = ()
    "key=value laid over the recipe of every point"
    views: tuple[View, ...] = tuple(View)
    "the projections, where the recipe is of one network a view; those that the dataset has, if all are named"
    folds: int = 0
    "cross-validate each point over subjects; 0: train once, on the splits"
    split: str = VALIDATION
    "of the dataset: val or test, which a network trained once is judged on"
    on: tuple[tuple[str, Dataset], ...] = ()
    "other datasets to be judged on: (name, dataset)"
    on_split: str = ""
    "of those: train, val, test; empty: every image"
    threshold: str = ""
    """of two classes, the score from which a case is called positive: a number, or `recall=0.9`, chosen for each
    point on the validation split (in a cross-validation: on all out-of-fold cases); empty: 0.5"""
    train: TrainOptions = field(default_factory=TrainOptions)
    "seed, device, workers and the like"
    spreading: Spreading = field(default_factory=Spreading)
    "where the trainings run, and how many at once"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _ = self.asked
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"folds is {self.folds}, expected 0 or at least 2")
        if self.split not in JUDGED_SPLITS:
            raise ValueError(f"split is {self.split!r}, expected one of {', '.join(JUDGED_SPLITS)}")
        if self.folds and self.split != VALIDATION:
            raise ValueError("split goes with one training; in a cross-validation every subject is judged out of fold")
        if self.on_split not in ("", *SPLITS):
            raise ValueError(f"on_split is {self.on_split!r}, expected one of {', '.join(SPLITS)}, or empty for all")
        names = [name for name, _ in self.on]
        for place, name in enumerate(names):
            if not _NAME.fullmatch(name) or name in _RESERVED:
                raise ValueError(
                    f"on {name!r}: expected a name of letters, digits, '.', '_' or '-', other than "
                    f"{', '.join(_RESERVED)}"
                )
            if name in names[:place]:
                raise ValueError(f"on {name!r}: given twice; give each dataset a name of its own")

    @property
    def asked(self) -> Asked:
        """The threshold that was asked for."""
        return threshold_asked(self.threshold) if self.threshold else Asked()

    @property
    def judged_on(self) -> str:
        """What the judged cases of the dataset itself are called."""
        return OUT_OF_FOLD if self.folds else self.split
