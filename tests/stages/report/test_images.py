import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.merit.delong import delong
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.images import section
from tests.stages.report.studies import FEW, study_made


def pooled(study):
    """Side, score and subject of the rows of all views, one after the other."""
    side, score, subjects = [], [], []
    for view in View:
        one = study.levels[view]
        side += (one.true == 1).tolist()
        score += one.scores[:, 1].tolist()
        subjects += list(one.rows.subject_ids)
    return np.array(side), np.array(score), subjects


def row(found):
    return found.tables[0].records()[0]


@pytest.mark.parametrize("task", ["density", "tissue"])
def test_tasks_of_the_exam_have_no_images(task):
    assert section(study_made(task)) is None


def test_one_view_has_no_section_of_its_own():
    assert section(study_made("pathology", views=(View.CC_R,))) is None


def test_the_figures_are_those_of_scikit_learn_on_the_rows_of_all_views():
    study = study_made("pathology", skill=0.7)
    side, score, subjects = pooled(study)
    found = row(section(study))
    assert (found["images"], found["subjects"], found["positive"]) == (240, 60, side.sum())
    assert found["auc"]["value"] == pytest.approx(metrics.roc_auc_score(side, score))
    assert found["auc_delong"]["value"] == pytest.approx(found["auc"]["value"])
    limits = delong(side, score, subjects).interval()
    assert (found["auc_delong"]["low"], found["auc_delong"]["high"]) == pytest.approx((limits.low, limits.high))
    assert found["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(side, score))
    called = score >= 0.5
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(side, called))
    assert found["sensitivity"]["value"] == pytest.approx(metrics.recall_score(side, called))
    assert found["specificity"]["value"] == pytest.approx(metrics.recall_score(~side, ~called))
    assert found["ppv"]["value"] == pytest.approx(metrics.precision_score(side, called))
    for name in ("auc", "average_precision", "accuracy", "sensitivity", "specificity"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"], name


def test_limits_are_those_of_drawing_subjects_with_all_their_images():
    study = study_made("pathology", skill=0.7, options=ReportOptions(resamples=4000))
    side, score, _ = pooled(study)
    rng, drawn = np.random.default_rng(3), []
    for _ in range(300):
        rows = (rng.integers(0, 60, 60)[None] + 60 * np.arange(4)[:, None]).ravel()
        drawn.append(metrics.roc_auc_score(side[rows], score[rows]))
    found = row(section(study))["auc"]
    np.testing.assert_allclose((found["low"], found["high"]), np.percentile(drawn, [2.5, 97.5]), atol=0.02)


def test_the_lead_says_how_many_images_and_subjects():
    study = study_made("pathology", skill=0.7)
    side, *_ = pooled(study)
    found = section(study)
    auc = row(found)["auc_delong"]
    assert found.lead.startswith(
        f"240 images of 60 subjects, {side.sum()} malignant and {240 - side.sum()} benign: AUC {auc['value']:.2f} ("
    )


def test_the_chart_is_the_roc_curve_with_its_band():
    study = study_made("birads", skill=0.7)
    side, score, _ = pooled(study)
    (chart,) = section(study).charts
    (line,) = chart.lines
    rates, hits, _ = metrics.roc_curve(side, score, drop_intermediate=False)
    at = np.array([max(hits[np.isclose(rates, x)], default=np.nan) for x in line.x])
    on = np.isfinite(at)
    on[0] = False  # the curve starts at the corner
    np.testing.assert_allclose(np.array(line.y)[on], at[on])
    assert line.y[0] == 0 and line.y[-1] == 1 and len(line.low) == len(line.x) and chart.diagonal
    (bare,) = section(study_made("birads", options=ReportOptions(resamples=0))).charts
    assert not len(bare.lines[0].low)


def test_several_systems_have_a_row_and_a_curve_each():
    study, other = study_made("pathology", skill=1), study_made("pathology", skill=0.2)
    found = section(dataclasses.replace(study, systems={"ours": study.levels, "theirs": other.levels}))
    assert [one["system"] for one in found.tables[0].records()] == ["ours", "theirs"]
    assert [line.label.split(",")[0] for line in found.charts[0].lines] == ["ours", "theirs"]
    assert found.tables[0].records()[1]["auc"]["value"] == pytest.approx(row(section(other))["auc"]["value"])


def test_averaged_rows_and_labels_of_the_exam_are_noted():
    study = study_made("pathology")
    assert section(study).notes == ("the true class is the exam's: images of the other breast are judged by it too",)
    one = study.levels[View.CC_R]
    rows = dataclasses.replace(one.rows, images=(2, 3, *one.rows.images[2:]))
    levels = dict(study.levels) | {View.CC_R: dataclasses.replace(one, rows=rows)}
    labels = {(level, s, e): n for (_, s, e), n in study.truth.labels.items() for level in View}
    truth = dataclasses.replace(study.truth, labels=labels)
    assert section(dataclasses.replace(study, levels=levels, truth=truth)).notes == (
        "rows that are the mean of several images of one view of an exam, counted as one: 2",
    )


@pytest.mark.parametrize(("weights", "noted"), [("abcd", True), ("aaaa", False), ("", False)])
def test_networks_of_their_own_for_each_view_are_noted(tmp_path, weights, noted):
    runs = {view: [{"weights_sha256": name}] for view, name in zip(View, weights, strict=False)}
    (tmp_path / "predictions.json").write_text(json.dumps({"runs": runs}))
    found = section(dataclasses.replace(study_made("pathology", options=FEW), folders=(tmp_path,)))
    assert any("scored by different networks" in note for note in found.notes) == noted


def test_images_of_one_side_alone_have_no_figures():
    study = study_made("pathology")
    levels = {name: one.taken(one.is_positive) for name, one in study.levels.items()}
    found = section(dataclasses.replace(study, levels=levels))
    assert "Undefined: all" in found.lead and "truly malignant" in found.lead and found.tables == ()
