import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.records.predictions import Predictions, read_predictions, write_predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import report
from ensemble_mammo.stages.report.sections.baseline import section
from tests.stages.report.studies import FEW, study_made


def baseline(folder, value, task="density", level="subject", exams=60):
    path = folder / "report.json"
    figures = {level: {"accuracy": {"value": value, "low": value - 0.1, "high": None}}}
    path.write_text(json.dumps({"task": task, "figures": figures, "counts": {level: {"exams": exams}}}))
    return path


def test_without_a_baseline_there_is_no_section():
    assert section(study_made()) is None


@pytest.mark.parametrize(("value", "verdict"), [(0.01, ", above the"), (0.999, ", not above the")])
def test_the_figure_stands_beside_that_of_the_baseline(tmp_path, value, verdict):
    study = study_made(options=replace(FEW, baseline=baseline(tmp_path, value)))
    found = section(study)
    assert verdict in found.lead
    (row,) = found.tables[0].records()
    assert row["level"] == "subject"
    assert row["baseline"] == {"value": value, "low": pytest.approx(value - 0.1), "high": None}
    assert row["difference"] == pytest.approx(row["here"]["value"] - value)


def test_a_baseline_of_other_exams_is_said_to_be_so(tmp_path):
    same = section(study_made(options=replace(FEW, baseline=baseline(tmp_path, 0.4))))
    assert same.notes == ()
    other = section(study_made(options=replace(FEW, baseline=baseline(tmp_path, 0.4, exams=74))))
    assert other.notes == ("the baseline was judged on other exams: subject 74 exams, here 60",)


def test_a_baseline_of_another_task_or_of_no_report_is_refused(tmp_path):
    for text, said in [
        (json.dumps({"task": "pathology", "figures": {}}), "a report of pathology, expected one of density"),
        ("{", "not a report.json"),
        (json.dumps({"task": "density", "figures": {"right": {}}, "counts": {}}), "has none of the levels"),
    ]:
        path = tmp_path / "report.json"
        path.write_text(text)
        with pytest.raises(PredictionError, match=said):
            section(study_made(options=replace(FEW, baseline=path)))
    with pytest.raises(PredictionError, match="no such file"):
        section(study_made(options=replace(FEW, baseline=tmp_path / "none.json")))


# ---- predictions of the baseline


def written(folder, skill, count=60, seed=5, task="density", true_seed=0):
    """Tables of a system that knows more or less of the same subjects."""
    known = TASKS[task]
    rng = np.random.default_rng(true_seed)
    true = rng.integers(0, len(known.classes), 60)[:count]
    own = np.random.default_rng(seed)
    for view in View:
        logits = own.normal(size=(count, len(known.classes)))
        logits[np.arange(count), true] += skill
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        subjects = tuple(f"S{i:04d}" for i in range(count))
        p = Predictions(
            view.value, known.classes, scores, subjects, ("1",) * count, (view.value,) * count, (1,) * count
        )
        write_predictions(folder / f"{view}.csv", p)
    return folder


def test_the_baseline_beside_the_predictions_is_found_and_compared_pair_by_pair(tmp_path):
    written(tmp_path / "baseline", 0.0)
    study = replace(study_made(), folders=(tmp_path,))
    found = section(study)
    rows = found.tables[0].records()
    assert [row["level"] for row in rows[::4]] == ["CC_R", "CC_L", "MLO_R", "MLO_L", "right", "left", "subject"]
    assert {row["figure"] for row in rows} == {
        "accuracy", "macro recall", "kappa, quadratic", "AUC"
    }  # fmt: skip
    accuracy = next(row for row in rows if row["level"] == "subject" and row["figure"] == "accuracy")
    ours = study.levels["subject"]
    theirs = fuse([read_predictions(tmp_path / f"baseline/{v}.csv", v, "ABCD") for v in View], TASKS["density"])
    their_scores = theirs.levels["subject"].scores
    assert accuracy["here"]["value"] == pytest.approx((ours.predicted == ours.true).mean())
    assert accuracy["baseline"]["value"] == pytest.approx((their_scores.argmax(1) == ours.true).mean())
    apart = (ours.predicted == ours.true).astype(float) - (their_scores.argmax(1) == ours.true)
    draws = np.random.default_rng(0).integers(0, 60, (4000, 60))
    low, high = np.percentile(apart[draws].mean(1), (2.5, 97.5))
    assert accuracy["difference"]["value"] == pytest.approx(apart.mean())
    assert accuracy["difference"]["low"] == pytest.approx(low, abs=0.05)
    assert accuracy["difference"]["high"] == pytest.approx(high, abs=0.05)
    assert found.lead.startswith("Subject: accuracy ")
    assert not [note for note in found.notes if note.startswith("WARNING")]


def test_a_network_below_its_baseline_gets_a_warning(tmp_path):
    written(tmp_path / "given", 4.0)
    found = section(study_made(options=replace(FEW, baseline=tmp_path / "given"), skill=0.2))
    (warning,) = [note for note in found.notes if note.startswith("WARNING: ")]
    assert "lies below its baseline" in warning and "subject, accuracy" in warning and "CC_R" in warning
    marked = [row for row in found.tables[0].records() if row.get("marked")]
    assert {row["figure"] for row in marked} == {"accuracy", "kappa, quadratic"}


def test_of_two_classes_the_area_under_the_curve_decides(tmp_path):
    written(tmp_path / "given", 4.0, task="pathology")
    found = section(study_made("pathology", options=replace(FEW, baseline=tmp_path / "given"), skill=0.2))
    assert {row["figure"] for row in found.tables[0].records() if row.get("marked")} == {"AUC"}


def test_only_exams_that_both_have_are_compared(tmp_path):
    written(tmp_path / "given", 0.5, count=50)
    found = section(study_made(options=replace(FEW, baseline=tmp_path / "given")))
    assert {row["exams"] for row in found.tables[0].records()} == {50}
    assert any("left out" in note and "here 10" in note for note in found.notes)


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(PredictionError, match="holds no predictions of a view"):
        section(study_made(options=replace(FEW, baseline=tmp_path)))


def test_the_warning_stands_among_the_notes_of_the_report(tmp_path):
    written(tmp_path / "given", 0.0)
    written(tmp_path / "given/baseline", 4.0)
    study = study_made()
    found = report([str(tmp_path / "given")], study.truth, tmp_path / "out", FEW)
    assert found.notes[0].startswith("WARNING: the network lies below its baseline")
    held = json.loads((tmp_path / "out/report.json").read_text())
    assert held["notes"][0] == found.notes[0]
    assert held["sections"]["baseline"]["tables"]["baseline"]
