"""A dataset made of other datasets: written beside its place, moved there as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.records.files import link_or_copy, write_bytes
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import DESCRIPTION, MANIFEST, MANIFEST_PARQUET, manifest_of
from ensemble_mammo.records.shards import SHARDS, content, exists, in_shard

LESION_AREA = "lesion-area.csv"
"""How large the lesions of each image are: what a control is compared with."""
_OWN = (
    "images",
    "full",
    "masks",
    "full-masks",
    "folders",
    SHARDS,
    LESIONS,
    LESION_AREA,
    DESCRIPTION,
    MANIFEST,
    MANIFEST_PARQUET,
)
"what a dataset's folder holds; the manifest last, since it makes the folder a dataset"


def refuse_target(out: Path, roots: Sequence[Path], restart: bool) -> None:
    """Refuse a folder that a dataset made of others cannot be written to.

    Args:
        out: the new dataset's folder.
        roots: the datasets that it is made of.
        restart: whether a dataset that lies there is made anew.

    Raises:
        OutputError: a file or a dataset lies there, or `out` lies inside one of the others (or one in it).
    """
    whole = out.resolve()
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder; give another --out")
    for root in roots:
        if root.resolve().is_relative_to(whole) or whole.is_relative_to(root.resolve()):
            raise OutputError(f"{out}: and the dataset {root} lie in one another; give another --out")
    if manifest_of(out) is not None and not restart:
        raise OutputError(f"{out}: holds a dataset already; give another --out, or --restart to make it anew")
    if manifest_of(out) is None and (there := [name for name in _OWN if (out / name).exists()]):
        raise OutputError(f"{out}: holds {', '.join(there)}, but no dataset; give another --out")


def linked(source: Path, target: Path) -> None:
    """Link a file of a dataset into another (a copy where links cannot be made, or of a member of a shard).

    Raises:
        DatasetError: the file is missing.
    """
    if not exists(source):
        raise DatasetError(f"{source}: missing; prepare that dataset again")
    if in_shard(source):
        write_bytes(target, content(source))
    else:
        link_or_copy(source, target)


@contextmanager
def made_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`; when the block ends well, what it holds takes the place of `out`'s dataset.

    Raises:
        OutputError: the disk is full, or a folder cannot be written.
    """
    made = out.resolve().with_name(f".{out.resolve().name}.making")
    shutil.rmtree(made, ignore_errors=True)
    try:
        yield made
        _move(made, out)
    except OSError as error:
        if isinstance(error, OutputError | DatasetError):
            raise
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _move(made: Path, out: Path) -> None:
    """Bring what was made to its place; the old manifest goes first, the new one comes last."""
    out.mkdir(parents=True, exist_ok=True)
    for name in reversed(_OWN):
        old = out / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    for name in _OWN:
        if (made / name).exists():
            (made / name).replace(out / name)
