from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.inputs.truth import (
    UNKNOWN,
    truth_from_counts,
    truth_from_csv,
    truth_from_dataset,
    truth_from_folders,
)
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.predictions import Predictions, read_predictions
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


def one_truth(truth, task, levels=("CC_R", "MLO_R", "CC_L", "right", "left", "subject"), key=("a", "1")):
    return {level: int(truth.of(rows([key], level, task))[0]) for level in levels}


def test_a_table_may_say_of_which_breast_a_label_is(tmp_path):
    path = table(tmp_path, "subject_id,side,label\na,R,malignant\na,left,benign\nb,L,1\n")
    truth = truth_from_csv(path, PATHOLOGY)
    expected = {"CC_R": 1, "MLO_R": 1, "CC_L": 0, "right": 1, "left": 0, "subject": 1}
    assert one_truth(truth, PATHOLOGY) == expected
    assert one_truth(truth, PATHOLOGY, ("right", "left", "subject"), ("b", "9")) == {
        "right": UNKNOWN,
        "left": 1,
        "subject": 1,
    }
    by_level = table(tmp_path, "subject_id,exam_id,level,label\na,1,RIGHT,1\na,1,left,0\n")
    assert one_truth(truth_from_csv(by_level, PATHOLOGY), PATHOLOGY) == expected


def test_a_table_may_say_of_which_view_a_label_is(tmp_path):
    path = table(tmp_path, "subject_id,view,label\na,R-CC,0\na,RCC,1\na,RMLO,0\na,LCC,0\na,L ML,1\n")
    truth = truth_from_csv(path, PATHOLOGY)
    assert one_truth(truth, PATHOLOGY) == {"CC_R": 1, "MLO_R": 0, "CC_L": 0, "right": 1, "left": 0, "subject": 1}
    assert truth.remarks == ("labels.csv: 1 labels of projections other than CC and MLO passed over",)


def test_what_is_said_of_the_subject_stands_beside_what_is_said_of_a_breast(tmp_path):
    path = table(tmp_path, "subject_id,side,label\na,,malignant\na,L,benign\n")
    found = one_truth(truth_from_csv(path, PATHOLOGY), PATHOLOGY)
    assert found == {"CC_R": 1, "MLO_R": 1, "CC_L": 0, "right": 1, "left": 0, "subject": 1}


def test_density_is_one_class_an_exam_whatever_its_images_say(tmp_path):
    path = table(tmp_path, "subject_id,view,label\na,RCC,B\na,LCC,C\nb,RCC,A\nb,LCC,A\n")
    truth = truth_from_csv(path, DENSITY)
    assert truth.of(rows([("a", "1"), ("b", "1")], "left")).tolist() == [2, 0]
    assert truth.remarks == ("in 1 exams the labels of images or breasts differ: the highest density was taken",)


def test_breasts_that_contradict_and_unknown_views_are_refused(tmp_path):
    path = table(tmp_path, "subject_id,side,label\na,R,1\na,right,0\nb,up,1\n")
    with pytest.raises(
        PredictionError, match=r"line 3: right breast of subject 'a' is '0' here, 'malignant' above; line 4: laterality"
    ):
        truth_from_csv(path, PATHOLOGY)


def test_labels_may_have_the_layout_of_peers(tmp_path):
    path = table(tmp_path, "index,left_malignant,right_malignant\na,0,1\nb,,0\n")
    truth = truth_from_csv(path, PATHOLOGY)
    assert one_truth(truth, PATHOLOGY)["subject"] == 1
    assert one_truth(truth, PATHOLOGY, ("left", "right", "subject"), ("b", "1")) == {
        "left": UNKNOWN,
        "right": 0,
        "subject": 0,
    }
    with pytest.raises(PredictionError, match="labels of two classes, task density has 4"):
        truth_from_csv(path, DENSITY)
    with pytest.raises(PredictionError, match=r"line 2: left_malignant '0\.3' is not 0 or 1"):
        truth_from_csv(table(tmp_path, "index,left_malignant,right_malignant\na,0.3,1\n"), PATHOLOGY)


def test_labels_of_0_and_1_are_the_two_classes(tmp_path):
    binary = truth_from_csv(table(tmp_path, "subject_id,label\na,0\nb,1\n"), TASKS["birads"])
    assert binary.of(rows([("a", "1"), ("b", "1")], task=TASKS["birads"])).tolist() == [0, 1]
    grades = truth_from_csv(table(tmp_path, "subject_id,label\na,1\nb,4\n"), TASKS["birads"])
    assert grades.of(rows([("a", "1"), ("b", "1")], task=TASKS["birads"])).tolist() == [0, 1]


