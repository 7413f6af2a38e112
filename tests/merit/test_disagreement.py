import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ensemble_mammo.merit.disagreement import (
    detection,
    dissenting,
    errors_found,
    errors_found_in,
    looking_order,
    margins,
    named_classes,
    strata,
    widest,
    wilson,
)


def test_wilson_limits_are_those_of_a_published_example():
    # Newcombe, Stat Med 1998;17:857-872, table I: 81/263 gives 0.2553 to 0.3662, 0/20 gives 0 to 0.1611
    one = wilson(81, 263)
    assert (one.low, one.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none = wilson(0, 20)
    assert (none.low, none.high) == pytest.approx((0, 0.1611), abs=5e-5)
    assert np.isnan(wilson(0, 0).value)


def test_exams_are_counted_by_number():
    found = strata(np.array([2, 0, 0, 2, 2]), np.array([True, True, False, False, True]))
    assert [(one.number, one.exams, one.right) for one in found] == [(0, 2, 1), (2, 3, 2)]
    assert found[1].accuracy.value == pytest.approx(2 / 3)
    assert strata(np.empty(0, dtype=int), np.empty(0, dtype=bool)) == []


def test_a_missing_view_names_nothing_and_dissents_from_nothing():
    scores = np.array([[[0.6, 0.4], [0.1, 0.9], [np.nan, np.nan]]])
    named = named_classes(scores)
    assert named.tolist() == [[0, 1, -1]]
    assert dissenting(named, np.zeros((1, 3), dtype=int)).tolist() == [[False, True, False]]


def test_the_widest_distance_is_taken_within_a_group():
    named = np.array([[0, 3, 1, 2], [-1, 2, -1, -1], [-1, -1, -1, -1]])
    assert widest(named, [0, 0, 0, 0]).tolist() == [3, 0, 0]
    assert widest(named, [0, 1, 0, 1]).tolist() == [1, 0, 0]


def test_the_margin_lies_between_the_two_best_classes():
    np.testing.assert_allclose(margins(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])), [0.2, 0.0], atol=1e-12)


def test_the_most_dissent_comes_first_then_the_smallest_margin():
    dissent = np.array([0.0, 0.5, 0.5, 0.25])
    margin = np.array([0.01, 0.4, 0.2, 0.0])
    assert looking_order(dissent, margin).tolist() == [2, 1, 3, 0]


def test_equal_exams_stand_in_chance_order_not_in_that_of_the_files():
    order = looking_order(np.zeros(50), np.zeros(50), seed=1)
    assert sorted(order) == list(range(50))
    assert order.tolist() != list(range(50))
    assert order.tolist() == looking_order(np.zeros(50), np.zeros(50), seed=1).tolist()


def test_signals_are_judged_by_scikit_learns_auc():
    generator = np.random.default_rng(0)
    wrong = generator.random(80) < 0.3
    signals = {"rough": (generator.integers(0, 4, 80) + wrong).astype(float), "fine": generator.normal(size=80)}
    subjects = [f"S{i}" for i in range(80)]
    found = detection(signals, wrong, subjects, 200, 0)
    for name, signal in signals.items():
        assert found[name].value == pytest.approx(roc_auc_score(wrong, signal))
        assert found[name].low < found[name].value < found[name].high
    assert np.isnan(detection(signals, wrong, subjects, 0, 0)["fine"].low)
    assert np.isnan(detection(signals, np.zeros(80, dtype=bool), subjects, 10, 0)["fine"].value)


def test_errors_found_goes_from_none_to_all():
    np.testing.assert_allclose(errors_found(np.array([True, False, True, False])), [0, 0.5, 0.5, 1, 1])
    assert np.isnan(errors_found(np.zeros(3, dtype=bool))).all()


def test_errors_found_among_the_first_are_those_of_the_curve():
    wrong = np.random.default_rng(0).random(40) < 0.4
    subjects = [f"S{i}" for i in range(40)]
    curve = errors_found(wrong)
    found = errors_found_in(wrong, subjects, [4, 8, 40], 0, 0)
    assert [one.value for one in found] == pytest.approx([curve[4], curve[8], 1])
    assert all(np.isnan(one.low) for one in found)


def test_resampled_errors_found_are_those_of_a_plain_loop():
    wrong = np.random.default_rng(0).random(40) < 0.4
    subjects = [f"S{i:02d}" for i in range(40)]
    generator = np.random.default_rng(5)
    values = []
    for _ in range(60):
        rows = np.sort(generator.integers(0, 40, size=40))  # names are in order, so the list's order is kept
        values.append(wrong[rows][:8].sum() / wrong[rows].sum())
    found = errors_found_in(wrong, subjects, [8], 60, 5)[0]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_errors_found_without_errors_is_undefined():
    found = errors_found_in(np.zeros(10, dtype=bool), list("abcdefghij"), [1], 10, 0)[0]
    assert np.isnan([found.value, found.low, found.high]).all()
