import math

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.metrics.classification import classification_coverage_score, classification_mean_width_score
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_mammo.merit.calibration import with_intervals
from ensemble_mammo.merit.conformal import cases_needed, coverage_to_expect, fit_sets, methods_for, sets_statistic
from ensemble_mammo.records.calibration_file import class_sets


def made(count, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes) * 0.6, count)
    return np.array([rng.choice(classes, p=row) for row in scores]), scores


class Through(ClassifierMixin, BaseEstimator):
    """Hands scores through, as mapie wants a classifier."""

    def __init__(self, classes_=None):
        self.classes_ = classes_

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(1)


def plain_lac(true, scores, coverage):
    """Angelopoulos & Bates (Foundations and Trends 2023), section 1: the (n + 1)(1 - alpha)-th smallest 1 - score."""
    scores_of_true = sorted(1 - row[t] for t, row in zip(true, scores.tolist(), strict=True))
    return scores_of_true[math.ceil((len(true) + 1) * coverage - 1e-9) - 1]


@pytest.mark.parametrize("coverage", [0.8, 0.85, 0.9, 0.95])
@pytest.mark.parametrize("count", [21, 60, 99, 400])
def test_lac_agrees_with_a_plain_implementation(count, coverage):
    true, scores = made(count)
    rule = fit_sets(true, scores, coverage)
    assert (rule.method, rule.coverage) == ("lac", coverage)
    assert rule.threshold == pytest.approx(plain_lac(true, scores, coverage), abs=1e-12)
    new = made(100, seed=1)[1]
    expected = [[score >= 1 - rule.threshold - 1e-8 for score in row] for row in new.tolist()]
    assert class_sets(new, "lac", rule.threshold).tolist() == expected


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_sets_are_those_of_mapie(classes):
    for seed, count in enumerate((21, 40, 77)):
        true, scores = made(count, classes, seed)
        new = made(60, classes, seed + 10)[1]
        for method in methods_for(classes):
            theirs = SplitConformalClassifier(Through(np.arange(classes)), 0.9, method, random_state=5)
            theirs.conformalize(scores, true)
            rule = fit_sets(true, scores, 0.9, method, seed=5)
            assert np.array_equal(class_sets(new, method, rule.threshold), theirs.predict_set(new)[1][:, :, 0])


def test_a_class_that_validation_lacks_is_no_obstacle():
    true, scores = made(60)
    keep = true != 3
    rule = fit_sets(true[keep], scores[keep], 0.9)
    assert rule.threshold == pytest.approx(plain_lac(true[keep], scores[keep], 0.9))


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_new_cases_are_covered_as_promised_on_average_over_validation_samples(method):
    covered, size = [], []
    for seed in range(60):
        rule = fit_sets(*made(50, seed=seed), 0.8, method)
        true, scores = made(200, seed=1000 + seed)
        sets = class_sets(scores, method, rule.threshold)
        covered.append(sets[np.arange(200), true].mean())
        size.append(sets.sum(1).min())
    assert np.mean(covered) > 0.8 - 2 * np.std(covered) / math.sqrt(60)
    if method == "lac":  # exact, but for 1 in n + 1
        assert np.mean(covered) == pytest.approx(coverage_to_expect(50, 0.8).value, abs=0.02)
    else:
        assert min(size) >= 1


def test_the_spread_of_coverage_is_that_of_simulations():
    rng = np.random.default_rng(0)
    thresholds = np.sort(rng.random((20_000, 30)), axis=1)[:, math.ceil(31 * 0.9) - 1]  # of uniform scores: coverage
    expected = coverage_to_expect(30, 0.9)
    assert expected.value == pytest.approx(thresholds.mean(), abs=0.002)
    assert (expected.low, expected.high) == pytest.approx(tuple(np.percentile(thresholds, [2.5, 97.5])), abs=0.005)
    assert coverage_to_expect(5, 0.9).value == 1  # every class has to be taken


def test_too_few_validation_cases_are_refused_with_the_number_needed():
    assert (cases_needed(0.9), cases_needed(0.95), cases_needed(0.5), cases_needed(0.2)) == (11, 21, 3, 6)
    with pytest.raises(ValueError, match=r"10 validation exams, expected 11 or more for a coverage of 0\.9"):
        fit_sets(*made(10), 0.9)
    assert 0 < fit_sets(*made(11), 0.9).threshold <= 1


def test_two_classes_have_lac_alone():
    assert methods_for(2) == ("lac",) and methods_for(4) == ("lac", "aps")


def test_figures_of_sets_agree_with_mapie_and_by_hand():
    true, scores = made(80)
    sets = class_sets(scores, "lac", 0.7)
    figures = with_intervals([f"{i}" for i in range(80)], sets_statistic(sets, true, "ABCD"), 0, 0)
    assert figures["coverage"].value == pytest.approx(classification_coverage_score(true, sets[:, :, None])[0])
    assert figures["size"].value == pytest.approx(classification_mean_width_score(sets[:, :, None])[0])
    assert figures["single"].value == sum(row.sum() == 1 for row in sets) / 80
    assert figures["empty"].value == sum(not row.any() for row in sets) / 80
    for place, name in enumerate("ABCD"):
        own = sets[true == place]
        assert figures[f"coverage_{name}"].value == pytest.approx(own[:, place].mean())


def test_coverage_of_a_class_without_cases_is_undefined():
    sets = np.ones((3, 3), dtype=bool)
    figures = with_intervals(["a", "b", "c"], sets_statistic(sets, np.array([0, 1, 1]), "FGD"), 50, 0)
    assert np.isnan(figures["coverage_D"].value) and np.isnan(figures["coverage_D"].low)
    assert figures["coverage_G"].value == 1


def test_figures_of_draws_are_those_of_repeated_cases():
    true, scores = made(50)
    sets = class_sets(scores, "lac", 0.7)
    times = np.random.default_rng(0).integers(0, 3, (4, 50)).astype(float)
    figures = sets_statistic(sets, true, "ABCD")(times)
    for i, row in enumerate(times.astype(int)):
        drawn, truth = np.repeat(sets, row, axis=0), np.repeat(true, row)
        assert figures["coverage"][i] == pytest.approx(drawn[np.arange(len(truth)), truth].mean())
        assert figures["size"][i] == pytest.approx(drawn.sum(1).mean())
        for place, name in enumerate("ABCD"):
            assert figures[f"coverage_{name}"][i] == pytest.approx(drawn[truth == place, place].mean())
