"""Calibration of each level: what validation gives, and the figures of the test with it and without."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from ensemble_mammo.merit.conformal import fit_sets, methods_for, sets_statistic
from ensemble_mammo.merit.intervals import Cases, Interval, Statistic
from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.records.calibration_file import Calibration, LevelCalibration, SetRule, class_sets, scaled
from ensemble_mammo.stages.report.study import Judged, Study


@dataclass(frozen=True)
class Fit:
    """What validation gave for one level."""

    temperature: Temperature
    "1, with the reason, where none could be determined"
    rule: SetRule | None
    "of the conformal sets (LAC)"
    reason: str
    "why there is no rule"
    exams: int
    "validation exams"
    subjects: int
    "subjects that they belong to"


@dataclass(frozen=True)
class LevelFound:
    """Calibration of one level on the test exams."""

    judged: Judged
    "the test exams"
    kinds: Mapping[str, Cases]
    "`before.`: their scores as given; `after.`: with the temperature, where one was fitted"
    figures: Mapping[str, Interval]
    "names begin with before., after., lac. or aps."
    perfect: float
    "expected calibration error of a perfectly calibrated system"
    surplus: float
    "how probable an error at least as large is for such a system"
    fit: Fit | None
    "what validation gave; None: no validation exams of this level"
    rules: Mapping[str, SetRule]
    "method -> conformal rule"


def fitted(
    study: Study,
    files: Sequence[PredictionFile] = (),
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> Calibration | None:
    """What `predict` can apply: a temperature and conformal sets a level, fitted on validation; None without it.

    Args:
        study: whose validation levels are fitted on.
        files: the validation files, to be named with their SHA-256.
        thresholds: level -> name of an operating point -> threshold on the summed score of the positive classes.
    """
    levels = {level: fit_of(one, study.options.coverage) for level, one in study.validation.items()}
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
        _fingerprint(study.validation),
        {one.name: one.sha256 for one in files},
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
    fit = fit_of(held, options.coverage) if held is not None else None
    kinds = {"before.": one.cases}
    if fit is not None and not fit.temperature.reason:
        kinds["after."] = replace(one.cases, scores=scaled(one.scores, fit.temperature.value))
    rules = _rules(study, held, fit) if held is not None and fit is not None else {}
    statistic = _statistic(study, one, kinds, rules)
    figures = with_intervals(one.rows.subject_ids, statistic, options.resamples, options.seed)
    score, _ = rated(one.cases)[""]
    drawn = error_when_perfect(score, bins_of(score), options.seed)
    surplus = (1 + int((drawn >= figures["before.ece"].value).sum())) / (1 + len(drawn))
    return LevelFound(one, kinds, figures, float(drawn.mean()), surplus, fit, rules)


def _rules(study: Study, held: Judged, fit: Fit) -> dict[str, SetRule]:
    if fit.rule is None:
        return {}
    more = methods_for(len(study.task.classes))[1:]
    coverage, seed = study.options.coverage, study.options.seed
    return {"lac": fit.rule} | {name: fit_sets(held.true, held.scores, coverage, name, seed) for name in more}


def _statistic(study: Study, one: Judged, kinds: Mapping[str, Cases], rules: Mapping[str, SetRule]) -> Statistic:
    """All figures at once, so that they see the same resamples."""
    classes = study.task.classes if one.level == study.top.level else ()
    parts = {kind: calibration_statistic(cases, classes) for kind, cases in kinds.items()}
    for method, rule in rules.items():
        sets = class_sets(one.scores, rule.method, rule.threshold)
        parts[f"{method}."] = sets_statistic(sets, one.true, study.task.classes)
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
