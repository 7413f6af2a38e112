"""Which tiles are kept: bounds of normal tissue, the balance of normal to abnormal, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.lesions.tiles.images import Laid
from ensemble_mammo.lesions.tiles.options import THINNED, TileOptions
from ensemble_mammo.lesions.tiles.plan import Job
from ensemble_mammo.records.draws import drawing
from ensemble_mammo.records.fields import FieldProblems, from_mapping
from ensemble_mammo.records.manifest import MANIFEST, Dataset, read_description
from ensemble_mammo.records.splits import SPLITS, deal

SAMPLE = 2000
"""Tiles at random places that the bounds are fitted on, at most."""
LEAST_TISSUE = 20
"""Tiles of tissue among them without which there are no bounds."""
_NORMALS, _LESIONS = 3, 4
"""Streams of the draw, after those of a survey."""

Tile = tuple[Job, Laid]


@dataclass(frozen=True)
class Bounds:
    """Between what a normal tile's mean and variance lie, values from 0 to 1."""

    mean: tuple[float, float]
    "lowest and highest"
    variance: tuple[float, float]
    "lowest and highest"
    sampled: int
    "tiles of tissue that they were fitted on"

    def __post_init__(self) -> None:
        """Refuse bounds between which nothing lies."""
        for name, (low, high) in (("mean", self.mean), ("variance", self.variance)):
            if not low <= high:
                raise ValueError(f"bounds of the {name} are {low:g} to {high:g}")

    def hold(self, mean: float, variance: float) -> bool:
        """Whether both lie within."""
        return self.mean[0] <= mean <= self.mean[1] and self.variance[0] <= variance <= self.variance[1]


def read_bounds(root: Path) -> Bounds:
    """The bounds of normal tiles that a tile set was made with.

    Raises:
        DatasetError: it is no tile set, or one without bounds.
    """
    said = read_description(root).get("tiles")
    if not isinstance(said, Mapping) or not said.get("bounds"):
        what = "no tile set" if said is None else "a tile set without normal tiles, so without bounds"
        raise DatasetError(f"{root}: {what}; --bounds takes a tile set that has normal tiles")
    try:
        return from_mapping(Bounds, said["bounds"], "bounds")
    except (FieldProblems, ValueError) as error:
        raise DatasetError(f"{root}: {error}") from error


