import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint, samplesize_confint_proportion

from ensemble_mammo.merit.compare import drawn_figures, main_statistic
from ensemble_mammo.merit.intervals import Cases
from ensemble_mammo.merit.planning import (
    auc_error,
    drawn_widths,
    needed_by_width,
    needed_for_auc,
    needed_for_share,
    width_of,
)


def cases(count=150, classes=4, seed=0, skill=1.5):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + skill * np.eye(classes)[true]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Cases(true, scores, [f"s{i:03d}" for i in range(count)], (classes - 2, classes - 1))


@pytest.mark.parametrize("share", [0.5, 0.7, 0.85, 0.95, 0.999, 1.0, 0.0])
@pytest.mark.parametrize("width", [0.05, 0.1, 0.3])
def test_a_share_gets_the_fewest_cases_whose_wilson_interval_is_narrow_enough(share, width):
    needed = needed_for_share(share, width)

    def wide(count):
        low, high = proportion_confint(share * count, count, method="wilson")
        return high - low

    assert wide(needed) <= width + 1e-9 < wide(needed - 1) + 1e-8


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_share_needs_nearly_the_cases_of_the_normal_formula(share):
    for width in (0.02, 0.05, 0.1):
        normal = samplesize_confint_proportion(share, width / 2)
        assert needed_for_share(share, width) == pytest.approx(normal, abs=12)


def test_the_textbook_number_of_a_survey():
    """Half of them, give or take 5 points: 385 by the normal formula, 4 fewer by Wilson's, which adds z² cases."""
    assert math.ceil(samplesize_confint_proportion(0.5, 0.05)) == 385
    assert needed_for_share(0.5, 0.1) == 381
    assert math.isnan(needed_for_share(math.nan, 0.1))


def test_half_the_width_needs_four_times_the_subjects():
    assert needed_by_width(100, 0.2, 0.1) == 400
    assert needed_by_width(100, 0.1, 0.1) == 100
    assert needed_by_width(181, 0.115, 0.05) == math.ceil(181 * 5.29)
    assert math.isnan(needed_by_width(100, 0.0, 0.1))
    assert math.isnan(needed_by_width(100, math.nan, 0.1))


def test_the_error_of_an_auc_is_that_of_the_paper():
    """Hanley & McNeil's computed-tomography readings: AUC 0.893, 51 abnormal, 58 normal, standard error 0.032."""
    assert auc_error(0.893, 51, 58) == pytest.approx(0.032, abs=1e-3)


def test_the_error_of_an_auc_is_that_of_scores_from_exponential_distributions():
    """For these the formula is exact: P(positive > negative) = 1 / (1 + rate) with negatives of rate 1."""
    rng = np.random.default_rng(0)
    area, ups, downs = 0.8, 40, 70
    rate = (1 - area) / area
    areas = []
    for _ in range(1500):
        positive, negative = rng.exponential(1 / rate, ups), rng.exponential(1, downs)
        areas.append((positive[:, None] > negative).mean())
    assert np.mean(areas) == pytest.approx(area, abs=0.005)
    assert np.std(areas) == pytest.approx(auc_error(area, ups, downs), rel=0.06)


@pytest.mark.parametrize(("area", "prevalence", "width"), [(0.8, 0.5, 0.1), (0.9, 0.1, 0.05), (0.7, 0.8, 0.2)])
def test_an_auc_gets_the_fewest_cases(area, prevalence, width):
    needed = needed_for_auc(area, prevalence, width)

    def wide(count):
        return 2 * 1.959964 * auc_error(area, prevalence * count, (1 - prevalence) * count)

    assert wide(needed) <= width < wide(needed - 1)


def test_an_auc_that_cannot_be_planned_is_nan():
    for area, prevalence in ((math.nan, 0.5), (1.0, 0.5), (0.4, 0.5), (0.8, 0.0), (0.8, 1.0)):
        assert math.isnan(needed_for_auc(area, prevalence, 0.1))
    assert needed_for_auc(0.8, 0.5, 0.999) == 4


def test_rare_positives_need_more():
    assert needed_for_auc(0.85, 0.1, 0.1) > 2 * needed_for_auc(0.85, 0.5, 0.1)


@pytest.mark.parametrize("name", ["accuracy", "recall", "kappa", "auc"])
def test_the_planned_number_gives_the_wanted_width_when_drawn(name):
    some = cases()
    now = drawn_figures(some, 2000, 0)
    needed = needed_by_width(150, width_of(now.drawn[name]), 0.08)
    assert needed > 200
    checked = drawn_widths(some.subjects, main_statistic(some), int(needed), 1000, 1)[name]
    assert checked == pytest.approx(0.08, rel=0.15)


@pytest.mark.parametrize("name", ["accuracy", "kappa", "auc"])
def test_the_planned_number_gives_the_wanted_width_in_new_subjects(name):
    """Planned from 200, tried on as many other subjects of the same kind as were asked for."""
    some = cases(200, seed=3)
    needed = int(needed_by_width(200, width_of(drawn_figures(some, 1500, 0).drawn[name]), 0.08))
    fresh = cases(needed, seed=11)
    assert width_of(drawn_figures(fresh, 1500, 0).drawn[name]) == pytest.approx(0.08, rel=0.15)


def test_as_many_subjects_as_there_are_give_the_present_width():
    some = cases()
    now = drawn_figures(some, 3000, 0)
    same = drawn_widths(some.subjects, main_statistic(some), 150, 3000, 9)
    assert same["accuracy"] == pytest.approx(width_of(now.drawn["accuracy"]), rel=0.06)


def test_widths_leave_out_what_is_undefined():
    assert width_of(np.array([np.nan, 1.0, 1.0])) == 0
    assert math.isnan(width_of(np.array([np.nan])))
    assert math.isnan(width_of(np.empty(0)))
