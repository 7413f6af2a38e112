"""Calibration of each level: what other subjects give, and the figures of the judged exams with it and without."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calibration import (
    Temperature,
    bins_of,
    calibration_statistic,
    error_when_perfect,
    fit_temperature,
    joined,
    rated,
    with_intervals,
)
from ensemble_mammo.merit.calibration_folds import FEWEST_SUBJECTS, calibrated_by_folds, dealt
from ensemble_mammo.merit.conformal import fit_sets, methods_for, sets_statistic
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.intervals import Cases, Interval, Statistic
from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.records.calibration_file import Calibration, LevelCalibration, SetRule, class_sets, scaled
from ensemble_mammo.records.subject import LEVELS, View
from ensemble_mammo.stages.report.study import Judged, Study, judged

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """What validation gave for one level; or, fold by fold, what all judged exams give."""

    temperature: Temperature
    "1, with the reason, where none could be determined"
    rule: SetRule | None
    "of the conformal sets (LAC)"
    reason: str
    "why there is no rule"
    exams: int
    "exams that it was fitted on"
    subjects: int
    "subjects that they belong to"


@dataclass(frozen=True)
class Applied:
    """Scores and sets of the judged exams of one level, with what was fitted on other subjects."""

    fit: Fit | None = None
    "None: nothing to fit on"
    after: Floats | None = None
    "[N, C] with a temperature; None: none could be determined"
    sets: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    "method -> conformal sets [N, C]"
    temperatures: tuple[float, ...] = ()
    "of the folds; empty: one temperature, fitted on validation"
    reason: str = ""
    "why there are no sets"


@dataclass(frozen=True)
class LevelFound:
    """Calibration of one level on the judged exams."""

    judged: Judged
    "the judged exams"
    kinds: Mapping[str, Cases]
    "`before.`: their scores as given; `after.`: with a temperature, where one was fitted"
    figures: Mapping[str, Interval]
    "names begin with before., after., lac. or aps."
    perfect: float
    "expected calibration error of a perfectly calibrated system"
    surplus: float
    "how probable an error at least as large is for such a system"
    applied: Applied
    "what other subjects gave"

    @property
    def fit(self) -> Fit | None:
        """What was fitted; None: nothing."""
        return self.applied.fit

    @property
    def sets(self) -> Mapping[str, NDArray[np.bool_]]:
        """Method -> conformal sets [N, C]."""
        return self.applied.sets


def calibrating(study: Study) -> Mapping[str, Judged]:
    """What calibration.json is fitted on: validation, else out-of-fold predictions; empty: neither is there.

    Of out-of-fold predictions breasts of one view are there too, which `predict` makes.
    """
    if study.validation or study.systems or not study.out_of_fold:
        return study.validation
    levels = {level: one for level, one in study.levels.items() if len(one.true)}
    views = [levels[view].rows for view in View if view in levels]
    if not views or not by_folds(study):
        return {}
    made = fuse(views, study.task, replace(study.options.fusion, require_all_views=False)).levels
    more = {level: judged(rows, study.truth) for level, rows in made.items() if level not in levels}
    levels |= {level: one for level, one in more.items() if len(one.true)}
    return {level: levels[level] for level in LEVELS if level in levels}


def by_folds(study: Study) -> bool:
    """Whether temperature and sets are judged fold by fold: no validation, and subjects enough."""
    return not study.validation and len(set(study.top.rows.subject_ids)) >= FEWEST_SUBJECTS


def fitted(
    study: Study,
    files: Sequence[PredictionFile] = (),
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> Calibration | None:
    """What `predict` can apply: a temperature and conformal sets a level, fitted on `calibrating`; None without it.

    Args:
        study: whose validation levels, or out-of-fold levels, are fitted on.
        files: their files, to be named with their SHA-256.
        thresholds: level -> name of an operating point -> threshold on the summed score of the positive classes.
    """
    given = calibrating(study)
    levels = {level: fit_of(one, study.options.coverage) for level, one in given.items()}
    if not levels:
        return None
    fusion, own = study.options.fusion, thresholds or {}
    return Calibration(
        study.task.name,
        study.task.classes,
        {level: _written(fit, own.get(level, {})) for level, fit in levels.items()},
        {
            "rule": fusion.rule,
            "weights": dict(fusion.weights),
            "breast_to_subject": fusion.breast_to_subject or study.task.breast_to_subject,
        },
        _fingerprint(given),
        {one.name: one.sha256 for one in files},
        "" if study.validation else _words(study),
    )


def _words(study: Study) -> str:
    """Whose predictions they are that no validation stands behind."""
    folds = len(set(study.fold_of.values()))
    return (
        f"out-of-fold predictions of {len(set(study.top.rows.subject_ids))} subjects"
        + (f", {folds} folds" if folds else "")
        + ": each subject's scores come from networks that never saw her"
    )


def _written(fit: Fit, thresholds: Mapping[str, float]) -> LevelCalibration:
    found = fit.temperature
    return LevelCalibration(found.value, fit.exams, fit.subjects, fit.rule, thresholds, found.reason)


def fit_of(one: Judged, coverage: float) -> Fit:
    """Fit temperature and conformal sets on the validation exams of one level."""
    rule, reason = None, ""
    try:
        rule = fit_sets(one.true, one.scores, coverage)
    except ValueError as error:
        reason = str(error)
    subjects = len(set(one.rows.subject_ids))
    return Fit(fit_temperature(one.true, one.scores), rule, reason, len(one.true), subjects)


def found_at(study: Study, level: str) -> LevelFound:
    """The figures of one level; those of each class at the top level alone."""
    one, options = study.levels[level], study.options
    held = study.validation.get(level)
    if held is not None:
        applied = _from_validation(study, one, held)
    else:
        applied = _from_folds(study, one) if by_folds(study) else Applied()
    kinds = {"before.": one.cases}
    if applied.after is not None:
        kinds["after."] = replace(one.cases, scores=applied.after)
    statistic = _statistic(study, one, kinds, applied.sets)
    figures = with_intervals(one.rows.subject_ids, statistic, options.resamples, options.seed)
    score, _ = rated(one.cases)[""]
    drawn = error_when_perfect(score, bins_of(score), options.seed)
    surplus = (1 + int((drawn >= figures["before.ece"].value).sum())) / (1 + len(drawn))
    return LevelFound(one, kinds, figures, float(drawn.mean()), surplus, applied)


def _from_validation(study: Study, one: Judged, held: Judged) -> Applied:
    coverage, seed = study.options.coverage, study.options.seed
    fit = fit_of(held, coverage)
    after = None if fit.temperature.reason else scaled(one.scores, fit.temperature.value)
    if fit.rule is None:
        return Applied(fit, after, reason=fit.reason)
    more = methods_for(len(study.task.classes))[1:]
    rules = [fit.rule, *(fit_sets(held.true, held.scores, coverage, name, seed) for name in more)]
    return Applied(fit, after, {rule.method: class_sets(one.scores, rule.method, rule.threshold) for rule in rules})


def _from_folds(study: Study, one: Judged) -> Applied:
    """Each exam by what the subjects of other folds gave: those of the networks where they are known, else dealt."""
    coverage, seed, fold_of = study.options.coverage, study.options.seed, study.fold_of
    if not set(one.rows.subject_ids) <= set(fold_of):
        fold_of = {**dealt(one.cases, seed), **dealt(study.top.cases, seed)}
    made = calibrated_by_folds(one.cases, fold_of, coverage, seed)
    found = any(not each.reason for each in made.temperatures)
    after, values = made.scaled if found else None, tuple(each.value for each in made.temperatures)
    return Applied(fit_of(one, coverage), after, made.sets, values, made.reason)


def _statistic(
    study: Study, one: Judged, kinds: Mapping[str, Cases], sets: Mapping[str, NDArray[np.bool_]]
) -> Statistic:
    """All figures at once, so that they see the same resamples."""
    classes = study.task.classes if one.level == study.top.level else ()
    parts = {kind: calibration_statistic(cases, classes) for kind, cases in kinds.items()}
    for method, chosen in sets.items():
        parts[f"{method}."] = sets_statistic(chosen, one.true, study.task.classes)
    together = joined(parts)

    def statistic(times: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        figures = dict(together(times))
        if "after." in parts:
            figures["change"] = figures["after.log_loss"] - figures["before.log_loss"]
        return figures

    return statistic


def _fingerprint(levels: Mapping[str, Judged]) -> str:
    digest = hashlib.sha256()
    for level, one in levels.items():
        digest.update(repr((level, one.rows.classes, one.rows.keys)).encode())
        digest.update(np.ascontiguousarray(one.scores, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(one.true, dtype="<i8").tobytes())
    return digest.hexdigest()
