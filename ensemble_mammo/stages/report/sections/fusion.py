"""Fusion: what each view adds, which rule is best, and whether learned fusion would be better."""

from __future__ import annotations

import numpy as np

from ensemble_mammo.merit.definitions import title_of
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.learned_fusion import FOLDS, Learned, cross_fitted, learned_elsewhere, reason_against
from ensemble_mammo.merit.members import (
    Members,
    figure_names,
    fused,
    judge,
    resamples_for,
    rules_of,
    subset_scores,
    subsets,
)
from ensemble_mammo.merit.rules import Fusion
from ensemble_mammo.merit.sections import Cell, Section, Table
from ensemble_mammo.stages.report.sections.ensemble import Ensemble, ensemble_of, remarks_on, validation_of
from ensemble_mammo.stages.report.sections.fusion_levels import level_table
from ensemble_mammo.stages.report.sections.fusion_tables import (
    Studied,
    best_of,
    charts_of,
    gain_table,
    gap_tables,
    number_table,
    rule_table,
    same_rule,
    subset_table,
)
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import counted, figure, number

_WORDS = {2: "Two", 3: "Three", 4: "Four"}

METHOD = (
    "The views of labelled exams are joined by subject and exam. Subsets, rules and learned fusion are judged on the "
    "exams that have every view, with one bootstrap of subjects for all, so that differences are paired. The best "
    "single view is chosen anew within each resample, so that the gain over it accounts for the choice. Learned "
    "weights: not negative, adding up to 1, least log loss of the weighted mean (linear opinion pool, Genest & Zidek, "
    "Stat Sci 1986); stacking: multinomial logistic regression on the log scores of all views (Wolpert, Neural Netw "
    "1992), its strength chosen in inner folds (Varma & Simon, BMC Bioinformatics 2006)."
)


def section(study: Study) -> Section | None:
    """What fusion is worth; None with fewer than two views, or where studies are not wanted."""
    ensemble = ensemble_of(study) if study.options.studies else None
    if ensemble is None:
        return None
    members = ensemble.members()
    complete = members.complete()
    notes = remarks_on(ensemble, study)
    gaps = gap_tables(members, ensemble)
    if not len(complete.true):
        lead = f"No exam has all {len(members.views)} views, so subsets of them cannot be compared."
        return Section("fusion", "Fusion", lead, tables=gaps, notes=tuple(notes), method=METHOD)
    studied = _studied(ensemble, complete, study)
    if lacking := len(members.true) - len(complete.true):
        notes.append(
            f"subsets, rules and learned fusion are judged on the {counted(len(complete.true), 'exam')} that have "
            f"every view; {counted(lacking, 'exam')} without are in the table of exams that lack views"
        )
    if studied.resamples < study.options.resamples:
        notes.append(f"with so many exams, intervals here are from {studied.resamples} resamples")
    learned, said = _learned(studied, study)
    by_level = level_table(study, ensemble)
    steps, gained = ((by_level[0],), by_level[1]) if by_level else ((), "")
    tables = (gain_table(studied), *steps, subset_table(studied), number_table(studied), rule_table(studied, study))
    return Section(
        "fusion",
        "Fusion",
        _lead(studied, gained),
        (*tables, *learned, *gaps),
        charts_of(studied),
        notes=(*notes, *said),
        method=METHOD,
    )


def _studied(ensemble: Ensemble, members: Members, study: Study) -> Studied:
    rules = rules_of(members.views, ensemble.fusion)
    by_rule = np.stack([fused(members.scores, members.views, rule) for rule in rules])
    resamples = resamples_for(len(members.true), study.options.resamples)
    candidates = np.concatenate([subset_scores(members, ensemble.fusion), by_rule])
    return Studied(
        ensemble,
        members,
        judge(candidates, members, resamples, study.options.seed),
        subsets(len(members.views)),
        rules,
        figure_names(len(study.task.classes)),
        resamples,
        study.options.seed,
    )


