"""reproduce: published figures beside ours, and why they differ."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.files import write_text
from ensemble_mammo.workflows.reproduce.infn import infn
from ensemble_mammo.workflows.reproduce.result import Reproduction
from ensemble_mammo.workflows.reproduce.scuccimarra import scuccimarra
from ensemble_mammo.workflows.reproduce.shen import shen

__all__ = ["PACKS", "ReproduceOptions", "Reproduction", "reproduce"]

PACKS = ("infn", "shen", "scuccimarra")
"""What can be reproduced."""


@dataclass(frozen=True)
class ReproduceOptions:
    """What a pack is compared with."""

    obtained: tuple[tuple[str, Path], ...] = field(default_factory=tuple)
    "(id of a published result, report.json of our run); packs shen and scuccimarra"
    seed: int = 0
    "of divisions"


def reproduce(
    pack: str, source: Path | None = None, out: Path | None = None, options: ReproduceOptions | None = None
) -> Reproduction:
    """Set published figures beside obtained ones; with `out`, write reproduce.json there.

    Args:
        pack: one of `PACKS`.
        source: infn: the folder of the prediction files; shen: that of CBIS-DDSM's tables; scuccimarra: none.
        out: the folder to write to.
        options: reports of our runs.

    Raises:
        PredictionError: an unknown pack, or files that do not fit it.
        DatasetError: no tables of CBIS-DDSM in `source`.
    """
    options = options or ReproduceOptions()
    obtained = dict(options.obtained)
    if pack not in PACKS:
        raise PredictionError(f"pack {pack!r} is not one of {', '.join(PACKS)}")
    if pack == "infn":
        if source is None:
            raise PredictionError("infn: give the folder of the published prediction files (predictions_ccr.txt, …)")
        if obtained:
            raise PredictionError("infn: compares prediction files, not reports; leave --obtained out")
        found = infn(source)
    elif pack == "shen":
        found = shen(source, obtained, options.seed)
    else:
        if source is not None:
            raise PredictionError(f"{source}: scuccimarra reads no data; give reports as --obtained ID=REPORT.json")
        found = scuccimarra(obtained)
    if out is not None:
        write_text(out / "reproduce.json", json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n")
    return found
