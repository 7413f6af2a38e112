"""Second look in tables and charts: errors met, accuracy by dissent, and the list of exams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.merit.calls import floor_of
from ensemble_mammo.merit.disagreement import detection, errors_found, strata
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Bar, BarChart, Cell, Line, LineChart, Table
from ensemble_mammo.stages.report.sections.ensemble import Ensemble
from ensemble_mammo.stages.report.study import Study

CLOSE = 0.1
"""An exam is flagged, even where no view dissents, if its best class scores less than this above the second."""

_LOOKED = (0.1, 0.2, 0.3, 0.5)  # shares of the exams at which the errors found are counted
_POINTS = 200  # of a curve
_COUNTED = {"exams": "exams", "right": "right", "accuracy": "accuracy", "floor": "most frequent class"}
_WILSON = "Intervals are Wilson's, as if exams were independent."


@dataclass(frozen=True)
class Looked:
    """What is known of each exam; all [S], unlabelled ones included."""

    ensemble: Ensemble
    named: NDArray[np.int64]  # [S, V]
    dissent: NDArray[np.int64]
    present: NDArray[np.int64]
    spread: NDArray[np.int64]
    margin: NDArray[np.float64]
    predicted: NDArray[np.int64]
    order: NDArray[np.int64]
    resamples: int
    seed: int

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the views present that dissent."""
        return self.dissent / self.present

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the fused class is not the true one; meaningless for exams without a true class."""
        return self.predicted != self.ensemble.true

    @property
    def known(self) -> NDArray[np.int64]:
        """Places of labelled exams in the order of looking."""
        return self.order[self.ensemble.labelled[self.order]]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Labelled exams that have every view."""
        return self.ensemble.labelled & (self.present == len(self.ensemble.views))

    def subjects(self, places: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The subjects of some exams."""
        return [self.ensemble.rows.subject_ids[place] for place in places]


def looked_at(looked: Looked) -> list[int]:
    """How many exams are looked at for each of `_LOOKED`, rounded up."""
    return [int(np.ceil(round(share * len(looked.known), 9))) for share in _LOOKED]


def found_table(looked: Looked, found: Sequence[Interval]) -> Table:
    """Errors met among the first exams of the list."""
    known = looked.known
    errors = int(looked.wrong[known].sum())
    rows: list[list[Cell]] = [
        [number, number / len(known), round(one.value * errors) if errors else 0, one, number / len(known)]
        for number, one in zip(looked_at(looked), found, strict=True)
    ]
    return Table(
        "second-look-found",
        "Errors that a second look would meet",
        {
            "looked": "exams looked at",
            "share": "share of exams",
            "errors": "errors met",
            "found": "share of all errors",
            "chance": "by chance",
        },
        rows,
        f"{errors} errors among {len(known)} labelled exams, in the order of the list below.",
    )


def _floors(numbers: NDArray[np.int64], true: NDArray[np.int64]) -> dict[int, float]:
    """number -> the accuracy of always naming the class that is most frequent among its exams."""
    return {int(one): floor_of(true[numbers == one]) for one in np.unique(numbers)}


def dissent_table(looked: Looked) -> Table:
    """Accuracy by number of views that dissent."""
    complete = looked.complete
    groups = strata(looked.dissent[complete], ~looked.wrong[complete])
    floors = _floors(looked.dissent[complete], looked.ensemble.true[complete])
    rows: list[list[Cell]] = [[one.number, one.exams, one.right, one.accuracy, floors[one.number]] for one in groups]
    against = "their breast's class" if looked.ensemble.by_breast else "the fused class"
    return Table(
        "second-look-dissent",
        "Accuracy by number of views that dissent",
        {"dissent": "views that dissent"} | _COUNTED,
        rows,
        f"Views that name another class than {against}; labelled exams with every view. {_WILSON}",
    )


def spread_table(looked: Looked) -> Table:
    """Accuracy by widest distance in classes between two views."""
    complete = looked.complete
    groups = strata(looked.spread[complete], ~looked.wrong[complete])
    floors = _floors(looked.spread[complete], looked.ensemble.true[complete])
    rows: list[list[Cell]] = [[one.number, one.exams, one.right, one.accuracy, floors[one.number]] for one in groups]
    return Table(
        "second-look-spread",
        "Accuracy by widest distance between views",
        {"distance": "classes apart"} | _COUNTED,
        rows,
        f"How many classes apart the two views lie that differ most; labelled exams with every view. {_WILSON}",
    )


def signal_table(looked: Looked, study: Study) -> Table:
    """How well each sign tells wrong readings from right ones."""
    known = looked.known
    place = np.empty(len(looked.order))
    place[looked.order] = np.arange(len(looked.order))
    signals = {
        "order of the list": -place[known],
        "share of views that dissent": looked.share[known],
        "small margin of the best class": -looked.margin[known],
    }
    if study.task.ordinal:
        signals["classes between the views"] = looked.spread[known].astype(np.float64)
    found = detection(signals, looked.wrong[known], looked.subjects(known), looked.resamples, looked.seed)
    rows: list[list[Cell]] = [[name, one] for name, one in found.items()]
    return Table(
        "second-look-signals",
        "How well each sign tells errors",
        {"sign": "sign", "auc": "AUC"},
        rows,
        "How often a wrong reading shows the sign more strongly than a right one, ties counting half; 0.5 is chance.",
    )


def list_table(looked: Looked, study: Study) -> Table:
    """Every flagged exam in the order of looking, those read wrongly marked."""
    flagged = [place for place in looked.order if looked.dissent[place] or looked.margin[place] < CLOSE]
    number = {subject: f"subject {n}" for n, subject in enumerate(dict.fromkeys(looked.subjects(flagged)), start=1)}
    hide = study.options.hide_ids
    rows = [_row(looked, place, study.task.classes, number if hide else {}) for place in flagged]
    caption = (
        f"{len(flagged)} of {len(looked.order)} exams are flagged: some view dissents, or the best class scores less "
        f"than {CLOSE:g} above the second. The CSV has all. "
        "Readings that are wrong are marked."
    )
    wrong = frozenset(
        row for row, place in enumerate(flagged) if looked.ensemble.labelled[place] and looked.wrong[place]
    )
    columns = {
        "place": "place",
        "subject_id": "subject",
        "exam_id": "exam",
        "predicted": "predicted",
        "score": "score",
        "second": "second class",
        "margin": "margin",
        "dissent": "views that dissent",
        "votes": "class by view",
        "true": "true class",
        "verdict": "reading",
    }
    numbered: list[list[Cell]] = [[n, *row] for n, row in enumerate(rows, start=1)]
    return Table("second-look", "Exams that deserve a second look", columns, numbered, caption, wrong)


def _row(looked: Looked, place: int, classes: Sequence[str], hidden: dict[str, str]) -> list[Cell]:
    rows, true = looked.ensemble.rows, int(looked.ensemble.true[place])
    subject, exam = rows.subject_ids[place], rows.exam_ids[place]
    scores = rows.scores[place]
    best = int(looked.predicted[place])
    second = int(np.argsort(np.where(np.arange(len(classes)) == best, -np.inf, scores), kind="stable")[-1])
    votes = ", ".join(
        f"{view} {classes[named] if named >= 0 else '-'}"
        for view, named in zip(looked.ensemble.views, looked.named[place], strict=True)
    )
    labelled = bool(looked.ensemble.labelled[place])
    return [
        hidden.get(subject, subject),
        "" if hidden else exam,
        classes[best],
        float(scores[best]),
        classes[second],
        float(looked.margin[place]),
        f"{looked.dissent[place]} of {looked.present[place]}",
        votes,
        classes[true] if labelled else "",
        ("wrong" if looked.wrong[place] else "right") if labelled else "",
    ]


def dissent_chart(looked: Looked) -> BarChart:
    """The same as the table."""
    complete = looked.complete
    right = ~looked.wrong[complete]
    bars = [
        Bar(
            str(one.number), one.accuracy.value, one.accuracy.low, one.accuracy.high, note=f"{one.right} of {one.exams}"
        )
        for one in strata(looked.dissent[complete], right)
    ]
    return BarChart(
        "second-look-dissent",
        "Accuracy by number of views that dissent",
        "accuracy",
        bars,
        reference=float(right.mean()) if len(right) else None,
        caption="The line is the accuracy of all these exams.",
    )


def curve_chart(looked: Looked) -> LineChart:
    """Share of errors met against share of exams looked at."""
    known = looked.known
    wrong = looked.wrong[known]
    size = len(known)
    shown = np.unique(np.linspace(0, size, _POINTS + 1).round().astype(int))
    by_margin = wrong[np.argsort(looked.margin[known], kind="stable")]
    lines = [
        Line(label, (shown / size).tolist(), errors_found(ordered)[shown].tolist(), strong=strong)
        for label, ordered, strong in (
            ("this list", wrong, True),
            ("margin alone", by_margin, False),
            ("best possible", np.sort(wrong)[::-1], False),
        )
    ]
    return LineChart(
        "second-look-curve",
        "Errors met by a second look",
        "share of exams looked at",
        "share of all errors",
        lines,
        diagonal=True,
        caption="The diagonal is a second look in chance order.",
    )
