"""The section on two classes: ROC and precision-recall curves, the figures read off them, and thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_mammo.merit.calls import HALF, floor_of
from ensemble_mammo.merit.intervals import exact_limits
from ensemble_mammo.merit.roc import PARTIAL_RATE
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.stages.report.sections.at_threshold import called_table, sentence
from ensemble_mammo.stages.report.sections.two_class_charts import precision_recall_chart, roc_chart
from ensemble_mammo.stages.report.sections.two_sided import BAND_RESAMPLES, TwoSided, two_sided, words_of
from ensemble_mammo.stages.report.study import Judged, Study
from ensemble_mammo.stages.report.wording import counted, figure, level_in_words, listed

_METHOD = (
    "The score is the sum of the scores of the positive classes. AUC with limits by DeLong, DeLong & Clarke-Pearson "
    "(Biometrics 1988), on the logit scale so that they stay between 0 and 1, and with the sums over subjects of "
    "Obuchowski (Biometrics 1997) where a subject has several exams; all other limits by the percentile bootstrap over "
    "subjects. Average precision: step by step, without interpolation; PR area: by trapezoids (higher than can be "
    "attained: Davis & Goadrich, ICML 2006). Sensitivity at a specificity: the highest of any threshold with at least "
    "that specificity, nothing interpolated, and the reverse. Partial AUC: false positive rates up to "
    f"{PARTIAL_RATE:g}, standardised by McClish (Med Decis Making 1989): 0.5 is chance, 1 perfect. pF1: F1 with "
    "probabilities in the place of calls (RSNA screening mammography challenge, 2022). An exam is called positive at a "
    "score equal to the threshold or above; a threshold is held fixed in all resamples, so its limits leave out that "
    "another sample would have led to another one. Bands: at each point of the curve on its own, "
    f"from at most {BAND_RESAMPLES} resamples."
)


def section(study: Study) -> Section | None:
    """The two sides of a task told apart by their score; None where the task has no two sides."""
    top = study.top
    if not 0 < len(top.positive) < len(study.task.classes):
        return None
    positive, negative = words_of(study.task)
    title = f"{positive[:1].upper()}{positive[1:]} or {'not' if negative == f'not {positive}' else negative}"
    found = [two_sided(one, study) for one in study.levels.values() if _is_two_sided(one)]
    undefined = _undefined(top, positive, negative)
    one_sided = _one_sided(study, positive, negative)
    if not found:
        return Section("two-classes", title, undefined, (called_table(study),), notes=tuple(one_sided), method=_METHOD)
    main = found[-1]
    tables = [
        called_table(study),
        _figures_table(found, study, positive),
        _calls_table("operating-points", [main], study),
    ]
    if found[:-1]:
        tables.append(_calls_table("operating-points-of-other-levels", found[:-1], study))
    return Section(
        "two-classes",
        title,
        undefined + _lead(main, study, positive, negative),
        tuple(tables),
        (roc_chart(found, study.options), precision_recall_chart(found, study, positive)),
        notes=(*one_sided, *_tie_note(main, study), *_notes(found, study)),
        method=_METHOD,
    )


def _is_two_sided(one: Judged) -> bool:
    return bool(one.is_positive.any() and not one.is_positive.all())


def _undefined(top: Judged, positive: str, negative: str) -> str:
    """Why the top level has no figures; empty where it has."""
    if _is_two_sided(top):
        return ""
    return (
        f"Undefined at level {top.level}: all {counted(len(top.true), 'exam')} are truly "
        f"{positive if top.is_positive.all() else negative}, and a curve needs exams of both sides. "
    )


def _lead(main: TwoSided, study: Study, positive: str, negative: str) -> str:
    ups, total = int(main.one.is_positive.sum()), len(main.one.true)
    specificity, found = study.options.specificity, main.figures["sensitivity_at"]
    digits = 3 if f"{main.auc.value:.2f}" in ("1.00", "0.00") and 0 < main.auc.value < 1 else 2
    return (
        f"{level_in_words(main.one.level, True)}: AUC {figure(main.auc, digits)} (limits by DeLong's method). Of one "
        f"{positive} and one {negative} exam taken at random, the {positive} one scores higher in "
        f"{100 * main.auc.value:.{digits - 2}f} of 100 pairs ({ups} {positive}, {total - ups} {negative} exams). At a "
        f"specificity of {specificity:g} or more, the sensitivity is {figure(found)}.{sentence(study)}"
    )


def _figures_table(found: Sequence[TwoSided], study: Study, positive: str) -> Table:
    options = study.options
    shown = {
        "auc": "AUC, bootstrap limits",
        "average_precision": "average precision",
        "pr_area": "PR area",
        "sensitivity_at": f"sensitivity at specificity {options.specificity:g}",
        "specificity_at": f"specificity at sensitivity {options.sensitivity:g}",
        "partial_auc": f"partial AUC (false positive rate up to {PARTIAL_RATE:g})",
        "pf1": "pF1",
        "prevalence": f"share {positive}",
    }
    counts = {"level": "level", "exams": "exams", "positive": positive}
    rows: list[list[Cell]] = [
        [
            level.one.level,
            len(level.one.true),
            int(level.one.is_positive.sum()),
            level.auc,
            *(level.figures[name] for name in shown),
        ]
        for level in reversed(found)
    ]
    caption = (
        f"Average precision, PR area and pF1 depend on the share of {positive} exams in this sample: a score that "
        "knows nothing has that share as its average precision. They cannot be compared between samples with other "
        "shares; the AUC can. Sensitivity and specificity here: the threshold is chosen anew in each resample, so "
        "their intervals are wider than those of a fixed threshold below."
    )
    return Table(
        "two-class-figures",
        "Figures at each level",
        counts | {"auc_delong": "AUC, DeLong limits"} | shown,
        rows,
        caption,
    )


def _calls_table(name: str, found: Sequence[TwoSided], study: Study) -> Table:
    positive, negative = words_of(study.task)
    figures = {
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "ppv": "PPV",
        "npv": "NPV",
        "called": f"share called {positive}",
        "accuracy": "accuracy",
    }
    floor = "most frequent class" if len(study.task.classes) == 2 else "more frequent side"
    counts = {
        "true_positives": f"{positive}, called so",
        "false_negatives": f"{positive}, missed",
        "false_positives": f"{negative}, called {positive}",
        "true_negatives": f"{negative}, called so",
    }
    about = {"level": "level", "rule": "rule", "threshold": "threshold", "chosen_on": "chosen on"}
    rows: list[list[Cell]] = [
        [
            level.one.level,
            called.threshold.rule,
            called.threshold.value,
            called.threshold.chosen_on,
            *(called.figures[key] for key in figures),
            floor_of(level.one.is_positive),
            *(getattr(called, key) for key in counts),
        ]
        for level in reversed(found)
        for called in level.called
    ]
    of = f"level {found[0].one.level}" if name == "operating-points" else "the other levels"
    caption = (
        f"PPV and NPV: the shares of the calls {positive} and {negative} that are right, at the share of {positive} "
        "exams in this sample; elsewhere they are others. Youden: the score at which sensitivity plus specificity is "
        "highest."
    )
    return Table(name, f"Operating points of {of}", about | figures | {"floor": floor} | counts, rows, caption)


def _one_sided(study: Study, positive: str, negative: str) -> list[str]:
    """Sentences on levels that have cases of one side alone."""
    notes = []
    for kind, there in ((positive, True), (negative, False)):
        levels = [one.level for one in study.levels.values() if (one.is_positive == there).all()]
        if levels:
            notes.append(f"{listed(levels)}: all exams are truly {kind}, so nothing here is defined.")
    return notes


def _tie_note(main: TwoSided, study: Study) -> list[str]:
    """Exams of exactly 0.5: a tie goes to the first class in the headline, and is positive at the threshold 0.5."""
    if main.one.cut is not None:
        return []
    ties = int((main.one.positive_score == HALF).sum()) if len(study.task.classes) == 2 else 0
    if not ties:
        return []
    return [
        f"{counted(ties, 'exam')} score exactly {HALF:g}: the headline counts them as {study.task.classes[0]} (the "
        "first of equal classes), the operating point 0.5 as positive, so that their sensitivities differ"
    ]


def _notes(found: Sequence[TwoSided], study: Study) -> list[str]:
    """What makes these figures less than they seem."""
    main, (positive, _) = found[-1], words_of(study.task)
    notes = [f"{level.one.level}: {level.reason}." for level in reversed(found) if level.reason]
    chosen = [level.one.level for level in reversed(found) if any(one.threshold.optimistic for one in level.called)]
    if chosen:
        notes.append(
            f"{listed(chosen)}: the thresholds of Youden and of sensitivity {study.options.sensitivity:g} were chosen "
            "on these very exams, so what they come to is optimistic; with predictions of other subjects given as "
            "validation they are chosen there."
        )
    if len(study.task.classes) > 2:
        notes.append(
            f"Here an exam is called {positive} by the summed score of {listed(list(study.task.positive))}; the "
            "figures of each level call it by the class that scores highest, which can differ."
        )
    return [*notes, *_uncalled(found, positive), *_collapsed(main)]


def _uncalled(found: Sequence[TwoSided], positive: str) -> list[str]:
    """Sentences on thresholds at which all or no exams are called positive."""
    notes = []
    for level in reversed(found):
        for one in level.called:
            missing = [name for name in ("ppv", "npv") if np.isnan(one.figures[name].value)]
            if missing:
                calls = "no exam is" if missing == ["ppv"] else "all exams are"
                notes.append(
                    f"{level.one.level}, threshold of {one.threshold.rule}: {calls} called {positive}, so "
                    f"{missing[0].upper()} is undefined."
                )
    return notes


def _collapsed(main: TwoSided) -> list[str]:
    """Sentences with exact limits where all or none are counted: no resample can differ, so the bootstrap has none."""
    notes = []
    for one in main.called:
        hits, misses, passes = one.true_positives, one.false_negatives, one.true_negatives
        sides = (("sensitivity", hits, hits + misses), ("specificity", passes, passes + one.false_positives))
        for name, count, total in sides:
            if count in (0, total):
                low, high = exact_limits(count, total)
                notes.append(
                    f"{main.one.level}, threshold of {one.threshold.rule}: {name} is {count} of "
                    f"{counted(total, 'exam')}, which resampling cannot vary; exact binomial limits are {low:.2f} to "
                    f"{high:.2f} (Clopper & Pearson 1934, exams taken as independent)."
                )
    return notes
