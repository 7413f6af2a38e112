import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from statsmodels.stats.proportion import proportion_confint

from ensemble_mammo.merit.calibration import (
    bins_of,
    briers,
    calibration_errors,
    calibration_statistic,
    error_when_perfect,
    fit_temperature,
    joined,
    log_losses,
    rated,
    reliability,
    with_intervals,
)
from ensemble_mammo.merit.intervals import Cases
from ensemble_mammo.records.calibration_file import scaled


def made(count=300, classes=4, seed=0, sharper=1.0):
    """Scores that are calibrated if `sharper` is 1: true classes are drawn from them before they are sharpened."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes) * 0.7, count)
    true = np.array([rng.choice(classes, p=row) for row in scores])
    return true, scaled(scores, 1 / sharper)


def cases_made(**kwargs):
    true, scores = made(**kwargs)
    return Cases(true, scores, [f"S{i // 2}" for i in range(len(true))], tuple(range(scores.shape[1] // 2, 4)))


def plain_ece(score, observed, bins):
    """Case by case, with Python's own numbers."""
    groups = {}
    for s, o, b in zip(score, observed, bins, strict=True):
        groups.setdefault(int(b), []).append((float(s), float(o)))
    gaps = {b: abs(sum(s for s, _ in g) / len(g) - sum(o for _, o in g) / len(g)) for b, g in groups.items()}
    return sum(gaps[b] * len(g) for b, g in groups.items()) / len(score), max(gaps.values())


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (3, 2), (29, 2), (30, 3), (100, 10), (5000, 10)])
def test_bins_hold_equal_counts_and_are_fewer_where_cases_are_few(count, expected):
    score = np.random.default_rng(count).permutation(count) / count
    sizes = np.bincount(bins_of(score))
    assert len(sizes) == expected
    assert sizes.max() - sizes.min() <= 1


def test_bins_rise_with_the_score_and_never_part_equal_scores():
    score = np.random.default_rng(1).integers(0, 8, 200) / 8
    bins = bins_of(score)
    assert all(len(set(bins[score == one])) == 1 for one in set(score))
    order = np.argsort(score, kind="stable")
    assert (np.diff(bins[order]) >= 0).all() and set(bins) == set(range(bins.max() + 1))
    assert (bins_of(np.full(50, 0.3)) == 0).all()


def test_reliability_agrees_with_scikit_learn_where_no_scores_are_equal():
    true, scores = made(count=200, classes=2)
    points = reliability(scores[:, 1], (true == 1).astype(float))
    share, mean = calibration_curve(true == 1, scores[:, 1], n_bins=10, strategy="quantile")
    assert points.cases.tolist() == [20] * 10
    assert np.allclose(points.score, mean) and np.allclose(points.observed, share)


def test_limits_of_a_bin_are_wilson_s_as_published():
    # Newcombe, Stat Med 1998, table I: 81 of 263 has the score interval 0.2553 to 0.3662, 15 of 148 0.0624 to 0.1605
    for came, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        found = reliability(np.full(count, 0.5), (np.arange(count) < came).astype(float))
        assert found.cases.tolist() == [count]
        assert found.low[0] == pytest.approx(low, abs=5e-5) and found.high[0] == pytest.approx(high, abs=5e-5)


def test_calibration_errors_by_hand():
    score = np.array([0.9, 0.9, 0.6, 0.6])
    came = np.array([1.0, 0.0, 1.0, 1.0])
    ece, mce = calibration_errors(score, came, np.array([1, 1, 0, 0]))
    assert ece == pytest.approx((2 * 0.4 + 2 * 0.4) / 4) and mce == pytest.approx(0.4)


def test_calibration_errors_agree_with_a_plain_loop():
    true, scores = made(count=250, sharper=2)
    for name, (score, came) in rated(Cases(true, scores, ["a"] * 250, (2, 3)), "ABCD").items():
        bins = bins_of(score)
        assert np.allclose(calibration_errors(score, came, bins), plain_ece(score, came, bins)), name


