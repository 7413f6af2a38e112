import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, PredictionError, RunError
from ensemble_mammo.imaging.prepared import prepare_file
from ensemble_mammo.imaging.raw import RawFile, both_ways, prepared_of
from ensemble_mammo.imaging.read import Limits
from ensemble_mammo.learning.checkpoint import load_run, load_runs
from ensemble_mammo.learning.images import to_input
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.records.calibration_file import (
    Calibration,
    LevelCalibration,
    SetRule,
    read_calibration,
    write_calibration,
)
from ensemble_mammo.records.manifest import read_dataset, read_description
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.predictions import read_predictions
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

pytestmark = pytest.mark.usefixtures("in_process")
LEVELS = [*View, "right", "left", "subject"]


def scores_of(result):
    return {table.level: dict(zip(table.subject_ids, table.scores, strict=True)) for table in result.levels()}


@pytest.fixture
def folds(runs, tmp_path):
    """The four runs as the first fold, and CC_R's alone as the second."""
    shutil.copytree(runs, tmp_path / "folds" / "fold-0")
    shutil.copytree(runs / "CC_R", tmp_path / "folds" / "fold-1" / "CC_R")
    return tmp_path / "folds"


@pytest.mark.parametrize("subject", ["PH0001", "PH0004"])  # PH0004's device writes MONOCHROME1
def test_a_raw_folder_and_the_same_exam_after_prepare_give_the_same_scores(subject, exams, dataset, runs):
    raw = scores_of(predict(exams / subject, runs))
    prepared = scores_of(predict(dataset, runs, options=PredictOptions(subjects=frozenset([subject]))))
    assert list(raw) == list(prepared) == LEVELS
    for level in LEVELS:
        assert np.allclose(raw[level][subject], prepared[level][subject], rtol=0, atol=1e-6), level


def test_a_raw_file_and_its_prepared_image_give_the_same_input_bit_for_bit(exams, dataset, runs):
    for row in dataset.table.to_dict("records"):
        run = load_run(runs / row["view"])
        raw = prepare_file(exams / row["source"], run.preparation).prepared.pixels
        prepared = read_png16(dataset.root / row["file"])
        assert torch.equal(to_input(raw, run.recipe.input)[0], to_input(prepared, run.recipe.input)[0])


def test_a_rule_for_mlo_views_gives_the_same_pixels_by_every_way(exams, tmp_path):
    preparation = Preparation(height=128, pectoral="black")
    archive = ArchiveOptions(labels=exams / "labels.csv", keep_ids=True)
    black = prepare("dicom", exams, tmp_path / "black", PrepareOptions(archive, preparation))
    oblique = int(black.table["view"].str.startswith("MLO").sum())
    notes = read_description(black.root)["image_notes"]
    found = notes["pectoral muscle blackened"]
    assert found >= oblique / 2 and found + notes.get("no pectoral muscle found", 0) == oblique
    changed = 0
    for row in black.table.to_dict("records"):
        path, view, prepared = exams / row["source"], View(row["view"]), read_png16(black.root / row["file"])
        file = RawFile(path, view, preparation, Limits())
        np.testing.assert_array_equal(prepared_of(file)[0], prepared)
        np.testing.assert_array_equal(both_ways(file).prepared, prepared)
        kept = prepare_file(path, replace(preparation, pectoral="keep")).prepared.pixels
        assert (prepared <= kept).all() and (view.projection == "MLO" or (prepared == kept).all())
        changed += bool((prepared < kept).any())
    assert changed == found


def test_a_subject_in_monochrome1_is_the_same_as_in_monochrome2(exams, runs, tmp_path):
    shutil.copytree(exams / "PH0004", tmp_path / "PH0004")
    for path in (tmp_path / "PH0004").iterdir():
        made = pydicom.dcmread(path)
        assert made.PhotometricInterpretation == "MONOCHROME1"
        values = np.frombuffer(made.PixelData, "<u2")
        made.PixelData = (4095 - values).astype("<u2").tobytes()
        made.PhotometricInterpretation, made.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
        made.save_as(path)
    turned, plain = (scores_of(predict(folder / "PH0004", runs)) for folder in (exams, tmp_path))
    for level in LEVELS:
        assert np.allclose(turned[level]["PH0004"], plain[level]["PH0004"], rtol=0, atol=1e-3), level


