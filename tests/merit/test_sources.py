import hashlib

import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.sources import sources_of
from ensemble_mammo.records.task import TASKS


def put(folder, *names):
    for name in names:
        (folder / name).write_text("0.7 0.1 0.1 0.1\n")
    return [folder / name for name in names]


def test_names_say_levels_and_arguments_can(tmp_path):
    put(tmp_path, "predictions_mlor.txt", "CC_L.csv", "odd.txt", "right.csv")
    given = [
        tmp_path / "predictions_mlor.txt",
        tmp_path / "CC_L.csv",
        f"cc_r={tmp_path / 'odd.txt'}",
        tmp_path / "right.csv",
    ]
    assert [source.level for source in sources_of(given)] == ["MLO_R", "CC_L", "CC_R", "right"]


def test_a_folder_gives_its_views_and_csv_before_text(tmp_path):
    put(tmp_path, "predictions_ccr.txt", "CC_R.csv", "predictions_mlol.txt", "right.csv", "subject.csv")
    assert [source.path.name for source in sources_of([tmp_path])] == ["CC_R.csv", "predictions_mlol.txt"]


def test_a_source_knows_its_sum_and_rows(tmp_path):
    (path,) = put(tmp_path, "predictions_ccr.txt")
    (source,) = sources_of([path])
    assert source.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(source.read(TASKS["density"])) == 1


def test_arguments_that_name_nothing_are_refused(tmp_path):
    put(tmp_path, "odd.txt", "CC_R.csv")
    for given, message in [
        ([], "no prediction file given"),
        ([tmp_path / "odd.txt"], "the name says no level"),
        ([f"CCR={tmp_path / 'odd.txt'}"], "level 'CCR' is not one of CC_R"),
        ([f"CC_R={tmp_path / 'none.txt'}"], "none.txt: no such file"),
        ([tmp_path / "MLO_R.csv"], "MLO_R.csv: no such file"),
        ([tmp_path / "CC_R.csv", f"CC_R={tmp_path / 'odd.txt'}"], "level CC_R is given already by"),
    ]:
        with pytest.raises(PredictionError, match=message):
            sources_of(given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="holds no predictions of a view"):
        sources_of([tmp_path / "empty"])
