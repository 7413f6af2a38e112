import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.merit.results import PredictionFile
from ensemble_mammo.records.calibration_file import class_sets, read_calibration, scaled, write_calibration
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.calibration import fitted, section
from tests.stages.report.studies import FEW, study_made

WITHOUT = ReportOptions(resamples=0)


def rows_of(found, name):
    """key of the first column -> record, of one table."""
    table = next(table for table in found.tables if table.name == name)
    return {next(iter(record.values())): record for record in table.records()}


def plain_ece(confidence, hit, bins=6):
    """Of distinct scores in equal-count bins."""
    order = np.argsort(confidence)
    place = [int((i + 0.5) * bins / len(order)) for i in range(len(order))]
    total = 0.0
    for b in range(bins):
        chosen = order[[i for i, p in enumerate(place) if p == b]]
        total += len(chosen) / len(order) * abs(confidence[chosen].mean() - hit[chosen].mean())
    return total


@pytest.fixture(scope="module")
def study():
    return study_made(count=60, validation=120)


@pytest.fixture(scope="module")
def made(study):
    return section(study)


def test_every_level_stands_in_the_table_with_its_own_figures(study, made):
    rows = rows_of(made, "calibration-levels")
    assert list(rows) == list(study.levels)
    for level, one in study.levels.items():
        confidence, hit = one.scores.max(1), one.predicted == one.true
        row = rows[level]
        assert row["exams"] == 60
        assert row["gap"]["value"] == pytest.approx(confidence.mean() - hit.mean())
        assert row["ece"]["value"] == pytest.approx(plain_ece(confidence, hit))
        assert row["brier"]["value"] == pytest.approx(((one.scores - np.eye(4)[one.true]) ** 2).sum(1).mean())
        assert row["log_loss"]["value"] == pytest.approx(-np.log(one.scores[range(60), one.true]).mean())
        shares = np.bincount(one.true, minlength=4) / 60
        always = ((np.tile(shares, (60, 1)) - np.eye(4)[one.true]) ** 2).sum(1).mean()
        assert row["floor"] == pytest.approx(always)
        assert row.get("marked", False) == (row["gap"]["low"] > 0 or row["gap"]["high"] < 0)


def test_the_lead_gives_score_accuracy_and_error_in_words(study, made):
    top = study.top
    score, share = (f"{100 * x:.0f} %" for x in (top.scores.max(1).mean(), (top.predicted == top.true).mean()))
    assert made.lead.startswith(f"The highest score of the subject says {score} on average, and it is right in {share}")
    assert "not sure enough by" in made.lead  # a mean of views is
    assert "a perfectly calibrated system would show 0." in made.lead
    assert "With the temperature 0." in made.lead and "Sets of classes meant to hold the true one in 90 %" in made.lead


def test_the_temperature_is_fitted_on_validation_and_judged_on_the_test(study, made):
    calibration = fitted(study)
    row = rows_of(made, "calibration-temperature")["subject"]
    temperature = calibration.levels["subject"].temperature
    assert row["temperature"] == temperature != 1 and row["validation"] == 120
    after = scaled(study.top.scores, temperature)
    assert row["brier_after"]["value"] == pytest.approx(((after - np.eye(4)[study.top.true]) ** 2).sum(1).mean())
    assert row["ece_after"]["value"] == pytest.approx(plain_ece(after.max(1), study.top.predicted == study.top.true))
    assert row["change"]["value"] == pytest.approx(row["log_loss_after"]["value"] - row["log_loss_before"]["value"])
    assert row["change"]["high"] < 0


def test_sets_are_fitted_on_validation_and_judged_on_the_test(study, made):
    rule = fitted(study).levels["subject"].sets
    sets = class_sets(study.top.scores, "lac", rule.threshold)
    hit = sets[range(60), study.top.true]
    table = next(table for table in made.tables if table.name == "conformal")
    rows = {(r["level"], r["method"]): r for r in table.records()}
    assert list(rows) == [(level, method) for level in study.levels for method in ("LAC", "APS")]
    row = rows["subject", "LAC"]
    assert row["coverage"]["value"] == pytest.approx(hit.mean())
    assert row["size"]["value"] == pytest.approx(sets.sum(1).mean())
    assert row["single"]["value"] == pytest.approx((sets.sum(1) == 1).mean())
    assert row["coverage"]["low"] <= row["coverage"]["value"] <= row["coverage"]["high"]
    classes = rows_of(made, "conformal-classes")
    for place, name in enumerate("ABCD"):
        assert classes[name]["exams"] == (study.top.true == place).sum()
        assert classes[name]["lac"]["value"] == pytest.approx(hit[study.top.true == place].mean())


