import dataclasses
import json

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion, fuse
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.predict import PredictOptions, Scores, as_json

TASK = TASKS["abnormality"]


def scores_at(threshold):
    up = np.array([0.2, 0.3, 0.45, 0.5, 0.8])
    ids = tuple(f"S{i}" for i in range(5))
    table = Predictions("CC_R", TASK.classes, np.column_stack([1 - up, up]), ids, ("1",) * 5, ("CC_R",) * 5, (1,) * 5)
    return Scores(TASK, {View.CC_R: table}, fuse([table], TASK, Fusion()), (), threshold=threshold)


@pytest.mark.parametrize(("threshold", "abnormal"), [(0.5, [4]), (0.3, [1, 2, 3, 4]), (0.46, [3, 4])])
def test_rows_are_called_at_the_threshold_and_predictions_json_says_it(threshold, abnormal, tmp_path):
    held = json.loads(json.dumps(as_json(scores_at(threshold), [tmp_path], Fusion())))
    assert held["threshold"] == threshold
    called = [row["predicted"] for row in held["levels"]["CC_R"]]
    assert called == ["abnormal" if i in abnormal else "normal" for i in range(5)]


def test_the_terminal_shows_the_calls_at_the_threshold(tmp_path, capsys):
    from ensemble_mammo.console import scores_table

    one = scores_at(0.3)
    scores_table(one, [tmp_path], Fusion(), False)
    assert capsys.readouterr().out.count("abnormal ") > 0
    assert one.called(one.views[View.CC_R]) == ["normal", *["abnormal"] * 4]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.2, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(PredictionError, match="expected a score between 0 and 1"):
        PredictOptions(threshold=threshold)
    assert dataclasses.replace(PredictOptions(), threshold=0.3).threshold == 0.3
