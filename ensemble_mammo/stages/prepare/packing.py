"""Prepared images packed into shards while others are being prepared; the journal remembers what is packed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import OutputError
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.records.lesion import LesionRow
from ensemble_mammo.records.manifest import ImageRow
from ensemble_mammo.records.shard_writing import (
    Sample,
    key_of,
    rewrite_texts,
    shard_size,
    size_in_shard,
    text_of,
    write_shard,
)
from ensemble_mammo.records.shards import INDEX, SHARDS, TAR

LOOSE = ("images", "full", "masks", "full-masks")
"""Folders of what is not packed."""
_LONGEST = {"split": "train", "fold": "0000"}
"""Splits and folds are known when all is prepared: until then the JSON of a sample keeps room for them."""


class Packing:
    """Fills one shard after the other, in the order of the archive; loose files go once their shard is whole."""

    def __init__(self, out: Path, limit: int, journal: Journal, images: Mapping[str, str]) -> None:
        """Go on after the shards that an earlier call packed; what else lies among them is taken away.

        Args:
            out: the dataset's folder.
            limit: bytes of a shard; a single image may have more.
            journal: what is done.
            images: keys of the journal -> image_id, of all images of the archive.
        """
        self.out, self.limit, self._journal = out, limit, journal
        self.shards: list[str] = []
        "names of those that are whole"
        self.shard_of: dict[str, str] = {}
        "image_id -> shard, of what is packed"
        self._waiting: list[tuple[str, str, Sample]] = []
        self._size = 0
        while (packed := journal.made(_entry(self._next))) and self._holds(packed, images):
            self._packed([images[key] for key in packed["keys"]])
        for path in (out / SHARDS).glob("*"):
            if path.name.removesuffix(INDEX) not in self.shards:
                path.unlink()

    @property
    def _next(self) -> str:
        return f"{len(self.shards):06d}{TAR}"

    def _holds(self, packed: Mapping[str, Any], images: Mapping[str, str]) -> bool:
        """Whether the next shard is there, of images that are still as they were."""
        path = self.out / SHARDS / self._next
        whole = path.is_file() and path.stat().st_size == packed["size"]
        return whole and all(key in images and self._journal.made(key) for key in packed["keys"])

    def _packed(self, image_ids: Sequence[str]) -> None:
        self.shard_of |= dict.fromkeys(image_ids, self._next)
        self.shards.append(self._next)

    def add(self, key: str, row: ImageRow, labels: Mapping[str, str], lesions: Sequence[LesionRow]) -> None:
        """Put an image into the open shard, or into a new one where it has no room; a packed one is passed over.

        Args:
            key: of the journal.
            row: the image's, naming loose files.
            labels: task -> class.
            lesions: of the image, naming loose files.

        Raises:
            OutputError: a shard cannot be written.
        """
        if row.image_id in self.shard_of:
            return
        name, members = key_of(row.image_id), _members(row, lesions)
        sizes = [(self.out / file).stat().st_size for file in members]
        text = text_of(_record(*placed(replace(row, **_LONGEST), lesions, self._next), labels))
        size = size_in_shard([*members.values(), f"{name}.json"], [*sizes, len(text)])
        if self._waiting and shard_size(self._size + size) > self.limit:
            self.close()
        files = tuple((member, self.out / file) for file, member in members.items())
        self._waiting.append((key, row.image_id, Sample(name, text, files)))
        self._size += size

    def close(self) -> None:
        """Write what waits as a shard.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        if not self._waiting:
            return
        keys, image_ids, samples = zip(*self._waiting, strict=True)
        path = self.out / SHARDS / self._next
        write_shard(path, samples)
        self._journal.add(_entry(self._next), {"size": path.stat().st_size, "keys": keys})
        self._packed(image_ids)
        for sample in samples:
            for _, file in sample.files:
                file.unlink()
        self._waiting, self._size = [], 0

    def finish(
        self,
        rows: Sequence[ImageRow],
        labels: Sequence[Mapping[str, str]],
        lesions: Mapping[str, Sequence[LesionRow]],
    ) -> tuple[list[ImageRow], list[LesionRow]]:
        """Say in every sample what the manifest says of it, now that splits are dealt; no loose file is left.

        Args:
            rows: of all images, naming loose files.
            labels: task -> class, of each.
            lesions: image_id -> its lesions.

        Returns:
            Rows and lesions, naming members of shards.

        Raises:
            OutputError: the shards cannot be written, or the archive's tables have grown since an earlier call.
        """
        named: list[ImageRow] = []
        found: list[LesionRow] = []
        records: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.shards}
        for row, own in zip(rows, labels, strict=True):
            shard = self.shard_of[row.image_id]
            image, drawn = placed(row, lesions.get(row.image_id, ()), shard)
            named.append(image)
            found += drawn
            records[shard][key_of(row.image_id)] = _record(image, drawn, own)
        for shard, texts in records.items():
            path = self.out / SHARDS / shard
            try:
                rewrite_texts(path, texts)
            except ValueError as error:
                why = "labels or tables changed after an interrupted call; give --restart to make the dataset anew"
                raise OutputError(f"{path}: {error}: {why}") from error
            except OSError as error:
                raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
        for folder in LOOSE:
            shutil.rmtree(self.out / folder, ignore_errors=True)
        return named, found


def placed(row: ImageRow, lesions: Sequence[LesionRow], shard: str) -> tuple[ImageRow, list[LesionRow]]:
    """A row and its lesions with members of a shard in place of loose files."""
    members = {"": ""} | {file: f"{SHARDS}/{shard}/{member}" for file, member in _members(row, lesions).items()}
    masks = [replace(one, mask=members[one.mask], full_mask=members[one.full_mask]) for one in lesions]
    return replace(row, file=members[row.file], full_file=members[row.full_file]), masks


def _members(row: ImageRow, lesions: Sequence[LesionRow]) -> dict[str, str]:
    """Loose file -> its member: `<key>.png`, `<key>.full.png`, of lesions `<key>.1.mask.png`, `<key>.1.full-mask.png`.

    Lesions are numbered from 1 in their order. A key ends at the first dot.
    """
    key = key_of(row.image_id)
    members = {row.file: f"{key}.png", row.full_file: f"{key}.full.png"}
    for number, lesion in enumerate(lesions, start=1):
        members |= {lesion.mask: f"{key}.{number}.mask.png", lesion.full_mask: f"{key}.{number}.full-mask.png"}
    members.pop("", None)
    return members


def _record(row: ImageRow, lesions: Sequence[LesionRow], labels: Mapping[str, str]) -> dict[str, Any]:
    known = {name: value for name, value in (asdict(row) | dict(labels)).items() if value}
    drawn = [{name: value for name, value in asdict(lesion).items() if value} for lesion in lesions]
    return known | ({"lesions": drawn} if drawn else {})


def _entry(shard: str) -> str:
    return f"{SHARDS}|{shard}"
