import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.records.predictions import Predictions, read_predictions, write_plain, write_predictions
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.fuse import fuse_files

TASK = TASKS["density"]


def made(view, subjects, seed=0):
    count = len(subjects)
    scores = np.random.default_rng(seed).dirichlet(np.ones(4), count)
    return Predictions(view, TASK.classes, scores, tuple(subjects), ("1",) * count, (view,) * count, (1,) * count)


def test_a_folder_of_views_becomes_breasts_and_subject(tmp_path):
    parts = [made(view, "abc", seed) for seed, view in enumerate(("CC_R", "CC_L", "MLO_R", "MLO_L"))]
    for part in parts:
        write_predictions(tmp_path / "predictions" / f"{part.level}.csv", part)
    fused = fuse_files(tmp_path / "predictions", TASK, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["left.csv", "right.csv", "subject.csv"]
    subject = read_predictions(tmp_path / "out" / "subject.csv", "subject", TASK.classes)
    np.testing.assert_array_equal(subject.scores, fused.levels["subject"].scores)
    np.testing.assert_allclose(subject.scores, sum(part.scores for part in parts) / 4)
    assert subject.views == ("CC_R+CC_L+MLO_R+MLO_L",) * 3


def test_plain_files_with_ids_are_joined_by_them(tmp_path):
    paths = [write_plain(tmp_path, made("CC_R", "abc")), write_plain(tmp_path, made("MLO_R", "cb"))]
    fused = fuse_files(paths, TASK, Fusion("vote"))
    assert fused.levels["right"].views == ("CC_R", "CC_R+MLO_R", "CC_R+MLO_R")
    assert list(fused.levels) == ["right", "subject"]


def test_a_damaged_file_is_refused_with_its_line(tmp_path):
    (tmp_path / "predictions_ccr.txt").write_text("0.7 0.1 0.1 0.1\n0.7 0.1 0.1\n0.7 0.1 0.1 0.2\n")
    with pytest.raises(PredictionError, match=r"predictions_ccr.txt line 2: 3 columns.*line 3: scores add up to 1\.1"):
        fuse_files(tmp_path, TASK)
    with pytest.raises(PredictionError, match="no such file"):
        fuse_files([tmp_path / "none.csv"], TASK)
