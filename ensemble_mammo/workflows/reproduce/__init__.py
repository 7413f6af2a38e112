"""reproduce: published figures beside ours, and why they differ."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.files import write_text
from ensemble_mammo.workflows.reproduce.infn import infn
from ensemble_mammo.workflows.reproduce.networks import TableOptions, measured
from ensemble_mammo.workflows.reproduce.result import Reproduction
from ensemble_mammo.workflows.reproduce.scuccimarra import scuccimarra
from ensemble_mammo.workflows.reproduce.shen import shen

__all__ = ["PACKS", "ReproduceOptions", "Reproduction", "TableOptions", "reproduce"]

PACKS = ("infn", "shen", "scuccimarra")
"""What can be reproduced."""


@dataclass(frozen=True)
class ReproduceOptions:
    """What a pack is compared with."""

    obtained: tuple[tuple[str, Path], ...] = field(default_factory=tuple)
    "(id of a published result, report.json of our run); packs shen and scuccimarra"
    seed: int = 0
    "of divisions"
    measure: TableOptions | None = None
    "scuccimarra: the published table whose networks are trained and judged anew, on tile sets"


def reproduce(
    pack: str, source: Path | None = None, out: Path | None = None, options: ReproduceOptions | None = None
) -> Reproduction:
    """Set published figures beside obtained ones; with `out`, write reproduce.json there.

    Args:
        pack: one of `PACKS`.
        source: infn: the folder of the prediction files; shen: that of CBIS-DDSM's tables; scuccimarra: none, or with
            `options.measure` the folder of tile sets (`networks.measured` says which).
        out: the folder to write to.
        options: reports of our runs, or the table to be measured.

    Raises:
        PredictionError: an unknown pack, or files that do not fit it.
        DatasetError: no tables of CBIS-DDSM in `source`.
    """
    options = options or ReproduceOptions()
    obtained = dict(options.obtained)
    if pack not in PACKS:
        raise PredictionError(f"pack {pack!r} is not one of {', '.join(PACKS)}")
    if options.measure is not None:
        found = _measured(pack, source, out, options)
    elif pack == "infn":
        if source is None:
            raise PredictionError("infn: give the folder of the published prediction files (predictions_ccr.txt, …)")
        if obtained:
            raise PredictionError("infn: compares prediction files, not reports; leave --obtained out")
        found = infn(source)
    elif pack == "shen":
        found = shen(source, obtained, options.seed)
    else:
        if source is not None:
            raise PredictionError(
                f"{source}: scuccimarra reads no data without --table; give reports as --obtained ID=REPORT.json, or "
                "the table whose networks shall be trained on the tile sets there"
            )
        found = scuccimarra(obtained)
    if out is not None:
        write_text(out / "reproduce.json", json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n")
    return found


def _measured(pack: str, source: Path | None, out: Path | None, options: ReproduceOptions) -> Reproduction:
    """Train the networks of a published table.

    Raises:
        PredictionError: another pack, no tile sets, no folder to write to, or reports besides.
    """
    assert options.measure is not None
    if pack != "scuccimarra":
        raise PredictionError(f"--table is of scuccimarra, not of {pack}; leave it out")
    if source is None or out is None:
        raise PredictionError(
            "--table trains networks: give the folder of tile sets (set-6, set-8, set-9 and those to be judged on), "
            "and --out"
        )
    if options.obtained:
        raise PredictionError("--table measures anew: leave --obtained out")
    return measured(source, out, options.measure)
