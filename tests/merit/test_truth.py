from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.truth import UNKNOWN, truth_from_counts, truth_from_csv, truth_from_dataset
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.task import TASKS

DENSITY, PATHOLOGY = TASKS["density"], TASKS["pathology"]


def rows(keys, level="CC_R", task=DENSITY):
    count = len(keys)
    subjects, exams = zip(*keys, strict=True)
    scores = np.full((count, len(task.classes)), 1 / len(task.classes))
    return Predictions(level, task.classes, scores, subjects, exams, (level,) * count, (1,) * count)


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_counts_are_rows_in_file_order():
    one = rows([("a", "1"), ("b", "1"), ("c", "1")])
    truth = truth_from_counts("A=1, C=2", DENSITY).placed([one])
    assert truth.of(one).tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A:3", "'A:3' is not CLASS=NUMBER"),
        ("A=x", "'A=x' is not CLASS=NUMBER"),
        ("A=-1", "is not CLASS=NUMBER"),
        ("E=3", "label 'E' is not one of A, B, C, D"),
        ("A=3,1=2", "class A is given twice"),
        ("A=0", "add up to 0 rows"),
        ("", "is not CLASS=NUMBER"),
    ],
)
def test_counts_that_cannot_be_are_refused(text, message):
    with pytest.raises(PredictionError, match=message):
        truth_from_counts(text, DENSITY)


def test_counts_must_add_up_and_rows_must_be_the_same_in_all_files():
    one, other = rows([("a", "1"), ("b", "1")]), rows([("b", "1"), ("a", "1")], "MLO_R")
    with pytest.raises(PredictionError, match="3 true classes for the 2 rows of CC_R"):
        truth_from_counts("A=3", DENSITY).placed([one])
    with pytest.raises(PredictionError, match="row 1 of MLO_R is another subject than row 1 of CC_R"):
        truth_from_counts("A=1,B=1", DENSITY).placed([one, other])


def test_a_table_labels_exams_and_where_it_names_none_all_exams_of_the_subject(tmp_path):
    path = table(tmp_path, "\ufeffsubject_id,exam_id,label,age\na,1,b,50\na,2,ACR C,51\nb,,4,\n")
    truth = truth_from_csv(path, DENSITY)
    found = truth.of(rows([("a", "1"), ("a", "2"), ("a", "3"), ("b", "7"), ("c", "1")]))
    assert found.tolist() == [1, 2, UNKNOWN, 3, UNKNOWN]
    plain = truth_from_csv(table(tmp_path, "subject_id,label\na,A\na,A\n"), DENSITY)
    assert plain.of(rows([("a", "x"), ("a", "y")])).tolist() == [0, 0]


def test_every_wrong_line_of_a_table_is_named_at_once(tmp_path):
    path = table(tmp_path, "subject_id,label\na,A\nb,E\n,B\na,C\nd,\n")
    with pytest.raises(
        PredictionError,
        match=r"labels\.csv line 3: label 'E'.*line 4: subject_id is empty; line 5: .*"
        r"'a' is 'C' here, 'A' above; line 6: label '' is not",
    ):
        truth_from_csv(path, DENSITY)
    many = table(tmp_path, "subject_id,label\n" + "a,E\n" * 13)
    with pytest.raises(PredictionError, match=r"\(and 3 more\)"):
        truth_from_csv(many, DENSITY)


def test_what_is_no_table_of_labels_is_refused(tmp_path):
    with pytest.raises(PredictionError, match=r"line 1: column label missing; found subject_id, class"):
        truth_from_csv(table(tmp_path, "subject_id,class\na,A\n"), DENSITY)
    with pytest.raises(PredictionError, match="found nothing"):
        truth_from_csv(table(tmp_path, ""), DENSITY)
    with pytest.raises(PredictionError, match="holds no label"):
        truth_from_csv(table(tmp_path, "subject_id,label\n"), DENSITY)
    with pytest.raises(PredictionError, match="no such file"):
        truth_from_csv(tmp_path / "none.csv", DENSITY)
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PredictionError, match="cannot be read as text"):
        truth_from_csv(tmp_path / "odd.csv", DENSITY)
    with pytest.raises(PredictionError, match="cannot be read as text"):
        truth_from_csv(tmp_path, DENSITY)


def dataset(task, entries):
    columns = ["subject_id", "exam_id", "view", "split", task]
    return Dataset(Path("/data/some"), pd.DataFrame(entries, columns=columns), Preparation())


def test_the_density_of_a_dataset_is_that_of_the_exam():
    data = dataset(
        "density",
        [
            ("a", "1", "CC_R", "test", "B"),
            ("a", "2", "CC_R", "test", "D"),
            ("b", "1", "CC_R", "train", "A"),
            ("c", "1", "CC_R", "test", ""),
        ],
    )
    truth = truth_from_dataset(data, DENSITY, split="test")
    assert truth.of(rows([("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")], "left")).tolist() == [1, 3, -1, -1]
    assert "density" in truth.source


def test_the_pathology_of_a_dataset_is_that_of_each_level():
    data = dataset(
        "pathology",
        [("a", "1", "CC_R", "", "malignant"), ("a", "1", "CC_L", "", "benign"), ("a", "1", "MLO_R", "", "benign")],
    )
    truth = truth_from_dataset(data, PATHOLOGY)
    found = {
        level: truth.of(rows([("a", "1")], level, PATHOLOGY))[0]
        for level in ("CC_R", "MLO_R", "CC_L", "right", "left", "subject", "MLO_L")
    }
    assert found == {"CC_R": 1, "MLO_R": 0, "CC_L": 0, "right": 1, "left": 0, "subject": 1, "MLO_L": UNKNOWN}


def test_a_dataset_without_labels_is_refused():
    data = dataset("density", [("a", "1", "CC_R", "test", "")])
    with pytest.raises(DatasetError, match="no column 'pathology'"):
        truth_from_dataset(data, PATHOLOGY)
    with pytest.raises(PredictionError, match="no image of split test has a density label"):
        truth_from_dataset(data, DENSITY, "test")


def test_a_subject_with_one_exam_has_her_label_whatever_predictions_call_the_exam():
    images = [("a", "2010", "train", "B"), ("b", "2010", "test", "C"), ("b", "2012", "test", "D")]
    columns = ["subject_id", "exam_id", "split", "density"]
    frame = pd.DataFrame(images, columns=columns).assign(view="CC_R")
    truth = truth_from_dataset(Dataset(Path("some"), frame, Preparation()), DENSITY)
    assert truth.of(rows([("a", "1"), ("b", "1"), ("b", "2012")])).tolist() == [1, UNKNOWN, 3]
    assert truth.learned == {"a"}
