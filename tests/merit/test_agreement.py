import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

from ensemble_mammo.merit.agreement import (
    NOT_READ,
    agreements,
    fleiss,
    fleiss_statistic,
    majority,
    rater_kappa,
)
from ensemble_mammo.merit.figures import confusion_matrix


def raters(count=80, classes=4, seed=0, right=(0.8, 0.6, 0.7), read=1.0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    made = {}
    for number, share in enumerate(right):
        one = np.where(rng.random(count) < share, true, rng.integers(0, classes, count))
        made[f"R{number + 1}"] = np.where(rng.random(count) < read, one, NOT_READ)
    return made


def ids(count):
    return [f"s{i:03d}" for i in range(count)]


@pytest.mark.parametrize("ordinal", [True, False])
def test_kappa_is_that_of_scikit_learn_and_statsmodels(ordinal):
    some = raters()
    found = rater_kappa(confusion_matrix(some["R1"], some["R2"], 4), ordinal)
    assert found == pytest.approx(cohen_kappa_score(some["R1"], some["R2"], weights="quadratic" if ordinal else None))
    table = confusion_matrix(some["R1"], some["R2"], 4)
    weighted = cohens_kappa(table, wt="quadratic" if ordinal else None)
    assert found == pytest.approx(weighted.kappa)


def test_kappa_of_a_textbook():
    """Two readers, yes or no, 20 and 15 alike of 50: 0.4 (worked example of Wikipedia's Cohen's kappa)."""
    for ordinal in (True, False):
        assert rater_kappa([[20, 5], [10, 15]], ordinal) == pytest.approx(0.4)


def test_kappa_is_undefined_where_both_name_one_class():
    assert np.isnan(rater_kappa([[5, 0], [0, 0]], False))
    assert np.isnan(rater_kappa([[5, 0], [0, 0]], True))


@pytest.mark.parametrize("ordinal", [True, False])
def test_pairs_are_judged_on_the_cases_that_both_read(ordinal):
    some = raters(read=0.7)
    found = agreements(some, ids(80), 4, ordinal, (0, 0))
    both = (some["R1"] != NOT_READ) & (some["R3"] != NOT_READ)
    one = found.between("R3", "R1")
    assert one.shared == both.sum() < 80
    weights = "quadratic" if ordinal else None
    assert one.kappa.value == pytest.approx(cohen_kappa_score(some["R1"][both], some["R3"][both], weights=weights))
    assert one.percent.value == pytest.approx((some["R1"][both] == some["R3"][both]).mean())
    assert np.isnan(one.kappa.low)


def test_resamples_are_those_of_a_plain_loop():
    some = raters(60, read=0.8)
    subjects = [f"s{i // 2:03d}" for i in range(60)]
    draws = np.random.default_rng(7).integers(0, 30, size=(40, 30))
    kappas, apart, shares = [], [], []

    def plain(a, b, rows):
        rows = rows[(some[a][rows] != NOT_READ) & (some[b][rows] != NOT_READ)]
        return cohen_kappa_score(some[a][rows], some[b][rows], weights="quadratic"), (
            some[a][rows] == some[b][rows]
        ).mean()

    for draw in draws:
        rows = np.concatenate([[2 * s, 2 * s + 1] for s in draw])
        first, second, third = plain("R1", "R2", rows), plain("R1", "R3", rows), plain("R2", "R3", rows)
        kappas.append(first[0])
        shares.append(first[1])
        apart.append((second[0] + third[0]) / 2 - first[0])
    found = agreements(some, subjects, 4, True, (40, 7))
    one = found.between("R1", "R2")
    assert (one.kappa.low, one.kappa.high) == pytest.approx(tuple(np.percentile(kappas, [2.5, 97.5])))
    assert (one.percent.low, one.percent.high) == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])))
    difference = found.mean_difference([("R3", "R1"), ("R2", "R3")], [("R1", "R2")])
    assert (difference.low, difference.high) == pytest.approx(tuple(np.percentile(apart, [2.5, 97.5])))
    mean = found.mean_kappa([("R1", "R3"), ("R2", "R3")])
    assert difference.value == pytest.approx(mean.value - one.kappa.value)


def test_pairs_without_a_common_case_are_undefined_and_not_in_the_mean():
    some = raters(40)
    some["R1"][:20] = NOT_READ
    some["R2"][20:] = NOT_READ
    found = agreements(some, ids(40), 4, True, (50, 0))
    assert found.between("R1", "R2").shared == 0
    assert np.isnan(found.between("R1", "R2").kappa.value)
    pairs = [("R1", "R2"), ("R1", "R3")]
    assert found.mean_kappa(pairs).value == pytest.approx(found.between("R1", "R3").kappa.value)
    assert np.isnan(found.mean_kappa([("R1", "R2")]).value)
    assert np.isnan(found.mean_kappa([]).value)


def test_fleiss_is_that_of_statsmodels_on_the_cases_read_by_all():
    some = np.stack(list(raters(read=0.8).values()))
    whole = (some != NOT_READ).all(axis=0)
    found, count = fleiss(some, ids(80), 4, (200, 0))
    assert count == whole.sum() < 80
    assert found.value == pytest.approx(fleiss_kappa(aggregate_raters(some[:, whole].T, n_cat=4)[0]))
    assert found.low < found.value < found.high


def test_fleiss_of_a_worked_example():
    """Fourteen raters, ten cases, five classes: 0.210 (worked example of Wikipedia's Fleiss' kappa)."""
    table = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ],
        dtype=float,
    )
    assert fleiss_statistic(table)(np.ones((1, 10)))["fleiss"][0] == pytest.approx(0.210, abs=5e-4)
    drawn = np.array([2.0, 0, 1, 1, 1, 3, 0, 0, 1, 1])
    rows = np.repeat(table, drawn.astype(int), axis=0)
    assert fleiss_statistic(table)(drawn[None])["fleiss"][0] == pytest.approx(fleiss_kappa(rows))


def test_fleiss_is_undefined_for_one_rater_no_common_case_or_one_class():
    for given in ([[0, 1, 2]], [[0, NOT_READ], [NOT_READ, 1]], [[1, 1], [1, 1]]):
        found, _ = fleiss(given, ids(len(given[0])), 3, (10, 0))
        assert np.isnan(found.value)


def test_the_majority_has_no_ties_and_no_lone_readers():
    n = NOT_READ
    given = [[0, 0, 0, n, 2, n], [0, 1, 1, n, n, 2], [1, 2, n, 2, 2, 2], [1, 2, 1, n, n, 1]]
    assert majority(given, 3).tolist() == [n, 2, 1, n, 2, 2]
