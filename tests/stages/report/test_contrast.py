import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.merit.inputs.truth import ANY, Truth
from ensemble_mammo.records.predictions import write_predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import report
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.contrast import section
from tests.stages.report.studies import study_made, views_made

QUICK = ReportOptions(resamples=0, studies=False)
RUNS = {"CC_R": [{"weights_sha256": "a", "contrast": 1.0}]}


def write_views(folder, views, runs=RUNS, **said):
    for one in views:
        write_predictions(folder / f"{one.level}.csv", one)
    (folder / "predictions.json").write_text(json.dumps({"runs": runs, **said}))


def brightened(views, contrast):
    """Scores of the last class raised, as if a higher contrast made more exams look abnormal."""
    made = []
    for one in views:
        logits = np.log(one.scores)
        logits[:, -1] += contrast - 1
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        made.append(replace(one, scores=scores))
    return made


def written(folder, task="abnormality", count=60, contrasts=(1.0, 1.5, 3.0), few=0, own=1.0, only=tuple(View)):
    """A folder of predictions with those at other contrasts in it, and the true classes."""
    known = TASKS[task]
    views, labels = views_made(known, count, views=only)
    runs = {"CC_R": [{"weights_sha256": "a", "contrast": own}]}
    write_views(folder, views, runs)
    for contrast in contrasts:
        changed = brightened(views, contrast)
        if few:
            parts = ("subject_ids", "exam_ids", "views", "images")
            changed = [
                replace(one, scores=one.scores[:few], **{p: getattr(one, p)[:few] for p in parts}) for one in changed
            ]
        write_views(folder / "contrasts" / f"{contrast:g}", changed, runs, contrast=contrast)
    return views, Truth(known, "labels.csv", labels)


def study_of(folder, task="abnormality", **fields):
    written(folder, task, **fields)
    return replace(study_made(task), folders=(folder,))


def records(found):
    (table,) = found.data
    assert (found.name, table.name) == ("contrast", "contrast")
    return table.records()


def test_without_other_contrasts_there_is_no_section(tmp_path):
    assert section(study_made("abnormality")) is None
    (tmp_path / "contrasts/notes").mkdir(parents=True)
    assert section(replace(study_made("abnormality"), folders=(tmp_path,))) is None


@pytest.mark.parametrize("task", ["abnormality", "abnormality5", "density"])
def test_every_cell_is_what_counting_subjects_one_by_one_gives(tmp_path, task):
    found = section(study_of(tmp_path, task))
    views, labels = views_made(TASKS[task], 60)
    positive = [TASKS[task].classes.index(name) for name in TASKS[task].positive]
    rows = {(row["contrast"], row["threshold"]): row for row in records(found)}
    assert len(rows) == 3 * 19
    for contrast in (1.0, 1.5, 3.0):
        fused = fuse(brightened(views, contrast), TASKS[task]).levels["subject"]
        for threshold in (0.05, 0.5, 0.8):
            right = hits = called = ups = 0
            for subject, scores in zip(fused.subject_ids, fused.scores, strict=True):
                truly = labels[(ANY, subject, ANY)] in positive
                is_called = sum(scores[p] for p in positive) >= threshold
                right, hits = right + (truly == is_called), hits + (truly and is_called)
                called, ups = called + is_called, ups + truly
            row = rows[contrast, threshold]
            assert row["accuracy"] == pytest.approx(right / 60) and row["recall"] == pytest.approx(hits / ups)
            assert row["called"] == pytest.approx(called / 60)
            assert row["precision"] == (pytest.approx(hits / called) if called else None)
            assert row["most_frequent"] == pytest.approx(max(ups, 60 - ups) / 60)
            assert (row["level"], row["exams"], row["positives"]) == ("subject", 60, ups)


def test_the_page_has_a_row_a_threshold_and_a_pair_of_columns_a_contrast(tmp_path):
    found = section(study_of(tmp_path))
    (table,) = found.tables
    names = [f"{name}_{c}" for c in ("1", "1.5", "3") for name in ("accuracy", "recall")]
    assert list(table.columns) == ["threshold", *names]
    assert [row[0] for row in table.rows] == [k / 20 for k in range(1, 20)]
    long = {(row["contrast"], row["threshold"]): row for row in records(found)}
    for row in table.records():
        assert row["recall_1.5"] == long[1.5, row["threshold"]]["recall"]
        assert row["accuracy_3"] == long[3.0, row["threshold"]]["accuracy"]
    accuracy, recall = found.charts
    assert np.asarray(accuracy.values)[9, 1] == long[1.5, 0.5]["accuracy"]
    assert np.asarray(recall.values)[0, 2] == long[3.0, 0.05]["recall"]
    assert accuracy.bracketed == long[1.0, 0.5]["most_frequent"]


def test_the_text_names_the_most_frequent_side_and_claims_nothing(tmp_path):
    found = section(study_of(tmp_path))
    rows = {(row["contrast"], row["threshold"]): row for row in records(found)}
    low, high = rows[1.0, 0.5], rows[3.0, 0.5]
    assert f"recall {low['recall']:.2f} at contrast 1 and {high['recall']:.2f} at 3" in found.lead
    side = "abnormal" if low["positives"] > 30 else "normal"
    assert f"Calling every exam {side} has an accuracy of {low['most_frequent']:.2f}." in found.lead
    assert "The networks learned at contrast 1." in found.lead
    assert "not on validation: no figure here is a claim" in found.notes[0]


