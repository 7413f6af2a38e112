"""The section on heatmaps' boxes: how many lesions they find, at how many false positives an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.imaging.breast import breast_mask
from ensemble_mammo.merit.froc import RATES, UNITS, Curve, Floats
from ensemble_mammo.merit.froc_chance import chance
from ensemble_mammo.merit.inputs.heatmaps import Heatmaps, read_heatmaps
from ensemble_mammo.merit.inputs.lesion_hits import Hits, hits_in_dataset
from ensemble_mammo.merit.intervals import Interval, bootstrap, interval
from ensemble_mammo.merit.sections import Line, LineChart, Section
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.lesions_found_pictures import pictures
from ensemble_mammo.stages.report.sections.lesions_found_tables import (
    best_table,
    counts_table,
    groups_table,
    rates_table,
)
from ensemble_mammo.stages.report.sections.two_sided import BAND_RESAMPLES
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, figure, number, percent

GRID = np.concatenate([np.linspace(0, 1, 41), np.linspace(1.1, 4, 30)])
"""False positives an image at which the curves are drawn."""


@dataclass(frozen=True)
class Found:
    """What the section says, computed once."""

    hits: Hits
    "the marked images and their lesions"
    options: ReportOptions
    "resamples and seed"

    def curve(self, unit: str = "lesion", lesion_free: bool = False) -> Curve:
        """The curve of one kind of units."""
        return Curve(self.hits.held, unit, lesion_free)

    @cached_property
    def at_rates(self) -> dict[str, tuple[list[Interval], Interval]]:
        """Sensitivity at each of `RATES`, and their mean, of each unit; `lesion-free`: of lesions."""
        drawn = RATES, self.options.resamples, self.options.seed
        found = {unit: self.curve(unit).with_limits(*drawn) for unit in UNITS}
        return found | {"lesion-free": self.curve(lesion_free=True).with_limits(*drawn)}

    @property
    def at_one(self) -> Interval:
        """The sensitivity for lesions at one false positive an image."""
        return self.at_rates["lesion"][0][RATES.index(1.0)]


def section(study: Study) -> Section | None:
    """What the boxes of heatmaps find; None where the report was not given their folder.

    Raises:
        PredictionError: no dataset, or a lesions.json that is damaged or of other images.
        DatasetError: damaged masks.
    """
    folder = study.options.heatmaps
    if folder is None:
        return None
    if study.options.dataset is None:
        raise PredictionError("--heatmaps: lesions are compared with masks; give the dataset that has them as --data")
    heatmaps = read_heatmaps(folder)
    hits = hits_in_dataset(heatmaps, study.options.dataset, breast_mask)
    found = Found(hits, study.options)
    return Section(
        "lesions-found",
        "Are lesions found, and at how many false positives?",
        _lead(found),
        (rates_table(found), best_table(found), groups_table(found), counts_table(found)),
        (_chart(found),),
        pictures(hits, study),
        (*_undefined(found), *_subjects(hits, study), *hits.notes),
        _method(heatmaps, found),
    )


def _lead(found: Found) -> str:
    held, lesions = found.hits.held, found.hits.lesions
    if not lesions:
        return f"None of the {counted(len(held.images), 'image')} looked at has a lesion with a mask."
    one, at = found.at_one, RATES.index(1.0)
    if np.isnan(one.value):
        return f"{counted(len(lesions), 'lesion')} with a mask; false positives are counted on no image."
    mean = found.at_rates["lesion"][1]
    by_chance = chance(held)[at]
    beside = f" (boxes at random: {percent(by_chance)})" if np.isfinite(by_chance) else ""
    subjects = len(np.unique(held.units["lesion"].subjects))
    return (
        f"At one false positive an image, {round(one.value * len(lesions))} of {counted(len(lesions), 'lesion')} of "
        f"{counted(subjects, 'subject')} are found: sensitivity {figure(one)}{beside}. Mean over "
        f"{RATES[0]:g} to {RATES[-1]:g} false positives an image: {figure(mean)}."
    )


def _undefined(found: Found) -> list[str]:
    held, said = found.hits.held, []
    if not found.hits.lesions:
        return ["no lesion with a mask: sensitivity is undefined"]
    if not held.counted().any():
        return ["no image on which false positives are counted: sensitivity at a rate of them is undefined"]
    if not held.counted(True).any():
        said.append("no image is without a lesion: false positives on those alone are undefined")
    reached = sum(one.false.sum() for one in held.images) / held.counted().sum()
    if above := [f"{rate:g}" for rate in RATES if rate > reached]:
        said.append(
            f"all boxes together make {number(float(reached))} false positives an image: at {', '.join(above)} the "
            "sensitivity is that of all boxes, so the mean would be higher with more boxes, if at all"
        )
    return said


def _subjects(hits: Hits, study: Study) -> list[str]:
    """Notes where the heatmaps are of subjects who are not judged here, or from whom networks learned."""
    shown, said = set(hits.held.subjects), []
    if others := shown - set(study.top.rows.subject_ids):
        said.append(
            f"{len(others)} of the {len(shown)} subjects with heatmaps are not among those judged elsewhere here"
        )
    if seen := shown & study.truth.learned:
        said.append(
            f"{len(seen)} of the {len(shown)} subjects with heatmaps are of the dataset's splits train and val: "
            "figures of networks that learned from them are no test figures"
        )
    return said


def _chart(found: Found) -> LineChart:
    """FROC: lesions with their band, images, subjects, lesions over lesion-free images, chance."""
    low, high = _band(found)
    names = {"lesion": "lesions", "image": "images, by any of their lesions", "subject": "subjects, in any view"}
    lines = [
        Line(
            f"{names[unit]}, {number(found.at_rates[unit][0][RATES.index(1.0)].value)} at 1",
            GRID.tolist(),
            found.curve(unit).sensitivity(GRID).tolist(),
            low if unit == "lesion" else (),
            high if unit == "lesion" else (),
            strong=unit == "lesion",
        )
        for unit in UNITS
    ]
    other = found.curve(lesion_free=True).sensitivity(GRID)
    if np.isfinite(other).all():
        label = "lesions, false positives on images without lesions alone"
        lines.append(Line(label, GRID.tolist(), other.tolist(), strong=False))
    lines.append(Line("boxes at random", GRID.tolist(), chance(found.hits.held, GRID).tolist(), strong=False))
    count = min(found.options.resamples, BAND_RESAMPLES)
    caption = (
        f"Band: 95 % limits at each point on its own, from {count:,} resamples of subjects." if low else "No band."
    )
    return LineChart(
        "froc", "FROC", "false positives an image", "sensitivity", lines, (0.0, float(GRID[-1])), caption=caption
    )


def _band(found: Found) -> tuple[list[float], list[float]]:
    """Limits of the lesions' curve at each point of the grid; empty without resamples or where it is undefined."""
    curve, count = found.curve(), min(found.options.resamples, BAND_RESAMPLES)
    values = curve.sensitivity(GRID)
    if not count or not np.isfinite(values).all():
        return [], []

    def statistic(times: Floats) -> dict[str, Floats]:
        return {"curve": curve.sensitivity(GRID, times)}

    drawn = bootstrap(curve.held.subjects, statistic, count, found.options.seed)["curve"]
    each = [interval(float(value), drawn[:, place]) for place, value in enumerate(values)]
    return [one.low for one in each], [one.high for one in each]


def _method(heatmaps: Heatmaps, found: Found) -> str:
    said = ", ".join(f"{name.removesuffix('_px')} {value}" for name, value in heatmaps.settings.items())
    return (
        (f"Heatmaps: {said}. " if said else "")
        + f"A box hits a lesion if {found.hits.rule}. One that hits any lesion is no false positive; several on one "
        "lesion count once, by the best. Lesions of all findings count that have a mask; those without are in no "
        "sensitivity. Sensitivity at a rate: the highest of any threshold with at most so many false positives an "
        "image, nothing interpolated. The mean over 0.125, 0.25, 0.5, 1, 2, 4 and 8 is the competition performance "
        "metric (Niemeijer et al., IEEE TMI 2011; LUNA16: Setio et al., Med Image Anal 2017). An image or a subject is "
        "found if any of its lesions is. Boxes at random: points that fall evenly over each breast, as many on average "
        "on each image; a lesion that covers the share a is hit with 1 - exp(-m a) by m of them, with 1 - (1 - a)^k by "
        f"exactly k. Intervals: {found.options.resamples:,} resamples of subjects with all their images, lesions and "
        f"boxes, seed {found.options.seed}; thresholds are taken anew in each."
    )
