import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.origin import Origin, read_origin


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