def nameless(level, count, task=DENSITY, start=0.0):
    scores = np.full((count, len(task.classes)), 1 / len(task.classes))
    scores[:, 0] += start + np.arange(count) / 1000
    places = tuple(f"row {n}" for n in range(1, count + 1))
    ones = (1,) * count
    return Predictions(level, task.classes, scores, places, ("1",) * count, (level,) * count, ones, identified=False)


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_class_folders_give_classes_and_ids_to_the_rows_of_plain_files(tmp_path):
    root = tree(tmp_path / "TestSet", "CC_R/test/A/8_1_A_CC_R.png", "CC_R/test/B/7_1_B_CC_R.png")
    tree(root, "MLO_R/test/B/7_1_B_MLO_R.png", "MLO_R/test/B/7_1_B_MLO_R.jpg", "MLO_R/test/C/9_1_C_MLO_R.png")
    truth = truth_from_folders(root, DENSITY)
    given = [nameless("CC_R", 2), nameless("MLO_R", 3)]
    named = truth.named(given)
    assert [p.keys for p in named] == [[("8", "1"), ("7", "1")], [("7", "1"), ("9", "1")]]
    assert named[1].images == (2, 1)
    np.testing.assert_allclose(named[1].scores[0], given[1].scores[:2].mean(axis=0))
    assert all(p.identified for p in named)
    placed = truth.placed(named)
    assert [placed.of(p).tolist() for p in named] == [[0, 1], [1, 2]]
    assert placed.source == "class folders of TestSet"


def test_class_folders_without_ids_in_names_trust_the_order_if_the_classes_allow_it(tmp_path):
    root = tree(
        tmp_path, "CC_R/A/x.png", "CC_R/B/y.png", "MLO_R/A/x.png", "MLO_R/B/y.png", "CC_L/A/x.png", "CC_L/A/y.png"
    )
    truth = truth_from_folders(root, DENSITY)
    given = [nameless("CC_R", 2), nameless("MLO_R", 2)]
    assert truth.named(given) == given
    placed = truth.placed(given)
    assert [placed.of(p).tolist() for p in given] == [[0, 1], [0, 1]]
    with pytest.raises(PredictionError, match="row 2 of CC_L is another subject than row 2 of CC_R"):
        truth.placed([nameless("CC_R", 2), nameless("CC_L", 2)])


def test_class_folders_that_do_not_fit_the_files_are_refused(tmp_path):
    truth = truth_from_folders(tree(tmp_path / "tree", "CC_R/A/8_1_A_CC_R.png"), DENSITY)
    with pytest.raises(PredictionError, match=r"CC_R: 1 images for the 2 rows of CC_R; each row must be one image"):
        truth.named([nameless("CC_R", 2)])
    with pytest.raises(PredictionError, match="no folder of MLO_R, whose file carries no ids; found CC_R"):
        truth.named([nameless("MLO_R", 1)])
    held = rows([("8", "1"), ("9", "1")])
    assert truth.named([held]) == [held]
    assert truth.placed([held]).of(held).tolist() == [0, UNKNOWN]


def test_folders_whose_names_stand_in_another_order_are_said(tmp_path):
    truth = truth_from_folders(tree(tmp_path, "CC_R/D/a.png", "CC_R/F/b.png"), TASKS["tissue"])
    assert truth.remarks[0].startswith("class folders were listed by name (D, F, G), as Keras does")


def test_counts_of_files_with_other_subjects_are_refused_by_the_row():
    with pytest.raises(PredictionError, match="row 2 of MLO_R is another subject than row 2 of CC_R"):
        truth_from_counts("A=2", DENSITY).placed(
            [rows([("a", "1"), ("b", "1")]), rows([("a", "1"), ("c", "1")], "MLO_R")]
        )


@pytest.mark.real
def test_the_shared_test_set_is_a_tree_and_not_that_of_the_shared_files(real_data):
    truth = truth_from_folders(real_data / "infn-density" / "TestSet", DENSITY)
    assert {view: (one.numbers, one.keys[0]) for view, one in truth.rows.items()} == {
        "CC_R": ((0, 1, 2, 3), ("1251", "1")),
        "MLO_R": ((0, 1, 2, 3), ("124", "1")),
    }
    path = real_data / "infn-density" / "Predictions" / "predictions_ccr.txt"
    with pytest.raises(PredictionError, match="4 images for the 128 rows of CC_R"):
        truth.named([read_predictions(path, "CC_R", DENSITY.classes)])
