import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.definitions import FIGURES
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.merit.inputs.truth import ANY, Truth, truth_from_counts, truth_from_csv
from ensemble_mammo.records.calibration_file import read_calibration
from ensemble_mammo.records.predictions import Predictions, write_predictions
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report

DENSITY, PATHOLOGY = TASKS["density"], TASKS["pathology"]
FEW = ReportOptions(resamples=50)
INFN = Path(__file__).parents[4] / "shared" / "data" / "infn-density" / "Predictions"
COUNTS = "A=14,B=51,C=50,D=13"
PUBLISHED = {  # PUBLISHED.md, density ensemble: accuracy, macro recall, macro precision
    "CC_R": (0.773438, 0.788162, 0.764161),
    "MLO_R": (0.742188, 0.699167, 0.716731),
    "right": (0.804688, 0.793441, 0.793947),
}


def made(view, subjects, task=DENSITY, seed=0, identified=True):
    subjects = [str(s) for s in subjects]
    count, classes = len(subjects), len(task.classes)
    scores = np.random.default_rng(seed).dirichlet(np.ones(classes), count)
    return Predictions(
        view, task.classes, scores, tuple(subjects), ("1",) * count, (view,) * count, (1,) * count, identified
    )


def test_leaks_of_the_dataset_and_further_remarks_stand_among_the_notes(dataset):
    from ensemble_mammo.merit.inputs.truth import truth_from_dataset

    table = dataset.table.copy()
    table.loc[table["split"].eq("train").idxmax(), "split"] = "test"
    leaking = truth_from_dataset(dataclasses.replace(dataset, table=table), DENSITY)
    given = made("CC_R", sorted(set(table["subject_id"])))
    found = report([given], leaking, options=ReportOptions(resamples=0, remarks=("shortcut: told from outside",)))
    assert any(note.startswith("LEAKAGE: 1 in this dataset") for note in found.notes)
    assert "shortcut: told from outside" in found.notes
    assert not any("LEAK" in n for n in report([given], truth_from_dataset(dataset, DENSITY)).notes)


def truth_of(subjects, task=DENSITY):
    return Truth(task, "labels.csv", {(ANY, str(s), ANY): i % len(task.classes) for i, s in enumerate(subjects)})


FOUR = ("CC_R", "CC_L", "MLO_R", "MLO_L")


@pytest.mark.real
@pytest.mark.skipif(not INFN.is_dir(), reason="../shared/data/infn-density is not there")
def test_the_published_figures_are_met(tmp_path):
    truth = truth_from_counts(COUNTS, DENSITY)
    found = report([INFN / "predictions_ccr.txt", INFN / "predictions_mlor.txt"], truth, tmp_path)
    assert list(found.figures) == list(PUBLISHED)
    written = json.loads((tmp_path / "report.json").read_text())
    for level, values in PUBLISHED.items():
        for name, value in zip(("accuracy", "recall", "precision"), values, strict=True):
            assert written["figures"][level][name]["value"] == pytest.approx(value, abs=1e-6), (level, name)
    assert "taken to be the same subjects in the same order" in found.notes[0]


def test_four_views_give_seven_levels_and_exactly_these_files(tmp_path):
    for seed, view in enumerate(FOUR):
        write_predictions(tmp_path / "in" / f"{view}.csv", made(view, range(24), seed=seed))
    found = report([tmp_path / "in"], truth_of(range(24)), tmp_path / "out", FEW)
    levels = [*FOUR, "right", "left", "subject"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*(f"confusion_{level}.png" for level in levels), "report.html", "report.json", "tables"]
    )
    studied = {section.name: [table.name for table in section.tables] for section in found.sections}
    assert sorted(path.name for path in (tmp_path / "out" / "tables").iterdir()) == sorted(
        ["figures.csv", *(f"{name}_{table}.csv" for name, tables in studied.items() for table in tables)]
    )
    assert list(studied) == ["classes", "two-classes", "images", "fusion", "second-look", "errors", "calibration"]
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(written["figures"]) == levels
    of_classes = [f"{kind}_{name}" for kind in ("recall", "precision", "f1", "auc") for name in "ABCD"]
    whole = [name for name in FIGURES if not name.startswith("positive")]
    assert list(written["figures"]["subject"]) == [*whole, *of_classes]
    assert set(written["figures"]["subject"]["kappa"]) == {"value", "low", "high"}
    assert np.sum(written["confusion"]["right"]["counts"]) == 24
    assert written["counts"]["left"]["subjects"] == 24
    assert written["bootstrap"] == {"resamples": 50, "seed": 0, "confidence": 0.95, "unit": "subject"}
    assert written["fusion"]["rule"] == "mean"
    cc_r = tmp_path / "in" / "CC_R.csv"
    assert written["files"][0] == {
        "name": "CC_R.csv",
        "sha256": hashlib.sha256(cc_r.read_bytes()).hexdigest(),
        "level": "CC_R",
        "system": "",
    }
    assert written["versions"].keys() >= {"ensemble-mammo", "python", "numpy"}
    assert found.as_json() == written
    assert found.table()[0][:4] == ["level", "exams", "accuracy", "most frequent class"]
    assert found.table()[0][4:] == ["macro recall", "macro precision", "kappa, quadratic"]
    assert [row[0] for row in found.table()[1:]] == levels


