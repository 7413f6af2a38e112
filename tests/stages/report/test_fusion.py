import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.merit.inputs.truth import ANY, Truth
from ensemble_mammo.merit.intervals import Interval, intervals
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections import fusion
from ensemble_mammo.stages.report.sections.ensemble import ensemble_of
from ensemble_mammo.stages.report.sections.fusion import verdict
from ensemble_mammo.stages.report.study import Study, judged, rows_taken
from tests.stages.report.studies import study_made

FEW = ReportOptions(resamples=50)


def tables_of(section):
    return {table.name: table for table in section.tables}


def column(table, key):
    place = list(table.columns).index(key)
    return [row[place] for row in table.rows]


def with_gaps(study, dropped):
    """The same study, of which some views lack their first rows."""
    given = [rows_taken(p, np.arange(len(p)) >= dropped[p.level]) if p.level in dropped else p for p in study.views]
    tables = {p.level: p for p in given} | dict(fuse(given, study.task).levels)
    return replace(study, views=tuple(given), levels={level: judged(p, study.truth) for level, p in tables.items()})


@pytest.fixture(scope="module")
def density():
    study = study_made("density", 60, FEW, skill=0.8)
    return study, fusion.section(study)


def test_all_views_have_the_figures_of_the_headline_and_its_limits(density):
    study, section = density
    subsets = tables_of(section)["fusion-subsets"]
    headline = intervals(study.levels["subject"].cases, 50, study.options.seed)
    for name in ("accuracy", "kappa"):
        found = column(subsets, name)[-1]
        expected = headline[name]
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert column(subsets, "views")[-1] == "CC_R+CC_L+MLO_R+MLO_L"
    assert column(subsets, "difference")[-1] == Interval(0, 0, 0)


def test_every_subset_has_the_figures_of_its_views_fused(density):
    study, section = density
    subsets = tables_of(section)["fusion-subsets"]
    assert len(subsets.rows) == 15
    for views, accuracy, kappa in zip(*(column(subsets, key) for key in ("views", "accuracy", "kappa")), strict=True):
        sides = {View(name).side for name in views.split("+")}
        level = "subject" if len(sides) == 2 else str(next(iter(sides)))
        rows = fuse([p for p in study.views if p.level in views.split("+")], study.task).levels[level]
        expected = figures_of(study.truth.of(rows), rows.scores)
        assert (accuracy.value, kappa.value) == pytest.approx((expected["accuracy"], expected["kappa"]))


def test_numbers_of_views_are_means_over_their_subsets(density):
    tables = tables_of(density[1])
    sizes = column(tables["fusion-subsets"], "number")
    values = [one.value for one in column(tables["fusion-subsets"], "accuracy")]
    for size, count, mean in zip(
        *(column(tables["fusion-number"], key) for key in ("number", "subsets", "accuracy")), strict=True
    ):
        own = [value for value, number in zip(values, sizes, strict=True) if number == size]
        assert count == len(own)
        assert mean.value == pytest.approx(np.mean(own))


def test_the_gain_is_that_over_the_best_single_view_and_the_lead_says_it(density):
    _, section = density
    tables = tables_of(section)
    singles = [one.value for one in column(tables["fusion-subsets"], "accuracy")[:4]]
    whole, best, gain, mean, over, some, floor = column(tables["fusion-gain"], "accuracy")
    assert best.value == max(singles)
    assert gain.value == pytest.approx(whole.value - max(singles))
    assert (mean.value, over.value) == pytest.approx((np.mean(singles), whole.value - np.mean(singles)))
    assert some.value >= whole.value
    assert floor == np.bincount(density[0].top.true).max() / len(density[0].top.true)
    assert section.lead.startswith(f"Four views together: accuracy {whole.value:.2f} (")
    gained = f"gain {gain.value:.2f} ({gain.low:.2f} to {gain.high:.2f})".replace("-", "−")
    assert f"{gained}: {verdict(gain)}." in section.lead
    three = [one.value for one in column(tables["fusion-subsets"], "accuracy")[10:14]]
    assert section.lead.endswith(f"without it {min(three):.2f}.")


