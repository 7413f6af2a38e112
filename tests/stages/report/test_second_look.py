import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.merit.inputs.truth import Truth
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections import second_look
from ensemble_mammo.stages.report.study import Study, judged
from tests.stages.report.studies import study_made

FEW = ReportOptions(resamples=50)


def tables_of(section):
    return {table.name: table for table in section.tables}


def study_of(rows, true, task="density", options=FEW):
    """A study of exams whose views' scores [S, V, C] are given; views in the order of `View`, None: missing."""
    known = TASKS[task]
    given = []
    for place, view in enumerate(View):
        own = [i for i, exam in enumerate(rows) if exam[place] is not None]
        scores = np.array([rows[i][place] for i in own], dtype=float)
        many = len(own)
        names = tuple(f"S{i}" for i in own)
        once = (1,) * many
        given.append(Predictions(view.value, known.classes, scores, names, ("1",) * many, (view.value,) * many, once))
    truth = Truth(known, "labels.csv", {("", f"S{i}", ""): t for i, t in enumerate(true) if t is not None})
    levels = {p.level: judged(p, truth) for p in given} | {
        level: judged(p, truth) for level, p in fuse(given, known).levels.items()
    }
    return Study(known, truth, options, tuple(given), levels)


A, B, C = [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]
EXAMS = [
    [A, A, A, A],  # agreed
    [B, B, C, B],  # one dissents
    [B, C, B, A],  # two dissent
    [C, None, C, B],  # one of three dissents
    [C, C, C, C],  # agreed, without a true class
]
TRUE = [0, 1, 2, 2, None]


def test_the_list_goes_by_dissent_and_names_what_each_view_says():
    table = tables_of(second_look.section(study_of(EXAMS, TRUE)))["second-look"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["subject_id"] for row in rows] == ["S2", "S3", "S1"]
    assert rows[0]["votes"] == "CC_R B, CC_L C, MLO_R B, MLO_L A"
    assert rows[1]["votes"] == "CC_R C, CC_L -, MLO_R C, MLO_L B"
    assert [row["dissent"] for row in rows] == ["2 of 4", "1 of 3", "1 of 4"]
    assert [(row["predicted"], row["true"], row["verdict"]) for row in rows] == [
        ("B", "C", "wrong"),
        ("C", "C", "right"),
        ("B", "B", "right"),
    ]
    assert rows[2]["second"] == "C"
    assert (rows[2]["score"], rows[2]["margin"]) == pytest.approx((0.55, 0.3))
    assert table.marked == {0}
    assert "3 of 5 exams are flagged" in table.caption


def test_a_close_call_is_flagged_though_no_view_dissents_and_so_is_an_unlabelled_exam():
    close = [0.45, 0.4, 0.1, 0.05]
    study = study_of([[A] * 4, [close] * 4, [B, B, C, B]], [0, 0, None])
    rows = [
        dict(zip(t.columns, r, strict=True))
        for t in [tables_of(second_look.section(study))["second-look"]]
        for r in t.rows
    ]
    assert [(row["subject_id"], row["true"], row["verdict"]) for row in rows] == [("S2", "", ""), ("S1", "A", "right")]


def test_the_true_class_plays_no_part_in_the_order():
    study = study_made("density", 40, FEW, skill=0.5)
    labels = {key: 3 - number for key, number in study.truth.labels.items()}
    other = replace(study, truth=Truth(study.task, "labels.csv", labels))
    first, second = (tables_of(second_look.section(one))["second-look"].rows for one in (study, other))
    assert [row[1] for row in first] == [row[1] for row in second]


def test_accuracy_by_dissent_and_by_distance_counts_complete_labelled_exams():
    tables = tables_of(second_look.section(study_of(EXAMS, TRUE)))
    assert [row[:3] for row in tables["second-look-dissent"].rows] == [[0, 1, 1], [1, 1, 1], [2, 1, 0]]
    assert [row[:3] for row in tables["second-look-spread"].rows] == [[0, 1, 1], [1, 1, 1], [2, 1, 0]]


def test_dissent_is_within_the_breast_where_the_worse_breast_counts():
    good, bad = [0.9, 0.1], [0.2, 0.8]
    rows = [[good, bad, good, bad], [good, bad, good, good], [good, good, good, good]]
    tables = tables_of(second_look.section(study_of(rows, [1, 0, 0], "pathology")))
    assert "second-look-spread" not in tables
    listed = [dict(zip(tables["second-look"].columns, row, strict=True)) for row in tables["second-look"].rows]
    assert [(row["subject_id"], row["dissent"]) for row in listed] == [("S1", "1 of 4")]


