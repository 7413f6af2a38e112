import numpy as np
import pytest
from scipy import stats

from ensemble_mammo.merit.compare import (
    beyond_chance,
    contest,
    corrected,
    difference,
    drawn_figures,
    mcnemar,
    p_of_resamples,
)
from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.merit.intervals import Cases


def two_systems(count=80, classes=4, seed=0, skills=(1.5, 0.5), subjects=None, positive=(2, 3)):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    made = []
    for skill in skills:
        logits = rng.normal(size=(count, classes)) + skill * np.eye(classes)[true]
        scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        made.append(Cases(true, scores, subjects or [f"s{i:03d}" for i in range(count)], positive))
    return made


def test_mcnemar_is_the_binomial_test_of_the_discordant_cases():
    rng = np.random.default_rng(1)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.7
    found = mcnemar(first, second)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    assert (found.first_only, found.second_only) == (only_first, only_second)
    assert found.both + found.first_only + found.second_only + found.neither == 200
    assert found.p == pytest.approx(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def test_mcnemar_of_nine_against_one_by_hand():
    """P(at most 1 of 10) twice: 2 (1 + 10) / 1024."""
    found = mcnemar([True] * 9 + [False] + [True] * 5, [False] * 9 + [True] + [True] * 5)
    assert found.p == pytest.approx(22 / 1024)


def test_systems_that_never_differ_have_a_p_of_one():
    assert mcnemar([True, False], [True, False]).p == 1
    same = two_systems(30)[0]
    tests = contest({"a": same, "b": same}, 100, 0).tests
    assert [test.p for test in tests] == [1.0] * 4
    assert all((test.apart.value, test.apart.low, test.apart.high) == (0, 0, 0) for test in tests)


@pytest.mark.parametrize("each", [1, 2])
def test_differences_are_those_of_a_plain_loop_over_the_same_subjects(each):
    subjects = [f"s{i // each:03d}" for i in range(60)]
    first, second = two_systems(60, subjects=subjects)
    resamples, seed, count = 40, 3, 60 // each
    draws = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    apart = {name: [] for name in ("accuracy", "recall", "kappa", "auc")}
    for draw in draws:
        rows = np.concatenate([np.arange(each * s, each * s + each) for s in draw])
        ones, others = (figures_of(one.true[rows], one.scores[rows], one.positive) for one in (first, second))
        for name, values in apart.items():
            values.append(ones[name] - others[name])
    a, b = (drawn_figures(one, resamples, seed) for one in (first, second))
    for name, values in apart.items():
        found, p = difference(a, b, name)
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
        plain = 2 * (min(sum(v <= 0 for v in values), sum(v >= 0 for v in values)) + 1) / (resamples + 1)
        assert p == pytest.approx(min(1, plain))


def test_the_bootstrap_p_is_near_that_of_a_paired_t_test():
    """The accuracy's difference is a mean of paired differences."""
    first, second = two_systems(300, skills=(1.2, 1.0), seed=2)
    a, b = (drawn_figures(one, 4000, 0) for one in (first, second))
    right = [one.scores.argmax(1) == one.true for one in (first, second)]
    expected = stats.ttest_rel(*[one.astype(float) for one in right]).pvalue
    assert 0.02 < expected < 0.3
    assert difference(a, b, "accuracy")[1] == pytest.approx(expected, rel=0.25)


def test_two_equal_systems_differ_beyond_chance_about_as_often_as_they_may():
    fewer = sum(
        difference(*(drawn_figures(one, 400, seed) for one in two_systems(60, skills=(1, 1), seed=seed)), "kappa")[1]
        < 0.05
        for seed in range(150)
    )
    assert 1 <= fewer <= 18


def test_p_of_resamples_counts_and_leaves_out_what_is_undefined():
    assert p_of_resamples([1.0] * 99) == pytest.approx(2 / 100)
    assert p_of_resamples([-1.0, 1.0, 1.0, np.nan]) == 1
    assert p_of_resamples([0.0] * 9) == 1
    assert np.isnan(p_of_resamples([np.nan]))
    assert np.isnan(p_of_resamples([]))


def test_holm_by_hand_and_nan_does_not_count():
    assert corrected([0.01, 0.04, np.nan, 0.03])[:2] == pytest.approx([0.03, 0.06])
    assert corrected([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(corrected([np.nan])[0])
    assert beyond_chance(0.049)
    assert not beyond_chance(np.nan)


def test_a_contest_names_its_tests_and_corrects_over_all_of_them():
    first, second = two_systems()
    third = two_systems(seed=0, skills=(1.5, 0.5, 0.1))[2]
    found = contest({"a": first, "b": second, "c": third}, 200, 0)
    assert len(found.tests) == 12 == found.tested
    assert [test.test for test in found.tests[:4]] == [
        "McNemar, exact",
        "paired bootstrap",
        "paired bootstrap",
        "DeLong",
    ]
    assert [test.corrected for test in found.tests] == pytest.approx(corrected([test.p for test in found.tests]))
    assert found.test("b", "a", "kappa") is found.test("a", "b", "kappa")
    assert found.counts["a", "c"].p == found.test("a", "c", "accuracy").p


def test_exams_of_one_subject_are_not_tested_by_mcnemar():
    found = contest(dict(zip("ab", two_systems(40, subjects=[f"s{i // 2}" for i in range(40)]), strict=True)), 100, 0)
    assert found.clustered
    assert found.test("a", "b", "accuracy").test == "paired bootstrap"


def test_delong_is_that_of_its_formula():
    """DeLong et al. 1988 in plain loops, for one case a subject."""
    first, second = two_systems(50, seed=4)
    side = np.isin(first.true, first.positive)
    components = []
    for one in (first, second):
        score = one.scores[:, [2, 3]].sum(1)
        ups, downs = score[side], score[~side]
        wins = np.array([[float(u > d) + 0.5 * (u == d) for d in downs] for u in ups])
        components.append((wins.mean(), wins.mean(1), wins.mean(0)))
    (one, up_one, down_one), (other, up_other, down_other) = components
    variance = np.var(up_one - up_other, ddof=1) / len(up_one) + np.var(down_one - down_other, ddof=1) / len(down_one)
    expected = 2 * stats.norm.sf(abs(one - other) / np.sqrt(variance))
    found = contest({"a": first, "b": second}, 0, 0).test("a", "b", "auc")
    assert found.p == pytest.approx(expected)
    assert found.apart.value == pytest.approx(one - other)


def test_without_resamples_there_are_only_mcnemar_and_delong():
    found = contest(dict(zip("ab", two_systems(), strict=True)), 0, 0)
    assert found.tested == 2
    assert np.isnan(found.test("a", "b", "kappa").p)
    assert np.isnan(found.test("a", "b", "kappa").apart.low)


def test_other_cases_are_refused():
    first, second = two_systems()
    other = Cases(second.true[::-1].copy(), second.scores, second.subjects, second.positive)
    with pytest.raises(ValueError, match="system b has not the same cases"):
        contest({"a": first, "b": other}, 0, 0)


def test_same_seed_same_result():
    first, second = two_systems()
    assert contest({"a": first, "b": second}, 100, 5).tests == contest({"a": first, "b": second}, 100, 5).tests
