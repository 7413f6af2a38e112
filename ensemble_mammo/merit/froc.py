"""FROC: how many lesions are found at how many false positives an image (Bunch et al., J Appl Photogr Eng 1978).

A box is a place with a score. One that hits a lesion is no false positive, however many others hit the same lesion;
one that hits none is. A lesion's score is that of the best box on it. As the threshold falls, the share of lesions
whose score reaches it (sensitivity) rises, and so does the number of false positives an image. Nothing is
interpolated: the sensitivity at a rate is the highest of any threshold with at most that many false positives an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.figures import ratio
from ensemble_mammo.merit.intervals import RESAMPLES, Interval, bootstrap, interval, with_width

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives an image at which sensitivity is stated; the mean over these seven is the competition performance
metric of Niemeijer et al. (IEEE Trans Med Imaging 2011), which LUNA16 took over (Setio et al., Med Image Anal 2017)."""

BEST = (1, 2, 3, 5)
"""Numbers of best boxes of each image for which the hit rate is stated."""

ALL_BOXES = 1e12
"""A rate that no number of boxes exceeds: the sensitivity at it is that of all boxes, whatever they score."""

UNITS = ("lesion", "image", "subject")
"""What can be found: a lesion; an image or a subject, if any of its lesions is."""

_TOLERANCE = 1e-9
"""Of counts: 0.1 of 10 images are 1 false positive, whatever the rounding."""


@dataclass(frozen=True)
class Marked:
    """One image: its boxes, and which of its lesions each of them hits."""

    subject: str
    "whose image it is"
    scores: Floats
    "[B] of the boxes, in any order"
    hits: Bools
    "[B, L] whether a box hits a lesion"
    shares: Floats
    "[L] share of the breast that each lesion covers: the chance of a point at random to hit it; nan: not known"
    covered: float = 0.0
    "share of the breast that all lesions together cover"
    alarms: bool = True
    "whether false positives are counted; not where a lesion of unknown place could be what a box found"
    lesion_free: bool = False
    "whether the image has no lesion, neither with a mask nor without"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.hits.shape != (len(self.scores), len(self.shares)):
            raise ValueError(
                f"hits {self.hits.shape} for {len(self.scores)} boxes and {len(self.shares)} lesions, expected [B, L]"
            )

    @cached_property
    def false(self) -> Bools:
        """[B] whether a box counts as a false positive."""
        return np.asarray(~self.hits.any(axis=1) & self.alarms)

    def best_of_each(self) -> Floats:
        """[L] the score of the best box on each lesion; -inf where none hits it."""
        best: Floats = np.where(self.hits, self.scores[:, None], -np.inf).max(axis=0, initial=-np.inf)
        return best


@dataclass(frozen=True)
class Units:
    """All that can be found of one kind."""

    scores: Floats
    "[U] of the best box on each; -inf: none hits it"
    subjects: NDArray[np.int64]
    "[U] the place of its subject"


@dataclass(frozen=True)
class Held:
    """Marked images, sorted out for counting."""

    images: Sequence[Marked]
    "as given"

    @cached_property
    def subjects(self) -> list[str]:
        """The S subjects, sorted: who is drawn is drawn with all her images."""
        return sorted({one.subject for one in self.images})

    @cached_property
    def subject_of(self) -> NDArray[np.int64]:
        """[N] the place of each image's subject."""
        place = {name: i for i, name in enumerate(self.subjects)}
        return np.array([place[one.subject] for one in self.images], dtype=np.int64)

    @cached_property
    def units(self) -> Mapping[str, Units]:
        """Of each of `UNITS`; lesions in the order of the images."""
        each = [one.best_of_each() for one in self.images]
        lesions = Units(np.concatenate([np.empty(0), *each]), np.repeat(self.subject_of, [len(one) for one in each]))
        having = np.array([len(one) > 0 for one in each], dtype=bool)
        best = np.array([one.max() for one in each if len(one)], dtype=np.float64)
        images = Units(best, self.subject_of[having])
        found, place = np.unique(images.subjects, return_inverse=True)
        highest = np.full(len(found), -np.inf)
        np.maximum.at(highest, place, best)
        return {"lesion": lesions, "image": images, "subject": Units(highest, found)}

    def counted(self, lesion_free: bool = False) -> Bools:
        """[N] whether an image's false positives are counted; only those of images without lesions, if asked for."""
        return np.array([one.alarms and (one.lesion_free or not lesion_free) for one in self.images], dtype=bool)

    def images_of(self, lesion_free: bool = False) -> Floats:
        """[S] images of each subject whose false positives are counted."""
        own = self.subject_of[self.counted(lesion_free)]
        return np.bincount(own, minlength=len(self.subjects)).astype(np.float64)

    def alarms_at(self, thresholds: Floats, lesion_free: bool = False) -> Floats:
        """[S, T] false positives of each subject that score as much as each threshold or more."""
        per_image = np.zeros((len(self.images), len(thresholds)))
        for place in np.flatnonzero(self.counted(lesion_free)).tolist():
            one = self.images[place]
            false = np.sort(one.scores[one.false])
            per_image[place] = len(false) - np.searchsorted(false, thresholds, side="left")
        return self.summed(per_image)

    def summed(self, per_image: Floats) -> Floats:
        """Sums over the images of each subject: [N, ...] -> [S, ...]."""
        total = np.zeros((len(self.subjects), *per_image.shape[1:]))
        np.add.at(total, self.subject_of, per_image)
        return total


