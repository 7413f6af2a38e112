import numpy as np
import pytest
from scipy import stats

from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.merit.intervals import Cases, intervals
from ensemble_mammo.merit.subgroups import age_band, ordered, subgroups


def cases(count=90, classes=3, seed=0, skill=1.0, each=1):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + np.asarray(skill).reshape(-1, 1) * np.eye(classes)[true]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Cases(true, scores, [f"s{i // each:03d}" for i in range(count)], (classes - 1,))


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("39", "<40"),
        ("40", "40-49"),
        ("59.9", "50-59"),
        ("069Y", "60-69"),
        ("70", "70+"),
        ("103", "70+"),
        ("unknown", "unknown"),
        ("", ""),
        ("50-59", "50-59"),
        ("-1", "-1"),
        ("999", "999"),
        ("nan", "nan"),
    ],
)
def test_ages_are_in_bands_of_ten_years(text, band):
    assert age_band(text) == band


def test_groups_stand_in_their_order():
    assert ordered(["70+", "unknown", "<40", "mixed", "40-49"]) == ["<40", "40-49", "70+", "mixed", "unknown"]


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_of_groups_are_those_of_their_cases_alone(classes):
    some = cases(classes=classes)
    names = tuple("ABC"[:classes])
    groups = ["x" if i % 3 else "y" for i in range(90)]
    found = subgroups(some, groups, ("accuracy", "auc"), 0, 0, names)
    assert [one.name for one in found] == ["x", "y"]
    for one in found:
        inside = np.array(groups) == one.name
        expected = figures_of(some.true[inside], some.scores[inside], some.positive, names)
        assert {name: pytest.approx(figure.value) for name, figure in one.figures.items()} == expected
        rest = figures_of(some.true[~inside], some.scores[~inside], some.positive)
        assert one.others["auc"] == pytest.approx(rest["auc"])
        assert one.differences["accuracy"].value == pytest.approx(expected["accuracy"] - rest["accuracy"])
        assert one.mix == tuple(np.bincount(some.true[inside], minlength=classes))
        assert (one.exams, one.subjects) == (inside.sum(), inside.sum())


def test_resamples_are_those_of_a_plain_loop():
    """Subjects have two exams each, which may lie in different groups."""
    some = cases(60, each=2)
    labels = np.array(["x" if i % 5 < 2 else "y" for i in range(60)])
    draws = np.random.default_rng(2).integers(0, 30, size=(50, 30))
    apart, own = {"accuracy": [], "kappa": [], "auc": []}, []
    for draw in draws:
        rows = np.concatenate([[2 * s, 2 * s + 1] for s in draw])
        inside = labels[rows] == "x"
        parts = [
            figures_of(some.true[part], some.scores[part], some.positive) for part in (rows[inside], rows[~inside])
        ]
        own.append(parts[0]["accuracy"])
        for name, values in apart.items():
            values.append(parts[0][name] - parts[1][name])
    found = subgroups(some, labels.tolist(), tuple(apart), 50, 2)[0]
    for name, values in apart.items():
        expected = np.percentile(values, [2.5, 97.5])
        assert (found.differences[name].low, found.differences[name].high) == pytest.approx(tuple(expected))
        plain = 2 * (min(sum(v <= 0 for v in values), sum(v >= 0 for v in values)) + 1) / 51
        assert found.p[name] == pytest.approx(min(1, plain))
    figure = found.figures["accuracy"]
    assert (figure.low, figure.high) == pytest.approx(tuple(np.percentile(own, [2.5, 97.5])))


def test_p_is_near_that_of_two_proportions():
    rng = np.random.default_rng(0)
    inside = np.arange(400) < 150
    right = rng.random(400) < np.where(inside, 0.68, 0.75)
    true = rng.integers(0, 2, 400)
    some = Cases(true, np.eye(2)[np.where(right, true, 1 - true)], [str(i) for i in range(400)], (1,))
    found = subgroups(some, ["x" if one else "y" for one in inside], ("accuracy",), 4000, 0)
    a, b = right[inside], right[~inside]
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))
    expected = 2 * stats.norm.sf(abs(a.mean() - b.mean()) / error)
    assert 0.01 < expected < 0.9
    assert found[0].p["accuracy"] == pytest.approx(expected, abs=0.04)
    assert found[0].p == found[1].p
    assert found[0].differences["accuracy"].high == pytest.approx(a.mean() - b.mean() + 1.96 * error, abs=0.01)


def test_a_group_of_everything_would_have_the_interval_of_all():
    """Of two groups, one so small that it is left out: the other has nearly the figures of all, and no others."""
    some = cases(60)
    found = subgroups(some, ["few"] * 3 + ["many"] * 57, ("accuracy",), 300, 0)
    few, many = found
    assert few.figures == {}
    assert few.reason == "fewer than 5 subjects"
    assert (few.exams, few.subjects) == (3, 3)
    assert many.reason == "fewer than 5 other subjects"
    assert many.differences == {}
    whole = intervals(some, 300)["accuracy"]
    assert many.figures["accuracy"].low == pytest.approx(whole.low, abs=0.05)


def test_few_subjects_with_many_exams_are_few():
    some = cases(60, each=15)
    assert all(one.reason == "fewer than 5 subjects" for one in subgroups(some, ["x", "y"] * 30, ("accuracy",), 10, 0))


def test_what_a_group_leaves_undefined_is_nan():
    some = cases(60, classes=2)
    groups = ["x" if t else "y" for t in some.true]  # each group is of one class
    found = subgroups(some, groups, ("auc", "accuracy"), 50, 0)
    assert np.isnan(found[0].figures["auc"].value)
    assert np.isnan(found[0].p["auc"])
    assert np.isnan(found[0].differences["auc"].low)
    assert not np.isnan(found[0].p["accuracy"])


def test_same_seed_same_result():
    some = cases()
    groups = ["x", "y", "z"] * 30
    assert str(subgroups(some, groups, ("accuracy",), 60, 1)) == str(subgroups(some, groups, ("accuracy",), 60, 1))