def test_calibration_errors_of_draws_are_those_of_repeated_cases():
    true, scores = made(count=120)
    score, came = rated(Cases(true, scores, ["a"] * 120))[""]
    bins = bins_of(score)
    times = np.random.default_rng(0).integers(0, 3, (5, 120)).astype(float)
    times[0, bins == 1] = 0  # a bin of which nothing is drawn
    ece, mce = calibration_errors(score, came, bins, times)
    for i, row in enumerate(times.astype(int)):
        assert (ece[i], mce[i]) == pytest.approx(plain_ece(*(np.repeat(x, row) for x in (score, came, bins))))


def test_brier_and_log_loss_agree_with_scikit_learn():
    for classes in (2, 4):
        true, scores = made(classes=classes)
        labels = np.arange(classes)
        assert log_losses(true, scores).mean() == pytest.approx(log_loss(true, scores, labels=labels))
        multi = brier_score_loss(true, scores, labels=labels, scale_by_half=False)
        assert briers(true, scores).mean() == pytest.approx(multi)
    true, scores = made(classes=2)
    figures = calibration_statistic(Cases(true, scores, ["a"] * len(true), (1,)))(np.ones((1, len(true))))
    assert figures["brier_binary_positive"][0] == pytest.approx(brier_score_loss(true, scores[:, 1]))
    assert figures["brier"][0] == pytest.approx(2 * figures["brier_binary_positive"][0])


def test_a_score_of_zero_for_the_true_class_gives_a_large_but_finite_loss():
    assert log_losses(np.array([0]), np.array([[0.0, 1.0]]))[0] == pytest.approx(-math.log(1e-12))


def test_the_highest_score_the_positive_classes_and_each_class_are_rated():
    scores = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    found = rated(Cases(np.array([2, 0]), scores, ["a", "b"], (2, 3)), "ABCD")
    assert list(found) == ["", "positive", *"ABCD"]
    assert [x.tolist() for x in found[""]] == [[0.4, 0.7], [0.0, 1.0]]
    assert np.allclose(found["positive"], [[0.7, 0.2], [1, 0]]) and np.allclose(found["C"], [[0.3, 0.1], [1, 0]])
    assert list(rated(Cases(np.array([0]), scores[:1], ["a"]))) == [""]


def test_gap_is_score_minus_share_and_equals_ece_where_all_bins_lie_on_one_side():
    cases = cases_made(count=2000, sharper=4)
    figures = with_intervals(cases.subjects, calibration_statistic(cases), 200, 0)
    assert figures["gap"].value == pytest.approx(
        cases.scores.max(1).mean() - (cases.scores.argmax(1) == cases.true).mean()
    )
    assert figures["gap"].low > 0  # sharpened scores are too sure
    assert figures["ece"].value >= abs(figures["gap"].value) - 1e-12


def test_intervals_are_over_subjects_and_repeat_with_the_seed():
    true, scores = made(count=100)
    statistic = calibration_statistic(Cases(true, scores, [""] * 100))
    alone = with_intervals([f"{i}" for i in range(100)], statistic, 500, 1)
    again = with_intervals([f"{i}" for i in range(100)], statistic, 500, 1)
    few = with_intervals([f"{i // 25}" for i in range(100)], statistic, 500, 1)
    assert alone == again
    assert few["brier"].value == alone["brier"].value and few["brier"] != alone["brier"]
    spread = np.std(briers(true, scores)) / 10  # of a mean of independent cases
    assert alone["brier"].high - alone["brier"].low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_without_resamples_there_are_values_without_limits():
    cases = cases_made()
    figures = with_intervals(cases.subjects, calibration_statistic(cases), 0, 0)
    assert all(np.isnan(one.low) and np.isnan(one.high) and np.isfinite(one.value) for one in figures.values())


def test_joined_statistics_have_the_names_of_their_parts():
    cases = cases_made()
    both = joined({"a.": calibration_statistic(cases), "b.": calibration_statistic(cases)})(np.ones((1, 300)))
    assert both["a.ece"] == both["b.ece"] == calibration_statistic(cases)(np.ones((1, 300)))["ece"]


