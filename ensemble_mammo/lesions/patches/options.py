"""How a patch set is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import require_findings


@dataclass(frozen=True)
class PatchSet:
    """One of the published sets."""

    per_lesion: int
    "patches of each lesion, and background patches beside it"
    size_px: int
    "rows and columns of a patch"


SETS: Mapping[str, PatchSet] = MappingProxyType(
    {
        "S": PatchSet(1, 224),
        "S1": PatchSet(1, 224),
        "S1-Big": PatchSet(1, 512),
        "S10": PatchSet(10, 224),
        "S10-Big": PatchSet(10, 512),
        "S30": PatchSet(30, 224),
    }
)
"""Shen et al. 2019 name them S and S10 (S30 in their code); S1 is S, and -Big is 512 pixels, in the patch networks
of the PyTorch ports."""


@dataclass(frozen=True)
class PatchOptions:
    """What is cut from each mammogram."""

    set: str = "S10"
    "S, S1, S1-Big, S10, S10-Big or S30"
    size_px: int = 0
    "rows and columns of a patch; 0: those of the set"
    image_height_px: int = 1152
    "rows of the mammograms when patches are cut; 0: those of the source (the dataset is prepared with --full-size)"
    overlap: float = 0.9
    "least overlap with the lesion: the larger of intersection / lesion and intersection / patch"
    background_overlap: float = 0.35
    "background patches overlap every lesion less than this"
    hard_negatives: float = 0.0
    "share of the background patches that come from a detector of bright blobs, 0 to 1"
    findings: tuple[str, ...] = ()
    "findings whose lesions give patches; none: all, those that are no calcification as masses"
    birads: bool = False
    "the image's BI-RADS class stands for a pathology that its lesions lack: 4-6 malignant, 1-2 benign"
    seed: int = 0
    "of all that is drawn"
    workers: int = 0
    "processes; 0: one a core"
    restart: bool = False
    "an existing patch set is made anew"
    engine: Engine = LOCAL
    "where they are cut"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.set not in SETS:
            near = get_close_matches(self.set, SETS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"set {self.set!r} is not one of {', '.join(SETS)}{hint}")
        if not (self.size_px == 0 or 16 <= self.size_px <= 4096):
            raise ValueError(f"size is {self.size_px}, expected 0 (the set's own), or 16 to 4096 pixels")
        if not (self.image_height_px == 0 or 32 <= self.image_height_px <= 16384):
            raise ValueError(f"image height is {self.image_height_px}, expected 0, or 32 to 16384 pixels")
        if not 0 < self.overlap <= 1:
            raise ValueError(f"overlap is {self.overlap:g}, expected more than 0, at most 1")
        if not 0 < self.background_overlap <= 1:
            raise ValueError(f"background overlap is {self.background_overlap:g}, expected more than 0, at most 1")
        if not 0 <= self.hard_negatives <= 1:
            raise ValueError(f"hard negatives are {self.hard_negatives:g}, expected a share from 0 to 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected 0 or more")
        require_findings(self.findings)

    def decisive(self) -> dict[str, Any]:
        """Those that decide which patches come out, as JSON takes them."""
        said = to_mapping(replace(self, workers=0, restart=False))
        return {name: value for name, value in said.items() if name != "engine"}

    @property
    def per_lesion(self) -> int:
        """Patches of each lesion."""
        return SETS[self.set].per_lesion

    @property
    def patch_px(self) -> int:
        """Rows and columns of a patch."""
        return self.size_px or SETS[self.set].size_px
