import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score, recall_score

from ensemble_mammo.merit.contrast import THRESHOLDS, contrast_grid


def drawn(count=60, contrasts=(1.0, 1.2, 2.0), seed=0):
    """Sides, and scores of two digits, so that some equal a threshold."""
    rng = np.random.default_rng(seed)
    side = rng.random(count) < 0.3
    return side, {c: np.round(rng.random(count) * 0.6 + 0.3 * side, 2) for c in contrasts}


def test_the_thresholds_are_nineteen_steps_of_a_twentieth():
    assert THRESHOLDS[0] == 0.05 and THRESHOLDS[9] == 0.5 and THRESHOLDS[-1] == 0.95 and len(THRESHOLDS) == 19


def test_each_cell_is_what_counting_exams_one_by_one_gives():
    side, scores = drawn()
    grid = contrast_grid(side, scores)
    assert grid.contrasts == (1.0, 1.2, 2.0) and grid.thresholds == THRESHOLDS
    for threshold in THRESHOLDS:
        for contrast, own in scores.items():
            right = found = called = 0
            for is_positive, score in zip(side.tolist(), own.tolist(), strict=True):
                is_called = score >= threshold
                right += is_called == is_positive
                found += is_called and is_positive
                called += is_called
            assert grid.value("accuracy", threshold, contrast) == pytest.approx(right / len(side))
            assert grid.value("recall", threshold, contrast) == pytest.approx(found / side.sum())
            assert grid.value("called", threshold, contrast) == pytest.approx(called / len(side))
            precision = grid.value("precision", threshold, contrast)
            assert precision == pytest.approx(found / called) if called else math.isnan(precision)


def test_a_cell_is_what_scikit_learn_gives():
    side, scores = drawn(seed=3)
    grid, calls = contrast_grid(side, scores), scores[1.2] >= 0.4
    for name, figure in (("accuracy", accuracy_score), ("recall", recall_score), ("precision", precision_score)):
        assert grid.value(name, 0.4, 1.2) == pytest.approx(figure(side, calls))


def test_a_score_equal_to_the_threshold_is_a_positive_call():
    grid = contrast_grid([True, False], {1.0: [0.5, 0.3]})
    assert grid.value("recall", 0.5, 1.0) == 1 and grid.value("recall", 0.55, 1.0) == 0
    assert grid.value("called", 0.3, 1.0) == 1 and grid.value("called", 0.35, 1.0) == 0.5


def test_the_accuracy_of_calling_all_the_more_frequent_side_is_named():
    grid = contrast_grid([True, False, False, False], {1.0: [0.1, 0.2, 0.3, 0.4]})
    assert grid.most_frequent == 0.75 and not grid.most_are_positive
    assert grid.value("accuracy", 0.95, 1.0) == grid.most_frequent  # nobody is called
    other = contrast_grid([True, True, False], {1.0: [0.1, 0.2, 0.3]})
    assert other.most_frequent == pytest.approx(2 / 3) and other.most_are_positive


def test_what_is_undefined_is_nan():
    grid = contrast_grid([False, False], {1.0: [0.2, 0.3]})
    assert np.isnan(grid.figures["recall"]).all() and math.isnan(grid.value("precision", 0.5, 1.0))
    assert grid.value("precision", 0.2, 1.0) == 0


def test_a_threshold_of_its_own_stands_in_its_place_and_equal_ones_once():
    side, scores = drawn()
    assert contrast_grid(side, scores, (*THRESHOLDS, 0.5)).thresholds == THRESHOLDS
    grid = contrast_grid(side, scores, (*THRESHOLDS, 0.37))
    assert grid.thresholds[7] == 0.37 and grid.figures["accuracy"].shape == (20, 3)


def test_scores_of_other_cases_are_refused():
    with pytest.raises(ValueError, match=r"3 cases, and scores of 3 at contrast 1, 2 at contrast 1.5"):
        contrast_grid([True, False, False], {1.0: [0.1, 0.2, 0.3], 1.5: [0.1, 0.2]})
    with pytest.raises(ValueError, match="0 cases at 0 contrasts"):
        contrast_grid([], {})
