"""Tar shards in WebDataset's layout: the files of one sample lie together and share the name up to the first dot."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ensemble_mammo.records.files import write_bytes, written_beside
from ensemble_mammo.records.shards import INDEX, content, index_of, place

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}
LEAST = 10_000
"""Bytes of the smallest shard that may be asked for."""
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """What one image brings into a shard."""

    key: str
    "what the names of its members begin with, up to the first dot"
    text: bytes
    "its member `<key>.json`"
    files: tuple[tuple[str, Path], ...]
    "the other members: name, and the file that it is made of"


def size_from(text: str) -> int:
    """Bytes of a size such as `1GB`, `500MB` (powers of 1000) or `2GiB` (powers of 1024).

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    size = int(float(found[1]) * unit) if found and unit else 0
    if size < LEAST:
        raise ValueError(
            f"{text!r} is no size; expected a number and a unit, such as 1GB, 500MB or 2GiB, and 10kB or more"
        )
    return size


def key_of(image_id: str) -> str:
    """An image's id as the key of its sample: what a key cannot bear, such as a dot, is written as its code."""
    return quote(image_id, safe="+,=@").replace(".", "%2E")


def text_of(record: Mapping[str, Any], size: int = 0) -> bytes:
    """A record as the JSON of a sample, filled up with spaces to a size, or to whole blocks where none is given.

    Raises:
        ValueError: it is larger.
    """
    text = json.dumps(record, ensure_ascii=False).encode()
    if size and len(text) > size:
        raise ValueError(f"the JSON of {record.get('image_id')} has {len(text)} bytes, and its place {size}")
    return text.ljust(size or -(-len(text) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)


def size_in_shard(names: Sequence[str], sizes: Sequence[int]) -> int:
    """Bytes that members take in a shard, their headers included."""
    long = sum(len(name) > tarfile.LENGTH_NAME for name in names)  # another header, and a block with the name
    return sum(-(-size // tarfile.BLOCKSIZE) + 1 for size in sizes) * tarfile.BLOCKSIZE + 2 * long * tarfile.BLOCKSIZE


def shard_size(members: int) -> int:
    """Bytes of a shard whose members take so many: two empty blocks end it, and it is filled up to whole records."""
    return -(-(members + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def write_shard(path: Path, samples: Sequence[Sample]) -> None:
    """Write a shard and its index, each whole or not at all; the same samples make the same bytes.

    Raises:
        OutputError: a file is missing, the folder cannot be written, or the disk is full.
    """
    places: list[tuple[str, int, int]] = []
    with written_beside(path) as beside, beside.open("wb") as handle:
        with tarfile.open(fileobj=handle, mode="w", format=tarfile.PAX_FORMAT) as shard:
            for sample in samples:
                for name, file in sample.files:
                    with file.open("rb") as source:
                        places.append(_add(shard, name, os.fstat(source.fileno()).st_size, source))
                places.append(_add(shard, f"{sample.key}.json", len(sample.text), io.BytesIO(sample.text)))
        handle.flush()
        os.fsync(handle.fileno())
    write_bytes(path.with_name(path.name + INDEX), index_of(places, path.stat().st_size))


def _add(shard: tarfile.TarFile, name: str, size: int, source: Any) -> tuple[str, int, int]:
    member = tarfile.TarInfo(name)  # owner 0, time 0
    member.size = size
    shard.addfile(member, source)
    return name, shard.offset - -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, size


def rewrite_texts(path: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the JSON of samples of a shard anew, where it lies.

    Args:
        path: the shard.
        records: key of the sample -> what its JSON says, no longer than what it said.

    Raises:
        ValueError: a record is longer.
        FileNotFoundError: no such shard or sample.
    """
    with path.open("r+b") as shard:
        for key, record in records.items():
            member = path / f"{key}.json"
            content(member)  # its place is right: else this raises
            first, size = place(member)
            shard.seek(first)
            shard.write(text_of(record, size))
        shard.flush()
        os.fsync(shard.fileno())