def test_exactly_the_documented_files_are_written(dataset, runs, tmp_path):
    result = predict(dataset, runs, tmp_path, PredictOptions(split="test"))
    folder = tmp_path / "predictions"
    views = {f"predictions_{view.suffix}{ending}" for view in View for ending in (".txt", ".ids.csv")}
    assert {p.name for p in folder.iterdir()} == views | {f"{x}.csv" for x in LEVELS} | {"predictions.json"}
    assert [p.name for p in tmp_path.iterdir()] == ["predictions"]
    subjects = sorted(set(dataset.rows(split="test")["subject_id"]))
    for table in result.levels():
        written = pd.read_csv(folder / f"{table.level}.csv", dtype={"exam_id": str})
        assert list(written.columns) == ["subject_id", "exam_id", "views", "images", *"ABCD"]
        assert written["subject_id"].tolist() == subjects == list(table.subject_ids)
        assert np.array_equal(written[list("ABCD")].to_numpy(), table.scores)
        assert np.allclose(table.scores.sum(axis=1), 1)
    for view in View:
        plain = np.loadtxt(folder / f"predictions_{view.suffix}.txt")
        assert np.array_equal(plain, result.views[view].scores)
        ids = pd.read_csv(folder / f"predictions_{view.suffix}.ids.csv")
        assert ids["subject_id"].tolist() == subjects
    text = json.loads((folder / "predictions.json").read_text())
    assert text["task"] == "density" and text["fusion"] == "mean" and list(text["levels"]) == LEVELS
    row = text["levels"]["subject"][0]
    assert row["subject_id"] == subjects[0] and row["images"] == 4
    assert row["predicted"] == max(row["scores"], key=row["scores"].get)


def test_breasts_are_means_of_their_views_and_the_subject_is_the_mean_of_four(exams, runs):
    scores = {level: table["PH0002"] for level, table in scores_of(predict(exams / "PH0002", runs)).items()}
    assert np.allclose(scores["right"], (scores["CC_R"] + scores["MLO_R"]) / 2)
    assert np.allclose(scores["subject"], sum(scores[view] for view in View) / 4)


def test_a_missing_view_is_marked_and_those_present_are_averaged(subject, runs, tmp_path):
    (subject / "MLO_L.dcm").unlink()
    result = predict(subject, runs, tmp_path / "out")
    scores = {level: table["PH0001"] for level, table in scores_of(result).items()}
    assert list(scores) == ["CC_R", "CC_L", "MLO_R", "right", "left", "subject"]
    assert np.allclose(scores["subject"], (scores["CC_R"] + scores["CC_L"] + scores["MLO_R"]) / 3)
    assert result.fused.levels["subject"].views == ("CC_R+CC_L+MLO_R",)
    assert "no scores of MLO_L: the views present were fused" in result.notes


def test_a_missing_view_is_refused_when_all_are_required(subject, runs, tmp_path):
    required = PredictOptions(fusion=Fusion(require_all_views=True))
    assert predict(subject, runs, None, required).fused.levels["subject"].views == ("CC_R+CC_L+MLO_R+MLO_L",)
    (subject / "MLO_L.dcm").unlink()
    with pytest.raises(PredictionError, match=r"PH0001: no scores of MLO_L; .*leave --require-all-views out"):
        predict(subject, runs, tmp_path / "out", required)
    assert not (tmp_path / "out").exists()


def test_a_view_that_one_of_many_lacks_is_refused_with_her_name(exams, runs, tmp_path):
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "in" / name)
    (tmp_path / "in" / "PH0002" / "CC_R.dcm").unlink()
    with pytest.raises(PredictionError, match="subject 'PH0002' exam '1' lacks CC_R"):
        predict(tmp_path / "in", runs, None, PredictOptions(many=True, fusion=Fusion(require_all_views=True)))


def test_a_view_without_a_network_is_said(exams, runs, tmp_path):
    shutil.copytree(runs / "CC_R", tmp_path / "runs" / "CC_R")
    result = predict(exams / "PH0001", tmp_path / "runs")
    assert list(result.views) == [View.CC_R]
    assert "PH0001/MLO_L.dcm: no network for MLO_L in the runs" in result.notes
    assert "no scores of CC_L, MLO_R, MLO_L: the views present were fused" in result.notes


