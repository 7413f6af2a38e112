"""What every report begins and ends with, whatever was studied: its answer in words, and tables of levels and files."""

from __future__ import annotations

import numpy as np

from ensemble_mammo.merit.definitions import FIGURES, kind_title, title_of
from ensemble_mammo.merit.intervals import CONFIDENCE, Interval
from ensemble_mammo.merit.pages.cells import limits, number
from ensemble_mammo.merit.results import Report
from ensemble_mammo.merit.sections import Cell, MatrixChart, Section, Table

FUSED = ("right", "left", "subject")
"""Levels that are fused from views."""

CONFIDENCE_IN_WORDS = f"{round(100 * CONFIDENCE)} % interval"
"""How intervals are called."""

_GRAVE = (
    "WARNING",
    "LEAK",
    "no test figures",
    "too good",
    "shortcut",
    "taken to be the same subjects",
    "in the same order",
)
_OF_A_CLASS = {
    "recall": "share of the cases of the class that are called so",
    "precision": "share of the cases called the class that are of it",
    "f1": "harmonic mean of the recall and the precision of the class",
    "auc": "area under the ROC curve of the class's score, its cases against all others",
}


def answer(report: Report) -> str:
    """The main figure of the level that matters most, in a sentence, beside what always naming one class reaches."""
    level, figures = report.top, report.figures[report.top]
    counted = report.counts[level]
    who = "the ensemble" if level in FUSED else f"the network of {level}"
    if report.files and report.files[0].system not in ("", "validation"):
        who = f"system {report.files[0].system}"
    what = f"{level} breasts" if level in FUSED[:2] else "exams"
    floor = f"always naming the most frequent class would reach {number(counted.majority, 2)}"
    share = figures["accuracy"]
    if share.high < counted.majority:
        floor += ": the accuracy lies below that floor"
    elif share.low <= counted.majority:
        floor += ", which the interval does not exclude"
    found = int(np.trace(report.confusion[level]))
    right = (
        f"puts {found} of {counted.exams} {what} in their true class{_at(report)} (accuracy {_said(share)}); {floor}."
    )
    if len(report.task.classes) == len(("negative", "positive")) and "auc" in figures:
        return f"{_ranked(report, who, what.removesuffix('s'))}{right}"
    return f"{who[0].upper()}{who[1:]} {right}"


def _ranked(report: Report, who: str, what: str) -> str:
    """Of two classes the AUC comes first."""
    classes, auc = report.task.classes, report.figures[report.top]["auc"]
    who = f"{who[0].upper()}{who[1:]}"
    if np.isnan(auc.value):
        return f"The AUC is undefined, since all cases are on one side. {who} "
    positive = next(iter(report.task.positive), classes[1])
    other = next(name for name in classes if name != positive)
    digits = 0 if round(100 * auc.value) < 100 or auc.value == 1 else 1
    return (
        f"{who} scores {_with_article(positive)} {what} above {_with_article(other)} one in "
        f"{100 * auc.value:.{digits}f} of 100 pairs (AUC {_said(auc)}; chance is 0.50), and "
    )


def _with_article(word: str) -> str:
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def _at(report: Report) -> str:
    at = report.thresholds.get(report.top)
    return "" if at is None or at.cut is None else f" at threshold {at.value:.3g}"


def called_in_words(report: Report) -> str:
    """At which score exams of two classes are called, and how it was chosen; empty for other tasks."""
    at = report.thresholds.get(report.top)
    if at is None:
        return ""
    positive = next(iter(report.task.positive), report.task.classes[-1])
    if at.cut is None:
        return "the class that scores higher (threshold 0.5)"
    if at.wanted is None:
        return f"{positive} at a score of {at.value:g} or more, at every level"
    values = ", ".join(
        f"{level} {one.value:.3g} (reached {number(one.reached if one.reached is not None else float('nan'), 2)})"
        for level, one in report.thresholds.items()
    )
    return f"{positive} at the score that finds a share of {at.wanted:g} of them, chosen on validation: {values}"


def one_class(report: Report) -> list[str]:
    """The warnings that a network names one class only."""
    return [note for note in report.notes if note.startswith("WARNING: ") and ": names " in note]


def _said(figure: Interval) -> str:
    """A figure in two digits; what is not 1 is not called so."""
    text = number(figure.value, 2)
    text = number(figure.value) if text == "1.00" and figure.value < 1 else text
    within = limits(figure.low, figure.high, 2)
    return text + (f", {CONFIDENCE_IN_WORDS} {within}" if within else ", no interval computed")


def warnings_first(notes: tuple[str, ...]) -> list[str]:
    """The notes, those first that put the figures themselves in question."""
    return sorted(notes, key=lambda note: not any(word in note for word in _GRAVE))


def alarms(report: Report) -> list[str]:
    """What must not be missed behind the headline: the verdict of a comparison, and groups that fail."""
    told = []
    for section in report.sections:
        failing = any(table.marked for table in section.tables if table.name == "subgroups")
        if section.name == "comparison" or (section.name == "subgroups" and failing):
            told.append(section.lead)
    return told


def headline_table(report: Report) -> Table:
    """A row a level: exams, the main figures, and the floor."""
    names = [name for name in report.main_figures() if name in report.figures[report.top]]
    columns = {"level": "level", "exams": "exams"}
    columns |= {name: title_of(name) for name in names} | {"floor": "floor"}
    rows: list[list[Cell]] = []
    for level, figures in report.figures.items():
        counts = report.counts[level]
        rows.append([level, counts.exams, *(figures[name] for name in names), counts.majority])
    caption = "" if not report.resamples else f"Beside each value its {CONFIDENCE_IN_WORDS}. "
    caption += "Floor: the accuracy of always naming the most frequent class."
    return Table("headline", "Main figures of each level", columns, rows, caption)


