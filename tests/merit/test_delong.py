import numpy as np
import pytest
from scipy import stats

from ensemble_mammo.merit.delong import delong


def cases(count=60, systems=2, digits=16, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.45
    hard = rng.normal(size=count)  # the systems err on the same cases
    scores = 0.8 * positive + 0.7 * hard + 0.8 * rng.normal(size=(systems, count))
    return positive, np.round(scores, digits)


def apart(count):
    return [f"s{i}" for i in range(count)]


def parts_by_loop(positive, score):
    """The structural components of DeLong et al. 1988, pair by pair: of positive cases, of negative ones."""
    ups, downs = score[positive], score[~positive]
    won = np.array([[1.0 if up > down else 0.5 if up == down else 0.0 for down in downs] for up in ups])
    return won.mean(axis=1), won.mean(axis=0)


def covariance_by_loop(positive, first, second):
    """Equations 4 to 6 of DeLong et al. 1988."""
    (up_a, down_a), (up_b, down_b) = parts_by_loop(positive, first), parts_by_loop(positive, second)
    return np.cov(up_a, up_b)[0, 1] / len(up_a) + np.cov(down_a, down_b)[0, 1] / len(down_a)


def clustered_by_loop(positive, score, subjects):
    """Obuchowski 1997, subject by subject, sums over her cases written out."""
    ups, downs = parts_by_loop(positive, score)
    of_case = np.empty(len(positive))
    of_case[positive], of_case[~positive] = ups, downs
    area, m, n = ups.mean(), len(ups), len(downs)
    names = sorted(set(subjects))
    s10 = s01 = s11 = with_up = with_down = 0.0
    for name in names:
        hers = np.array([one == name for one in subjects])
        up = sum(of_case[i] - area for i in np.flatnonzero(hers & positive))
        down = sum(of_case[i] - area for i in np.flatnonzero(hers & ~positive))
        with_up += bool((hers & positive).any())
        with_down += bool((hers & ~positive).any())
        s10, s01, s11 = s10 + up * up, s01 + down * down, s11 + up * down
    s10 *= with_up / ((with_up - 1) * m)
    s01 *= with_down / ((with_down - 1) * n)
    s11 *= len(names) / (len(names) - 1)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("digits", [0, 1, 16])
def test_areas_and_covariance_agree_with_the_components_written_out(digits):
    positive, scores = cases(digits=digits, systems=3)
    found = delong(positive, scores, apart(60))
    for a in range(3):
        assert found.aucs[a] == pytest.approx(parts_by_loop(positive, scores[a])[0].mean())
        for b in range(3):
            assert found.covariance[a, b] == pytest.approx(covariance_by_loop(positive, scores[a], scores[b]))
    np.testing.assert_allclose(found.covariance, found.covariance.T)


@pytest.mark.parametrize("digits", [0, 16])
def test_subjects_with_several_cases_agree_with_the_sums_written_out(digits):
    positive, scores = cases(digits=digits)
    subjects = [f"s{i % 25}" for i in range(60)]
    found = delong(positive, scores, subjects)
    assert found.subjects == 25
    for place in range(2):
        assert found.covariance[place, place] == pytest.approx(clustered_by_loop(positive, scores[place], subjects))


def test_copies_of_each_case_under_her_subject_leave_the_error_about_as_it_was():
    positive, scores = cases()
    one, four = (
        delong(positive, scores[0], apart(60)),
        delong(np.tile(positive, 4), np.tile(scores[0], 4), apart(60) * 4),
    )
    as_apart = delong(np.tile(positive, 4), np.tile(scores[0], 4), apart(240))
    assert four.aucs[0] == pytest.approx(one.aucs[0])
    assert four.error() == pytest.approx(one.error())
    assert as_apart.error() < 0.55 * one.error()


def test_the_variance_is_near_that_of_the_jackknife():
    positive, scores = cases(150)
    found = delong(positive, scores[0], apart(150))
    left_out = [
        delong(np.delete(positive, i), np.delete(scores[0], i), apart(149)).aucs[0] for i in range(len(positive))
    ]
    jackknife = (149 / 150) * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    assert found.covariance[0, 0] == pytest.approx(jackknife, rel=0.03)


def test_the_stated_error_is_the_spread_of_samples():
    """Binormal AUC Phi(1 / sqrt 2); the spread of 300 samples is the standard error that one of them states."""
    rng = np.random.default_rng(0)
    side = np.arange(200) < 80
    found = [delong(side, rng.normal(size=200) + side, apart(200)) for _ in range(300)]
    areas = [one.aucs[0] for one in found]
    assert np.mean(areas) == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.006)
    assert np.mean([one.error() for one in found]) == pytest.approx(np.std(areas), rel=0.1)
    held = [one.interval().low <= stats.norm.cdf(1 / np.sqrt(2)) <= one.interval().high for one in found]
    assert 0.91 <= np.mean(held) <= 0.98


