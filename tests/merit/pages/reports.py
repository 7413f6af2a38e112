"""A report with every kind of table, chart and picture, for tests of the page and of the files beside it."""

import dataclasses
import io
import math

import numpy as np
from PIL import Image

from ensemble_mammo.merit.inputs.truth import Truth
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.results import PredictionFile, Report
from ensemble_mammo.merit.sections import Bar, BarChart, Line, LineChart, MatrixChart, Picture, Section, Table
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report
from tests.stages.report.studies import views_made

NOTES = (
    "CC_R: 3 exams have no view of this projection",
    "LEAKAGE: 2 in this dataset, so that figures are too good: a subject stands in train and test",
)


def report_made(task="density", count=100, resamples=200, views=None, sections=True) -> Report:
    """A report of random scores that know something, with made-up sections."""
    known = TASKS[task]
    given, labels = views_made(known, count, skill=1.4, **({"views": tuple(map(View, views))} if views else {}))
    found = report(given, Truth(known, "labels.csv", labels), options=ReportOptions(resamples=resamples, studies=False))
    files = tuple(PredictionFile(f"{p.level}.csv", "0123456789abcdef" * 4, p.level) for p in given)
    made = (curves(), devices(), errors(), agreement(), empty()) if sections else ()
    return dataclasses.replace(found, notes=NOTES, files=files, sections=made)


def grey(seed: int, form: str = "PNG") -> bytes:
    """A small picture: a bright disc."""
    y, x = np.mgrid[:96, :72]
    disc = np.exp(-((x - 5 * seed) ** 2 + (y - 48) ** 2) / 900)
    held = io.BytesIO()
    Image.fromarray((255 * disc).astype(np.uint8)).save(held, form)
    return held.getvalue()


def curves() -> Section:
    """Curves with a band, with points, thin ones beside a strong one, with a gap; one table of thresholds."""
    x = np.linspace(0, 1, 400)
    main = x**0.25
    weak = Line("one view, CC_R", x, x**0.5, strong=False)
    band = Line("ensemble", x, main, np.clip(main - 0.1, 0, 1), np.clip(main + 0.06, 0, 1))
    gap = Line("with a gap", x, np.where((x > 0.4) & (x < 0.6), np.nan, x**0.8), strong=False)
    roc = LineChart(
        "roc",
        "ROC of dense against not dense",
        "1 − specificity",
        "sensitivity",
        (band, weak, gap),
        diagonal=True,
        caption="Band: 95 % of resamples of subjects. The dotted line is chance.",
    )
    at = np.array([0.15, 0.35, 0.55, 0.75, 0.92])
    points = Line("observed", at, at**1.3, np.clip(at**1.3 - 0.09, 0, 1), np.clip(at**1.3 + 0.09, 0, 1), points=True)
    reliability = LineChart(
        "reliability", "Reliability", "stated probability", "share that was so", (points,), diagonal=True
    )
    costs = LineChart(
        "views",
        "Accuracy by number of views",
        "views",
        "accuracy",
        (
            Line(
                "mean",
                [1, 2, 3, 4],
                [0.61, 0.7, 0.74, 0.78],
                [0.5, 0.6, 0.64, 0.7],
                [0.7, 0.8, 0.83, 0.86],
                points=True,
            ),
        ),
        x_range=(0, 5),
        y_range=(0.4, 1),
    )
    rows = [
        ["0.5", 0.5, Interval(0.81, 0.73, 0.87), Interval(0.9, 0.85, 0.94), 12],
        ["Youden", 0.37215, Interval(0.88, 0.8, 0.94), Interval(0.82, 0.75, 0.89), 20],
        ["recall 0.9, of validation", 0.312, Interval(math.nan, math.nan, math.nan), Interval(-0.02, -0.1, 0.05), None],
    ]
    columns = {
        "rule": "rule",
        "threshold": "threshold",
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "called": "called positive",
    }
    table = Table("thresholds", "Thresholds", columns, rows, "Chosen on validation where there is one.")
    return Section(
        "two-classes",
        "Dense or not dense",
        "At 0.90 specificity the ensemble finds 0.81 of the dense exams (95 % interval 0.73–0.87).",
        (table,),
        (roc, reliability, costs),
        method="ROC by Fawcett (Pattern Recognit Lett 2006); AUC interval by DeLong (Biometrics 1988).",
    )


