import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.origin import Origin, clear_contrasts, clear_predictions, contrasts_in, read_origin


def test_a_folder_that_says_nothing_has_no_origin(tmp_path):
    assert read_origin(tmp_path) == Origin()


def test_runs_and_folds_are_read(tmp_path):
    (tmp_path / "predictions.json").write_text(
        '{"out_of_fold": true, "runs": {"CC_R": [{"seed": 1}]}, "fold_of": {"a": 3}}'
    )
    assert read_origin(tmp_path) == Origin({"CC_R": [{"seed": 1}]}, True, 0, {"a": 3})


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": {"CC_R": 3}}'])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "predictions.json").write_text(text)
    with pytest.raises(PredictionError, match=r"cannot be read .*; predict again"):
        read_origin(tmp_path)


def test_the_contrast_in_place_of_the_recipes_own_and_that_of_the_recipes(tmp_path):
    (tmp_path / "predictions.json").write_text(
        '{"contrast": 1.5, "runs": {"CC_R": [{"contrast": 1.2}], "CC_L": [{"contrast": 1.2}]}}'
    )
    found = read_origin(tmp_path)
    assert found.contrast == 1.5 and found.own_contrast == 1.2
    assert Origin().own_contrast is None
    assert Origin({"CC_R": [{"contrast": 1.0}, {"contrast": 1.2}]}).own_contrast is None
    assert Origin({"CC_R": [{"seed": 1}]}).own_contrast is None


def test_tables_at_other_contrasts_are_found_by_their_number_and_taken_away(tmp_path):
    for name in ("2", "1.5", "10", "notes", "nan"):
        (tmp_path / "contrasts" / name).mkdir(parents=True)
        (tmp_path / "contrasts" / name / "CC_R.csv").write_text("x")
    (tmp_path / "CC_R.csv").write_text("x")
    assert [value for value, _ in contrasts_in(tmp_path)] == [1.5, 2.0, 10.0]
    clear_contrasts(tmp_path)
    assert {path.name for path in (tmp_path / "contrasts").iterdir()} == {"notes", "nan"}
    assert (tmp_path / "CC_R.csv").is_file()
    clear_predictions(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"contrasts"}
    assert contrasts_in(tmp_path / "none") == []
