import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.merit.delong import delong
from ensemble_mammo.merit.inputs.truth import truth_from_counts
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.read import levels_of, read_given
from ensemble_mammo.stages.report.sections.two_classes import section
from ensemble_mammo.stages.report.sections.two_sided import thresholds_of
from ensemble_mammo.stages.report.study import Study, judged
from tests.stages.report.studies import FEW, study_made


def table(found, name):
    return next(one for one in found.tables if one.name == name).records()


def chart(found, name):
    return next(one for one in found.charts if one.name == name)


def of_one_side(study, positive, levels):
    """The same study, with the exams of one side alone at some levels."""
    kept = {
        name: one.taken(one.is_positive == positive) if name in levels else one for name, one in study.levels.items()
    }
    return dataclasses.replace(study, levels=kept)


@pytest.mark.parametrize(
    ("task", "title"),
    [
        ("density", "Dense or not"),
        ("tissue", "Dense or not"),
        ("pathology", "Malignant or benign"),
        ("birads", "BI-RADS 4-6 or BI-RADS 1-2"),
        ("abnormality", "Abnormal or normal"),
        ("abnormality5", "Abnormal or normal"),
    ],
)
def test_the_sides_are_called_as_clinicians_call_them(task, title):
    found = section(study_made(task, 40, ReportOptions(resamples=0), views=(View.CC_R,)))
    assert found.title == title
    assert found.name == "two-classes"