def test_the_page_stands_alone_escapes_and_names_no_patient(tmp_path):
    subjects = [f"patient-{i}" for i in range(12)]
    truth = Truth(DENSITY, "<script>x</script>", truth_of(subjects).labels)
    hidden = dataclasses.replace(FEW, hide_ids=True)
    report([made("CC_R", subjects), made("MLO_R", subjects[:9], seed=1)], truth, tmp_path, hidden)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("<script") == 1
    assert "&lt;script&gt;x" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert not re.search(r"https?:", html)
    assert "patient-" not in html + (tmp_path / "report.json").read_text()
    assert "Not a medical device; for research." in html
    assert "3 of 12 exams lack a view (MLO_R 3)" in html


def test_nothing_is_written_without_a_folder_and_the_seed_decides():
    views = [made("CC_R", range(16))]
    assert (
        report(views, truth_of(range(16)), options=FEW).figures
        == report(views, truth_of(range(16)), options=FEW).figures
    )


def test_undefined_figures_are_null_and_said(tmp_path):
    labels = Truth(DENSITY, "labels", {(ANY, str(i), ANY): 0 for i in range(6)})
    one = made("CC_R", range(6))
    flat = Predictions(one.level, one.classes, np.eye(4)[[0] * 6], one.subject_ids, one.exam_ids, one.views, one.images)
    found = report([flat], labels, tmp_path, FEW)
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["figures"]["CC_R"]["kappa"] == {"value": None, "low": None, "high": None}
    notes = " ".join(found.notes)
    assert "CC_R: no case is truly B, C, D: its recall is undefined" in notes
    assert "B, C, D is never predicted" in notes
    assert "AUC is undefined" in notes
    assert ">–<" in (tmp_path / "report.html").read_text(encoding="utf-8").replace("\n", "")


def test_levels_that_would_only_repeat_others_are_left_out_and_said():
    found = report([made("CC_R", range(8)), made("CC_L", range(8), seed=1)], truth_of(range(8)), options=FEW)
    assert list(found.figures) == ["CC_R", "CC_L", "subject"]
    assert "right is left out: it is fused from CC_R and MLO_R, and not both are given" in found.notes
    right = report([made("CC_R", range(8)), made("MLO_R", range(8), seed=1)], truth_of(range(8)), options=FEW)
    assert list(right.figures) == ["CC_R", "MLO_R", "right"]
    assert "subject is left out: only views of the right breast are given" in right.notes


def test_a_fused_file_is_reported_as_it_is(tmp_path):
    own = made("right", range(8), seed=5)
    write_predictions(tmp_path / "right.csv", own)
    views = [made("CC_R", range(8)), made("MLO_R", range(8), seed=1)]
    found = report([*views, tmp_path / "right.csv"], truth_of(range(8)), options=FEW)
    true = np.arange(8) % 4
    assert found.figures["right"]["accuracy"].value == pytest.approx((own.scores.argmax(1) == true).mean())
    assert "right: reported from its own file, not fused again" in found.notes
    alone = report([own], truth_of(range(8)), options=FEW)
    assert list(alone.figures) == ["right"]