def test_errors_met_are_counted_by_a_plain_loop():
    study = study_made("density", 60, FEW, skill=0.6)
    section = second_look.section(study)
    tables = tables_of(section)
    top = study.levels["subject"]
    wrong = {s: bool(w) for s, w in zip(top.rows.subject_ids, top.predicted != top.true, strict=True)}
    order = [row[1] for row in tables["second-look"].rows]
    total = sum(wrong.values())
    assert [row[0] for row in tables["second-look-found"].rows] == [6, 12, 18, 30]
    for looked, share, met, found, chance in tables["second-look-found"].rows:
        expected = sum(wrong[subject] for subject in order[:looked])
        assert (met, found.value) == (expected, pytest.approx(expected / total))
        assert share == chance == looked / 60
    assert section.lead.startswith("A second look at the 6 exams first on the list (10 % of 60) meets")
    curve = next(chart for chart in section.charts if chart.name == "second-look-curve")
    main = curve.lines[0]
    assert (main.x[0], main.y[0], main.x[-1], main.y[-1]) == (0, 0, 1, 1)
    assert dict(zip(main.x, main.y, strict=True))[0.1] == pytest.approx(tables["second-look-found"].rows[0][3].value)
    best = curve.lines[-1]
    assert dict(zip(best.x, best.y, strict=True))[0.1] == pytest.approx(6 / total)


def test_a_long_curve_is_thinned_for_the_page():
    curve = next(
        chart
        for chart in second_look.section(study_made("density", 500, ReportOptions(resamples=0), skill=0.6)).charts
        if chart.name == "second-look-curve"
    )
    assert len(curve.lines[0].x) == 201


def test_margin_alone_is_named_where_it_would_find_more():
    sure, wrong_but_agreed = [0.97, 0.01, 0.01, 0.01], [0.3, 0.28, 0.22, 0.2]
    dissenter = [0.01, 0.97, 0.01, 0.01]
    rows = [[sure, sure, sure, dissenter]] + [[wrong_but_agreed] * 4] + [[sure] * 4] * 8
    section = second_look.section(study_of(rows, [0, 1] + [0] * 8))
    assert any("the smallest margin alone" in note and "1 of the 1 error" in note for note in section.notes)


def test_without_errors_the_lead_says_so_and_shares_are_undefined():
    section = second_look.section(study_of([[A] * 4, [B, B, C, B]], [0, 1]))
    assert section.lead.startswith("All 2 labelled exams were read rightly")
    assert any("undefined" in note for note in section.notes)
    assert all(np.isnan(row[3].value) for row in tables_of(section)["second-look-found"].rows)
    assert [chart.name for chart in section.charts] == ["second-look-dissent"]
    json.dumps(section.as_json(), allow_nan=False)


def test_hidden_ids_are_numbers_in_the_order_of_the_list():
    shown = tables_of(second_look.section(study_of(EXAMS, TRUE)))["second-look"].rows
    hidden = second_look.section(study_of(EXAMS, TRUE, options=ReportOptions(resamples=40, hide_ids=True)))
    rows = tables_of(hidden)["second-look"].rows
    assert [row[1:3] for row in rows] == [["subject 1", ""], ["subject 2", ""], ["subject 3", ""]]
    assert [row[3:] for row in rows] == [row[3:] for row in shown]
    assert "S2" not in json.dumps(hidden.as_json())


def test_signs_are_judged_with_intervals_and_the_same_seed_gives_the_same():
    study = study_made("density", 60, FEW, skill=0.6)
    section = second_look.section(study)
    signs = tables_of(section)["second-look-signals"].rows
    assert [row[0] for row in signs] == [
        "order of the list",
        "share of views that dissent",
        "small margin of the best class",
        "classes between the views",
    ]
    assert all(isinstance(row[1], Interval) and row[1].low <= row[1].value <= row[1].high for row in signs)
    assert section.as_json() == second_look.section(study).as_json()


def test_there_is_no_section_with_a_single_view():
    assert second_look.section(study_made("density", 20, FEW, views=(View.CC_R,))) is None


def test_the_rule_in_use_makes_the_classes():
    options = ReportOptions(resamples=0, fusion=Fusion("vote"))
    study = study_made("density", 40, options, skill=0.5)
    table = tables_of(second_look.section(study))["second-look"]
    fused = fuse(study.views, study.task, Fusion("vote")).levels["subject"]
    named = dict(zip(fused.subject_ids, np.array(study.task.classes)[fused.scores.argmax(1)], strict=True))
    assert all(row[3] == named[row[1]] for row in table.rows)
