"""Calls at a threshold, in every part of a report, against plain counting."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.console import report_table
from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.figures import accuracy, confusion_matrix
from ensemble_mammo.merit.inputs.truth import Truth
from ensemble_mammo.merit.pages.page import page
from ensemble_mammo.records.manifest import COLUMNS, Dataset
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.predictions import write_plain, write_predictions
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report
from tests.stages.report.studies import views_made

TASK = TASKS["abnormality"]


def table(found, section, name):
    (held,) = [one for one in found.sections if one.name == section]
    return next(one for one in held.tables if one.name == name).records()


def given_of(task=TASK, count=60, skill=1.5, seed=3, validation=0):
    given, labels = views_made(task, count, seed, skill)
    held, more = views_made(task, validation, seed + 1, skill, first=count) if validation else ([], {})
    return given, Truth(task, "labels.csv", labels | more), held


def reported(threshold, resamples=0, studies=False, **made):
    given, truth, _ = given_of(**made)
    return report(given, truth, options=ReportOptions(resamples=resamples, threshold=threshold, studies=studies))


def calls_at(given, truth, level, cut):
    """True classes and calls by a loop over the rows."""
    rows = next(p for p in given if p.level == level)
    true = truth.of(rows)
    return true, np.array([1 if score[1] >= cut else 0 for score in rows.scores])


@pytest.fixture(scope="module")
def at_three():
    return given_of(), reported(0.3, 60, studies=True)


def test_every_figure_of_calls_is_scikit_learns_at_the_threshold(at_three):
    (given, truth, _), found = at_three
    for level in ("CC_R", "MLO_L"):
        true, called = calls_at(given, truth, level, 0.3)
        figures = found.figures[level]
        expected = {
            "accuracy": metrics.accuracy_score(true, called),
            "recall": metrics.recall_score(true, called, average="macro"),
            "precision": metrics.precision_score(true, called, average="macro"),
            "f1": metrics.f1_score(true, called, average="macro"),
            "kappa": metrics.cohen_kappa_score(true, called, weights="quadratic"),
            "recall_abnormal": metrics.recall_score(true, called),
            "precision_abnormal": metrics.precision_score(true, called),
            "f1_abnormal": metrics.f1_score(true, called),
            "positive_sensitivity": metrics.recall_score(true, called),
            "positive_specificity": metrics.recall_score(true, called, pos_label=0),
        }
        assert {name: figures[name].value for name in expected} == pytest.approx(expected)
        assert found.confusion[level].tolist() == metrics.confusion_matrix(true, called).tolist()


def test_intervals_are_of_the_calls_at_the_threshold_too(at_three):
    _, found = at_three
    for figures in found.figures.values():
        assert figures["accuracy"].low <= figures["accuracy"].value <= figures["accuracy"].high
        assert figures["recall_abnormal"].low <= figures["recall_abnormal"].value <= figures["recall_abnormal"].high


def test_a_half_is_the_class_of_the_highest_score_as_ever():
    plain, half = reported(0.5), reported("0.5")
    given, truth, _ = given_of()
    of_none = report(given, truth, options=ReportOptions(resamples=0, studies=False))
    for level in plain.figures:
        assert plain.confusion[level].tolist() == half.confusion[level].tolist() == of_none.confusion[level].tolist()
    rows = next(p for p in given if p.level == "CC_R")
    expected = confusion_matrix(truth.of(rows), rows.scores.argmax(axis=1), 2)
    assert plain.confusion["CC_R"].tolist() == expected.tolist()


def test_all_parts_of_the_report_count_the_same_errors(at_three):
    _, found = at_three
    wrong = int(found.confusion["subject"].sum() - np.trace(found.confusion["subject"]))
    errors = table(found, "errors", "worst-errors")
    assert all(
        (row["score_called"] >= 0.3) == (row["called"] == "abnormal") or row["called"] == "normal" for row in errors
    )
    (held,) = [one for one in found.sections if one.name == "errors"]
    assert f"{wrong} of 60 exams" in held.lead
    assert "at the threshold 0.3" in held.lead
    accuracy_ = found.figures["subject"]["accuracy"].value
    assert table(found, "two-classes", "operating-points")[0]["accuracy"]["value"] == accuracy_
    assert table(found, "fusion", "fusion-gain")[0]["accuracy"]["value"] == pytest.approx(accuracy_)
    assert table(found, "two-classes", "operating-points")[0]["rule"] == "in use (0.3)"
    looked = table(found, "second-look", "second-look-dissent")
    assert sum(row["exams"] - row["right"] for row in looked) == wrong


def test_the_worst_error_lies_farthest_on_the_wrong_side_of_the_threshold(at_three):
    _, found = at_three
    rows = table(found, "errors", "worst-errors")
    up = [row["score_called"] if row["called"] == "abnormal" else row["score_true"] for row in rows]
    away = [abs(score - 0.3) for score in up]
    assert away == sorted(away, reverse=True)


def test_single_images_are_called_at_the_threshold_of_their_views(at_three):
    (given, truth, _), found = at_three
    both = [calls_at(given, truth, p.level, 0.3) for p in given]
    right = np.concatenate([true == called for true, called in both])
    (row,) = table(found, "images", "image-figures")
    assert row["accuracy"]["value"] == pytest.approx(right.mean())


def test_the_short_table_has_accuracy_recall_precision_and_f1_of_each_level(at_three):
    _, found = at_three
    rows = table(found, "two-classes", "called")
    assert [row["level"] for row in rows] == list(found.figures)[::-1]
    for row in rows:
        figures = found.figures[row["level"]]
        assert row["threshold"] == 0.3
        assert row["floor"] == found.counts[row["level"]].majority
        for key, name in {"accuracy": "accuracy", "recall": "recall_abnormal", "f1": "f1_abnormal"}.items():
            assert row[key]["value"] == figures[name].value
            assert row[key]["low"] is not None


def test_page_json_and_console_say_the_threshold_and_the_most_frequent_class(at_three, tmp_path, capsys):
    _, found = at_three
    held = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert held["thresholds"]["subject"] == {"value": 0.3, "chosen_on": "fixed", "wanted": None, "reached": None}
    for level, line in held["summary"].items():
        assert line["accuracy"] == found.figures[level]["accuracy"].value
        assert line["most_frequent_class"] == found.counts[level].majority
        assert line["recall"] == found.figures[level]["recall_abnormal"].value
        assert line["named_only"] is None
    html = page(found, {})
    assert "abnormal at a score of 0.3 or more, at every level" in html
    assert "at threshold 0.3 (accuracy" in html
    report_table(found, tmp_path, False)
    printed = capsys.readouterr().out
    assert "called: abnormal at a score of 0.3 or more" in printed
    assert found.table()[0] == [
        "level",
        "exams",
        "threshold",
        "AUC",
        "accuracy",
        "most frequent class",
        *found.table()[0][6:],
    ]


def test_the_point_of_the_threshold_stands_on_the_precision_recall_curve(at_three):
    _, found = at_three
    (section,) = [one for one in found.sections if one.name == "two-classes"]
    chart = next(one for one in section.charts if one.name == "precision-recall")
    (mark,) = [line for line in chart.lines if line.points]
    figures = found.figures["subject"]
    assert mark.label == "subject at threshold 0.3"
    assert (mark.x[0], mark.y[0]) == pytest.approx(
        (figures["recall_abnormal"].value, figures["precision_abnormal"].value)
    )


def validation_files(folder, held):
    for p in held:
        write_predictions(folder / f"{p.level}.csv", p)
    return (str(folder),)


def test_a_wanted_recall_is_chosen_on_validation_a_level_its_own(tmp_path):
    given, truth, held = given_of(validation=50)
    options = ReportOptions(
        resamples=0, studies=False, threshold="recall=0.9", validation=validation_files(tmp_path, held)
    )
    found = report(given, truth, options=options)
    for p in held:
        ups = p.scores[truth.of(p) == 1, 1]
        expected = max(cut for cut in p.scores[:, 1] if (ups >= cut).mean() >= 0.9)
        one = found.thresholds[p.level]
        assert one.value == pytest.approx(expected, abs=1e-12)
        assert one.reached == pytest.approx((ups >= expected).mean())
        assert one.chosen_on == "validation (50 exams)"
        true, called = calls_at(given, truth, p.level, one.value)
        assert found.figures[p.level]["accuracy"].value == pytest.approx((true == called).mean())
    rows = table(found, "two-classes", "called")
    assert [row["reached"] for row in rows] == [found.thresholds[row["level"]].reached for row in rows]
    assert "chosen on validation" in page(found, {})


def test_the_reported_labels_have_no_say_in_a_chosen_threshold(tmp_path):
    given, truth, held = given_of(validation=50)
    options = ReportOptions(
        resamples=0, studies=False, threshold="recall=0.9", validation=validation_files(tmp_path, held)
    )
    own = {p.subject_ids for p in given}.pop()
    turned = {key: 1 - value if key[1] in own else value for key, value in truth.labels.items()}
    other = report(given, dataclasses.replace(truth, labels=turned), options=options)
    assert other.thresholds == report(given, truth, options=options).thresholds


def test_a_recall_without_validation_or_for_a_level_without_it_is_refused(tmp_path):
    with pytest.raises(PredictionError, match=r"--threshold recall=0\.9: no --validation; a threshold is chosen on"):
        ReportOptions(threshold="recall=0.9")
    given, truth, held = given_of(validation=50)
    options = ReportOptions(
        resamples=0, studies=False, threshold="recall=0.9", validation=validation_files(tmp_path, held[:1])
    )
    with pytest.raises(PredictionError, match="the validation files have no level CC_L"):
        report(given, truth, options=options)


def test_validation_of_one_side_and_several_systems_are_refused(tmp_path):
    given, truth, held = given_of(validation=20)
    folder = validation_files(tmp_path / "val", held)
    options = ReportOptions(resamples=0, studies=False, threshold="recall=0.9", validation=folder)
    own = set(held[0].subject_ids)
    sided = {key: 0 if key[1] in own else value for key, value in truth.labels.items()}
    with pytest.raises(PredictionError, match=r"0 of 20 validation exams of .* are positive"):
        report(given, dataclasses.replace(truth, labels=sided), options=options)
    validation_files(tmp_path / "a", given)
    validation_files(tmp_path / "b", given)
    with pytest.raises(PredictionError, match="the validation files are of one system, and 2 are reported"):
        report([f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}"], truth, options=options)


def test_the_reported_files_cannot_serve_as_validation_though_they_have_no_ids(tmp_path):
    given, truth, _ = given_of(count=12)
    for p in given:
        write_plain(tmp_path, dataclasses.replace(p, identified=False))
    for ids in tmp_path.glob("*.ids.csv"):
        ids.unlink()
    files = sorted(map(str, tmp_path.glob("predictions_*.txt")))
    counts = f"normal={12 - sum(truth.labels.values())},abnormal={sum(truth.labels.values())}"
    from ensemble_mammo.merit.inputs.truth import truth_from_counts

    options = ReportOptions(
        resamples=0, studies=False, threshold="recall=0.9", validation=tuple(files), validation_counts=counts
    )
    with pytest.raises(PredictionError, match="holds the very predictions that are judged"):
        report(files, truth_from_counts(counts, TASK), options=options)


def test_a_threshold_on_several_classes_is_refused():
    with pytest.raises(PredictionError, match=r"task density has 4 classes, and a threshold acts on two \(pathology"):
        reported(0.3, task=TASKS["density"])


def test_five_classes_have_the_recall_of_any_abnormal_class():
    task = TASKS["abnormality5"]
    found = reported(0.5, task=task, count=80, skill=0.7)
    given, truth, _ = given_of(task, 80, 0.7)
    rows = next(p for p in given if p.level == "CC_R")
    true, called = truth.of(rows), rows.scores.argmax(axis=1)
    expected = np.mean([called[i] > 0 for i in range(80) if true[i] > 0])
    line = next(row for row in table(found, "two-classes", "called") if row["level"] == "CC_R")
    assert line["recall"]["value"] == pytest.approx(expected)
    assert found.summary()["CC_R"]["recall"] == pytest.approx(expected)
    assert found.thresholds == {}
    (section,) = [one for one in found.sections if one.name == "two-classes"]
    assert "counts as found if it is called any of them" in section.tables[0].caption


def one_class_given(task, name, count=20):
    given, truth, _ = given_of(task, count)
    place = task.classes.index(name)
    flat = [
        dataclasses.replace(p, scores=np.eye(len(task.classes))[[place] * count] * 0.8 + 0.2 / len(task.classes))
        for p in given
    ]
    return flat, truth


@pytest.mark.parametrize("task", ["abnormality", "density"])
def test_a_network_of_one_class_is_warned_of_on_page_console_and_json(task, tmp_path, capsys):
    task = TASKS[task]
    given, truth = one_class_given(task, task.classes[0])
    most = np.bincount(list(truth.labels.values()), minlength=len(task.classes)).argmax()
    given, truth = one_class_given(task, task.classes[int(most)])
    found = report(given, truth, tmp_path, ReportOptions(resamples=0, studies=False))
    warning = found.notes[0]
    assert warning.startswith(f"WARNING: {', '.join(list(found.figures)[:-1])} and subject: names")
    assert f"names {task.classes[int(most)]} for every one of 20 exams: that is the most frequent class" in warning
    assert f"accuracy of {found.counts['subject'].majority:.2f} is that of always naming it" in warning
    held = json.loads((tmp_path / "report.json").read_text())
    assert held["notes"][0] == warning
    assert held["summary"]["subject"]["named_only"] == task.classes[int(most)]
    assert held["summary"]["subject"]["accuracy"] == held["summary"]["subject"]["most_frequent_class"]
    html = (tmp_path / "report.html").read_text()
    assert html.index(warning) < html.index("<nav")
    assert html.count(warning) == 1
    report_table(found, tmp_path, False)
    assert capsys.readouterr().out.startswith("WARNING: ")


def test_a_network_that_names_a_rarer_class_only_is_told_its_accuracy_and_the_floor():
    _, truth, _ = given_of(TASK, 20)
    rare = int(np.bincount(list(truth.labels.values())).argmin())
    given, truth = one_class_given(TASK, TASK.classes[rare])
    notes = report(given, truth, options=ReportOptions(resamples=0, studies=False)).notes
    share = np.mean([label == rare for label in truth.labels.values()])
    assert f"accuracy {share:.2f}, where always naming the most frequent class" in notes[0]


def test_a_threshold_can_make_a_network_of_one_class_and_the_warning_says_at_which():
    notes = reported(0.0001).notes
    assert notes[0].startswith("WARNING: ")
    assert "names abnormal for every one of 60 exams at threshold 0.0001" in notes[0]


def test_a_network_that_names_two_classes_is_not_warned_of():
    assert not [note for note in reported(0.5).notes if ": names " in note]


def test_accuracy_is_over_all_rows_at_once_not_a_mean_of_running_means():
    true = np.array([0] * 32 + [1] * 4)
    called = np.array([0] * 32 + [0] * 4)  # a last batch of 4, all of it wrong
    batches = [slice(0, 32), slice(32, 36)]
    of_batch = [float((true[batch] == called[batch]).mean()) for batch in batches]
    running = [np.mean(of_batch[: count + 1]) for count in range(len(of_batch))]
    of_all = float(accuracy(confusion_matrix(true, called, 2)))
    assert of_all == pytest.approx(32 / 36)
    assert np.mean(of_batch) == 0.5
    assert np.mean(running) == 0.75
    assert of_all == pytest.approx(np.average(of_batch, weights=[32, 4]))


def test_the_command_takes_a_threshold_and_refuses_what_is_none(tmp_path):
    given, truth, _ = given_of(count=20)
    files = validation_files(tmp_path / "predictions", given)
    rows = [f"{subject},{TASK.classes[label]}" for (_, subject, _), label in truth.labels.items()]
    (tmp_path / "labels.csv").write_text("\n".join(["subject_id,label", *rows]) + "\n")
    common = ["report", *files, "--labels", str(tmp_path / "labels.csv"), "--task", "abnormality", "--resamples", "0"]
    common += ["--out", str(tmp_path / "out"), "--no-studies"]
    run = CliRunner().invoke(app, [*common, "--threshold", "0.3"])
    assert run.exit_code == 0, run.output
    assert json.loads((tmp_path / "out" / "report.json").read_text())["thresholds"]["CC_R"]["value"] == 0.3
    for text in ("1.3", "recall=0.9"):
        failed = CliRunner().invoke(app, [*common[:-3], "--out", str(tmp_path / "none"), "--threshold", text])
        assert failed.exit_code != 0
    assert not (tmp_path / "none").exists()


def test_a_threshold_chosen_at_home_acts_on_a_foreign_dataset(tmp_path):
    given, truth, held = given_of(validation=50)
    datasets = {}
    for name, tables in (("home", held), ("abroad", given)):
        keys = [(p.level, *key, TASK.classes[c]) for p in tables for key, c in zip(p.keys, truth.of(p), strict=True)]
        rows = pd.DataFrame(keys, columns=["view", "subject_id", "exam_id", "abnormality"])
        whole = rows.reindex(columns=[*COLUMNS, "abnormality"], fill_value="").assign(split="test", file="x.png")
        write_png16(tmp_path / name / "x.png", np.zeros((8, 8), np.uint16))
        datasets[name] = Dataset(tmp_path / name, whole, Preparation())
    options = ReportOptions(
        resamples=0, studies=False, threshold="recall=0.9", validation=validation_files(tmp_path, held)
    )
    expected = report(given, truth, options=options).thresholds
    settled = dataclasses.replace(options, dataset=datasets["abroad"], validation_data=datasets["home"])
    assert report(given, truth, options=settled).thresholds == expected
    with pytest.raises(PredictionError, match=r"no true class|without a true class|have no label"):
        report(given, truth, options=dataclasses.replace(settled, validation_data=None))