def with_sample(jobs: Sequence[Job], seed: int) -> list[Job]:
    """The work with up to 2,000 random tiles, dealt to training mammograms that give normal tiles."""
    giving = [job.row.image_id for job in jobs if job.normal and job.row.split in ("train", "")]
    giving = giving or [job.row.image_id for job in jobs if job.normal]
    counts: dict[str, int] = {}
    if giving:
        order = np.random.default_rng(seed).permutation(len(giving))
        counts = {giving[at]: SAMPLE // len(giving) + (n < SAMPLE % len(giving)) for n, at in enumerate(order)}
    return [replace(job, sampled=counts.get(job.row.image_id, 0) if job.normal else 0) for job in jobs]


def fitted(sample: Iterable[Sequence[float]], share: float) -> Bounds:
    """Bounds between which a share of tissue tiles lies, by mean and by variance.

    Args:
        sample: mean and variance of each tile of tissue.
        share: as much is left out at either end.

    Raises:
        DatasetError: too few tiles.
    """
    values = np.array(list(sample), float).reshape(-1, 2)
    if len(values) < LEAST_TISSUE:
        raise DatasetError(
            f"{len(values)} of the tiles at random places lie in a breast, expected {LEAST_TISSUE} or more to "
            "fit the bounds of normal tiles; give the --bounds of another tile set"
        )
    low, high = np.percentile(values, (50 * (1 - share), 50 * (1 + share)), axis=0).tolist()
    return Bounds((low[0], high[0]), (low[1], high[1]), len(values))


def balanced(
    normals: Sequence[Tile], lesions: Sequence[Tile], options: TileOptions
) -> tuple[list[Tile], list[Tile], list[str]]:
    """Normal tiles drawn evenly over mammograms, so many that they are their share of all tiles in each split.

    Where a split has too few of them, and `options.thin` names it, lesion tiles are drawn evenly over lesions instead,
    so many that the share is met: every lesion has one before another has its second.

    Args:
        normals: those within the bounds.
        lesions: all lesion tiles.
        options: share, seed, and where lesion tiles may be fewer.

    Returns:
        Normal tiles and lesion tiles that are kept, each in the order given, and notes.
    """
    share = options.normal_share
    kept: set[str] = set()
    notes: list[str] = []
    have = {job.row.split for job, _ in (*normals, *lesions)}
    for split in (name for name in (*SPLITS, "") if name in have):
        free, abnormal = ([tile for tile in tiles if tile[0].row.split == split] for tiles in (normals, lesions))
        wanted, said = round(len(abnormal) * share / (1 - share)), split or "all"
        kept |= set(_evenly(free, options.seed, _NORMALS)[:wanted])
        drawn = _evenly(abnormal, options.seed, _LESIONS)
        if wanted <= len(free):
            if free and not wanted:
                notes.append(f"{said}: no lesion tile, so no normal tile either")
        elif free and split in THINNED[options.thin]:
            drawn = drawn[: max(1, round(len(free) * (1 - share) / share))]
            notes.append(_thinned_note(said, len(free), abnormal, set(drawn)))
        else:
            out = len(free) / (len(free) + len(abnormal))
            short = f"{said}: {len(free)} normal tiles, {wanted} wanted: all are kept, {out:.0%} of the tiles"
            option = "tests" if split in THINNED["tests"] else "all"
            notes.append(f"{short}; --thin {option} keeps fewer lesion tiles" if free else short)
        kept |= set(drawn)
    return [one for one in normals if one[1].tile_id in kept], [one for one in lesions if one[1].tile_id in kept], notes


def _thinned_note(split: str, normal: int, lesions: Sequence[Tile], drawn: set[str]) -> str:
    """What is to be said of lesion tiles that were left out."""
    left = Counter(_giver(laid, job) for job, laid in lesions if laid.tile_id in drawn)
    without = len({_giver(laid, job) for job, laid in lesions}) - len(left)
    lost = f"; {without} lesions have none" if without else ""
    return (
        f"{split}: {len(drawn)} of {len(lesions)} lesion tiles drawn, of {len(left)} lesions, so that {normal} normal "
        f"tiles are {normal / (normal + len(drawn)):.0%} of the tiles{lost}"
    )


def _giver(laid: Laid, job: Job) -> str:
    """What tiles are drawn evenly over: the lesion, or of normal tiles the mammogram."""
    return laid.target.lesion_id if laid.target else job.row.image_id


def _evenly(tiles: Sequence[Tile], seed: int, stream: int) -> list[str]:
    """Ids in the order in which tiles are drawn: one of each giver, then a second one, at random within."""
    own: dict[str, list[str]] = {}
    for job, laid in tiles:
        own.setdefault(_giver(laid, job), []).append(laid.tile_id)
    order = []
    for giver, ids in own.items():
        rng = drawing(seed, giver, stream)
        order += [(turn, float(rng.random()), ids[at]) for turn, at in enumerate(rng.permutation(len(ids)))]
    return [tile_id for _, _, tile_id in sorted(order)]


def halved(jobs: Sequence[Job]) -> list[Job]:
    """The work with every image of the dataset's learning part in train, as Scuccimarra has no other validation set."""
    return [replace(job, row=replace(job.row, split="train")) if job.row.split == "val" else job for job in jobs]


def first_half(tiles: Sequence[str]) -> set[str]:
    """The tiles that validate when a test set is halved in file order."""
    return set(tiles[: len(tiles) // 2])


def dealt(normals: Dataset, dataset: Dataset, seed: int) -> Dataset:
    """The dataset that gives normal tiles, with splits and folds: its own, else those that the first one has.

    A subject who stands in both has the first one's; others are dealt by its shares of subjects.
    """
    table = normals.table.copy()
    for column in ("split", "fold"):
        if (table[column] == "").all() and (dataset.table[column] != "").any():
            table[column] = table["subject_id"].map(_parts(table, dataset.table, column, seed))
    return Dataset(normals.root, table, normals.preparation)


def _parts(table: pd.DataFrame, first: pd.DataFrame, column: str, seed: int) -> dict[str, str]:
    stated = dict(zip(first["subject_id"], first[column], strict=True))
    counts = Counter(part for part in stated.values() if part)
    names = sorted(counts, key=SPLITS.index if column == "split" else int)
    free = {subject: "" for subject in table["subject_id"] if not stated.get(subject)}
    shares = [counts[name] / sum(counts.values()) for name in names]
    parts = {subject: names[part] for subject, part in deal(free, shares, seed).items()}
    return parts | {subject: part for subject, part in stated.items() if part}


def refuse_without_test(dataset: Dataset) -> None:
    """Refuse to halve a test set that is not there.

    Raises:
        DatasetError: no row is of the test split.
    """
    if not (dataset.table["split"] == "test").any():
        raise DatasetError(
            f"{dataset.root / MANIFEST}: no row of the split test, which --split scuccimarra halves; give "
            "--split dataset"
        )