def test_the_chart_shows_the_bins_before_and_after(study, made):
    charts = {chart.name: chart for chart in made.charts}
    assert list(charts) == ["reliability", "reliability-positive"]
    chart = charts["reliability"]
    assert chart.diagonal and [line.label for line in chart.lines] == ["as given", "after temperature scaling"]
    table = next(table for table in made.tables if table.name == "calibration-bins")
    given = [record for record in table.records() if record["scores"] == "as given"]
    assert [record["score"] for record in given] == pytest.approx(list(chart.lines[0].x))
    assert [record["share"]["low"] for record in given] == pytest.approx(list(chart.lines[0].low))
    assert sum(record["exams"] for record in given) == 60
    assert "score of C or D" in charts["reliability-positive"].x_title


def test_classes_and_the_positive_group_are_rated(study, made):
    rows = rows_of(made, "calibration-classes")
    assert list(rows) == ["A", "B", "C", "D", "C or D"]
    dense = study.top.positive_score
    expected = ((dense - study.top.is_positive) ** 2).mean()
    assert rows["C or D"]["brier_binary"]["value"] == pytest.approx(expected)


def test_without_validation_temperature_and_sets_are_judged_fold_by_fold():
    study = study_made(count=60, options=replace(FEW, resamples=40), skill=1.0)
    plain = replace(study, fold_of={s: i % 4 for i, s in enumerate(study.top.rows.subject_ids)})
    found = section(plain)
    assert fitted(plain) is None  # the judged exams are no out-of-fold predictions
    top, fold = study.top, np.arange(60) % 4
    sets, after = np.zeros((60, 4), dtype=bool), np.zeros((60, 4))
    for number in range(4):
        held, learn = fold == number, np.flatnonzero(fold != number)
        kept = sorted(1 - top.scores[i, top.true[i]] for i in learn)  # split conformal, written out
        sets[held] = 1 - top.scores[held] <= kept[int(np.ceil(46 * 0.9)) - 1] + 1e-8
        temperatures = np.exp(np.linspace(-3, 1, 4001))
        losses = [-np.log(scaled(top.scores[learn], t)[range(45), top.true[learn]]).mean() for t in temperatures]
        after[held] = scaled(top.scores[held], temperatures[int(np.argmin(losses))])
    row = rows_of(found, "calibration-temperature")["subject"]
    assert row["log_loss_after"]["value"] == pytest.approx(-np.log(after[range(60), top.true]).mean(), abs=1e-4)
    assert row["least"] <= row["temperature"] <= row["greatest"] and row["exams"] == 60
    table = next(table for table in found.tables if table.name == "conformal")
    lac = next(r for r in table.records() if (r["level"], r["method"]) == ("subject", "LAC"))
    assert lac["coverage"]["value"] == pytest.approx(sets[range(60), top.true].mean())
    assert lac["size"]["value"] == pytest.approx(sets.sum(1).mean())
    right, single = top.predicted == top.true, sets.sum(1) == 1
    sure = rows_of(found, "conformal-sure")
    assert sure["one class: sure"]["accuracy"]["value"] == pytest.approx(right[single].mean())
    assert sure["several classes"]["share"]["value"] == pytest.approx((sets.sum(1) > 1).mean())
    unsure = rows_of(found, "conformal-unsure")
    assert set(unsure) == {s for s, one in zip(top.rows.subject_ids, single, strict=True) if not one}
    assert next(iter(unsure.values()))["set"].count(" ") == sets.sum(1).max() - 1  # the largest first
    assert "fitted fold by fold on other subjects" in found.lead and "It is sure (a single class left)" in found.lead
    assert any("fitted on these exams" in note for note in found.notes)


def test_unsure_subjects_are_numbered_where_ids_are_hidden(study):
    hidden = replace(study, options=replace(study.options, hide_ids=True))
    rows = rows_of(section(hidden), "conformal-unsure")
    assert list(rows)[:2] == ["subject 1", "subject 2"] and {row["exam_id"] for row in rows.values()} == {""}


