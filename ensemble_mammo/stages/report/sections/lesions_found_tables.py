"""The tables of the section on lesions found: rates, best boxes, kinds of lesions, counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ensemble_mammo.merit.froc import ALL_BOXES, BEST, RATES, Bools, Curve, best_boxes
from ensemble_mammo.merit.froc_chance import chance, chance_of_best
from ensemble_mammo.merit.inputs.lesion_hits import KnownLesion
from ensemble_mammo.merit.sections import Cell, Table

if TYPE_CHECKING:
    from ensemble_mammo.stages.report.sections.lesions_found import Found

_THIRDS = ("smallest third", "middle third", "largest third")
_FEWEST = 3
"""Lesions from which on sizes are told apart."""


def rates_table(found: Found) -> Table:
    """Sensitivity at each rate of false positives, and the mean over all."""
    columns = {
        "rate": "false positives an image",
        "lesion": "lesions",
        "image": "images",
        "subject": "subjects",
        "lesion-free": "lesions, false positives on images without lesions alone",
        "random": "lesions, boxes at random",
        "threshold": "score",
    }
    at, by_chance = found.at_rates, chance(found.hits.held)
    thresholds = found.curve().thresholds(RATES)
    names = ("lesion", "image", "subject", "lesion-free")
    rows: list[list[Cell]] = [
        [
            f"{rate:g}",
            *(at[name][0][i] for name in names),
            float(by_chance[i]),
            thresholds[i] if np.isfinite(thresholds[i]) else None,
        ]
        for i, rate in enumerate(RATES)
    ]
    rows.append(["mean", *(at[name][1] for name in names), float(by_chance.mean()), None])
    caption = (
        "Score: the lowest of a lesion found at that rate (empty: none is); boxes that score as much or more count. "
        "The rate in all columns but the fifth is over all images whose false positives are counted."
    )
    return Table("froc-rates", "Sensitivity by false positives an image", columns, rows, caption)


def best_table(found: Found) -> Table:
    """What the k best boxes of each image find."""
    held, options = found.hits.held, found.options
    columns = {
        "boxes": "best boxes of each image",
        "lesion": "lesions hit",
        "image": "images with a lesion hit",
        "alarms": "false positives an image",
        "random": "lesions hit by as many at random",
    }
    each = best_boxes(held, BEST, options.resamples, options.seed)
    rows: list[list[Cell]] = [
        [count, one["lesion"], one["image"], one["alarms"], by_chance]
        for count, one, by_chance in zip(BEST, each, chance_of_best(held), strict=True)
    ]
    return Table(
        "froc-best",
        "Hit rate of the best boxes",
        columns,
        rows,
        "No threshold: the same number of boxes on each image, or all if it has fewer.",
    )


def groups_table(found: Found) -> Table:
    """The sensitivity for lesions of each size, finding and pathology, at one false positive an image."""
    columns = {
        "kind": "lesions by",
        "group": "group",
        "lesions": "lesions",
        "at_one": "found at 1 false positive an image",
        "at_all": "found by any box",
        "random": "at 1, boxes at random",
    }
    held, options, rows = found.hits.held, found.options, list[list[Cell]]()
    shares = np.concatenate([np.empty(0), *(one.shares for one in held.images)])
    covered = np.array([one.covered for one in held.images if one.alarms])
    points = 1 / (1 - covered.mean()) if len(covered) and covered.mean() < 1 else np.nan
    for kind, group, chosen in _groups(found.hits.lesions):
        curve = Curve(held, within=chosen)
        (at_one, at_all), _ = curve.with_limits((1.0, ALL_BOXES), options.resamples, options.seed)
        rows.append(
            [kind, group, int(chosen.sum()), at_one, at_all, float((1 - np.exp(-points * shares[chosen])).mean())]
        )
    caption = (
        "Size: the diameter of a disc as large as the lesion, in pixels of the prepared image. The threshold is that "
        "of all lesions and images, the same for each group."
    )
    return Table("froc-groups", "Which lesions are found", columns, rows, caption)


def _groups(lesions: tuple[KnownLesion, ...]) -> Iterator[tuple[str, str, Bools]]:
    """(kind, group, [L] which lesions): thirds by size; findings and pathologies where they differ."""
    sizes = np.array([2 * np.sqrt(one.area_px / np.pi) for one in lesions])
    if len(sizes) >= _FEWEST:
        place = np.argsort(np.argsort(sizes, kind="stable"), kind="stable") * len(_THIRDS) // len(sizes)
        for number, name in enumerate(_THIRDS):
            own = sizes[place == number]
            yield "size", f"{name} ({own.min():.0f} to {own.max():.0f} px)", place == number
    for kind in ("finding", "pathology"):
        values = np.array([getattr(one, kind) for one in lesions], dtype=str)
        names = sorted(set(values.tolist()), key=lambda name: (name == "", name))
        if len(names) > 1:
            for name in names:
                yield kind, name or "not said", values == name


def counts_table(found: Found) -> Table:
    """How much was looked at."""
    held = found.hits.held
    counts = {
        "images": len(held.images),
        "subjects": len(held.subjects),
        "lesions with a mask": len(found.hits.lesions),
        "lesions without a mask, in no sensitivity": found.hits.without_mask,
        "images left out": found.hits.left_out,
        "images with a masked lesion": len(held.units["image"].scores),
        "subjects with a masked lesion": len(held.units["subject"].scores),
        "images whose false positives are counted": int(held.counted().sum()),
        "images without any lesion": int(held.counted(True).sum()),
        "boxes": sum(len(one.scores) for one in held.images),
        "boxes that hit no lesion": int(sum(one.false.sum() for one in held.images)),
        "lesions that no box hits": int((~np.isfinite(held.units["lesion"].scores)).sum()),
        "images without a box": sum(not len(one.scores) for one in held.images),
    }
    return Table(
        "froc-counts", "What was counted", {"what": "what", "count": "count"}, [[k, v] for k, v in counts.items()]
    )