@pytest.mark.parametrize(
    ("task", "own", "used"), [("density", "mean", ""), ("pathology", "maximum", ""), ("pathology", "maximum", "mean")]
)
def test_every_rule_stands_both_ways_and_the_one_in_use_is_marked(task, own, used):
    options = ReportOptions(resamples=0, fusion=Fusion(breast_to_subject=used))
    study = study_made(task, 30, options)
    table = tables_of(fusion.section(study))["fusion-rules"]
    ways = {"mean": "all views alike", "maximum": "the worse breast"}
    assert len(table.rows) == 8
    (marked,) = table.marked
    assert table.rows[marked][:2] == ["mean", ways[used or own]]
    assert "in use" in table.rows[marked][2]
    said = {(row[0], row[1]): row[2] for row in table.rows}
    assert "the task's own" in said["mean", ways[own]]
    assert column(table, "difference")[marked].value == 0
    for rule, way, accuracy in zip(*(column(table, key) for key in ("rule", "subject", "accuracy")), strict=True):
        chosen = next(name for name, text in ways.items() if text == way)
        rows = fuse(study.views, study.task, Fusion(rule, breast_to_subject=chosen)).levels["subject"]
        assert accuracy.value == pytest.approx((rows.scores.argmax(1) == study.truth.of(rows)).mean())


def test_two_classes_are_judged_by_auc_and_single_views_are_explained():
    section = fusion.section(study_made("pathology", 30, FEW))
    assert "views together: AUC" in section.lead
    assert any("that of her worse breast" in note for note in section.notes)


def test_two_views_of_one_breast_are_fused_to_the_breast():
    study = study_made("density", 60, FEW, views=(View.CC_R, View.MLO_R))
    section = fusion.section(study)
    assert section.lead.startswith("Two views together")
    assert "missed most" not in section.lead
    tables = tables_of(section)
    assert len(tables["fusion-subsets"].rows) == 3
    assert len(tables["fusion-rules"].rows) == 4
    rows = fuse(study.views, study.task).levels["right"]
    expected = (rows.scores.argmax(1) == study.truth.of(rows)).mean()
    assert column(tables["fusion-gain"], "accuracy")[0].value == pytest.approx(expected)


def test_weights_given_are_kept_and_a_view_that_weighs_nothing_is_no_member():
    weights = {"CC_R": 3.0, "MLO_L": 0.0}
    study = study_made("density", 60, ReportOptions(resamples=0, fusion=Fusion(weights=weights)))
    tables = tables_of(fusion.section(study))
    assert column(tables["fusion-subsets"], "views")[-1] == "CC_R+CC_L+MLO_R"
    rows = fuse(study.views, study.task, Fusion(weights=weights)).levels["subject"]
    expected = (rows.scores.argmax(1) == study.truth.of(rows)).mean()
    assert column(tables["fusion-subsets"], "accuracy")[-1].value == pytest.approx(expected)
    assert column(tables["fusion-learned"], "fusion")[:2] == ["the rule in use", "plain mean"]


def test_exams_with_gaps_stand_in_a_table_of_their_own():
    study = with_gaps(study_made("density", 60, FEW, skill=0.8), {"CC_R": 8, "CC_L": 3})
    section = fusion.section(study)
    tables = tables_of(section)
    assert "52 exams of 52 subjects" in tables["fusion-gain"].caption
    assert any("52 exams that have every view; 8 exams without" in note for note in section.notes)
    gaps = tables["fusion-gaps"]
    assert [(row[0], row[1]) for row in gaps.rows] == [(4, 52), (3, 5), (2, 3)]
    top = study.levels["subject"]
    right = {s: bool(r) for s, r in zip(top.rows.subject_ids, top.predicted == top.true, strict=True)}
    assert gaps.rows[1][2] == sum(right[f"S{i:04d}"] for i in range(3, 8))
    assert gaps.rows[2][2] == sum(right[f"S{i:04d}"] for i in range(3))


def test_where_no_exam_has_every_view_the_lead_says_so():
    study = study_made("density", 20, FEW, views=(View.CC_R, View.CC_L))
    first, second = study.views
    given = (rows_taken(first, np.arange(20) < 10), rows_taken(second, np.arange(20) >= 10))
    section = fusion.section(replace(study, views=given))
    assert section.lead == "No exam has all 2 views, so subsets of them cannot be compared."
    assert [table.name for table in section.tables] == ["fusion-gaps"]


