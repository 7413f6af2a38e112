"""Section: what calling exams positive comes to at thresholds and at contrasts of the input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import HALF
from ensemble_mammo.merit.contrast import THRESHOLDS, ContrastGrid, contrast_grid
from ensemble_mammo.merit.sections import Cell, HeatChart, Section, Table
from ensemble_mammo.records.origin import CONTRASTS, contrasts_in, read_origin
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.stages.report.matching import common_exams
from ensemble_mammo.stages.report.read import levels_of, read_given
from ensemble_mammo.stages.report.sections.two_sided import words_of
from ensemble_mammo.stages.report.study import Study, judged
from ensemble_mammo.stages.report.wording import counted, level_in_words, number, percent

_METHOD = (
    "The score is the sum of the scores of the positive classes; an exam is called positive at a score equal to the "
    "threshold or above. Contrast: a factor on the differences of an image's pixels from its own mean, laid on at "
    "prediction in place of the factor that the networks learned with; nothing is clipped. Every view is predicted "
    "anew at each contrast and fused as the others are. No intervals: neighbouring cells share almost all exams."
)


@dataclass(frozen=True)
class _Held:
    """What was predicted at each contrast, of the same exams."""

    rows: dict[float, Predictions]
    "contrast -> rows of the top level, the exams of all in one order"
    own: float | None
    "the contrast that the networks learned at; None: not known"
    notes: tuple[str, ...]
    "on exams that not all have"


def section(study: Study) -> Section | None:
    """The table over thresholds and contrasts, where `contrasts/` lies beside the predictions reported.

    None without, and for tasks that have no two sides.

    Raises:
        PredictionError: tables there are damaged, of other networks, or of other exams.
    """
    folder = next((one for one in study.folders if contrasts_in(one)), None)
    if folder is None or not 0 < len(study.top.positive) < len(study.task.classes):
        return None
    held = _read(study, folder)
    tables = {value: judged(rows, study.truth) for value, rows in held.rows.items()}
    own = _threshold(study)
    first = next(iter(tables.values()))
    scores = {value: one.positive_score for value, one in tables.items()}
    grid = contrast_grid(first.is_positive, scores, (*THRESHOLDS, own))
    return Section(
        "contrast",
        "Threshold and contrast",
        _lead(grid, study, own, held.own),
        (_table(grid, study),),
        tuple(_chart(grid, study, figure) for figure in ("accuracy", "recall")),
        notes=(*_notes(grid, study), *held.notes),
        method=_METHOD,
        data=(_long(grid, study),),
    )


def _threshold(study: Study) -> float:
    """The threshold that the report itself calls the exams of its top level by."""
    cut = study.cut_of(study.top.level)
    return HALF if cut is None else cut


def _read(study: Study, folder: Path) -> _Held:
    """The top level at each contrast, on the exams that all have; at the networks' own, too, where it is known."""
    origin, level = read_origin(folder), study.top.level
    shown = origin.contrast if origin.contrast is not None else origin.own_contrast
    found: dict[float, Predictions] = {} if shown is None else {shown: study.top.rows}
    for value, beside in contrasts_in(folder):
        if read_origin(beside).runs != origin.runs:
            raise PredictionError(
                f"{beside}: predicted by other networks than {folder}; predict both anew with `predict --contrast`, "
                f"or take {folder / CONTRASTS} away"
            )
        given, _ = read_given([str(beside)], study.task, study.options.columns)
        levels, _ = levels_of(given, study.task, study.options.fusion)
        if level not in levels:
            raise PredictionError(
                f"{beside}: has the levels {', '.join(levels)}, and the report's is {level}; predict again"
            )
        found[value] = judged(levels[level], study.truth).rows
    matched, notes = common_exams({f"contrast {value:g}": {level: rows} for value, rows in found.items()})
    rows = {value: matched[f"contrast {value:g}"][level] for value in found}
    return _Held(rows, origin.own_contrast, tuple(notes))


