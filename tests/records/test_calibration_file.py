import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.calibration_file import (
    Calibration,
    LevelCalibration,
    SetRule,
    class_sets,
    read_calibration,
    scaled,
    write_calibration,
)
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import TASKS

FUSION = {"rule": "mean", "weights": {"CC_R": 2.0}, "breast_to_subject": "mean"}


def calibration_made(**levels):
    given = levels or {
        "CC_R": LevelCalibration(1.7, 40, 38, SetRule("lac", 0.9, 0.8123456789012345), {"youden": 0.41}),
        "subject": LevelCalibration(1.0, 9, 9, None, {}, "9 validation exams are too few"),
    }
    return Calibration("density", tuple("ABCD"), given, FUSION, "ab" * 32, {"CC_R.csv": "cd" * 32})


def table_made(level="CC_R", count=5, seed=0):
    scores = np.random.default_rng(seed).dirichlet(np.ones(4), count)
    ids = tuple(f"S{i}" for i in range(count))
    return Predictions(level, tuple("ABCD"), scores, ids, ("1",) * count, (level,) * count, (1,) * count)


def test_what_is_written_is_read_back_to_the_last_digit(tmp_path):
    made = calibration_made()
    write_calibration(tmp_path / "calibration.json", made)
    assert read_calibration(tmp_path / "calibration.json", TASKS["density"]) == made
    table = json.loads((tmp_path / "calibration.json").read_text())
    assert table["format"] == 1
    assert table["levels"]["CC_R"]["sets"] == {"method": "lac", "coverage": 0.9, "threshold": 0.8123456789012345}


def test_scaling_is_the_softmax_of_logits_over_the_temperature():
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 3
    for temperature in (0.3, 1.0, 2.5):
        found = scaled(softmax(logits, axis=1), temperature)
        assert np.allclose(found, softmax(logits / temperature, axis=1), atol=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.0, 20.0])
def test_the_highest_class_stays_the_highest(temperature):
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.dirichlet(np.ones(4) * a, 500) for a in (0.01, 1, 100)])
    near = np.full((100, 4), 0.25) + rng.integers(-3, 4, (100, 4)) * 2.0**-54  # as close as rounding allows
    equal = np.tile([0.1, 0.4, 0.4, 0.1], (3, 1))
    zero = np.array([[0.0, 0.0, 1.0, 0.0], [1e-300, 1e-200, 1.0, 0.0]])
    for given in (scores, near, equal, zero):
        found = scaled(given, temperature)
        assert np.array_equal(found.argmax(1), given.argmax(1))
        assert np.allclose(found.sum(1), 1) and (found >= 0).all()


def test_applying_changes_scores_alone():
    table = table_made()
    found = calibration_made().apply(table)
    assert replace(found, scores=table.scores) == replace(table, scores=table.scores)
    assert np.array_equal(found.scores, scaled(table.scores, 1.7))
    assert (found.scores.max(1) < table.scores.max(1)).all()


def test_sets_are_names_of_classes():
    table = replace(table_made(count=3), scores=np.array([[0.7, 0.2, 0.1, 0], [0.1, 0.45, 0.45, 0], [0.25] * 4]))
    made = calibration_made(CC_R=LevelCalibration(1.5, 30, 30, SetRule("lac", 0.9, 0.6)))
    assert made.sets(table) == [("A",), ("B", "C"), ()]
    aps = calibration_made(CC_R=LevelCalibration(1.5, 30, 30, SetRule("aps", 0.9, 0.8)))
    assert aps.sets(table) == [("A", "B"), ("B", "C"), ("A", "B", "C", "D")]
    assert calibration_made(CC_R=LevelCalibration(1.5, 30, 30)).sets(table) == []


def test_an_aps_threshold_above_every_sum_takes_all_classes():
    assert class_sets(np.array([[0.5, 0.3, 0.2]]), "aps", 1.0 + 1e-6).all()


def test_a_level_without_a_temperature_is_refused():
    with pytest.raises(PredictionError, match=r"no temperature for MLO_L \(it has CC_R, subject\); make the report"):
        calibration_made().apply(table_made("MLO_L"))


def test_other_classes_are_refused():
    table = replace(table_made(), classes=tuple("WXYZ"))
    with pytest.raises(PredictionError, match="its classes are A, B, C, D, the scores have W, X, Y, Z"):
        calibration_made().sets(table)


def test_a_calibration_of_another_task_is_refused(tmp_path):
    write_calibration(tmp_path / "calibration.json", calibration_made())
    with pytest.raises(PredictionError, match=r"of the task density \(A, B, C, D\), expected pathology \(benign, mal"):
        read_calibration(tmp_path / "calibration.json", TASKS["pathology"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", r"not a calibration; expected the calibration\.json that a report wrote"),
        ('{"task": "density"}', "not a calibration"),
        ('{"format": 2, "levels": {}}', "of another format, expected 1"),
        ('{"format": 1, "levels": {}}', "levels is empty or no table; key 'task' is missing"),
    ],
)
def test_what_is_no_calibration_is_refused(text, expected, tmp_path):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(PredictionError, match=expected):
        read_calibration(tmp_path / "calibration.json")


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(PredictionError, match=r"no such file; a report with --validation writes calibration\.json"):
        read_calibration(tmp_path / "calibration.json")


def test_all_problems_of_a_file_are_named_at_once(tmp_path):
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration_made())
    table = json.loads(path.read_text())
    table["levels"]["CC_R"]["temperature"] = -1
    table["levels"]["subject"]["exams"] = "many"
    table["levels"]["CC"] = {}
    table["fingerprnt"] = ""
    path.write_text(json.dumps(table))
    with pytest.raises(PredictionError) as caught:
        read_calibration(path)
    for part in (
        "temperature is -1",
        "levels.subject.exams is 'many', expected int",
        "level 'CC' is not one of",
        "unknown key 'fingerprnt'; did you mean 'fingerprint'",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: SetRule("naive", 0.9, 0.5), "method is 'naive', expected lac or aps"),
        (lambda: SetRule("lac", 1.0, 0.5), "coverage is 1.0, expected a share"),
        (lambda: SetRule("lac", 0.9, float("nan")), "threshold is nan, expected a number from 0 to 1"),
        (lambda: LevelCalibration(float("inf"), 1, 1), "temperature is inf, expected a number above 0"),
        (lambda: LevelCalibration(1.0, 0, 0), "0 exams of 0 subjects, expected at least one"),
        (lambda: LevelCalibration(1.0, 1, 1, None, {"youden": "x"}), "thresholds.youden is 'x', expected a number"),
    ],
)
def test_values_outside_their_range_are_refused(make, expected):
    with pytest.raises(ValueError, match=expected):
        make()
