import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.columns import Columns
from ensemble_mammo.merit.inputs.csv_tables import read_table
from ensemble_mammo.merit.inputs.peers import read_breast_level, read_image_level, write_peers
from ensemble_mammo.merit.inputs.readings import Reading
from ensemble_mammo.merit.inputs.truth import truth_from_readings
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import TASKS

PATHOLOGY, DENSITY = TASKS["pathology"], TASKS["density"]
# The sample tables of https://github.com/nyukat/mammography_metarepository, README: four exams.
IMAGE_LEVEL = """image_index,malignant_pred,malignant_label
0_L-CC,0.0081,0
0_R-CC,0.3259,0
0_L-MLO,0.0335,0
0_R-MLO,0.1812,0
1_L-CC,0.0168,0
1_R-CC,0.9910,1
1_L-MLO,0.0139,0
1_R-MLO,0.9308,1
2_L-CC,0.0227,0
2_R-CC,0.0603,0
2_L-MLO,0.0093,0
2_R-MLO,0.0231,0
3_L-CC,0.9326,1
3_R-CC,0.1603,0
3_L-MLO,0.7496,1
3_R-MLO,0.0507,0
"""
BREAST_LEVEL = """index,left_malignant,right_malignant
0,0.0091,0.0179
1,0.0012,0.7258
2,0.2325,0.1061
3,0.0909,0.2579
"""


def image_level(tmp_path, text=IMAGE_LEVEL, task=PATHOLOGY, columns=None):
    path = tmp_path / "image_level.csv"
    path.write_text(text, encoding="utf-8")
    return read_image_level(read_table(path), task, columns or Columns())


def breast_level(tmp_path, text=BREAST_LEVEL, task=PATHOLOGY, columns=None):
    path = tmp_path / "breast_level.csv"
    path.write_text(text, encoding="utf-8")
    return read_breast_level(read_table(path), task, columns or Columns())


def positive(reading, level):
    (one,) = [p for p in reading.predictions if p.level == level]
    return dict(zip(one.subject_ids, one.scores[:, 1].tolist(), strict=True))


def test_the_sample_images_become_four_views(tmp_path):
    found = image_level(tmp_path)
    assert [p.level for p in found.predictions] == ["CC_R", "CC_L", "MLO_R", "MLO_L"]
    assert positive(found, "CC_R") == {"0": 0.3259, "1": 0.9910, "2": 0.0603, "3": 0.1603}
    assert positive(found, "MLO_L") == {"0": 0.0335, "1": 0.0139, "2": 0.0093, "3": 0.7496}
    first = found.predictions[0]
    np.testing.assert_allclose(first.scores.sum(axis=1), 1)
    assert (first.classes, first.exam_ids, first.images) == (PATHOLOGY.classes, ("1",) * 4, (1,) * 4)
    assert first.identified
    assert found.notes == ()


def test_the_sample_labels_are_those_of_breasts_and_go_up(tmp_path):
    read = image_level(tmp_path)
    truth = truth_from_readings([read], PATHOLOGY)
    of = {p.level: truth.of(p).tolist() for p in read.predictions}
    assert of == {"CC_R": [0, 1, 0, 0], "MLO_R": [0, 1, 0, 0], "CC_L": [0, 0, 0, 1], "MLO_L": [0, 0, 0, 1]}
    breasts = breast_level(tmp_path)
    assert {p.level: truth.of(p).tolist() for p in breasts.predictions} == {
        "right": [0, 1, 0, 0],
        "left": [0, 0, 0, 1],
    }
    labels = [truth.labels["subject", str(i), "1"] for i in range(4)]
    assert labels == [0, 1, 0, 1]
    assert truth.source == "labels in the prediction files"


def test_the_sample_breasts_become_right_and_left(tmp_path):
    found = breast_level(tmp_path)
    assert [p.level for p in found.predictions] == ["right", "left"]
    assert positive(found, "right") == {"0": 0.0179, "1": 0.7258, "2": 0.1061, "3": 0.2579}
    assert positive(found, "left") == {"0": 0.0091, "1": 0.0012, "2": 0.2325, "3": 0.0909}
    assert found.labels == {}


def test_an_unnamed_first_column_is_the_index_and_benign_scores_are_passed_over(tmp_path):
    text = ",left_benign,right_benign,left_malignant,right_malignant\n7,0.1,0.2,0.3,0.4\n9,0.1,0.2,,0.6\n"
    found = breast_level(tmp_path, text)
    assert positive(found, "right") == {"7": 0.4, "9": 0.6}
    assert positive(found, "left") == {"7": 0.3}
    bare = breast_level(tmp_path, "left_malignant,right_malignant\n0.3,0.4\n0.5,0.6\n")
    assert positive(bare, "left") == {"0": 0.3, "1": 0.5}
    assert bare.notes == ("breast_level.csv: has no index; its rows were numbered from 0, and their order is trusted",)


def test_several_images_of_a_view_are_averaged_and_labels_may_be_missing(tmp_path):
    text = "image_index,malignant_pred\na_b_R-CC,0.2\na_b_R-CC,0.4\na_b_l_mlo,0.9\n"
    found = image_level(tmp_path, text)
    assert positive(found, "CC_R") == {"a_b": pytest.approx(0.3)}
    assert positive(found, "MLO_L") == {"a_b": 0.9}
    assert found.predictions[0].images == (2,)
    assert "image_level.csv: CC_R of 1 exams has several rows, whose scores were averaged" in found.notes
    with pytest.raises(PredictionError, match="the prediction files hold no true classes"):
        truth_from_readings([found], PATHOLOGY)