def test_a_folder_of_views_without_any_network_is_refused(subject, runs, tmp_path):
    shutil.copytree(runs / "CC_R", tmp_path / "runs" / "CC_R")
    (subject / "CC_R.dcm").unlink()
    with pytest.raises(DatasetError, match=r"PH0001: no image of a view that the runs in .* know"):
        predict(subject, tmp_path / "runs")


def test_several_images_of_one_view_are_averaged_and_said_so(subject, exams, runs):
    one = scores_of(predict(subject, runs))
    other = pydicom.dcmread(exams / "PH0003" / "CC_R.dcm")
    theirs = scores_of(predict(exams / "PH0003", runs))["CC_R"]["PH0003"]
    own = pydicom.dcmread(subject / "CC_R.dcm")
    other.PatientID, other.StudyInstanceUID = own.PatientID, own.StudyInstanceUID
    other.save_as(subject / "second.dcm")
    result = predict(subject, runs)
    assert np.allclose(scores_of(result)["CC_R"]["PH0001"], (one["CC_R"]["PH0001"] + theirs) / 2, atol=1e-6)
    assert result.views[View.CC_R].images == (2,)
    assert "CC_R: exams with several images of this view, whose scores were averaged: 1" in result.notes


def test_tables_of_views_that_an_earlier_call_had_are_taken_away(subject, runs, tmp_path):
    predict(subject, runs, tmp_path / "out")
    (subject / "CC_L.dcm").unlink()
    predict(subject, runs, tmp_path / "out")
    assert not list((tmp_path / "out" / "predictions").glob("*CC_L*"))
    assert not list((tmp_path / "out" / "predictions").glob("*ccl*"))


def test_a_damaged_image_costs_its_view_alone(subject, runs):
    (subject / "CC_L.dcm").write_bytes((subject / "CC_L.dcm").read_bytes()[:6000])
    result = predict(subject, runs)
    assert result.fused.levels["left"].views == ("MLO_L",)
    assert any("CC_L.dcm" in note and "cannot be decoded" in note for note in result.notes)


def test_many_subjects_are_predicted_as_each_alone(exams, runs, tmp_path):
    names = ["PH0001", "PH0002", "PH0003"]
    for name in names:
        shutil.copytree(exams / name, tmp_path / "in" / name)
    together = scores_of(predict(tmp_path / "in", runs, None, PredictOptions(many=True, batch_size=2)))
    assert list(together["subject"]) == names
    for name in names:
        alone = scores_of(predict(exams / name, runs))
        for level in LEVELS:
            assert np.allclose(together[level][name], alone[level][name], rtol=0, atol=1e-6)


def test_a_views_table_says_what_headers_do_not(subject, runs, tmp_path):
    expected = scores_of(predict(subject, runs))
    for number, view in enumerate(View):
        made = pydicom.dcmread(subject / f"{view}.dcm")
        del made.ViewPosition, made.ViewCodeSequence, made.ImageLaterality
        made.save_as(subject / f"{number}.dcm")
        (subject / f"{view}.dcm").unlink()
    with pytest.raises(DatasetError, match="view and side not known from header or name; say it in a CSV"):
        predict(subject, runs)
    (tmp_path / "views.csv").write_text("file,view\n" + "".join(f"{n}.dcm,{v}\n" for n, v in enumerate(View)))
    found = scores_of(predict(subject, runs, None, PredictOptions(views=tmp_path / "views.csv")))
    assert all(np.array_equal(found[level]["PH0001"], expected[level]["PH0001"]) for level in LEVELS)


def test_a_dataset_prepared_otherwise_is_refused(dataset, runs, tmp_path):
    shutil.copytree(dataset.root, tmp_path / "other")
    description = json.loads((tmp_path / "other" / "dataset.json").read_text())
    description["preparation"]["outside"] = "keep"
    (tmp_path / "other" / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DatasetError, match=r"\(outside 'keep', in training 'black'\); prepare it again"):
        predict(read_dataset(tmp_path / "other"), runs)