@dataclass(frozen=True)
class Curve:
    """What the sensitivity of one kind of units at rates of false positives is counted from."""

    held: Held
    "the images"
    unit: str = "lesion"
    "one of `UNITS`"
    lesion_free: bool = False
    "count false positives on images without lesions alone"
    within: Bools | None = None
    "[U] only these units, such as the large lesions; the rates stay those of all images"

    @cached_property
    def units(self) -> Units:
        """The units that count."""
        own, chosen = self.held.units[self.unit], slice(None) if self.within is None else self.within
        return Units(own.scores[chosen], own.subjects[chosen])

    @cached_property
    def hit(self) -> Bools:
        """[U] whether any box is on a unit."""
        return np.isfinite(self.units.scores)

    @cached_property
    def alarms(self) -> Floats:
        """[S, U] false positives of each subject at the threshold that just finds each unit."""
        return self.held.alarms_at(np.where(self.hit, self.units.scores, np.inf), self.lesion_free)

    @cached_property
    def images(self) -> Floats:
        """[S] images whose false positives are counted."""
        return self.held.images_of(self.lesion_free)

    def sensitivity(self, rates: Sequence[float] | Floats, times: Floats | None = None) -> Floats:
        """The highest sensitivity at each rate.

        Args:
            rates: G numbers of false positives an image.
            times: [..., S], how often each subject is drawn; once unless given.

        Returns:
            [..., G]; nan where there is no unit, or no image whose false positives are counted.
        """
        drawn = np.ones(len(self.held.subjects)) if times is None else times
        alarms, images = drawn @ self.alarms, drawn @ self.images
        weights = np.take(drawn, self.units.subjects, axis=-1)
        total = np.where(images > 0, weights.sum(axis=-1), 0)
        gained = weights * self.hit
        found = [(gained * (alarms <= rate * images[..., None] + _TOLERANCE)).sum(axis=-1) for rate in rates]
        return ratio(np.stack(found, axis=-1), total[..., None])

    def thresholds(self, rates: Sequence[float]) -> list[float]:
        """The lowest score of a unit found at each rate; nan where none is."""
        alarms, images = self.alarms.sum(axis=0), self.images.sum()
        found = [self.units.scores[self.hit & (alarms <= rate * images + _TOLERANCE)] for rate in rates]
        return [float(one.min()) if images and len(one) else float("nan") for one in found]

    def with_limits(
        self, rates: Sequence[float] = RATES, resamples: int = RESAMPLES, seed: int = 0
    ) -> tuple[list[Interval], Interval]:
        """The sensitivity at each rate and their mean, with limits by the bootstrap over subjects."""
        values, total = self.sensitivity(rates), len(self.hit)
        drawn = np.empty((0, len(rates)))
        if resamples and np.isfinite(values).all():
            made = bootstrap(
                self.held.subjects, lambda times: {"rates": self.sensitivity(rates, times)}, resamples, seed
            )
            drawn = made["rates"]
        each = [
            limited(float(value), drawn[:, place], (round(value * total), total) if np.isfinite(value) else None)
            for place, value in enumerate(values)
        ]
        return each, limited(float(values.mean()), drawn.mean(axis=1))


def limited(value: float, drawn: Floats, share: tuple[int, int] | None = None) -> Interval:
    """A figure with the limits of its resamples; exact ones where all or none of a share are counted."""
    found = interval(value, drawn)
    return with_width(found, share) if len(drawn) else found


def best_boxes(
    held: Held, counts: Sequence[int] = BEST, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, Interval]]:
    """What the k best boxes of each image find, for each k.

    Args:
        held: the images; of boxes that score alike the one given first counts as better.
        counts: the numbers k.
        resamples: of subjects; 0: no limits.
        seed: of the draws.

    Returns:
        For each k: `lesion`, `image` (shares hit), `alarms` (false positives an image).
    """
    parts = [held.summed(np.array([_of_best(one, k) for one in held.images]).reshape(-1, 5)) for k in counts]

    def statistic(times: Floats) -> dict[str, Floats]:
        made = {}
        for k, part in zip(counts, parts, strict=True):
            lesions, all_lesions, images, all_images, alarms = np.moveaxis(times @ part, -1, 0)
            made[f"lesion {k}"] = ratio(lesions, all_lesions)
            made[f"image {k}"] = ratio(images, all_images)
            made[f"alarms {k}"] = ratio(alarms, times @ held.images_of())
        return made

    drawn = bootstrap(held.subjects, statistic, resamples, seed) if resamples and held.subjects else {}
    values = statistic(np.ones(len(held.subjects)))
    found = []
    for k, part in zip(counts, parts, strict=True):
        total = part.sum(axis=0).astype(int).tolist()
        shares = {"lesion": (total[0], total[1]), "image": (total[2], total[3]), "alarms": None}
        found.append(
            {
                name: limited(float(values[f"{name} {k}"]), drawn.get(f"{name} {k}", np.empty(0)), share)
                for name, share in shares.items()
            }
        )
    return found


def _of_best(one: Marked, count: int) -> list[float]:
    """Lesions hit, lesions, whether any is hit, whether there are any, false positives, of the best boxes."""
    best = np.argsort(-one.scores, kind="stable")[:count]
    hit = np.asarray(one.hits[best].any(axis=0))
    return [float(hit.sum()), float(len(hit)), float(hit.any()), float(len(hit) > 0), float(one.false[best].sum())]