def test_the_error_of_a_perfect_system_in_one_bin_is_that_of_the_binomial():
    count, share = 50, 0.7
    found = error_when_perfect(np.full(count, share), np.zeros(count, dtype=np.int64), seed=0, simulations=20_000)
    came = np.arange(count + 1)
    expected = (binom.pmf(came, count, share) * np.abs(came / count - share)).sum()
    assert found.mean() == pytest.approx(expected, rel=0.02)


def test_the_error_of_a_perfect_system_falls_with_the_cases_and_holds_calibrated_scores():
    means = []
    for count in (100, 400, 1600):
        score = made(count=count, seed=count)[1].max(axis=1)
        means.append(error_when_perfect(score, bins_of(score), 0).mean())
    assert means[0] / means[1] == pytest.approx(2, rel=0.15) and means[1] / means[2] == pytest.approx(2, rel=0.15)
    inside = 0
    for seed in range(40):
        score, came = rated(Cases(*made(seed=seed), ["a"] * 300))[""]
        bins = bins_of(score)
        inside += calibration_errors(score, came, bins)[0] <= np.quantile(error_when_perfect(score, bins, 0), 0.95)
    assert inside >= 34


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_scores_is_found(sharper):
    found = fit_temperature(*made(count=20_000, sharper=sharper))
    assert not found.reason
    assert found.value == pytest.approx(sharper, rel=0.04)


def test_the_temperature_is_where_the_derivative_of_the_log_loss_vanishes():
    true, scores = made(count=150, sharper=2)
    logits = np.log(scores)

    def slope(inverse):  # d loss / d (1/T) = mean of (expected logit - own logit)
        powers = np.exp(logits * inverse)
        return float(((powers * logits).sum(1) / powers.sum(1) - logits[np.arange(150), true]).mean())

    assert fit_temperature(true, scores).value == pytest.approx(1 / brentq(slope, 0.05, 20), rel=1e-4)


def test_scaling_lowers_log_loss_on_the_cases_that_it_was_fitted_on():
    true, scores = made(count=200, sharper=3)
    after = scaled(scores, fit_temperature(true, scores).value)
    assert log_losses(true, after).mean() < log_losses(true, scores).mean()


def test_a_temperature_that_cannot_be_determined_is_one_with_the_reason():
    right, scores = np.zeros(40, dtype=np.int64), np.tile([0.6, 0.4], (40, 1))
    told = fit_temperature(right, scores)
    assert told.value == 1 and "without an error" in told.reason
    wrong = fit_temperature(1 - right, scores)
    assert wrong.value == 1 and "tell nothing" in wrong.reason
    few = fit_temperature(right[:9], scores[:9])
    assert few.value == 1 and few.reason == "9 validation exams are too few, expected 10 or more"


def test_wilson_limits_come_from_statsmodels_at_95_percent():
    true, scores = made()
    score, came = rated(Cases(true, scores, ["a"] * 300))[""]
    points = reliability(score, came)
    low, high = proportion_confint(points.observed * points.cases, points.cases, 0.05, "wilson")
    assert np.allclose(points.low, low) and np.allclose(points.high, high)


def test_figures_of_draws_are_those_of_repeated_cases():
    cases = cases_made(count=90)
    times = np.random.default_rng(2).integers(0, 4, (3, 90)).astype(float)
    figures = calibration_statistic(cases, "ABCD")(times)
    for i, row in enumerate(times.astype(int)):
        true, scores = np.repeat(cases.true, row), np.repeat(cases.scores, row, axis=0)
        assert figures["brier"][i] == pytest.approx(briers(true, scores).mean())
        assert figures["log_loss"][i] == pytest.approx(log_losses(true, scores).mean())
        repeated = rated(Cases(true, scores, ["a"] * len(true), cases.positive), "ABCD")
        for name, (given, _) in rated(cases, "ABCD").items():
            end, bins = f"_{name}" if name else "", np.repeat(bins_of(given), row)
            score, came = repeated[name]
            assert figures[f"score{end}"][i] == pytest.approx(score.mean())
            assert figures[f"share{end}"][i] == pytest.approx(came.mean())
            assert figures[f"brier_binary{end}"][i] == pytest.approx(((score - came) ** 2).mean())
            expected = plain_ece(score, came, bins)
            assert (figures[f"ece{end}"][i], figures[f"mce{end}"][i]) == pytest.approx(expected)