def _lead(studied: Studied, gained: str) -> str:
    judgement, main, whole = studied.judgement, studied.names[0], studied.whole
    best = best_of(studied, studied.singles)
    gain = judgement.gain(main, whole, studied.singles)
    said = verdict(gain)
    text = (
        f"{_WORDS[len(studied.members.views)]} views together: {title_of(main)} {figure(judgement.of(main, whole))}; "
        f"the best single view, {studied.label(best)}: {number(judgement.of(main, best).value)}; gain {figure(gain)}"
        + (f": {said}." if said else ".")
        + (f" {gained}" if gained else "")
    )
    if len(studied.members.views) > 2:
        without = [place for place, one in enumerate(studied.every) if len(one) == len(studied.members.views) - 1]
        lowest = judgement.of(main, best_of(studied, without, -1)).value
        missed = [
            view
            for view in studied.members.views
            for place in without
            if view not in studied.label(place).split("+") and abs(judgement.of(main, place).value - lowest) < 1e-12
        ]
        text += f" The view missed most is {' or '.join(missed)}: without it {number(lowest)}."
    return text


def verdict(difference: Interval) -> str:
    """What an interval of a difference says; nothing without limits."""
    if np.isnan(difference.low):
        return ""
    if difference.low > 0:
        return "more than chance explains"
    return "less, more than chance explains" if difference.high < 0 else "not beyond chance"


def _learned(studied: Studied, study: Study) -> tuple[tuple[Table, ...], list[str]]:
    """The tables of learned fusion, or the reason why there are none."""
    members, seed = studied.members, studied.seed
    classes = study.task.classes
    held = validation_of(study, members.views)
    notes = []
    if (study.options.fusion.breast_to_subject or study.task.breast_to_subject) == "maximum":
        notes.append(
            "learned fusion takes all views in one, the rule in use the worse breast: they also differ in that"
        )
    if held is not None and (reason := reason_against(held, classes)):
        notes.append(f"fusion was not learned on the validation subjects: {reason}")
        held = None
    if held is not None:
        learned = learned_elsewhere(held, members.scores, seed)
        source = f"Learned from {len(held.true)} validation exams, judged on the test."
        return _learned_tables(studied, learned, source), notes
    if reason := reason_against(members, classes):
        return (), [*notes, f"no fusion was learned: {reason}"]
    notes.append(
        f"learned fusion was learned on these test exams, each exam by {FOLDS} folds of other subjects: an estimate of "
        "what learning would give, not the result of a tuned system; give validation predictions to have it learned "
        "elsewhere"
    )
    source = f"Learned in {FOLDS} folds by subject: no exam was judged by what its own subject taught."
    return _learned_tables(studied, cross_fitted(members, seed), source), notes


def _learned_tables(studied: Studied, learned: Learned, source: str) -> tuple[Table, Table]:
    members, main = studied.members, studied.names[0]
    use = studied.ensemble.fusion
    given = {"the rule in use": fused(members.scores, members.views, use)}
    plain = Fusion(breast_to_subject="mean")
    if not same_rule(use, plain) or use.weights:
        given["plain mean"] = fused(members.scores, members.views, plain)
    given |= {"learned weights": learned.weighted, "stacking": learned.stacked}
    found = judge(np.stack(list(given.values())), members, studied.resamples, studied.seed)
    rows: list[list[Cell]] = []
    for place, label in enumerate(given):
        figures = [found.of(name, place) for name in (*studied.names, "log_loss")]
        rows.append([label, *figures, *(found.difference(name, place, 0) for name in (main, "log_loss"))])
    columns = {
        "fusion": "fusion",
        **{name: title_of(name) for name in studied.names},
        "log_loss": "log loss",
        "difference": f"{title_of(main)}, against the rule in use",
        "log_loss_difference": "log loss, against the rule in use",
    }
    caption = f"{source} Log loss: mean of -ln of the true class's score; lower is better.{studied.beside}"
    weights: list[list[Cell]] = [
        [view.value, float(own.mean()), float(own.min()), float(own.max())]
        for view, own in zip(members.views, learned.weights.T, strict=True)
    ]
    spread = {"view": "view", "weight": "weight", "least": "least of a fold", "greatest": "greatest of a fold"}
    return (
        Table("fusion-learned", "Learned fusion", columns, rows, caption),
        Table("fusion-weights", "Weights that were learned", spread, weights, "Mean over the folds; they add up to 1."),
    )