def test_a_label_of_one_is_the_positive_class_whatever_the_task_calls_1(tmp_path):
    text = "image_index,malignant_pred,malignant_label\na_R-CC,0.2,1\nb_R-CC,0.2,\n"
    assert image_level(tmp_path, text, TASKS["birads"]).labels == {("CC_R", "a", "1"): 1}
    assert image_level(tmp_path, text, TASKS["abnormality"]).labels == {("CC_R", "a", "1"): 1}


def test_patterns_say_subject_exam_and_view(tmp_path):
    columns = Columns(
        pattern=r"(?P<view>\w+)/(?P<subject>\d+)-(?P<exam>\d+)", index_pattern=r"P(?P<subject>\d+)E(?P<exam>\d+)"
    )
    images = image_level(tmp_path, "image_index,malignant_pred\nRCC/12-2,0.5\n", columns=columns)
    assert (images.predictions[0].level, images.predictions[0].keys) == ("CC_R", [("12", "2")])
    breasts = breast_level(tmp_path, "index,left_malignant,right_malignant\nP12E2,0.1,0.2\n", columns=columns)
    assert breasts.predictions[0].keys == [("12", "2")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0-L-CC,0.1,0\n", r"line 2: '0-L-CC' does not fit the pattern .*--columns pattern="),
        ("0_L-CC,1.5,0\n", r"line 2: malignant_pred 1\.5 is outside 0 to 1; state another range"),
        ("0_L-CC,x,0\n1_L-CC,,0\n", r"line 2: malignant_pred 'x' is not a number; line 3: malignant_pred is empty"),
        ("0_L-CC,nan,0\n", "line 2: malignant_pred nan is outside"),
        ("0_L-CC,0.1,7\n", r"line 2: label '7' is not one of benign, malignant"),
        ("", "holds no row of scores"),
        ("0_L-CC,0.1\n", "line 2: 2 values, expected 3"),
    ],
)
def test_images_that_cannot_be_right_are_refused_with_lines(tmp_path, text, match):
    with pytest.raises(PredictionError, match=match):
        image_level(tmp_path, "image_index,malignant_pred,malignant_label\n" + text)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0,0.1,2\n", r"line 2: right_malignant 2 is outside 0 to 1"),
        ("0,0.1,0.2\n0,0.1,0.2\n", r"line 2: index of '0' stands in several lines; line 3"),
        (",0.1,0.2\n", r"line 2: index '' does not fit"),
        ("0,,\n", "holds no row of scores"),
    ],
)
def test_breasts_that_cannot_be_right_are_refused_with_lines(tmp_path, text, match):
    with pytest.raises(PredictionError, match=match):
        breast_level(tmp_path, "index,left_malignant,right_malignant\n" + text)


def test_peers_tables_are_of_two_classes(tmp_path):
    with pytest.raises(PredictionError, match="task density has 4; give another task"):
        image_level(tmp_path, task=DENSITY)
    with pytest.raises(PredictionError, match="task density has 4; give another task"):
        breast_level(tmp_path, task=DENSITY)


def test_what_is_written_is_read_again_and_looks_as_peers_have_it(tmp_path):
    images, breasts = image_level(tmp_path), breast_level(tmp_path)
    truth = truth_from_readings([images], PATHOLOGY)
    written = write_peers(tmp_path / "out", [*breasts.predictions, *images.predictions], truth)
    assert [path.name for path in written] == ["image_level.csv", "breast_level.csv"]
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(written, key=lambda path: path.name)
    assert set(written[0].read_text().splitlines()) == set(IMAGE_LEVEL.replace("0.9910", "0.991").splitlines())
    assert written[1].read_text() == BREAST_LEVEL
    again: Reading = read_image_level(read_table(written[0]), PATHOLOGY, Columns())
    assert again.labels == images.labels
    for before, after in zip(images.predictions, again.predictions, strict=True):
        assert (before.level, before.keys) == (after.level, after.keys)
        np.testing.assert_array_equal(before.scores, after.scores)
    unlabelled = write_peers(tmp_path / "plain", images.predictions[:1])
    assert unlabelled[0].read_text().splitlines()[0] == "image_index,malignant_pred"


def test_a_subject_without_one_breast_has_an_empty_cell(tmp_path):
    found = breast_level(tmp_path, "index,left_malignant,right_malignant\na,0.1,\nb,0.2,0.3\n")
    (path,) = write_peers(tmp_path / "out", found.predictions)
    assert sorted(path.read_text().splitlines()[1:]) == ["a,0.1,", "b,0.2,0.3"]


def test_what_peers_tables_cannot_hold_is_refused(tmp_path):
    def made(level, exam, classes=PATHOLOGY.classes):
        return Predictions(
            level, classes, np.full((1, len(classes)), 1 / len(classes)), ("a",), (exam,), (level,), (1,)
        )

    with pytest.raises(PredictionError, match="subject 'a' has several exams"):
        write_peers(tmp_path, [made("CC_R", "1"), made("CC_L", "2")])
    with pytest.raises(PredictionError, match="have 4 classes"):
        write_peers(tmp_path, [made("CC_R", "1", DENSITY.classes)])
    with pytest.raises(PredictionError, match="found no predictions of either"):
        write_peers(tmp_path, [made("subject", "1")])
