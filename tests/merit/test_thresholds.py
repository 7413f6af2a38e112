import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from ensemble_mammo.merit.intervals import exact_limits
from ensemble_mammo.merit.thresholds import Threshold, calling, calling_figures, reaching, youden


def cases(count=70, digits=2, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.4
    return positive, np.round(rng.random(count) * 0.7 + 0.3 * positive, digits)


def fixed(*values):
    return [Threshold(f"{value:g}", value, "fixed") for value in values]


def gained(positive, score, at):
    return np.mean(score[positive] >= at) + np.mean(score[~positive] < at) - 1


@pytest.mark.parametrize("seed", range(8))
def test_youdens_threshold_is_the_highest_of_the_best_scores(seed):
    positive, score = cases(digits=1, seed=seed)
    best = max(gained(positive, score, at) for at in set(score))
    expected = max(at for at in set(score) if gained(positive, score, at) == pytest.approx(best, abs=1e-12))
    assert youden(positive, score) == expected


@pytest.mark.parametrize("wanted", [0.5, 0.9, 1.0])
def test_the_threshold_of_a_sensitivity_is_the_highest_score_that_reaches_it(wanted):
    positive, score = cases()
    at = reaching(positive, score, wanted)
    assert np.mean(score[positive] >= at) >= wanted
    assert all(np.mean(score[positive] >= other) < wanted for other in set(score) if other > at)


def test_nine_of_ten_are_a_sensitivity_of_nine_tenths():
    positive, score = np.repeat([True, False], 10), np.concatenate([np.arange(10), np.arange(10)]) / 10
    assert reaching(positive, score, 0.9) == 0.1
    assert reaching(positive, score, 0.7) == pytest.approx(0.3)


@pytest.mark.parametrize("choose", [youden, lambda *one: reaching(*one, 0.9)])
def test_nothing_is_chosen_on_cases_of_one_side(choose):
    with pytest.raises(ValueError, match="0 of 3 cases are positive: expected cases of both sides"):
        choose(np.zeros(3, bool), np.arange(3))


@pytest.mark.parametrize("at", [0.3, 0.5, 0.72])
def test_figures_at_a_threshold_agree_with_scikit_learn(at):
    positive, score = cases()
    called = score >= at
    found = calling_figures(positive, score, [0.1, at])
    expected = {
        "sensitivity": metrics.recall_score(positive, called),
        "specificity": metrics.recall_score(positive, called, pos_label=0),
        "ppv": metrics.precision_score(positive, called),
        "npv": metrics.precision_score(positive, called, pos_label=0),
        "called": called.mean(),
        "accuracy": metrics.accuracy_score(positive, called),
    }
    assert {name: value[1] for name, value in found.items()} == pytest.approx(expected)


def test_counts_are_the_confusion_matrix_of_scikit_learn():
    positive, score = cases()
    for one in calling(positive, score, [str(i) for i in range(70)], fixed(0.4, 0.6), 0):
        expected = metrics.confusion_matrix(positive, score >= one.threshold.value)
        counts = [[one.true_negatives, one.false_positives], [one.false_negatives, one.true_positives]]
        assert counts == expected.tolist()
        assert np.isnan(one.figures["ppv"].low)


def test_every_resample_has_the_figures_of_its_own_cases():
    positive, score = cases()
    times = np.random.default_rng(2).integers(0, 3, size=(9, 70))
    found = calling_figures(positive, score, [0.3, 0.6], times)
    for row, often in enumerate(times):
        alone = calling_figures(np.repeat(positive, often), np.repeat(score, often), [0.3, 0.6])
        for name, value in alone.items():
            np.testing.assert_allclose(found[name][row], value)


def test_limits_are_those_of_binomial_counts():
    positive = np.repeat([True, False], 200)
    score = np.concatenate([np.arange(200) % 5 != 0, np.arange(200) % 10 == 0]).astype(float)
    one = calling(positive, score, [str(i) for i in range(400)], fixed(0.5), 4000)[0].figures
    half = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (one["sensitivity"].low, one["sensitivity"].high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.01)
    assert one["specificity"].value == 0.9


def test_a_score_at_the_threshold_is_called_positive():
    found = calling_figures([True, False], [0.5, 0.4999], [0.5])
    assert (found["sensitivity"][0], found["specificity"][0]) == (1, 1)


def test_predictive_values_of_calls_never_made_are_undefined():
    found = calling_figures([True, False], [0.2, 0.3], [0.9, 0.0])
    assert np.isnan(found["ppv"]).tolist() == [True, False]
    assert np.isnan(found["npv"]).tolist() == [False, True]


@pytest.mark.parametrize(("count", "total"), [(0, 14), (14, 14), (7, 13)])
def test_exact_limits_are_those_of_the_binomial_test(count, total):
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert exact_limits(count, total) == pytest.approx((expected.low, expected.high))
