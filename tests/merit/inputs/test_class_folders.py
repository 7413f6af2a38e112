import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.class_folders import class_rows
from ensemble_mammo.records.task import TASKS

DENSITY = TASKS["density"]


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_rows_stand_in_the_order_of_classes_and_of_names(tmp_path):
    put(tmp_path, "CC_R/test/C/9_1_C_CC_R.png", "CC_R/test/A/2_1_A_CC_R.png", "CC_R/test/A/10_1_A_CC_R.png")
    put(tmp_path, "CC_R/test/A/.hidden.png", "CC_R/test/A/readme.txt", "CC_R/train/A/x.png", "notes/x.png")
    (tmp_path / "CC_R" / "test" / "B").mkdir()
    found = class_rows(tmp_path, DENSITY)
    assert list(found) == ["CC_R"]
    assert found["CC_R"].numbers == (0, 0, 2)
    assert found["CC_R"].keys == (("10", "1"), ("2", "1"), ("9", "1"))  # names as text: 10 before 2
    assert len(class_rows(tmp_path, DENSITY, "train")["CC_R"]) == 1


def test_names_without_ids_give_none_and_views_may_be_written_otherwise(tmp_path):
    put(tmp_path, "RCC/A/one.png", "R-MLO/D/two.jpg")
    found = class_rows(tmp_path, DENSITY)
    assert {view: (rows.numbers, rows.keys) for view, rows in found.items()} == {
        "MLO_R": ((3,), ()),
        "CC_R": ((0,), ()),
    }


def test_class_folders_are_listed_by_name_as_keras_does(tmp_path):
    put(tmp_path, "CC_R/F/a.png", "CC_R/G/a.png", "CC_R/D/a.png")
    assert class_rows(tmp_path, TASKS["tissue"])["CC_R"].numbers == (2, 0, 1)


def test_trees_that_are_none_are_refused(tmp_path):
    with pytest.raises(PredictionError, match="none: no such folder"):
        class_rows(tmp_path / "none", DENSITY)
    with pytest.raises(PredictionError, match="found the folders none, expected CC_R, CC_L, MLO_R, MLO_L with class"):
        class_rows(tmp_path, DENSITY)
    put(tmp_path, "CC_R/A/a.png", "CC_R/E/b.png", "CC_R/F/b.png")
    with pytest.raises(PredictionError, match=r"folder E: label 'E' is not one of .*; folder F: .*a folder a class"):
        class_rows(tmp_path, DENSITY)
    put(tmp_path / "two", "CC_R/train/A/a.png", "CC_R/val/A/a.png")
    with pytest.raises(PredictionError, match="holds the splits train, val"):
        class_rows(tmp_path / "two", DENSITY)
    with pytest.raises(PredictionError, match="no split test; found train, val"):
        class_rows(tmp_path / "two", DENSITY, "test")
    (tmp_path / "empty" / "CC_R" / "A").mkdir(parents=True)
    with pytest.raises(PredictionError, match="its class folders hold no image"):
        class_rows(tmp_path / "empty", DENSITY)