def test_a_split_that_is_empty_is_refused_with_those_there_are(dataset, runs):
    with pytest.raises(DatasetError, match=r"no image in split 'tset' of .* \(has test, train, val\)"):
        predict(dataset, runs, None, PredictOptions(split="tset"))


def test_runs_of_several_folds_are_averaged(exams, runs, folds):
    from safetensors.torch import load_file

    from ensemble_mammo.learning.checkpoint import Passport, write_weights

    run = load_run(runs / "CC_R")
    weights = load_file(runs / "CC_R" / "weights.safetensors")
    changed = {name: t + 0.05 if t.is_floating_point() else t for name, t in weights.items()}
    passport = Passport(run.recipe, run.view, run.classes, run.preparation)
    write_weights(folds / "fold-1" / "CC_R", changed, passport)
    one, two = (predict(exams / "PH0001", folds / f"fold-{k}").views[View.CC_R].scores for k in (0, 1))
    assert not np.allclose(one, two, atol=1e-4)
    both = predict(exams / "PH0001", folds)
    assert np.allclose(both.views[View.CC_R].scores, (one + two) / 2, atol=1e-6)


def test_the_data_of_a_cross_validation_is_refused_without_subjects(dataset, folds):
    (folds / "crossval.json").write_text(json.dumps({"data_fingerprint": dataset.fingerprint()}))
    expected = r"6 of the 8 subjects were in the training of .*; the out-of-fold predictions stand in"
    for models in (folds, folds / "fold-0"):
        with pytest.raises(RunError, match=expected):
            predict(dataset, models)
    assert predict(dataset, folds, None, PredictOptions(subjects=frozenset(["PH0001"]))).views
    unseen = predict(dataset, folds, None, PredictOptions(split="test"))  # none of these was learned from
    assert unseen.seen == 0
    (folds / "crossval.json").write_text(json.dumps({"data_fingerprint": "of other data"}))
    assert predict(dataset, folds).views
    (folds / "crossval.json").write_text("{")
    with pytest.raises(RunError, match=r"crossval\.json: not JSON"):
        predict(dataset, folds)


def test_runs_of_another_task_are_refused(exams, runs, tmp_path):
    with pytest.raises(RunError, match=r"CC_R: trained for the task 'density', expected 'pathology'"):
        predict(exams / "PH0001", runs, tmp_path / "out", PredictOptions(task="pathology"))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_runs_says_how_to_make_them(exams, tmp_path):
    with pytest.raises(RunError, match="no such folder; train first: ensemble-mammo train"):
        predict(exams / "PH0001", tmp_path / "nowhere")


def test_two_patients_in_one_folder_are_refused(subject, exams, runs):
    shutil.copy(exams / "PH0002" / "CC_R.dcm", subject / "second.dcm")
    with pytest.raises(DatasetError, match="files of 2 patients"):
        predict(subject, runs)


TEMPERATURES = {level: 1.2 + place / 10 for place, level in enumerate(LEVELS)}


def calibration_made(path, task="density", **changes):
    """calibration.json with another temperature at every level, and sets that hold what scores 0.2 or more."""
    levels = {
        str(level): LevelCalibration(value, 40, 40, SetRule("lac", 0.9, 0.8)) for level, value in TEMPERATURES.items()
    }
    fusion = {"rule": "mean", "weights": {}, "breast_to_subject": TASKS[task].breast_to_subject}
    write_calibration(path, replace(Calibration(task, TASKS[task].classes, levels, fusion, "ab" * 32), **changes))
    return path


def test_temperatures_are_applied_to_every_level_after_fusion(dataset, runs, tmp_path):
    plain = scores_of(predict(dataset, runs))
    made = PredictOptions(calibration=calibration_made(tmp_path / "calibration.json"))
    result = predict(dataset, runs, tmp_path, made)
    found = scores_of(result)
    assert list(found) == list(plain)
    for level, rows in plain.items():
        for subject, scores in rows.items():
            powers = scores ** (1 / TEMPERATURES[level])
            assert np.allclose(found[level][subject], powers / powers.sum(), atol=1e-9)
            assert found[level][subject].argmax() == scores.argmax()
    assert any("temperatures of a calibration (in brackets the validation exams): CC_R " in n for n in result.notes)
    unsure = sum(len(held) != 1 for held in result.sets["subject"])
    assert any(n.startswith(f"unsure of {unsure} of {len(result.sets['subject'])} exams") for n in result.notes)
    text = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert {k: v["temperature"] for k, v in text["calibration"]["levels"].items()} == pytest.approx(TEMPERATURES)
    for level, rows in text["levels"].items():
        written = pd.read_csv(tmp_path / "predictions" / f"{level}.csv")
        assert len(written) == len(rows)
        for place, row in enumerate(rows):
            before = plain[level][row["subject_id"]]
            assert row["set"] == [name for name, score in zip("ABCD", before, strict=True) if score >= 0.2 - 1e-8]
            assert written["set"].fillna("")[place] == "+".join(row["set"])
            assert written["unsure"][place] == row["unsure"] == (len(row["set"]) != 1)
            assert written[list("ABCD")].iloc[place].tolist() == list(row["scores"].values())