def figures_tables(report: Report) -> tuple[Table, ...]:
    """Every figure by level: those of all cases, and those of each class."""
    names = list(report.figures[report.top])
    overall = [name for name in names if name in FIGURES]
    of_class = [name for name in names if name not in FIGURES]
    made = [_by_level(report, "figures", "All cases", overall)]
    if of_class:
        made.append(_by_level(report, "class-figures", "Each class", of_class))
    return tuple(made)


def _by_level(report: Report, name: str, title: str, names: list[str]) -> Table:
    columns = {"figure": "figure", **{level: level for level in report.figures}}
    rows: list[list[Cell]] = [
        [title_of(one), *(figures.get(one) for figures in report.figures.values())] for one in names
    ]
    floors: list[list[Cell]] = [["floor of the accuracy", *(one.majority for one in report.counts.values())]]
    if (kind := next((one for one in ("positive", "dense") if one in names), "")) and len(report.task.classes) > 2:
        floors.append([f"floor of {title_of(kind)}", *(_side_floor(report, level) for level in report.figures)])
    if "accuracy" in names:
        rows[1 + names.index("accuracy") : 1 + names.index("accuracy")] = floors
    return Table(name, title, columns, rows)


def _side_floor(report: Report, level: str) -> float:
    """The share of the more frequent side: of the positive classes together, or of the others."""
    counts = report.confusion[level].sum(axis=1)
    ups = sum(int(counts[report.task.classes.index(name)]) for name in report.task.positive)
    return max(ups, int(counts.sum()) - ups) / int(counts.sum())


def matrices(report: Report) -> tuple[MatrixChart, ...]:
    """The confusion matrix of each level."""
    classes = report.task.classes
    return tuple(
        MatrixChart(f"confusion-{level}", f"{level}, {counts.sum()} exams", classes, counts.tolist())
        for level, counts in report.confusion.items()
    )


def figures_section(report: Report) -> Section:
    """All figures of all levels."""
    lead = f"Every figure at each of the {len(report.figures)} levels, as a view alone and fused."
    if len(report.figures) == 1:
        lead = f"Every figure of {report.top}."
    tables = figures_tables(report)
    if any(section.name == "classes" for section in report.sections):
        tables = tables[:1]  # that section has the figures of each class
    return Section("figures", "All figures by level", lead, tables, method=f"Intervals: {_bootstrap(report)}")


def _bootstrap(report: Report) -> str:
    if not report.resamples:
        return "none were computed (0 resamples)"
    return (
        f"percentile bootstrap over subjects (Efron and Tibshirani, 1993), {round(100 * CONFIDENCE)} % of "
        f"{report.resamples} resamples, seed {report.seed}. A subject that is drawn is drawn with all her exams; a "
        "resample in which a figure is undefined does not count for it."
    )


def definitions_section(report: Report) -> Section:
    """How each figure that occurs is defined."""
    names = list(report.figures[report.top])
    rows: list[list[Cell]] = [[one.title, one.meaning] for name, one in FIGURES.items() if name in names]
    kinds = dict.fromkeys(name.partition("_")[0] for name in names if name not in FIGURES)
    rows += [[f"{kind_title(kind)} of a class", _OF_A_CLASS[kind]] for kind in kinds if kind in _OF_A_CLASS]
    if called := called_in_words(report):
        rows.insert(0, ["called", called])
    rows.append(["floor", "accuracy of always naming the most frequent class: what any classifier must pass"])
    table = Table("definitions", "", {"figure": "figure", "definition": "definition"}, rows)
    return Section("definitions", "How each figure is defined", "", (table,))


def made_section(report: Report) -> Section:
    """How the figures came about: exams and subjects behind each level, files, fusion, bootstrap, versions."""
    head = {
        "level": "level",
        "exams": "exams",
        "subjects": "subjects",
        "incomplete": "fused without all views",
        "absent": "no view here",
        "unlabelled": "no true class",
    }
    levels: list[list[Cell]] = [
        [level, one.exams, one.subjects, one.incomplete, one.absent, one.unlabelled]
        for level, one in report.counts.items()
    ]
    versions: list[list[Cell]] = [[name, version] for name, version in report.versions.items()]
    called = called_in_words(report)
    settings: list[list[Cell]] = [
        ["true classes", report.truth],
        ["fusion", _fusion(report)],
        ["intervals", _bootstrap(report)],
    ]
    if called:
        settings.insert(1, ["called", called])
    files: list[list[Cell]] = [[one.name, one.level, one.sha256] for one in report.files]
    tables = [
        Table("settings", "Settings", {"what": "what", "how": "how"}, settings),
        Table("levels", "Exams behind each level", head, levels),
        Table("files", "Files that were read", {"file": "file", "level": "level", "sha256": "SHA-256"}, files),
        Table("versions", "Software", {"software": "software", "version": "version"}, versions),
    ]
    return Section("made", "How it was made", "", tuple(table for table in tables if table.rows))


def _fusion(report: Report) -> str:
    made = report.as_json()["fusion"]
    weights = ", ".join(f"{view} {weight:g}" for view, weight in made["weights"].items())
    text = f"{made['rule']} of the views present" + (f", weights {weights}" if weights else "")
    if made["require_all_views"]:
        text += ", exams with all views alone"
    if made["breast_to_subject"] == "mean":
        return f"{text}; the subject is fused from all her views"
    return f"{text}; the subject has the scores of the breast with the higher score of {report.task.classes[-1]}"