def devices() -> Section:
    """Bars and points with whiskers, a reference, a marked row, an undefined bar, long names."""
    bars = (
        Bar("Hologic", 0.84, 0.76, 0.9, note="n 61"),
        Bar("GE", 0.8, 0.66, 0.9, note="n 30"),
        Bar("Siemens <Mammomat>", 0.33, 0.05, 0.6, True, "n 9"),
        Bar("unknown", math.nan, note="n 0"),
    )
    by_device = BarChart(
        "devices", "Accuracy by device", "accuracy", bars, reference=0.78, caption="Dashed: all exams."
    )
    gains = BarChart(
        "gains",
        "Gain of the ensemble over its members",
        "difference of accuracy",
        tuple(
            Bar(f"ensemble against the network of {v}, same exams", 0.02 * i, 0.02 * i - 0.04, 0.02 * i + 0.05)
            for i, v in enumerate(("CC_R", "CC_L", "MLO_R"))
        ),
        x_range=(-0.1, 0.2),
        reference=0.0,
    )
    rows = [
        ["Hologic", 61, Interval(0.84, 0.76, 0.9), 0.2],
        ["GE", 30, Interval(0.8, 0.66, 0.9), 0.71],
        ["Siemens <Mammomat>", 9, Interval(0.33, 0.05, 0.6), 0.00004],
    ]
    columns = {"device": "device", "exams": "exams", "accuracy": "accuracy", "p": "p, Holm"}
    return Section(
        "subgroups",
        "Does a device fail?",
        "One of 3 devices fails: Siemens <Mammomat> has an accuracy of 0.33, the others 0.83.",
        (Table("devices", "By device", columns, rows, marked=frozenset({2})),),
        (by_device, gains),
        notes=("9 exams of a device are few: its interval is wide",),
        method="Each device against all others, Fisher's exact test, corrected by Holm.",
    )


def errors() -> Section:
    """A long table, and pictures of two formats."""
    rng = np.random.default_rng(0)
    rows = [
        [f"S{i:04d}", str(rng.choice(list("ABCD"))), int(rng.integers(1, 13)), float(rng.uniform(-5, 20))]
        for i in range(60)
    ]
    columns = {"subject": "subject", "true": "true", "views": "views that disagree", "distance": "distance, mm"}
    shown = tuple(
        Picture(f"subject S{i:04d}, true A, called D", grey(i, "JPEG" if i % 2 else "PNG"), "CC_R") for i in range(5)
    )
    return Section(
        "errors",
        "Worst errors",
        "60 exams are listed, the surest mistakes first.",
        (Table("second-look", "Subjects that deserve a second look", columns, rows),),
        pictures=shown,
    )


def agreement() -> Section:
    """A matrix of long class names, one of them without a case."""
    names = ("normal", "benign-calcification", "benign-mass", "malignant-calcification", "malignant-mass")
    counts = np.diag([40, 12, 0, 9, 14]) + 1
    counts[2] = 0
    return Section(
        "readers",
        "Do readers agree?",
        "They agree in 75 of 95 exams.",
        charts=(MatrixChart("readers", "Reader 1 by reader 2", names, counts.tolist()),),
    )


def empty() -> Section:
    """A chart without a single defined point, and a table of only text."""
    chart = LineChart("none", "Nothing defined", "x", "y", (Line("all", [0.0, 1.0], [math.nan] * 2),))
    text = "A sentence that is so long that it has to be broken into several lines of the cell it stands in."
    return Section(
        "provenance",
        "Where the data come from",
        "A dataset of 100 subjects.",
        (Table("audit", "Audit", {"what": "what", "found": "found"}, [["leaks", text], ["<b>tag</b>", None]]),),
        (chart,),
    )
