"""Calibration: can the scores be read as probabilities, and what mends them (temperature, conformal sets)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble_mammo.merit.calibration import BINS, SIMULATIONS
from ensemble_mammo.merit.calibration_folds import FEWEST_SUBJECTS, FOLDS
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Section
from ensemble_mammo.stages.report.sections.calibration_study import LevelFound, by_folds, calibrating, fitted, found_at
from ensemble_mammo.stages.report.sections.calibration_tables import (
    bins_table,
    levels_table,
    parts_table,
    reliability_charts,
    sets_tables,
    temperature_table,
)
from ensemble_mammo.stages.report.sections.unsure import sentence, unsure_tables
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import figure, level_in_words, number, percent

__all__ = ["fitted", "section"]

_FEW = 100
"""Validation exams below which a note says that a temperature is uncertain."""

_METHOD = (
    f"Reliability with up to {BINS} bins of equal counts (equal scores are never parted), Wilson intervals. ECE: "
    "expected calibration error, the mean over bins of |mean score - share|, weighted by exams; MCE: its maximum "
    "(Naeini et al., AAAI 2015; bins of equal counts: Nguyen & O'Connor, EMNLP 2015). Both are above 0 by chance "
    "alone, the more the fewer the exams, and their bootstrap intervals too lie high: ECE if perfect is the mean of "
    f"{SIMULATIONS} draws of outcomes from the scores, p the share of the draws with at least the ECE found (Bröcker & "
    "Smith, Weather and Forecasting 2007; exams taken as independent). Brier: squared errors summed over the classes, "
    "0 to 2 (Brier, Mon Weather Rev 1950); for one class or the positive ones 0 to 1. Log loss: mean of minus the "
    "natural logarithm of the true class's score. Temperature: softmax(log score / T), T by least log loss on "
    "validation (Guo et al., ICML 2017); if those subjects also chose the networks' epoch, T comes out a little too "
    "low. Conformal sets: split conformal with mapie, on scores before the temperature; LAC: all classes that "
    "score at least a threshold, can be empty (Sadinle, Lei & Wasserman, JASA 2019); APS: the highest classes until "
    "their sum reaches a threshold (Romano, Sesia & Candès, NeurIPS 2020). The coverage holds for new exams drawn as "
    "validation was: same devices, same mix of classes. Without validation both are fitted on the judged exams fold by "
    "fold: each exam is judged by what the subjects of all other folds gave (the folds of the networks where they are "
    f"known, else {FOLDS}, dealt by the seed). Intervals: bootstrap over subjects, with what was fitted held fixed."
)


def section(study: Study) -> Section | None:
    """The section of a report that says how far scores are probabilities."""
    found = {level: found_at(study, level) for level in study.levels}
    top = found[study.top.level]
    tables = [levels_table(found), bins_table(top), parts_table(study, top)]
    if study.validation or by_folds(study):
        tables += [temperature_table(found), *sets_tables(study, found), *unsure_tables(study, top)]
    return Section(
        "calibration",
        "Can the scores be read as probabilities?",
        _lead(study, top),
        tuple(table for table in tables if table.rows),
        tuple(reliability_charts(study, top)),
        notes=tuple(_notes(study, found)),
        method=_METHOD,
    )


def _lead(study: Study, top: LevelFound) -> str:
    figures = top.figures
    score, share, gap, ece = (figures[f"before.{name}"] for name in ("score", "share", "gap", "ece"))
    name = level_in_words(top.judged.level)
    text = (
        f"The highest score of the {name} says {percent(score.value)} on average, and it is right in "
        f"{percent(share.value)} of {len(top.judged.true)} exams: {_verdict(gap)}. Expected calibration error "
        f"{figure(ece, 3)}; a perfectly calibrated system would show {top.perfect:.3f} on so many exams."
    )
    if top.fit is not None and "after.ece" in figures:
        source = "fitted on validation"
        if spread := top.applied.temperatures:
            source = f"fitted fold by fold on other subjects ({min(spread):.2f} to {max(spread):.2f})"
        after = figures["after.ece"]
        text += f" With the temperature {top.fit.temperature.value:.2f}, {source}: {figure(after, 3)}."
    if "lac.coverage" in figures:
        coverage, size = figures["lac.coverage"], figures["lac.size"]
        text += (
            f" Sets of classes meant to hold the true one in {percent(study.options.coverage)} hold it in "
            f"{percent(coverage.value)}, with {size.value:.1f} classes on average."
        )
    return text + sentence(study, top)


def _verdict(gap: Interval) -> str:
    points = f"{abs(100 * gap.value):.0f} points"
    word = "too sure" if gap.value > 0 else "not sure enough"
    if np.isnan(gap.low):
        return f"{word} by {points}"
    limits = f"95 % interval of score minus accuracy {number(100 * gap.low, 0)} to {number(100 * gap.high, 0)} points"
    if gap.low <= 0 <= gap.high:
        return f"neither clearly too sure nor too unsure ({limits})"
    return f"{word} by {points} ({limits})"


def _notes(study: Study, found: Mapping[str, LevelFound]) -> list[str]:
    if not study.validation and not by_folds(study):
        count = len(set(study.top.rows.subject_ids))
        return [
            *_threshold_note(study),
            f"no temperature and no conformal sets: {count} subjects are too few to fit them fold by fold, expected "
            f"{FEWEST_SUBJECTS} or more; or give prediction files of other subjects (of the split val, say) with "
            "--validation",
        ]
    notes = _threshold_note(study) + ([] if study.validation else [_source(study)])
    absent = [level for level, one in found.items() if one.fit is None]
    if absent:
        notes.append(f"no validation exams of {', '.join(absent)}: no temperature and no sets there")
    reasons: dict[str, list[str]] = {}
    for level, one in found.items():
        if one.fit is None:
            continue
        if one.fit.temperature.reason:
            reasons.setdefault(f"the temperature is left at 1: {one.fit.temperature.reason}", []).append(level)
        elif one.fit.exams < _FEW:
            reasons.setdefault(f"the temperature was fitted on only {one.fit.exams} exams", []).append(level)
        if one.applied.reason:
            reasons.setdefault(f"no conformal sets: {one.applied.reason}", []).append(level)
    notes += [f"{', '.join(levels)}: {reason}" for reason, levels in reasons.items()]
    top = found[study.top.level]
    empty = [name for place, name in enumerate(study.task.classes) if not (top.judged.true == place).any()]
    if top.sets and empty:
        notes.append(f"no exam is truly {', '.join(empty)}: its coverage is undefined")
    return [*notes, *_shared(study)]


def _threshold_note(study: Study) -> list[str]:
    """A note where exams are called otherwise than this section takes them."""
    if study.top.cut is None:
        return []
    return ["this section looks at the class that scores highest and at its score, whatever the threshold"]


def _source(study: Study) -> str:
    """What temperature and sets were fitted on where there is no validation."""
    if calibrating(study):
        return (
            "temperature and sets are judged fold by fold on other subjects; calibration.json holds those fitted on "
            "all out-of-fold predictions, for networks trained alike on all subjects: those learn from more, so it "
            "holds for them only roughly"
        )
    return (
        "temperature and sets were fitted on these exams, each judged by what other subjects gave: an estimate of what "
        "calibration would give; for a calibration.json give prediction files of other subjects with --validation"
    )


def _shared(study: Study) -> list[str]:
    """A note where subjects stand in validation and test alike."""
    both: set[str] = set()
    for level, one in study.validation.items():
        tested = study.levels.get(level)
        if tested is not None and one.rows.identified and tested.rows.identified:
            both |= set(one.rows.subject_ids) & set(tested.rows.subject_ids)
    if not both:
        return []
    return [f"subjects in validation and in test alike: {len(both)}; figures after scaling and coverages are no test"]
