import numpy as np
import pytest

from ensemble_mammo.merit import intervals as module
from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.merit.intervals import Cases, intervals, resampled


def cases(count=60, classes=3, seed=0, subjects=None, positive=(2,)):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    scores = rng.dirichlet(np.ones(classes), count) * 0.6 + 0.4 * np.eye(classes)[true]
    return Cases(true, scores, subjects or [f"s{i}" for i in range(count)], positive)


def test_values_are_the_figures_and_lie_between_their_limits():
    some = cases()
    found = intervals(some, resamples=500)
    for name, value in figures_of(some.true, some.scores, some.positive).items():
        assert found[name].value == value
        assert found[name].low <= value <= found[name].high


def test_the_seed_decides_and_chunks_do_not(monkeypatch):
    some = cases()
    first = intervals(some, 300, seed=4)
    assert intervals(some, 300, seed=4) == first
    assert intervals(some, 300, seed=5) != first
    monkeypatch.setattr(module, "_CELLS", 60 * 7)
    assert intervals(some, 300, seed=4) == first


def test_one_subject_in_a_chunk_is_enough(monkeypatch):
    monkeypatch.setattr(module, "_CELLS", 1)
    assert resampled(cases(), 5, 0)["auc"].shape == (5,)


def test_the_interval_of_an_accuracy_is_that_of_its_binomial():
    true = np.repeat([0, 1], 100)
    called = np.where(np.arange(200) % 5 == 0, 1 - true, true)  # accuracy 0.8
    found = intervals(Cases(true, np.eye(2)[called], [str(i) for i in range(200)]), 4000)["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 200)
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.008)


def test_intervals_hold_the_true_accuracy_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        true = np.repeat([0, 1], 40)
        called = np.where(rng.random(80) < 0.7, true, 1 - true)
        one = intervals(Cases(true, np.eye(2)[called], [str(i) for i in range(80)]), 400, seed=trial)["accuracy"]
        held += one.low <= 0.7 <= one.high
    assert 0.90 <= held / 200 <= 0.99


def test_subjects_are_drawn_with_all_their_exams():
    """Ten copies of each case under one subject widen nothing and narrow nothing; as ten subjects they narrow."""
    some = cases(40)
    ten = np.repeat(np.arange(40), 10)
    clustered = Cases(some.true[ten], some.scores[ten], [some.subjects[i] for i in ten], some.positive)
    apart = Cases(some.true[ten], some.scores[ten], [str(i) for i in range(400)], some.positive)

    def width(one):
        found = intervals(one, 2000)["accuracy"]
        return found.high - found.low

    assert width(clustered) == pytest.approx(width(some), rel=0.1)
    assert width(apart) < width(some) / 2


def test_every_resample_is_that_of_its_draw():
    some = cases(12, subjects=[f"s{i // 2}" for i in range(12)])
    draw = np.random.default_rng(3).integers(0, 6, size=(1, 6))[0]
    rows = np.concatenate([[2 * s, 2 * s + 1] for s in draw])
    found = resampled(some, 1, seed=3)
    for name, value in figures_of(some.true[rows], some.scores[rows], some.positive).items():
        assert found[name][0] == pytest.approx(value)


def test_no_resamples_give_values_without_limits():
    found = intervals(cases(), resamples=0)["accuracy"]
    assert np.isnan([found.low, found.high]).all()
    assert not np.isnan(found.value)


@pytest.mark.filterwarnings("ignore::ensemble_mammo.merit.figures.UndefinedFigureWarning")
def test_an_undefined_figure_has_no_limits():
    one = intervals(Cases(np.zeros(5, int), np.eye(2)[[0] * 5], list("abcde"), (1,)), 50)
    assert str(one["auc"]) == "undefined"
    assert np.isnan([one["kappa"].low, one["auc"].high]).all()
    assert str(one["accuracy"]) == "1.000 (0.478-1.000)"  # Clopper and Pearson: 0.025 ** (1 / 5)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 true classes, 3 rows of scores and 2 subjects"):
        Cases(np.zeros(2, int), np.ones((3, 2)), ["a", "b"])