def test_a_calibration_on_out_of_fold_scores_says_so_and_that_means_of_networks_are_others(exams, folds, tmp_path):
    path = calibration_made(tmp_path / "calibration.json", fitted_on="out-of-fold predictions of 40 subjects")
    notes = predict(exams / "PH0001", folds, tmp_path, PredictOptions(calibration=path)).notes
    assert any("in brackets the exams of its out-of-fold predictions of 40 subjects)" in note for note in notes)
    assert any(note.startswith("several networks are averaged in CC_R,") for note in notes)
    text = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert text["calibration"]["fitted_on"] == "out-of-fold predictions of 40 subjects"
    read = read_predictions(tmp_path / "predictions" / "subject.csv", "subject", tuple("ABCD"))  # set is passed over
    assert read.subject_ids == ("PH0001",)


def test_without_a_calibration_rows_have_no_set(exams, runs, tmp_path):
    predict(exams / "PH0001", runs, tmp_path)
    text = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert text["calibration"] is None and "set" not in text["levels"]["subject"][0]


def test_a_level_whose_temperature_could_not_be_determined_is_said(exams, runs, tmp_path):
    path = calibration_made(tmp_path / "calibration.json")
    found = read_calibration(path)
    levels = dict(found.levels) | {"left": LevelCalibration(1.0, 9, 9, None, {}, "9 validation exams are too few")}
    write_calibration(path, replace(found, levels=levels))
    plain = scores_of(predict(exams / "PH0001", runs))
    result = predict(exams / "PH0001", runs, None, PredictOptions(calibration=path))
    assert "left: left as they were, since 9 validation exams are too few" in result.notes
    assert np.allclose(scores_of(result)["left"]["PH0001"], plain["left"]["PH0001"])
    assert "left" not in result.sets and "right" in result.sets


def test_a_calibration_that_does_not_fit_is_refused_before_anything_is_predicted(exams, runs, tmp_path):
    path = tmp_path / "calibration.json"

    def refused(match, fusion=None):
        options = PredictOptions(calibration=path, fusion=fusion or Fusion())
        with pytest.raises(PredictionError, match=match):
            predict(exams / "PH0001", runs, tmp_path / "out", options)
        assert not (tmp_path / "out").exists()

    refused(r"calibration\.json: no such file")
    calibration_made(path, "pathology")
    refused(r"of the task pathology .*, expected density")
    calibration_made(path)
    refused("fused otherwise .*rule 'mean', here 'median'", Fusion("median"))
    refused(r"weights \{\}, here \{'CC_R': 2\}", Fusion(weights={"CC_R": 2}))
    calibration_made(path, levels={"CC_R": LevelCalibration(1.5, 40, 40)})
    refused(r"no temperature for CC_L, MLO_R, MLO_L, right, left, subject \(it has CC_R\)")


def test_predictions_say_which_trainings_they_come_from(exams, folds, tmp_path):
    predict(exams / "PH0001", folds, tmp_path / "out")
    text = json.loads((tmp_path / "out" / "predictions" / "predictions.json").read_text())
    assert {view: [one["fold"] for one in own] for view, own in text["runs"].items()} == {
        "CC_R": ["fold-0", "fold-1"],
        "CC_L": ["fold-0"],
        "MLO_R": ["fold-0"],
        "MLO_L": ["fold-0"],
    }
    one = text["runs"]["CC_R"][0]
    checksum = (folds / "fold-0" / "CC_R" / "weights.safetensors.sha256").read_text().split()[0]
    assert one["weights_sha256"] == checksum and one["data_fingerprint"] and one["versions"]["torch"]
    assert str(tmp_path) not in json.dumps(text["runs"])