def test_the_reports_own_threshold_has_a_row(tmp_path):
    _, truth = written(tmp_path)
    found = report([str(tmp_path)], truth, None, replace(QUICK, threshold="0.37"))
    (one,) = (one for one in found.sections if one.name == "contrast")
    assert [row[0] for row in one.tables[0].rows][6:9] == [0.35, 0.37, 0.4]
    assert "At threshold 0.37: " in one.lead
    top = next(row for row in one.data[0].records() if row["contrast"] == 1.0 and row["threshold"] == 0.37)
    assert top["accuracy"] == pytest.approx(found.figures["subject"]["accuracy"].value)


def test_the_networks_own_contrast_stands_beside_those_asked_for(tmp_path):
    found = section(study_of(tmp_path, contrasts=(1.5, 3.0)))
    assert {row["contrast"] for row in records(found)} == {1.0, 1.5, 3.0}
    plain = fuse(views_made(TASKS["abnormality"], 60)[0], TASKS["abnormality"]).levels["subject"]
    row = next(row for row in records(found) if row["contrast"] == 1.0 and row["threshold"] == 0.3)
    assert row["called"] == pytest.approx((plain.scores[:, 1] >= 0.3).mean())


def test_of_networks_that_do_not_say_their_contrast_only_those_asked_for_are_shown(tmp_path):
    found = section(study_of(tmp_path, contrasts=(1.5, 3.0), own=None))
    assert {row["contrast"] for row in records(found)} == {1.5, 3.0}
    assert "learned at" not in found.lead


def test_only_exams_that_all_contrasts_have_are_counted(tmp_path):
    found = section(study_of(tmp_path, contrasts=(1.5, 3.0), few=50))
    assert {row["exams"] for row in records(found)} == {50}
    assert any("50 exams are in all systems" in note and "contrast 1 10" in note for note in found.notes)


def test_exams_without_a_true_class_are_left_out_in_silence(tmp_path):
    study = study_of(tmp_path)
    labels = {key: value for key, value in study.truth.labels.items() if key[1] != "S0003"}
    truth = Truth(study.task, "labels.csv", labels)
    found = report([str(tmp_path)], truth, None, replace(QUICK, allow_unlabelled=True))
    (one,) = (one for one in found.sections if one.name == "contrast")
    assert {row["exams"] for row in records(one)} == {59} and len(one.notes) == 1


def test_tables_of_other_networks_or_levels_are_refused(tmp_path):
    study = study_of(tmp_path)
    views, _ = views_made(TASKS["abnormality"], 60)
    write_views(tmp_path / "contrasts/1.5", views, {"CC_R": [{"weights_sha256": "b", "contrast": 1.0}]})
    with pytest.raises(PredictionError, match=r"contrasts/1\.5: predicted by other networks than"):
        section(study)
    for view in View:
        if view is not View.CC_R:
            (tmp_path / f"contrasts/1.5/{view}.csv").unlink()
    (tmp_path / "contrasts/1.5/predictions.json").write_text(json.dumps({"runs": RUNS}))
    with pytest.raises(PredictionError, match="has the levels CC_R, and the report's is subject; predict again"):
        section(study)


def test_exams_of_one_side_alone_have_no_recall(tmp_path):
    written(tmp_path)
    truth = Truth(TASKS["abnormality"], "labels.csv", {(ANY, f"S{i:04d}", ANY): 0 for i in range(60)})
    found = report([str(tmp_path)], truth, None, QUICK)
    (one,) = (one for one in found.sections if one.name == "contrast")
    assert {row["recall"] for row in records(one)} == {None}
    assert one.notes[1] == "no exam is truly abnormal: recall is undefined"


def test_the_report_writes_them_and_is_otherwise_the_same(tmp_path):
    _, truth = written(tmp_path / "with", only=(View.CC_R,))
    report([str(tmp_path / "with")], truth, tmp_path / "out", replace(QUICK, tables=("markdown",)))
    written(tmp_path / "without", contrasts=(), only=(View.CC_R,))
    report([str(tmp_path / "without")], truth, tmp_path / "other", replace(QUICK, tables=("markdown",)))

    def files(folder):
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    own = {"tables/contrast.csv", "tables/contrast_thresholds.csv", "tables/contrast_thresholds.md"}
    assert files(tmp_path / "out") - files(tmp_path / "other") == own
    held, plain = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("out", "other"))
    section_of = held["sections"].pop("contrast")
    assert held == plain
    assert set(section_of["tables"]) == {"thresholds", "contrast"} and set(section_of["charts"]) == {
        "accuracy", "recall"
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out/tables/contrast.csv").read_text().splitlines()))
    assert len(rows) == 3 * 19
    assert [*rows[0]] == ["level", "contrast", "threshold", "accuracy", "recall", "precision", "called",
                          "most_frequent", "exams", "positives"]  # fmt: skip
    page = (tmp_path / "out/report.html").read_text()
    assert "Threshold and contrast" in page and "no figure here is a claim" in page


def test_predictions_at_another_contrast_are_said_to_be_so(tmp_path):
    _, truth = written(tmp_path)
    found = report([str(tmp_path / "contrasts/1.5")], truth, None, QUICK)
    assert "images were given to the networks at contrast 1.5, in place of their recipes' own" in found.notes
