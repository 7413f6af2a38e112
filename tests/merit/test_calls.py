import numpy as np
import pytest

from ensemble_mammo.merit.calls import Acting, Asked, called_classes, floor_of, threshold_asked
from ensemble_mammo.merit.thresholds import chosen_for


def test_without_a_cut_the_highest_score_is_called_and_the_first_of_equal_ones():
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    assert called_classes(scores).tolist() == scores.argmax(axis=1).tolist()
    assert called_classes([[0.5, 0.5]], (1,)).tolist() == [0]


@pytest.mark.parametrize("positive", [0, 1])
def test_a_cut_calls_positive_from_the_score_on(positive):
    up = np.array([0.1, 0.3, 0.31, 0.9])
    scores = np.empty((4, 2))
    scores[:, positive], scores[:, 1 - positive] = up, 1 - up
    expected = [positive if score >= 0.3 else 1 - positive for score in up]
    assert called_classes(scores, (positive,), 0.3).tolist() == expected
    assert called_classes(np.stack([scores, scores]), (positive,), 0.3).tolist() == [expected, expected]


def test_each_case_may_have_a_cut_of_its_own():
    scores = [[0.6, 0.4], [0.6, 0.4]]
    assert called_classes(scores, (1,), np.array([0.3, 0.45])).tolist() == [1, 0]


def test_a_cut_of_more_than_two_classes_is_refused():
    with pytest.raises(ValueError, match="two classes of which one is positive: found 3 classes, 2 positive"):
        called_classes(np.ones((1, 3)) / 3, (1, 2), 0.3)


def test_a_threshold_is_a_score_or_a_recall():
    assert threshold_asked("0.3") == threshold_asked(0.3) == Asked(0.3)
    assert threshold_asked("recall=0.9") == Asked(recall=0.9)
    assert threshold_asked("0.5").is_plain
    assert not threshold_asked("recall=0.5").is_plain


@pytest.mark.parametrize(
    "text", ["0", "1", "1.2", "-0.1", "nan", "half", "", "recall=0", "recall=1.1", "precision=0.9"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"expected a score between 0 and 1 such as 0\.3, or recall=0\.9"):
        threshold_asked(text)


def test_a_fixed_half_is_the_highest_score_and_a_chosen_half_a_cut():
    assert Acting(0.5).cut is None
    assert Acting(0.5, "validation", 0.9, 0.95).cut == 0.5
    assert Acting(0.3).cut == 0.3


def test_a_chosen_threshold_is_the_highest_that_reaches_the_recall():
    rng = np.random.default_rng(1)
    side = rng.random(80) < 0.4
    score = np.round(rng.random(80), 2)
    for wanted in (0.5, 0.81, 0.9, 1.0):
        found = chosen_for(side, score, wanted, "validation (80 exams)")
        every = {cut: (score[side] >= cut).mean() for cut in np.unique(score)}
        expected = max(cut for cut, recall in every.items() if recall >= wanted)
        assert (found.value, found.reached) == (expected, every[expected])


def test_the_floor_is_the_share_of_the_most_frequent_class():
    assert floor_of([0, 0, 2, 0, 1]) == 0.6
    assert np.isnan(floor_of([]))
