import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.predictions import (
    Predictions,
    level_of_name,
    read_predictions,
    view_predictions,
    write_plain,
    write_predictions,
)
from ensemble_mammo.records.subject import View

CLASSES = ("A", "B", "C", "D")
HEADER = "subject_id,exam_id,views,images,A,B,C,D\n"
ROW = "s1,1,CC_R,1,0.1,0.2,0.3,0.4\n"


@pytest.fixture
def table():
    scores = np.random.default_rng(0).dirichlet(np.ones(4), size=3)
    return view_predictions(View.CC_R, CLASSES, [("s,1", "1"), ("NA", "e2"), ("003", "1")], scores)


def assert_same(one, other):
    assert np.array_equal(one.scores, other.scores)
    assert (one.level, one.classes, one.keys, one.identified) == (
        other.level,
        other.classes,
        other.keys,
        other.identified,
    )


def test_our_csv_gives_back_every_digit_and_every_column(tmp_path, table):
    write_predictions(tmp_path / "CC_R.csv", table)
    read = read_predictions(tmp_path / "CC_R.csv", "CC_R", CLASSES)
    assert_same(read, table)
    assert (read.views, read.images) == (table.views, table.images)
    assert (tmp_path / "CC_R.csv").read_text().startswith(HEADER)


def test_the_plain_file_is_what_savetxt_writes_with_the_ids_beside_it(tmp_path, table):
    path = write_plain(tmp_path, table)
    np.savetxt(tmp_path / "expected.txt", table.scores)
    assert path.name == "predictions_ccr.txt"
    assert path.read_bytes() == (tmp_path / "expected.txt").read_bytes()
    assert (tmp_path / "predictions_ccr.ids.csv").read_text() == 'subject_id,exam_id\n"s,1",1\nNA,e2\n003,1\n'
    assert_same(read_predictions(path, "CC_R", CLASSES), table)


def test_a_plain_file_without_ids_knows_its_rows_by_their_place_alone(tmp_path, table):
    path = write_plain(tmp_path, table)
    (tmp_path / "predictions_ccr.ids.csv").unlink()
    read = read_predictions(path, "CC_R", CLASSES)
    assert not read.identified
    assert read.subject_ids == ("row 1", "row 2", "row 3")


def test_several_images_of_one_exam_are_averaged_and_counted():
    scores = np.array([[0.2, 0.8], [1.0, 0.0], [0.4, 0.6]])
    made = view_predictions(View.CC_R, ("a", "b"), [("s1", "1"), ("s2", "1"), ("s1", "1")], scores)
    assert np.allclose(made.scores, [[0.3, 0.7], [1.0, 0.0]])
    assert (made.keys, made.images) == ([("s1", "1"), ("s2", "1")], (2, 1))