def test_counts_say_which_exams_stand_behind_a_level():
    views = [made("CC_R", range(8)), made("MLO_R", range(2, 10), seed=1)]
    options = ReportOptions(resamples=50, allow_unlabelled=True)
    found = report(views, truth_of([*range(9), "x"]), options=options)
    right, cc = found.counts["right"], found.counts["CC_R"]
    assert (right.exams, right.incomplete, right.absent, right.unlabelled) == (9, 3, 0, 1)
    assert (cc.exams, cc.incomplete, cc.absent, cc.unlabelled) == (8, 0, 2, 0)
    assert "predicted exams left out because they have no true class: 1" in found.notes
    assert "subjects with a true class but no prediction: 1" in found.notes


def test_a_fusion_rule_is_heeded():
    views = [made(view, range(40), seed=i) for i, view in enumerate(FOUR)]
    mean, vote = (
        report(views, truth_of(range(40)), options=ReportOptions(Fusion(rule), resamples=0))
        for rule in ("mean", "vote")
    )
    assert not np.array_equal(mean.confusion["subject"], vote.confusion["subject"])
    assert np.array_equal(mean.confusion["CC_R"], vote.confusion["CC_R"])


def test_a_pathology_report_names_its_grouped_figure_positive():
    found = report([made("CC_R", range(8), PATHOLOGY)], truth_of(range(8), PATHOLOGY), options=FEW)
    assert "positive" in found.figures["CC_R"]
    assert "the true class of an exam was taken for each of its views and breasts" in found.notes


def plain(folder, name, count):
    np.savetxt(folder / name, np.random.default_rng(0).dirichlet(np.ones(4), count))
    return folder / name


def test_files_that_do_not_fit_are_refused(tmp_path):
    short, long = plain(tmp_path, "predictions_ccr.txt", 4), plain(tmp_path, "predictions_mlor.txt", 5)
    with pytest.raises(PredictionError, match=r"differ in their number of rows \(CC_R 4, MLO_R 5\)"):
        report([short, long], Truth(DENSITY, "x", {(ANY, f"row {i}", ANY): 0 for i in range(9)}), options=FEW)
    with pytest.raises(PredictionError, match="4 true classes for the 5 rows of MLO_R"):
        report([short, long], truth_from_counts("A=4", DENSITY), options=FEW)
    with pytest.raises(PredictionError, match="carry no ids, so labels by subject_id cannot be matched"):
        report([short], truth_of(range(4)), options=FEW)
    with pytest.raises(PredictionError, match="classes benign, malignant; task density"):
        report([made("CC_R", range(2), PATHOLOGY)], truth_of(range(2)), options=FEW)
    with pytest.raises(PredictionError, match="level CC_R is given more than once"):
        report([made("CC_R", range(4)), f"CC_R={short}"], truth_of(range(4)), options=FEW)
    with pytest.raises(PredictionError, match="no prediction file given"):
        report([], truth_of(range(4)), options=FEW)
    with pytest.raises(PredictionError, match="resamples -1"):
        ReportOptions(resamples=-1)


def test_damaged_rows_are_refused_with_file_and_line(tmp_path):
    path = tmp_path / "CC_R.csv"
    path.write_text("subject_id,exam_id,A,B,C,D\na,1,0.5,0.5,0,0\nb,1,0.5,0.6,0,0\nc,1,0.5\n")
    with pytest.raises(PredictionError, match=r"CC_R.csv line 4: 3 values, expected 6"):
        report([path], truth_of("abc"), options=FEW)
    path.write_text("subject_id,exam_id,A,B,C,D\na,1,0.5,0.5,0,0\nb,1,0.5,0.6,0,0\n")
    with pytest.raises(PredictionError, match=r"CC_R.csv line 3: scores add up to 1\.1"):
        report([path], truth_of("abc"), options=FEW)
    path.write_text("subject_id,exam_id,A,B,C,E\na,1,0.5,0.5,0,0\n")
    with pytest.raises(PredictionError, match=r"CC_R.csv line 1: column D missing"):
        report([path], truth_of("abc"), options=FEW)