def test_the_table_has_the_figures_of_scikit_learn_at_every_level_the_top_first():
    study = study_made(skill=0.7)
    rows = table(section(study), "two-class-figures")
    assert [row["level"] for row in rows] == list(study.levels)[::-1]
    for row in rows:
        one = study.levels[row["level"]]
        side, score = one.is_positive, one.scores[:, 2] + one.scores[:, 3]
        assert (row["exams"], row["positive"]) == (60, side.sum())
        assert row["auc_delong"]["value"] == pytest.approx(metrics.roc_auc_score(side, score))
        assert row["auc"]["value"] == pytest.approx(row["auc_delong"]["value"])
        assert row["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(side, score))
        assert row["partial_auc"]["value"] == pytest.approx(metrics.roc_auc_score(side, score, max_fpr=0.2))
        expected = delong(side, score, one.rows.subject_ids).interval()
        assert (row["auc_delong"]["low"], row["auc_delong"]["high"]) == pytest.approx((expected.low, expected.high))
        for name in ("auc", "pr_area", "sensitivity_at", "specificity_at", "pf1", "prevalence"):
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"], name


def test_the_lead_has_the_auc_of_the_top_level_and_what_stands_behind_it():
    found = section(study_made(skill=0.7))
    top = table(found, "two-class-figures")[0]
    auc, ups = top["auc_delong"], top["positive"]
    assert found.lead.startswith(
        f"Subject: AUC {auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f}) (limits by DeLong's method). Of one"
    )
    assert f"({ups} dense, {60 - ups} not dense exams)" in found.lead
    assert f"the sensitivity is {top['sensitivity_at']['value']:.2f} (" in found.lead


def test_thresholds_are_chosen_on_validation_where_it_is_given():
    study = study_made("pathology", 60, skill=0.7, validation=50)
    rows = table(section(study), "operating-points")
    assert [row["rule"] for row in rows] == ["0.5", "Youden", "sensitivity 0.9 or more"]
    assert [row["chosen_on"] for row in rows] == ["fixed", "validation (50 exams)", "validation (50 exams)"]
    held = study.validation["subject"]
    reached = held.positive_score[held.is_positive] >= rows[2]["threshold"]
    assert reached.mean() >= 0.9
    assert rows[2]["threshold"] in held.positive_score
    assert not any("optimistic" in note for note in section(study).notes)


def test_thresholds_chosen_on_the_test_itself_are_called_optimistic():
    study = study_made("pathology", 60, skill=0.7)
    found = section(study)
    assert [row["chosen_on"] for row in table(found, "operating-points")][1:] == ["these very exams (optimistic)"] * 2
    assert any("were chosen on these very exams, so what they come to is optimistic" in note for note in found.notes)


def test_validation_of_one_side_chooses_nothing():
    study = study_made("pathology", 60, skill=0.7, validation=50)
    held = {name: one.taken(one.is_positive) for name, one in study.validation.items()}
    chosen = thresholds_of(study.top, dataclasses.replace(study, validation=held))
    assert [one.optimistic for one in chosen] == [False, True, True]


def test_operating_points_have_the_counts_of_scikit_learn():
    study = study_made(skill=0.7)
    rows = table(section(study), "operating-points") + table(section(study), "operating-points-of-other-levels")
    assert len(rows) == 3 * len(study.levels)
    for row in rows:
        one = study.levels[row["level"]]
        called = one.positive_score >= row["threshold"]
        (passes, alarms), (misses, hits) = metrics.confusion_matrix(one.is_positive, called).tolist()
        found = [row[f"{kind}s"] for kind in ("true_negative", "false_positive", "false_negative", "true_positive")]
        assert found == [passes, alarms, misses, hits]
        assert row["sensitivity"]["value"] == pytest.approx(hits / (hits + misses))
        assert row["npv"]["value"] == pytest.approx(passes / (passes + misses))
        assert row["called"]["low"] <= row["called"]["value"] <= row["called"]["high"]


def test_curves_show_the_top_level_with_its_band_and_the_others_thin():
    study = study_made(skill=0.7)
    found = section(study)
    roc, recall = chart(found, "roc"), chart(found, "precision-recall")
    main = roc.lines[0]
    assert main.label.startswith("subject, AUC 0.")
    assert len(main.x) == len(main.y) == len(main.low) == len(main.high)
    assert (main.x[0], main.y[0], main.x[-1], main.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(main.x) >= 0).all()
    assert (np.diff(main.y) >= 0).all()
    marks = [line for line in roc.lines if line.points]
    assert [line.label for line in marks] == [
        "subject at threshold 0.5",
        "subject at Youden",
        "subject at sensitivity 0.9 or more",
    ]
    for line in marks:  # operating points lie on the curve
        assert np.interp(line.x[0], main.x, main.y) == pytest.approx(line.y[0], abs=0.1)
    thin = [line for line in roc.lines if not line.strong]
    assert len(thin) == len(study.levels) - 1
    assert not any(line.low for line in thin)
    assert len(recall.lines[0].low) == len(recall.lines[0].y) == 100
    assert recall.lines[-1].label.startswith("chance")
    assert "100 resamples" in roc.caption


def test_no_resamples_leave_limits_and_bands_out():
    found = section(study_made(options=ReportOptions(resamples=0), skill=0.7))
    assert chart(found, "roc").lines[0].low == ()
    assert "No band" in chart(found, "roc").caption
    row = table(found, "two-class-figures")[0]
    assert row["auc"]["low"] is None
    assert row["auc_delong"]["low"] is not None  # DeLong needs no resamples


def test_the_seed_decides():
    assert section(study_made(skill=0.7)) == section(study_made(skill=0.7))
    other = dataclasses.replace(FEW, seed=3)
    assert section(study_made(skill=0.7)) != section(study_made(skill=0.7, options=other))


def test_exams_of_one_side_everywhere_leave_the_section_with_its_reason():
    study = study_made()
    found = section(of_one_side(study, False, study.levels))
    count = int((~study.top.is_positive).sum())
    assert found.lead.startswith(f"Undefined at level subject: all {count} exams are truly not dense")
    assert [one.name for one in found.tables] == ["called"]
    assert "all exams are truly not dense" in found.notes[0]


def test_other_levels_stay_where_the_top_one_is_of_one_side():
    found = section(of_one_side(study_made(), True, {"subject"}))
    assert found.lead.startswith("Undefined at level subject: all ")
    assert "Left breast: AUC " in found.lead
    assert "subject" not in [row["level"] for row in table(found, "two-class-figures")]
    assert found.notes[0] == "subject: all exams are truly dense, so nothing here is defined."


def test_a_task_without_a_positive_side_has_no_such_section():
    study = study_made()
    levels = {name: dataclasses.replace(one, positive=()) for name, one in study.levels.items()}
    assert section(dataclasses.replace(study, levels=levels)) is None


def test_perfect_scores_say_why_they_have_no_limits():
    found = section(study_made("pathology", 40, skill=30))
    assert table(found, "two-class-figures")[0]["auc_delong"] == {"value": 1.0, "low": None, "high": None}
    assert any(note.startswith("subject: AUC is 1: no pair of cases is out of order") for note in found.notes)
    assert any("exact binomial limits are 0." in note for note in found.notes)


def test_a_threshold_that_calls_nobody_has_no_ppv_and_says_so():
    study = study_made("pathology", 40, views=(View.CC_R,), skill=0.7)
    one = study.levels["CC_R"]
    low = np.column_stack([1 - one.scores[:, 1] / 3, one.scores[:, 1] / 3])
    weak = dataclasses.replace(one, rows=dataclasses.replace(one.rows, scores=low))
    found = section(dataclasses.replace(study, levels={"CC_R": weak}))
    assert table(found, "operating-points")[0]["ppv"]["value"] is None
    assert "CC_R, threshold of 0.5: no exam is called malignant, so PPV is undefined." in found.notes


def test_subjects_with_several_exams_widen_delongs_interval():
    study = study_made("pathology", 80, views=(View.CC_R,), skill=0.7)
    one = study.levels["CC_R"]
    order = np.lexsort([one.positive_score, one.true])  # neighbours score alike: a subject's exams are alike
    paired = one.taken(order)
    ids = tuple(f"S{i // 4}" for i in range(80))
    exams = ("1", "2", "3", "4") * 20
    paired = dataclasses.replace(paired, rows=dataclasses.replace(paired.rows, subject_ids=ids, exam_ids=exams))
    rows = [
        table(section(dataclasses.replace(study, levels={"CC_R": level})), "two-class-figures")[0]["auc_delong"]
        for level in (one, paired)
    ]
    assert rows[0]["value"] == pytest.approx(rows[1]["value"])
    assert rows[1]["high"] - rows[1]["low"] > 1.3 * (rows[0]["high"] - rows[0]["low"])


def test_all_of_it_goes_into_json():
    found = section(study_made(skill=0.7))
    held = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert set(held["tables"]) == {
        "called",
        "two-class-figures",
        "operating-points",
        "operating-points-of-other-levels",
    }
    assert set(held["charts"]) == {"roc", "precision-recall"}


@pytest.mark.real
def test_the_published_density_files_are_judged_as_scikit_learn_does(real_data):
    folder = real_data / "infn-density" / "Predictions"
    task = TASKS["density"]
    given, _ = read_given([folder / "predictions_ccr.txt", folder / "predictions_mlor.txt"], task)
    truth = truth_from_counts("A=14,B=51,C=50,D=13", task).placed(given)
    levels, _ = levels_of(given, task, FEW.fusion)
    study = Study(task, truth, FEW, tuple(given), {name: judged(rows, truth) for name, rows in levels.items()})
    texts = [np.loadtxt(folder / f"predictions_{view}.txt") for view in ("ccr", "mlor")]
    score = np.mean(texts, axis=0)[:, 2:].sum(axis=1)
    side = np.repeat([False, True], [65, 63])
    row = table(section(study), "two-class-figures")[0]
    assert row["level"] == "right"
    assert row["auc"]["value"] == pytest.approx(metrics.roc_auc_score(side, score), abs=1e-9)
    assert row["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(side, score), abs=1e-9)


def test_scores_of_exactly_one_half_are_told_since_two_rules_part_there():
    study = study_made("pathology", 40, skill=0.7)
    assert not any("score exactly 0.5" in note for note in section(study).notes)
    rows = study.levels["subject"].rows
    tied = dataclasses.replace(
        study.levels["subject"],
        rows=dataclasses.replace(rows, scores=np.where(np.arange(40)[:, None] < 3, 0.5, rows.scores)),
    )
    notes = section(dataclasses.replace(study, levels=dict(study.levels) | {"subject": tied})).notes
    assert any(note.startswith("3 exams score exactly 0.5: the headline counts them as benign") for note in notes)
