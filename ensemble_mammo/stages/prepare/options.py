"""How an archive becomes a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.preparation import Preparation


@dataclass(frozen=True)
class PrepareOptions:
    """How an archive is read, prepared and divided."""

    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    "what files do not say of themselves"
    preparation: Preparation | None = None
    "what is done to the pixels; None: the kind's own default"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    division: Division = field(default_factory=Division)
    "how subjects are divided into splits and folds"
    full_size: bool = False
    "also write each mammogram, and the masks of its lesions, at the source's own size (for patches)"
    workers: int = 0
    "processes; 0: one a core"
    strict: bool = False
    "a file that cannot be read ends the work"
    restart: bool = False
    "an existing dataset is made anew"
    shards: int = 0
    "bytes that a tar shard of images may have, the manifest then being Parquet; 0: a file for each image"
    engine: Engine = LOCAL
    "where images are prepared; headers: `archive.engine`"

    def __post_init__(self) -> None:
        """Refuse shards of no size."""
        if self.shards < 0:
            raise ValueError(f"shards is {self.shards}, expected bytes, or 0 for a file for each image")