def _lead(grid: ContrastGrid, study: Study, threshold: float, own: float | None) -> str:
    positive, _ = words_of(study.task)
    first = own if own in grid.contrasts else grid.contrasts[0]
    last = grid.contrasts[-1] if grid.contrasts[-1] != first else grid.contrasts[0]
    assert first is not None
    said = [
        f"{figure} {number(grid.value(figure, threshold, first))} at contrast {first:g}"
        + (f" and {number(grid.value(figure, threshold, last))} at {last:g}" if last != first else "")
        for figure in ("recall", "accuracy")
    ]
    learned = "" if own is None else f" The networks learned at contrast {own:g}."
    return (
        f"{level_in_words(study.top.level, True)}, {counted(grid.cases, 'exam')}, of which "
        f"{percent(grid.positives / grid.cases)} {positive}. At threshold {threshold:.3g}: {'; '.join(said)}.{learned} "
        f"{_baseline(grid, study)}."
    )


def _baseline(grid: ContrastGrid, study: Study) -> str:
    """The accuracy that knows nothing, in words."""
    positive, negative = words_of(study.task)
    side = positive if grid.most_are_positive else negative
    return f"Calling every exam {side} has an accuracy of {number(grid.most_frequent)}"


def _table(grid: ContrastGrid, study: Study) -> Table:
    """A row a threshold; accuracy and recall at each contrast side by side."""
    columns = {"threshold": "threshold"}
    for contrast in grid.contrasts:
        columns |= {f"{name}_{contrast:g}": f"{name}, contrast {contrast:g}" for name in ("accuracy", "recall")}
    rows: list[list[Cell]] = [
        [
            threshold,
            *(grid.value(name, threshold, contrast) for contrast in grid.contrasts for name in ("accuracy", "recall")),
        ]
        for threshold in grid.thresholds
    ]
    caption = (
        f"{_baseline(grid, study)}. tables/contrast.csv has precision and the share called "
        f"{words_of(study.task)[0]} as well."
    )
    return Table("thresholds", "Accuracy and recall", columns, rows, caption)


def _long(grid: ContrastGrid, study: Study) -> Table:
    """A row a threshold and contrast."""
    names = ("accuracy", "recall", "precision", "called")
    columns = dict.fromkeys(("level", "contrast", "threshold", *names, "most_frequent", "exams", "positives"), "")
    rows: list[list[Cell]] = [
        [
            study.top.level,
            contrast,
            threshold,
            *(grid.value(name, threshold, contrast) for name in names),
            grid.most_frequent,
            grid.cases,
            grid.positives,
        ]
        for contrast in grid.contrasts
        for threshold in grid.thresholds
    ]
    return Table("contrast", "Figures at each threshold and contrast", {key: key for key in columns}, rows)


def _chart(grid: ContrastGrid, study: Study, figure: str) -> HeatChart:
    is_accuracy = figure == "accuracy"
    said = f"In brackets: not above {number(grid.most_frequent)}, calling every exam the more frequent side."
    positive, _ = words_of(study.task)
    return HeatChart(
        figure,
        figure if is_accuracy else f"recall of {positive}",
        "contrast",
        [f"{value:g}" for value in grid.contrasts],
        "threshold",
        [f"{value:.3g}" for value in grid.thresholds],
        grid.figures[figure].tolist(),
        caption=said if is_accuracy else f"The share of {positive} exams that are called so.",
        **({"bracketed": grid.most_frequent} if is_accuracy else {}),
    )


def _notes(grid: ContrastGrid, study: Study) -> list[str]:
    """What makes these figures less than they seem."""
    positive, negative = words_of(study.task)
    notes = [
        "a threshold or contrast read off this table is chosen on the very exams that it is judged on, not on "
        "validation: no figure here is a claim"
    ]
    if grid.positives == 0:
        notes.append(f"no exam is truly {positive}: recall is undefined")
    if grid.positives == grid.cases:
        notes.append(f"no exam is truly {negative}: accuracy is recall here")
    return notes