def test_a_byte_order_mark_and_missing_optional_columns_are_no_problem(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\ufeffsubject_id,D,C,B,A\ns1,0.4,0.3,0.2,0.1\n", encoding="utf-8")
    read = read_predictions(path, "CC_R", CLASSES)
    assert read.scores.tolist() == [[0.1, 0.2, 0.3, 0.4]]
    assert (read.keys, read.views, read.images) == ([("s1", "1")], ("CC_R",), (1,))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"x\.csv line 1: column subject_id, A, B, C, D missing; found nothing"),
        (HEADER.replace(",D", ",E"), r"line 1: column D missing; found .*,? E"),
        (HEADER.replace(",D", ",D,E") + ROW, "line 1: unknown class or column E; classes: A, B, C, D"),
        (HEADER.replace(",D", ",D,D") + ROW, "line 1: a column stands there twice"),
        (HEADER, "holds no row of scores"),
        (HEADER + ROW + "s2,1,CC_R,1,0.1,0.2,0.7\n", "line 3: 7 values, expected 8"),
        (HEADER + ROW.replace("0.4", "0.5"), "line 2: scores add up to 1.1, expected 1 within 0.001"),
        (HEADER + ROW.replace("0.4", "high"), "line 2: .* are not numbers"),
        (HEADER + ROW.replace("0.4", "nan"), "line 2: scores must be finite and not negative"),
        (HEADER + ROW.replace("0.1,0.2", "-0.1,0.4"), "line 2: scores must be finite and not negative"),
        (HEADER + ROW + ROW, "line 3: subject 's1', exam '1' stands in line 2 already"),
        (HEADER + ROW + "\n" + ROW, "line 4: subject 's1', exam '1' stands in line 2 already"),
        (HEADER + ROW.replace("s1", " "), "line 2: subject_id is empty"),
        (HEADER + ROW.replace("CC_R,1", "CC_R,0"), "line 2: images is not a number above 0"),
        (HEADER + ROW.replace("CC_R", "CCR"), "line 2: views 'CCR' are not among CC_R"),
    ],
)
def test_a_csv_that_cannot_be_right_is_refused_with_file_and_line(tmp_path, text, match):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(PredictionError, match=match) as caught:
        read_predictions(path, "CC_R", CLASSES)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"x\.txt: holds no row of scores"),
        ("0.5 0.5 0.0\n", r"x\.txt line 1: 3 columns, expected 4 \(A, B, C, D\)"),
        ("# note\n0.1 0.2 0.3 0.4\n\n0.1 0.2 0.3 0.5\n", "line 4: scores add up to 1.1"),
        ("0.1,0.2,0.3,0.4\n", "line 1: 1 columns, expected 4"),
        ("a b c d\n", "line 1: 'a b c d' are not numbers"),
    ],
)
def test_a_plain_file_that_cannot_be_right_is_refused_with_file_and_line(tmp_path, text, match):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(PredictionError, match=match):
        read_predictions(path, "CC_R", CLASSES)


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        (b"", r"\.ids\.csv line 1: found nothing, expected subject_id,exam_id"),
        (b"subject\ns1\n", "line 1: found subject, expected subject_id,exam_id"),
        (b"subject_id,exam_id\ns1,1\n", r"\.ids\.csv: 1 ids for the 2 rows of predictions_ccr\.txt"),
        (b"subject_id,exam_id\ns1,1\ns1,1\n", r"\.ids\.csv line 3: subject 's1', exam '1' stands in line 2 already"),
        (b"subject_id,exam_id\ns1,1\n,1\n", r"\.ids\.csv line 3: subject_id is empty"),
        (b"subject_id,exam_id\ns1,1\ns2\n", r"\.ids\.csv line 3: 1 values, expected 2"),
        (b"subject_id,exam_id\n\xff,1\n", r"\.ids\.csv: cannot be read as text"),
    ],
)
def test_ids_that_do_not_fit_are_refused_with_file_and_line(tmp_path, ids, match):
    path = tmp_path / "predictions_ccr.txt"
    path.write_text("0.1 0.2 0.3 0.4\n" * 2)
    (tmp_path / "predictions_ccr.ids.csv").write_bytes(ids)
    with pytest.raises(PredictionError, match=match):
        read_predictions(path, "CC_R", CLASSES)


def test_ids_may_end_with_an_empty_line(tmp_path):
    path = tmp_path / "predictions_ccr.txt"
    path.write_text("0.1 0.2 0.3 0.4\n")
    (tmp_path / "predictions_ccr.ids.csv").write_text("subject_id,exam_id\ns1,\n\n")
    assert read_predictions(path, "CC_R", CLASSES).keys == [("s1", "1")]


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(PredictionError, match=r"x\.csv: no such file"):
        read_predictions(tmp_path / "x.csv", "CC_R", CLASSES)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PredictionError, match="cannot be read as text"):
        read_predictions(tmp_path / "x.csv", "CC_R", CLASSES)
    with pytest.raises(PredictionError, match="cannot be read as text"):
        read_predictions(tmp_path, "CC_R", CLASSES)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("predictions_ccr.txt", "CC_R"),
        ("predictions_mlol.txt", "MLO_L"),
        ("CC_L.csv", "CC_L"),
        ("right.csv", "right"),
        ("predictions_subject.csv", "subject"),
        ("RMLO.txt", "MLO_R"),
        ("scores.txt", None),
    ],
)
def test_a_files_name_says_its_level(tmp_path, name, level):
    assert level_of_name(tmp_path / name) == level


def test_parts_that_do_not_fit_each_other_are_refused():
    ok = {"subject_ids": ("a", "b"), "exam_ids": ("1", "1"), "views": ("CC_R",) * 2, "images": (1, 1)}
    scores = np.full((2, 4), 0.25)
    with pytest.raises(ValueError, match="level 'CC' is not one of"):
        Predictions("CC", CLASSES, scores, **ok)
    with pytest.raises(ValueError, match="4 score columns for 2 classes"):
        Predictions("CC_R", CLASSES[:2], scores, **ok)
    with pytest.raises(ValueError, match="1 images for 2 rows"):
        Predictions("CC_R", CLASSES, scores, **(ok | {"images": (1,)}))
    with pytest.raises(ValueError, match="subject 'a', exam '1' stands in two rows of level CC_R"):
        Predictions("CC_R", CLASSES, scores, **(ok | {"subject_ids": ("a", "a")}))