def test_subjects_that_the_networks_learned_from_are_counted_wherever_the_runs_lie(dataset, runs, tmp_path):
    shutil.copytree(runs, tmp_path / "elsewhere")
    found = predict(dataset, tmp_path / "elsewhere", tmp_path / "out", PredictOptions())
    learned = set(dataset.table.loc[dataset.table["split"] != "test", "subject_id"])
    assert found.seen == len(learned)
    assert any(f"LEAKAGE: {len(learned)} of these subjects were in the training" in note for note in found.notes)
    assert json.loads((tmp_path / "out" / "predictions" / "predictions.json").read_text())["seen"] == len(learned)
    held_out = predict(dataset, runs, None, PredictOptions(split="test"))
    assert held_out.seen == 0 and not any("LEAKAGE" in note for note in held_out.notes)


def test_a_report_of_subjects_that_the_networks_learned_from_says_leakage(dataset, runs, tmp_path):
    from ensemble_mammo.merit.inputs.truth import truth_from_dataset
    from ensemble_mammo.stages.report import ReportOptions, report

    predict(dataset, runs, tmp_path, PredictOptions(split="train"))
    truth = truth_from_dataset(dataset, TASKS["density"])
    found = report([tmp_path / "predictions"], truth, None, ReportOptions(resamples=0))
    assert any("LEAKAGE: 4 of the predicted subjects were in the training of these networks" in n for n in found.notes)


def test_peers_tables_are_written_for_two_classes_and_refused_for_more(dataset, runs, tmp_path):
    from ensemble_mammo.merit.fusion import fuse
    from ensemble_mammo.merit.inputs.sources import sources_of
    from ensemble_mammo.stages.predict.options import Scores
    from ensemble_mammo.stages.predict.written import write_scores
    from tests.stages.report.studies import views_made

    with pytest.raises(PredictionError, match="task density has 4 classes; leave --peers out"):
        predict(dataset, runs, tmp_path, PredictOptions(split="test", peers=True))
    assert not (tmp_path / "predictions").exists()
    task = TASKS["pathology"]
    given, _ = views_made(task, 5)
    scores = Scores(task, {View(p.level): p for p in given}, fuse(given, task), ())
    write_scores(scores, tmp_path, [tmp_path], PredictOptions(peers=True))
    (image_level,) = sources_of([tmp_path / "predictions" / "image_level.csv"])
    read = {p.level: p for p in image_level.read(task).predictions}
    assert set(read) == {p.level for p in given}
    assert np.allclose(read["CC_R"].scores, given[0].scores)
    assert (tmp_path / "predictions" / "breast_level.csv").is_file()


def test_runs_that_are_loaded_already_give_the_same_scores_and_files(exams, runs, tmp_path):
    loaded = load_runs(runs)
    assert scores_of(predict(exams / "PH0001", loaded, tmp_path / "loaded")).keys() == set(LEVELS)
    predict(exams / "PH0001", runs, tmp_path / "read")
    for path in (tmp_path / "read").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "loaded" / path.relative_to(tmp_path / "read")).read_bytes()
    only = predict(exams / "PH0001", loaded, options=PredictOptions(only=(View.CC_R,)))
    assert list(only.views) == ["CC_R"]
    with pytest.raises(RunError, match="the runs that were loaded are of the task 'density'; load others"):
        predict(exams / "PH0001", loaded, options=PredictOptions(task="pathology"))
    with pytest.raises(RunError, match="of no view that is wanted"):
        predict(exams / "PH0001", {View.CC_R: loaded[View.CC_R]}, options=PredictOptions(only=(View.CC_L,)))


def test_the_number_of_threads_is_put_back_and_said_to_be_wrong_where_it_is(exams, runs):
    before = torch.get_num_threads()
    predict(exams / "PH0001", runs, options=PredictOptions(threads=before + 1))
    assert torch.get_num_threads() == before
    with pytest.raises(PredictionError, match="threads -1: expected a number of processor cores"):
        PredictOptions(threads=-1)
