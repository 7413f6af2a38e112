"""Fitted images on the disk: each is decoded and fitted once, whichever views, folds, seeds and processes read it.

A pack is one file for all rows of a dataset at one input size: a checksum a row, then the rows' pixels as a memory map
of 16 bits. Places nobody has asked for yet take no room (the file is sparse). Whoever needs an image first writes its
pixels and then its checksum; two who do it at once write the same bytes, so there are no locks. A checksum is over the
pixels and over size and time of the image's file: what was damaged, half written or made from another file is seen at
its first use in each process, and made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ensemble_mammo import __version__
from ensemble_mammo.errors import OutputError
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import in_use, written_beside
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import InputRecipe
from ensemble_mammo.records.shards import state

log = logging.getLogger(__name__)

PACKED = ".packed"
"""The folder of packs, in the folder of runs."""
_PAGE = 4096
_DONE = 1 << 32
"A checksum of 32 bits and this: 0 is a place without an image."


class Pack:
    """The fitted images of a dataset's rows, and of their mirror images, at one input size."""

    def __init__(self, path: Path, image_ids: pd.Series, recipe: InputRecipe, limit_gb: float) -> None:
        """Say which file it is; it is looked at, or made, with the first image.

        Args:
            path: the file; its folder holds packs alone.
            image_ids: one a row of the dataset.
            recipe: tells rows and columns.
            limit_gb: what all packs of the folder may take of the disk.
        """
        self._path, self._limit = path, limit_gb * 1e9
        self._place_of = pd.Index(image_ids)
        self._shape = (2 * len(image_ids), recipe.height, recipe.width)  # as they are, then mirrored
        self._begin = -(-8 * self._shape[0] // _PAGE) * _PAGE
        self._bytes_each = 2 * recipe.height * recipe.width
        self._opening = threading.Lock()
        self._sound: bytearray | None = None  # which images this process has seen to be right
        self._full = False

    def places(self, rows: pd.DataFrame, mirrored: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Where the images of rows stand `[N]`.

        Args:
            rows: of the dataset (column image_id).
            mirrored: which of them are turned left to right.

        Raises:
            ValueError: a row that the dataset does not have.
        """
        found = self._place_of.get_indexer(pd.Index(rows["image_id"]))
        if (found < 0).any():
            raise ValueError(f"image {rows['image_id'].iloc[int((found < 0).argmax())]!r} is none of the dataset's")
        return np.asarray(found + len(self._place_of) * mirrored, np.int64)

    def image(self, place: int, source: Path, make: Callable[[], NDArray[np.uint16]]) -> NDArray[np.uint16]:
        """The fitted image of a place `[H, W]`, not to be written to; made, and kept, where it is not there.

        Args:
            place: as `places` gives it.
            source: the file it is made from.
            make: reads and fits it.
        """
        sound = self._sound or self._opened()
        if not sound:
            return make()
        kept = self._images[place]
        if sound[place]:
            return kept
        stamp = _stamp(source)  # before it is read: changed meanwhile, it is read again the next time
        if self._sums[place] and self._sums[place] == _sum(kept, stamp):
            sound[place] = True
            return kept
        made = make()
        self._keep(place, made, _sum(made, stamp))
        return made

    def _opened(self) -> bytearray:
        """Map the file, made if it is not there or not as long as it has to be; empty where that fails."""
        with self._opening:
            if self._sound is None:
                try:
                    _make(self._path, self._begin + self._shape[0] * self._bytes_each)
                    self._sums = np.asarray(np.memmap(self._path, np.uint64, "r", shape=self._shape[:1]))
                    self._images = np.asarray(np.memmap(self._path, np.uint16, "r", self._begin, self._shape))
                    self._sound = bytearray(self._shape[0])
                except (OutputError, OSError) as error:
                    log.warning("%s; images are read again in every epoch", error)
                    self._sound = bytearray()
            return self._sound

    def _keep(self, place: int, pixels: NDArray[np.uint16], checksum: int) -> None:
        """Write an image by an ordinary write: on a full disk that fails, where a memory map would kill the process."""
        if self._full:
            return
        try:
            self._full = _used(self._path.parent) + self._bytes_each > self._limit
            if self._full:
                log.info("packed images take %.1f GB; others are read again (train.cache_gb)", self._limit / 1e9)
                return
            with self._path.open("r+b", buffering=0) as file:
                file.seek(self._begin + place * self._bytes_each)
                if file.write(pixels.tobytes()) < self._bytes_each:
                    return  # cut short; without its checksum it does not count
                file.seek(8 * place)
                file.write(np.uint64(checksum).tobytes())
        except OSError as error:
            self._full = True
            log.warning("%s: cannot be written (%s); images are read again", self._path, error.strerror or error)


def pack_of(dataset: Dataset, recipe: InputRecipe, folder: Path | None, limit_gb: float) -> Pack | None:
    """The pack of a dataset at an input size, in a folder of packs; None without a folder or room.

    Its name tells whatever determines the pixels: the dataset's folder, rows and preparation, the input's size and
    fit, and the versions that compute them.
    """
    if folder is None or limit_gb <= 0:
        return None
    columns = [name for name in ("image_id", "file", "source_sha256") if name in dataset.table]
    rows = pd.util.hash_pandas_object(dataset.table[columns], index=False).to_numpy()
    told = (
        str(dataset.root.resolve()),
        to_mapping(dataset.preparation),
        (recipe.height, recipe.width, recipe.fit),
        (__version__, str(torch.__version__)),
    )
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode() + rows.tobytes()).hexdigest()
    return Pack(folder / f"{digest[:32]}.pack", dataset.table["image_id"], recipe, limit_gb)


@contextmanager
def packs_in(out: Path, given: Path | None = None) -> Iterator[Path]:
    """The folder of packs of a command: one that its caller gives, else its own, gone when the block ends well.

    After a failure the packs stay, and a second call uses them; so they do while another command uses them, which
    then takes them away.
    """
    if given is not None:
        yield given
        return
    with in_use(out / PACKED) as alone:
        yield out / PACKED
        if alone():
            shutil.rmtree(out / PACKED, ignore_errors=True)


def _make(path: Path, size: int) -> None:
    """A file of so many bytes that takes no room yet; what has another length is replaced."""
    if path.is_file() and path.stat().st_size == size:
        return
    with written_beside(path) as place:
        os.truncate(place, size)


def _stamp(source: Path) -> int:
    """What changes when a file does, or the shard that it lies in."""
    return zlib.crc32(str(state(source)).encode())


def _sum(pixels: NDArray[np.uint16], stamp: int) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data, stamp) + _DONE


def _used(folder: Path) -> int:
    """The bytes that packs take of the disk."""
    with os.scandir(folder) as entries:
        found = [entry.stat() for entry in entries]
    return sum(getattr(one, "st_blocks", one.st_size // 512) * 512 for one in found)