def test_fusion_learned_on_the_test_is_called_an_estimate(density):
    section = density[1]
    assert any("an estimate of what learning would give" in note for note in section.notes)
    tables = tables_of(section)
    assert column(tables["fusion-learned"], "fusion") == ["the rule in use", "learned weights", "stacking"]
    assert sum(column(tables["fusion-weights"], "weight")) == pytest.approx(1)
    assert column(tables["fusion-learned"], "difference")[0] == Interval(0, 0, 0)


def test_fusion_is_learned_on_validation_where_it_has_every_view():
    study = study_made("density", 30, ReportOptions(resamples=40), validation=60)
    section = fusion.section(study)
    learned = tables_of(section)["fusion-learned"]
    assert "Learned from 60 validation exams" in learned.caption
    assert not any("an estimate" in note for note in section.notes)


def test_too_little_validation_is_said_and_too_few_subjects_teach_nothing():
    study = study_made("density", 30, ReportOptions(resamples=40), validation=20)
    section = fusion.section(study)
    assert "fusion-learned" not in tables_of(section)
    assert any("not learned on the validation subjects: 20 subjects" in note for note in section.notes)
    assert any("no fusion was learned: 30 subjects have every view, 40 are needed" in note for note in section.notes)


def test_there_is_no_section_without_two_views_or_where_studies_are_not_wanted():
    assert fusion.section(study_made("density", 20, FEW, views=(View.CC_R,))) is None
    assert fusion.section(study_made("density", 20, ReportOptions(resamples=40, studies=False))) is None


def test_unlabelled_exams_are_left_out():
    study = study_made("density", 30, FEW)
    labels = {key: number for key, number in study.truth.labels.items() if key[1] != "S0003"}
    study = replace(study, truth=Truth(study.task, "labels.csv", labels))
    assert "29 exams of 29 subjects" in tables_of(fusion.section(study))["fusion-gain"].caption
    nobody = replace(study, truth=Truth(study.task, "labels.csv", {(ANY, "X", ANY): 0}))
    assert ensemble_of(nobody) is None


def test_a_subject_file_of_its_own_is_noted():
    study = study_made("density", 20, FEW)
    own = fuse(study.views, study.task).levels["subject"]
    section = fusion.section(replace(study, views=(*study.views, own)))
    assert any("the subject has a file of its own" in note for note in section.notes)


def test_the_section_is_json_without_nan_and_the_same_for_the_same_seed(density):
    study, section = density
    text = json.dumps(section.as_json(), allow_nan=False)
    assert json.dumps(fusion.section(study).as_json(), allow_nan=False) == text


def test_differences_are_put_into_words():
    assert verdict(Interval(0.1, 0.01, 0.2)) == "more than chance explains"
    assert verdict(Interval(0.1, -0.01, 0.2)) == "not beyond chance"
    assert verdict(Interval(-0.1, -0.2, -0.01)) == "less, more than chance explains"
    assert verdict(Interval(0.1, np.nan, np.nan)) == ""


@pytest.mark.real
def test_the_two_published_views_of_the_right_breast(real_data):
    from ensemble_mammo.merit.inputs.truth import truth_from_counts
    from ensemble_mammo.stages.report.read import levels_of, read_given

    folder = real_data / "infn-density" / "Predictions"
    task = TASKS["density"]
    given, _ = read_given([folder / "predictions_ccr.txt", folder / "predictions_mlor.txt"], task)
    truth = truth_from_counts("A=14,B=51,C=50,D=13", task).placed(given)
    levels, _ = levels_of(given, task, Fusion())
    options = ReportOptions(resamples=200)
    study = Study(task, truth, options, tuple(given), {level: judged(p, truth) for level, p in levels.items()})
    section = fusion.section(study)
    table = tables_of(section)["fusion-subsets"]
    for one, level in zip(column(table, "accuracy"), ("CC_R", "MLO_R", "right"), strict=True):
        top = study.levels[level]
        assert one.value == pytest.approx((top.predicted == top.true).mean())
    assert "fusion-learned" in tables_of(section)