def test_turned_scores_give_the_turned_interval():
    positive, scores = cases()
    one, other = delong(positive, scores[0], apart(60)), delong(positive, -scores[0], apart(60))
    swapped = delong(~positive, scores[0], apart(60))
    assert other.aucs[0] == pytest.approx(1 - one.aucs[0])
    assert other.error() == pytest.approx(one.error()) == pytest.approx(swapped.error())
    assert other.interval().low == pytest.approx(1 - one.interval().high)


def test_logit_limits_stay_below_one_where_plain_ones_do_not():
    positive, score = np.repeat([False, True], 6), np.arange(12.0)
    score[5], score[6] = 6, 5
    found = delong(positive, score, apart(12))
    half = 1.959964 * found.error()
    plain, logit = found.interval(logit=False), found.interval()
    assert (plain.low, plain.high) == pytest.approx((found.aucs[0] - half, found.aucs[0] + half), abs=1e-6)
    assert plain.high > 1 > logit.high > logit.value > logit.low
    odds = [np.log(x / (1 - x)) for x in (logit.low, logit.value, logit.high)]
    assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])


def test_the_paired_test_is_that_of_the_written_out_variance():
    positive, scores = cases()
    found = delong(positive, scores, apart(60)).compared()
    variance = sum(
        sign * covariance_by_loop(positive, scores[a], scores[b]) for a, b, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -2))
    )
    apart_by = parts_by_loop(positive, scores[0])[0].mean() - parts_by_loop(positive, scores[1])[0].mean()
    assert found.difference.value == pytest.approx(apart_by)
    assert found.z == pytest.approx(apart_by / np.sqrt(variance))
    assert found.p == pytest.approx(stats.chi2.sf(found.z**2, 1))
    assert found.difference.high - found.difference.value == pytest.approx(1.959964 * np.sqrt(variance), abs=1e-6)
    turned = delong(positive, scores, apart(60)).compared(1, 0)
    assert (turned.z, turned.p) == pytest.approx((-found.z, found.p))


def test_the_paired_test_finds_a_difference_where_there_is_none_as_seldom_as_it_should():
    rng = np.random.default_rng(1)
    side = np.arange(100) < 50
    called = [
        delong(side, side + rng.normal(size=100) + rng.normal(size=(2, 100)), apart(100)).compared().p < 0.05
        for _ in range(400)
    ]
    assert 0.025 <= np.mean(called) <= 0.085


def test_systems_that_rank_alike_have_no_test():
    positive, scores = cases()
    found = delong(positive, [scores[0], 3 * scores[0] - 1], apart(60)).compared()
    assert found.difference.value == 0
    assert np.isnan([found.z, found.p, found.difference.low]).all()
    assert "variance of the difference is 0" in found.reason


@pytest.mark.parametrize(("turn", "value"), [(1, 1.0), (-1, 0.0), (0, 0.5)])
def test_an_area_without_variance_has_no_limits_and_says_why(turn, value):
    found = delong(np.repeat([False, True], 5), turn * np.arange(10.0), apart(10))
    for logit in (True, False):
        one = found.interval(logit=logit)
        assert one.value == value
        assert np.isnan([one.low, one.high]).all()
    assert found.reason().startswith(f"AUC is {value:g}")


@pytest.mark.parametrize(("side", "name"), [(True, "positive"), (False, "negative")])
def test_cases_of_one_side_leave_all_undefined(side, name):
    found = delong(np.full(6, side), np.arange(6), apart(6))
    assert np.isnan(found.aucs).all()
    assert np.isnan(found.covariance).all()
    assert found.reason() == f"AUC is undefined: all 6 cases are truly {name}"
    assert np.isnan(found.interval().value)


def test_one_positive_subject_has_an_area_without_limits():
    found = delong(np.arange(6) == 3, np.arange(6), apart(6))
    assert found.interval().value == pytest.approx(3 / 5)
    assert np.isnan(found.interval().low)
    assert "only one subject has positive cases" in found.reason()
    assert np.isnan(found.compared(0, 0).p)