def test_exams_without_a_true_class_are_refused_with_advice(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("subject_id,exam_id,label\n0,1,A\n1,2,B\n")
    truth = truth_from_csv(table, DENSITY)
    with pytest.raises(
        PredictionError,
        match=r"labels\.csv: no true class for 14 predicted exams: '1' exam '1', .*\(and 4 more\); "
        r"1 of them have labels of another exam_id or level only; "
        r"add their labels, or leave such exams out with --allow-unlabelled",
    ):
        report([made("CC_R", range(15))], truth, options=FEW)
    with pytest.raises(PredictionError, match="some exam of each level must have one"):
        report([made("CC_R", range(5, 9))], truth, options=ReportOptions(allow_unlabelled=True))


def test_subjects_that_networks_may_have_learned_from_are_said():
    subjects = ["a", "b", "c", "d"]
    truth = dataclasses.replace(truth_of(subjects), learned=frozenset("abc"))
    found = report([made("CC_R", subjects)], truth, None, ReportOptions(resamples=0))
    assert any(note.startswith("of the 4 subjects 3 are of the dataset's splits train and val") for note in found.notes)


def test_several_systems_are_compared_on_the_exams_that_all_have(tmp_path):
    for name, seed, count in (("a", 0, 20), ("b", 1, 18)):
        write_predictions(tmp_path / name / "CC_R.csv", made("CC_R", range(count), seed=seed))
    found = report([f"A={tmp_path / 'a'}", f"B={tmp_path / 'b'}"], truth_of(range(20)), None, FEW)
    assert found.sections[0].name == "comparison"
    assert found.counts["CC_R"].exams == 18
    assert [(file.system, file.name) for file in found.files] == [("A", "CC_R.csv"), ("B", "CC_R.csv")]
    assert any("all other figures are of A" in note for note in found.notes)
    assert any("18 exams are in all systems; left out of all figures: A 2" in note for note in found.notes)


def test_what_validation_gives_is_written_for_predict_and_comes_from_other_subjects(tmp_path):
    write_predictions(tmp_path / "test" / "CC_R.csv", made("CC_R", range(40)))
    write_predictions(tmp_path / "val" / "CC_R.csv", made("CC_R", range(40, 80), seed=1))
    options = dataclasses.replace(FEW, validation=(str(tmp_path / "val"),))
    found = report([tmp_path / "test"], truth_of(range(80)), tmp_path / "out", options)
    fitted = read_calibration(tmp_path / "out" / "calibration.json", DENSITY)
    assert fitted.levels["CC_R"].subjects == 40
    assert set(fitted.levels["CC_R"].thresholds) == {"youden", "sensitivity"}
    assert found.files[-1].system == "validation"
    with pytest.raises(PredictionError, match="--validation: 40 of its subjects are among those judged, the first '0'"):
        report(
            [tmp_path / "test"],
            truth_of(range(80)),
            None,
            dataclasses.replace(FEW, validation=(str(tmp_path / "test"),)),
        )


def test_validation_files_without_ids_need_their_counts(tmp_path):
    scores = made("CC_R", range(40)).scores
    (tmp_path / "val").mkdir()
    np.savetxt(tmp_path / "val" / "predictions_ccr.txt", scores)
    given = [made("CC_R", range(12))]
    options = dataclasses.replace(FEW, validation=(str(tmp_path / "val"),))
    with pytest.raises(PredictionError, match="these files carry no ids; give their true classes in file order"):
        report(given, truth_of(range(12)), None, options)
    counted = dataclasses.replace(options, validation_counts="A=10,B=10,C=10,D=10")
    found = report(given, truth_of(range(12)), tmp_path / "out", counted)
    assert (tmp_path / "out" / "calibration.json").is_file()
    assert found.sections[0].name == "classes"


def test_out_of_fold_predictions_are_test_figures_of_the_subjects_that_others_learned_from(dataset, tmp_path):
    from ensemble_mammo.merit.inputs.truth import truth_from_dataset

    keys = sorted(set(zip(dataset.table["subject_id"], dataset.table["exam_id"], strict=True)))
    table = made("CC_R", [subject for subject, _ in keys])
    write_predictions(tmp_path / "CC_R.csv", dataclasses.replace(table, exam_ids=tuple(exam for _, exam in keys)))
    truth = truth_from_dataset(dataset, DENSITY)
    assert any("no test figures" in note for note in report([tmp_path], truth, None, FEW).notes)
    (tmp_path / "predictions.json").write_text(json.dumps({"out_of_fold": True, "runs": {}}))
    assert not any("no test figures" in note for note in report([tmp_path], truth, None, FEW).notes)
