"""Second look: whether disagreement of views tells where readings are wrong, and which exams to look at again first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_mammo.merit.calls import called_classes
from ensemble_mammo.merit.disagreement import (
    dissenting,
    errors_found_in,
    looking_order,
    margins,
    named_classes,
    strata,
    widest,
)
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.members import agreed, resamples_for
from ensemble_mammo.merit.sections import Section
from ensemble_mammo.stages.report.sections.ensemble import Ensemble, ensemble_of, groups_of, remarks_on
from ensemble_mammo.stages.report.sections.second_look_tables import (
    Looked,
    curve_chart,
    dissent_chart,
    dissent_table,
    found_table,
    list_table,
    looked_at,
    signal_table,
    spread_table,
)
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, percent

METHOD = (
    "A view dissents if the class it names is not that of the fused exam (where the subject is her worse breast: not "
    "that of its own breast). Exams are ordered by the share of their views that dissent, then by the smallest margin "
    "between the two best classes; exams that are equal in both stand in chance order. The true class plays no part in "
    "the order. Shares of errors found have percentile intervals over subjects (bootstrap, the order kept)."
)


def section(study: Study) -> Section | None:
    """Disagreement and the list of exams to look at again; None with fewer than two views."""
    ensemble = ensemble_of(study)
    if ensemble is None:
        return None
    looked = _looked(ensemble, study)
    found = _errors_found(looked)
    notes = remarks_on(ensemble, study)
    errors = int(looked.wrong[looked.known].sum())
    if not errors:
        notes.append("no labelled exam was read wrongly, so whether the list finds errors is undefined")
    if ensemble.cut is not None:
        notes.append(
            "views dissent by the class that scores highest; whether an exam is read wrongly goes by the threshold"
        )
    if looked.resamples < study.options.resamples:
        notes.append(f"with so many exams, intervals here are from {looked.resamples} resamples")
    if beaten := _margin_alone(looked, found):
        notes.append(beaten)
    spread = (spread_table(looked),) if study.task.ordinal else ()
    tables = (found_table(looked, found), dissent_table(looked), *spread)
    charts = [dissent_chart(looked)] + ([curve_chart(looked)] if errors else [])
    return Section(
        "second-look",
        "Disagreement and second look",
        _lead(looked, found),
        (*tables, signal_table(looked, study), list_table(looked, study)),
        tuple(charts),
        notes=tuple(notes),
        method=METHOD,
    )


def _looked(ensemble: Ensemble, study: Study) -> Looked:
    named = named_classes(ensemble.scores)
    dissent = dissenting(named, agreed(ensemble.scores, ensemble.views, ensemble.fusion)).sum(axis=1)
    present = (named >= 0).sum(axis=1)
    margin = margins(ensemble.rows.scores)
    return Looked(
        ensemble,
        named,
        dissent,
        present,
        widest(named, groups_of(ensemble)),
        margin,
        called_classes(ensemble.rows.scores, ensemble.positive, ensemble.cut),
        looking_order(dissent / present, margin, study.options.seed),
        resamples_for(len(named), study.options.resamples),
        study.options.seed,
    )


def _errors_found(looked: Looked) -> list[Interval]:
    known = looked.known
    subjects = looked.subjects(known)
    return errors_found_in(looked.wrong[known], subjects, looked_at(looked), looked.resamples, looked.seed)


def _lead(looked: Looked, found: Sequence[Interval]) -> str:
    known = looked.known
    errors = int(looked.wrong[known].sum())
    if not errors:
        return f"All {len(known)} labelled exams were read rightly, so there is no error for a second look to find."
    looks, first = looked_at(looked)[0], found[0]
    share = percent(looks / len(known))
    limits = "" if np.isnan(first.low) else f" ({percent(first.low)} to {percent(first.high)})"
    text = (
        f"A second look at the {counted(looks, 'exam')} first on the list ({share} of {len(known)}) meets "
        f"{round(first.value * errors)} of the {counted(errors, 'error')}: {percent(first.value)}{limits}; by chance "
        f"it would meet {share}."
    )
    if first.low <= looks / len(known) <= first.high:
        text += " That is not beyond chance."
    complete = looked.complete
    groups = strata(np.minimum(looked.dissent[complete], 1), ~looked.wrong[complete])
    if [one.number for one in groups] == [0, 1]:
        agree, differ = groups
        text += (
            f" Where no view dissents, {percent(agree.accuracy.value)} of {counted(agree.exams, 'exam')} are read "
            f"rightly; where some view does, {percent(differ.accuracy.value)} of {differ.exams}."
        )
    return text


def _margin_alone(looked: Looked, found: Sequence[Interval]) -> str:
    """A note where the smallest margin alone would have met more errors; empty else."""
    known, looks = looked.known, looked_at(looked)[0]
    first = known[np.argsort(looked.margin[known], kind="stable")][:looks]
    errors, alone = int(looked.wrong[known].sum()), int(looked.wrong[first].sum())
    if not errors or alone <= round(found[0].value * errors):
        return ""
    return (
        f"ordered by the smallest margin alone, the first {counted(looks, 'exam')} would meet {alone} of the "
        f"{counted(errors, 'error')}: more than this list does"
    )
