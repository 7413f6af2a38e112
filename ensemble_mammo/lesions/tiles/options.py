"""How a tile set is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.imaging.lesion_tiles import METHODS
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import require_findings
from ensemble_mammo.records.splits import SPLITS

SPLIT_RULES = ("dataset", "scuccimarra")
THINNED: dict[str, tuple[str, ...]] = {"none": (), "tests": ("val", "test"), "all": (*SPLITS, "")}
"""What `thin` may be -> the splits that it holds for; an empty name: of a dataset without splits."""


@dataclass(frozen=True)
class TileOptions:
    """What is cut from each mammogram, and what is kept of it."""

    set: str = "9"
    "6, 8 or 9: Scuccimarra's data sets"
    size_px: int = 0
    "rows and columns of a tile as written; 0: 299 where 598 film pixels are as many pixels, else what they are"
    trim: float = 0.07
    "share of the film's height and width taken off each side before normal tiles are cut"
    normal_share: float = 0.83
    "normal tiles of all tiles, in each split; 0: none"
    thin: str = "none"
    "where normal tiles run short of their share, fewer lesion tiles: 'tests': in val and test; 'all': in every split"
    bounds_share: float = 0.98
    "share of the sampled tissue tiles whose mean, and whose variance, lies within the bounds of normal tiles"
    split: str = "dataset"
    "'dataset': its own; 'scuccimarra': its test tiles halved in file order, the first half validates"
    findings: tuple[str, ...] = ()
    "findings whose lesions give tiles; none: all"
    birads: bool = False
    "the image's BI-RADS class stands for a pathology that its lesions lack: 4-6 malignant, 1-2 benign"
    seed: int = 0
    "of all that is drawn"
    workers: int = 0
    "processes; 0: one a core"
    restart: bool = False
    "an existing tile set is made anew"
    engine: Engine = LOCAL
    "where they are cut"

    def decisive(self) -> dict[str, Any]:
        """Those that decide which tiles come out, as JSON takes them."""
        return {name: value for name, value in to_mapping(self).items() if name not in ("workers", "restart", "engine")}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.set not in METHODS:
            raise ValueError(f"set {self.set!r} is not one of {', '.join(METHODS)}")
        if not (self.size_px == 0 or 32 <= self.size_px <= 4096):
            raise ValueError(f"size is {self.size_px}, expected 0 (by the film's scale), or 32 to 4096 pixels")
        if not 0 <= self.trim <= 0.4:
            raise ValueError(f"trim is {self.trim:g}, expected 0 to 0.4 of height and width")
        if not 0 <= self.normal_share < 1:
            raise ValueError(f"normal share is {self.normal_share:g}, expected a share from 0 to less than 1")
        if self.thin not in THINNED:
            raise ValueError(f"thin {self.thin!r} is not one of {', '.join(THINNED)}")
        if self.thin != "none" and not self.normal_share:
            raise ValueError(
                f"thin is {self.thin!r} and normal share 0: without normal tiles there is no share to reach"
            )
        if not 0 < self.bounds_share <= 1:
            raise ValueError(f"bounds share is {self.bounds_share:g}, expected more than 0, at most 1")
        if self.split not in SPLIT_RULES:
            raise ValueError(f"split {self.split!r} is not one of {', '.join(SPLIT_RULES)}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")
        require_findings(self.findings)
