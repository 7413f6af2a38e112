import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.breasts import subject_of_breasts
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import TASKS

PATHOLOGY = TASKS["pathology"]
# NYU meta-repository, README: breast-level sample of four exams.
LEFT, RIGHT = [0.0091, 0.0012, 0.2325, 0.0909], [0.0179, 0.7258, 0.1061, 0.2579]


def made(level, positive, subjects="0123", identified=True):
    p = np.array(positive)
    count = len(p)
    scores = np.column_stack([1 - p, p])
    return Predictions(
        level, PATHOLOGY.classes, scores, tuple(subjects), ("1",) * count, (level,) * count, (2,) * count, identified
    )


def test_the_worse_breast_is_the_subject():
    found, notes = subject_of_breasts([made("right", RIGHT), made("left", LEFT)], PATHOLOGY, Fusion())
    assert found.scores[:, 1].tolist() == [max(pair) for pair in zip(RIGHT, LEFT, strict=True)]
    assert (found.level, found.images, found.views[0]) == ("subject", (4,) * 4, "right+left")
    assert notes == ["subject: made from the files of right and left: the breast with the higher score of malignant"]


def test_the_mean_is_an_option():
    rule = Fusion(breast_to_subject="mean")
    found, notes = subject_of_breasts([made("right", RIGHT), made("left", LEFT)], PATHOLOGY, rule)
    np.testing.assert_allclose(found.scores[:, 1], (np.array(RIGHT) + LEFT) / 2)
    assert "both breasts by the rule mean" in notes[0]


@pytest.mark.parametrize("how", ["mean", "maximum"])
def test_breasts_are_joined_by_id_and_one_is_enough(how):
    right, left = made("right", [0.5, 0.7], "ab"), made("left", [0.6, 0.2], "cb")
    found, notes = subject_of_breasts([right, left], PATHOLOGY, Fusion(breast_to_subject=how))
    assert found.subject_ids == ("a", "b", "c")
    assert found.scores[:, 1].tolist() == pytest.approx([0.5, 0.45 if how == "mean" else 0.7, 0.6])
    assert found.views == ("right", "right+left", "left")
    assert notes[1] == "2 of 3 exams have predictions of one breast only, whose scores the subject has"


def test_rows_without_ids_are_trusted_only_among_themselves():
    nameless = made("left", LEFT, identified=False)
    found, notes = subject_of_breasts([made("right", RIGHT, identified=False), nameless], PATHOLOGY, Fusion())
    assert not found.identified
    assert notes[1].startswith("no ids: rows of right and left are taken")
    with pytest.raises(PredictionError, match="predictions of left carry no ids"):
        subject_of_breasts([made("right", RIGHT), nameless], PATHOLOGY, Fusion())
    with pytest.raises(PredictionError, match=r"differ in their number of rows \(right 2, left 4\)"):
        subject_of_breasts([made("right", [0.1, 0.2], "01", identified=False), nameless], PATHOLOGY, Fusion())
