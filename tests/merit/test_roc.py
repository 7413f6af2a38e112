import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.merit import figures, roc
from ensemble_mammo.merit.intervals import bootstrap
from ensemble_mammo.merit.roc import curve_figures, precisions, sensitivities, steps_of

TIES = pytest.mark.parametrize("digits", [1, 16], ids=["ties", "no ties"])
PERFECT = ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])


def cases(count=80, digits=16, seed=0, share=0.4):
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < share
    return positive, np.round(rng.random(count) * 0.7 + 0.3 * positive * rng.random(count), digits)


def drawn(count, rows=30, seed=5):
    """How often each case is drawn in each of `rows` resamples."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(rows)]).astype(float)


def pf1_by_loop(labels, predictions):
    hits = alarms = positives = 0.0
    for label, likely in zip(labels, predictions, strict=True):
        if label:
            positives += 1
            hits += likely
        else:
            alarms += likely
    precision, recall = hits / (hits + alarms), hits / positives
    return 2 * precision * recall / (precision + recall)


def points_by_loop(positive, score):
    """(sensitivity, specificity) of every threshold, the one that calls nobody included."""
    return [
        (np.mean(score[positive] >= at), np.mean(score[~positive] < at)) for at in [np.inf, *sorted(set(score))[::-1]]
    ]


def from_elsewhere(positive, score):
    """The same figures from scikit-learn and from plain loops."""
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    points = points_by_loop(positive, score)
    return {
        "auc": metrics.roc_auc_score(positive, score),
        "average_precision": metrics.average_precision_score(positive, score),
        "pr_area": metrics.auc(recall, precision),
        "sensitivity_at": max(found for found, passed in points if passed >= 0.8 - 1e-12),
        "specificity_at": max(passed for found, passed in points if found >= 0.9 - 1e-12),
        "partial_auc": metrics.roc_auc_score(positive, score, max_fpr=roc.PARTIAL_RATE),
        "pf1": pf1_by_loop(positive, score),
        "prevalence": positive.mean(),
    }


@TIES
@pytest.mark.parametrize("seed", range(5))
def test_figures_agree_with_scikit_learn_and_plain_loops(digits, seed):
    positive, score = cases(digits=digits, seed=seed)
    found = curve_figures(positive, score, sensitivity=0.9, specificity=0.8)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(from_elsewhere(positive, score))


@TIES
def test_every_resample_has_the_figures_of_its_own_cases(digits):
    positive, score = cases(30, digits)
    times = drawn(30)
    found = curve_figures(positive, score, 0.9, 0.8, times)
    for row, often in enumerate(times.astype(int)):
        expected = from_elsewhere(np.repeat(positive, often), np.repeat(score, often))
        assert {name: value[row] for name, value in found.items()} == pytest.approx(expected)


@TIES
def test_points_of_the_curves_are_those_of_scikit_learn(digits):
    positive, score = cases(digits=digits)
    steps = steps_of(positive, score)
    rates, found, thresholds = metrics.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(steps.false_positive_rate, rates)
    np.testing.assert_allclose(steps.sensitivity, found)
    np.testing.assert_allclose(steps.thresholds, thresholds)
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    np.testing.assert_allclose(steps.precision, precision[::-1])
    np.testing.assert_allclose(steps.sensitivity, recall[::-1])


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.35, 1.0])
def test_partial_areas_of_any_rate_are_those_of_scikit_learn(rate):
    positive, score = cases(digits=2)
    found = roc.partial_area(steps_of(positive, score), rate)
    assert float(found) == pytest.approx(metrics.roc_auc_score(positive, score, max_fpr=rate))


def test_the_area_is_the_auc_of_the_headline_figures():
    positive, score = cases(digits=2)
    times = drawn(80)
    np.testing.assert_allclose(roc.area(steps_of(positive, score, times)), figures.auc(positive, score, times))


@TIES
def test_the_drawn_roc_curve_is_interpolated_as_numpy_does(digits):
    positive, score = cases(digits=digits)
    times = drawn(80)
    found = sensitivities(steps_of(positive, score, times))
    for row, often in enumerate(times.astype(int)):
        rates, heights, _ = metrics.roc_curve(np.repeat(positive, often), np.repeat(score, often))
        upper = {rate: heights[rates == rate].max() for rate in rates}  # the upper end of what rises straight up
        grid = roc.RATES[~np.isclose(roc.RATES[:, None], rates).any(axis=1)]
        np.testing.assert_allclose(found[row][np.isin(roc.RATES, grid)], np.interp(grid, rates, heights))
        assert found[row][0] == pytest.approx(upper[0.0])
        assert found[row][-1] == 1


@TIES
def test_the_drawn_precision_is_that_of_the_highest_threshold_that_reaches_the_recall(digits):
    positive, score = cases(digits=digits)
    found = precisions(steps_of(positive, score))
    for recall, value in zip(roc.RECALLS, found, strict=True):
        at = next(at for at in sorted(set(score))[::-1] if np.mean(score[positive] >= at) >= recall - 1e-12)
        assert value == pytest.approx(np.mean(positive[score >= at]))


def test_the_area_below_the_drawn_precision_is_about_the_average_precision():
    positive, score = cases(400)
    found = precisions(steps_of(positive, score))
    assert found.mean() == pytest.approx(metrics.average_precision_score(positive, score), abs=0.01)


def test_a_fixed_specificity_is_met_exactly_where_it_can_be():
    positive = np.repeat([False, True], 10)
    score = np.concatenate([np.arange(10) / 10, np.arange(10) / 10 + 0.05])
    steps = steps_of(positive, score)
    assert float(roc.sensitivity_at(steps, 0.9)) == pytest.approx(0.2)  # one alarm, at 0.9; 0.95 and 0.85 are found
    assert float(roc.specificity_at(steps, 0.2)) == pytest.approx(1.0 - 0.1)


def test_a_score_that_knows_nothing_finds_nobody_without_alarms():
    found = curve_figures(np.arange(10) < 5, np.full(10, 0.3), 0.9, 0.9)
    assert (found["auc"], found["sensitivity_at"], found["specificity_at"]) == (0.5, 0, 0)
    assert found["average_precision"] == found["prevalence"] == 0.5
    assert found["partial_auc"] == pytest.approx(0.5)


def test_a_perfect_score_has_all_figures_at_one():
    found = curve_figures(*PERFECT, 0.9, 0.9)
    for name in ("auc", "average_precision", "pr_area", "sensitivity_at", "specificity_at", "partial_auc"):
        assert found[name] == pytest.approx(1), name


@pytest.mark.parametrize("side", [True, False])
def test_cases_of_one_side_leave_curves_undefined(side):
    positive, score = np.full(4, side), np.arange(4) / 10
    found = curve_figures(positive, score, 0.9, 0.9)
    defined = {name for name, value in found.items() if not np.isnan(value)}
    assert defined == ({"prevalence", "pf1"} if side else {"prevalence"})
    steps = steps_of(positive, score)
    assert np.isnan(sensitivities(steps)).all()
    assert np.isnan(precisions(steps)).all()


def test_a_resample_of_one_side_is_nan_and_does_not_disturb_the_others():
    positive, score = np.array([0, 0, 1, 1], bool), np.array([0.1, 0.6, 0.5, 0.9])
    times = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [1, 1, 1, 1]], float)
    found = curve_figures(positive, score, 0.9, 0.9, times)
    for name in set(found) - {"prevalence"}:
        assert np.isnan(found[name][1]), name
        assert found[name][0] == found[name][2] == curve_figures(positive, score, 0.9, 0.9)[name], name


def test_bands_lie_around_the_curve():
    positive, score = cases(2000)
    found = bootstrap(
        [str(i) for i in range(2000)],
        lambda times: {"band": sensitivities(steps_of(positive, score, times))},
        200,
        seed=0,
    )["band"]
    assert found.shape == (200, len(roc.RATES))
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    middle = sensitivities(steps_of(positive, score))
    assert ((low <= middle + 1e-9) & (middle <= high + 1e-9)).mean() > 0.95