def test_out_of_fold_predictions_give_a_calibration_fitted_on_all_of_them(study):
    subjects = study.top.rows.subject_ids
    folds = {subject: place % 5 for place, subject in enumerate(subjects)}
    crossed = replace(study, validation={}, out_of_fold=True, fold_of=folds)
    found = fitted(crossed)
    assert found.fitted_on.startswith("out-of-fold predictions of 60 subjects, 5 folds")
    as_validation = fitted(replace(study, validation=study.levels))
    assert found.levels == as_validation.levels and as_validation.fitted_on == ""
    assert any("calibration.json holds those fitted on all" in note for note in section(crossed).notes)
    oblique = (View.MLO_R, View.MLO_L)  # predict also makes right and left from one view each
    held = replace(study_made(options=WITHOUT, views=oblique), out_of_fold=True)
    held = replace(held, levels={name: held.levels[name] for name in ("MLO_R", "MLO_L", "subject")})
    levels = fitted(held).levels
    assert list(levels) == ["MLO_R", "MLO_L", "right", "left", "subject"] and levels["right"] == levels["MLO_R"]


def test_few_subjects_have_no_temperature_and_it_says_how_to_get_one():
    study = replace(study_made(count=29, options=WITHOUT), out_of_fold=True)
    found = section(study)
    assert fitted(study) is None
    assert [table.name for table in found.tables] == ["calibration-levels", "calibration-bins", "calibration-classes"]
    assert [len(chart.lines) for chart in found.charts] == [1, 1]
    assert any("29 subjects are too few" in note and "--validation" in note for note in found.notes)
    assert rows_of(found, "calibration-levels")["subject"]["ece"]["low"] is None


def test_two_classes_have_lac_and_the_positive_class_alone():
    found = section(study_made("pathology", count=40, validation=40, options=FEW))
    table = next(table for table in found.tables if table.name == "conformal")
    assert {record["method"] for record in table.records()} == {"LAC"}
    assert list(rows_of(found, "calibration-classes")) == ["malignant"]


def test_too_few_validation_exams_leave_the_temperature_at_one_and_say_so():
    study = study_made(validation=6)
    found = section(study)
    assert any("left at 1: 6 validation exams are too few, expected 10 or more" in note for note in found.notes)
    assert any("no conformal sets: 6 validation exams, expected 11 or more" in note for note in found.notes)
    assert not {"calibration-temperature", "conformal", "conformal-classes"} & {table.name for table in found.tables}
    assert [len(chart.lines) for chart in found.charts] == [1, 1]
    one = fitted(study).levels["subject"]
    assert (one.temperature, one.sets) == (1.0, None) and "too few" in one.note


def test_a_level_without_validation_is_named():
    study = study_made(validation=30, options=FEW)
    held = {level: one for level, one in study.validation.items() if level != "left"}
    found = section(replace(study, validation=held))
    assert "no validation exams of left: no temperature and no sets there" in found.notes
    assert "left" not in rows_of(found, "calibration-temperature")


def test_subjects_in_validation_and_in_test_alike_are_counted():
    study = study_made(options=FEW)
    found = section(replace(study, validation=study.levels))
    assert any(note.startswith("subjects in validation and in test alike: 60;") for note in found.notes)


def test_a_class_that_no_exam_has_has_an_undefined_coverage_with_a_note():
    study = study_made(count=60, validation=40, options=FEW)
    levels = {level: one.taken(one.true != 3) for level, one in study.levels.items()}
    found = section(replace(study, levels=levels))
    assert rows_of(found, "conformal-classes")["D"]["lac"]["value"] is None
    assert "no exam is truly D: its coverage is undefined" in found.notes
    json.dumps(found.as_json(), allow_nan=False)


def test_what_is_fitted_can_be_written_and_read(study, tmp_path):
    found = fitted(study, (PredictionFile("CC_R.csv", "ab" * 32, "CC_R"),), {"subject": {"youden": 0.4}})
    write_calibration(tmp_path / "calibration.json", found)
    assert read_calibration(tmp_path / "calibration.json", study.task) == found
    assert found.files == {"CC_R.csv": "ab" * 32}
    assert found.levels["subject"].thresholds == {"youden": 0.4} and found.levels["CC_R"].thresholds == {}
    assert found.fusion == {"rule": "mean", "weights": {}, "breast_to_subject": "mean"}


def test_the_fingerprint_tells_other_validation_exams_apart(study):
    changed = dict(study.validation)
    changed["CC_R"] = changed["CC_R"].taken(np.arange(119))
    assert fitted(study).fingerprint == fitted(study).fingerprint
    assert fitted(replace(study, validation=changed)).fingerprint != fitted(study).fingerprint


def test_the_section_is_the_same_with_the_same_seed(study, made):
    assert section(study).as_json() == made.as_json()
