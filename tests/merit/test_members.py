import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, log_loss, roc_auc_score

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.merit.fusion import Fusion, fuse, stacked
from ensemble_mammo.merit.members import (
    Members,
    agreed,
    figure_names,
    fused,
    judge,
    oracle,
    resamples_for,
    rules_of,
    subset_scores,
    subsets,
)
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from tests.stages.report.studies import views_made

VIEWS = tuple(View)


def members_made(task="density", count=60, gaps=False, seed=0):
    given, labels = views_made(TASKS[task], count, seed, skill=0.8)
    scores = stacked(given, given[0].keys)[0]
    if gaps:
        scores[np.random.default_rng(seed).random((count, 4)) < 0.3] = np.nan
    true = np.array([labels["", subject, ""] for subject in given[0].subject_ids])
    positive = tuple(TASKS[task].classes.index(name) for name in TASKS[task].positive)
    subjects = tuple(f"S{i // 2}" for i in range(count))  # two exams a subject
    return Members(scores, true, subjects, VIEWS, positive)


def drawn_by_hand(subjects, resamples, seed):
    """How often each exam is drawn: the documented draws, one resample at a time."""
    names = sorted(set(subjects))
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = [names[i] for i in generator.integers(0, len(names), size=len(names))]
        yield np.array([i for name in drawn for i, own in enumerate(subjects) if own == name])


def test_four_views_have_fifteen_subsets_single_ones_first_and_all_last():
    every = subsets(4)
    assert len(every) == len(set(every)) == 15
    assert every[:4] == [(0,), (1,), (2,), (3,)]
    assert every[-1] == (0, 1, 2, 3)


@pytest.mark.parametrize("rule", ["mean", "geometric", "median", "vote"])
@pytest.mark.parametrize("way", ["mean", "maximum"])
def test_every_subset_is_fused_as_fuse_does_it(rule, way):
    task = TASKS["density"]
    given, _ = views_made(task, 20)
    weights = {} if rule == "median" else {"CC_L": 2.0, "MLO_R": 0.5}
    fusion = Fusion(rule, weights, False, way)
    members = Members(stacked(given, given[0].keys)[0], np.zeros(20, dtype=int), given[0].subject_ids, VIEWS)
    for chosen, scores in zip(subsets(4), subset_scores(members, fusion), strict=True):
        np.testing.assert_allclose(scores, fuse([given[i] for i in chosen], task, fusion).levels["subject"].scores)


@pytest.mark.parametrize("way", ["mean", "maximum"])
def test_exams_with_gaps_are_fused_as_fuse_does_it(way):
    task, fusion = TASKS["pathology"], Fusion(breast_to_subject=way)
    whole, _ = views_made(task, 40)
    generator = np.random.default_rng(1)
    keep = generator.random((4, 40)) < 0.6
    keep[0, 0] = True
    given = []
    for p, rows in zip(whole, keep, strict=True):
        names, many = tuple(np.array(p.subject_ids)[rows]), int(rows.sum())
        once = (1,) * many
        given.append(Predictions(p.level, p.classes, p.scores[rows], names, ("1",) * many, (p.level,) * many, once))
    found = fuse(given, task, fusion).levels["subject"]
    np.testing.assert_allclose(fused(stacked(given, found.keys)[0], VIEWS, fusion), found.scores)


def test_an_exam_without_any_view_is_fused_to_nan():
    scores = np.full((1, 4, 2), np.nan)
    for way in ("mean", "maximum"):
        assert np.isnan(fused(scores, VIEWS, Fusion(breast_to_subject=way))).all()
    with pytest.raises(PredictionError, match="expected finite numbers"):
        fused(scores, VIEWS, Fusion(weights=dict.fromkeys(VIEWS, 0.0)))


@pytest.mark.parametrize("task", ["density", "tissue", "pathology"])
def test_subsets_have_the_figures_that_scikit_learn_and_figures_of_give(task):
    members = members_made(task)
    candidates = subset_scores(members, Fusion())
    found = judge(candidates, members, 0, 0)
    for place, scores in enumerate(candidates):
        named = scores.argmax(axis=1)
        figures = figures_of(members.true, scores, members.positive)
        assert found.values["accuracy"][place] == pytest.approx(accuracy_score(members.true, named))
        loss = log_loss(members.true, scores, labels=range(scores.shape[1]))
        assert found.values["log_loss"][place] == pytest.approx(loss)
        if task == "pathology":
            expected = roc_auc_score(members.true == 1, scores[:, 1])
            assert found.values["auc"][place] == pytest.approx(expected) == pytest.approx(figures["auc"])
        else:
            expected = cohen_kappa_score(members.true, named, weights="quadratic")
            assert found.values["kappa"][place] == pytest.approx(expected) == pytest.approx(figures["kappa"])


@pytest.mark.parametrize("task", ["density", "pathology"])
def test_intervals_of_figures_differences_and_gain_are_those_of_a_plain_loop(task):
    members = members_made(task, count=40)
    candidates = subset_scores(members, Fusion())
    found = judge(candidates, members, 20, 7)
    main = figure_names(candidates.shape[2])[0]
    loops = []
    for rows in drawn_by_hand(members.subjects, 20, 7):
        true = members.true[rows]
        loops.append(
            [
                roc_auc_score(true, one[rows, 1]) if main == "auc" else accuracy_score(true, one[rows].argmax(1))
                for one in candidates
            ]
        )
    loops = np.array(loops)
    np.testing.assert_allclose(found.drawn[main], loops)
    gains = np.array([row[14] - max(row[:4]) for row in loops])
    gain = found.gain(main, 14, [0, 1, 2, 3])
    assert (gain.low, gain.high) == pytest.approx(tuple(np.percentile(gains, [2.5, 97.5])))
    assert gain.value == pytest.approx(found.values[main][14] - max(found.values[main][:4]))
    cost = found.difference(main, 10, 14)
    assert (cost.low, cost.high) == pytest.approx(tuple(np.percentile(loops[:, 10] - loops[:, 14], [2.5, 97.5])))
    mean = found.mean(main, [4, 5], than=14)
    assert mean.high == pytest.approx(np.percentile(loops[:, 4:6].mean(1) - loops[:, 14], 97.5))


def test_kappa_in_resamples_is_scikit_learns():
    members = members_made(count=40)
    candidates = subset_scores(members, Fusion())
    found = judge(candidates, members, 20, 3)
    for row, rows in zip(found.drawn["kappa"], drawn_by_hand(members.subjects, 20, 3), strict=True):
        for value, one in zip(row, candidates, strict=True):
            expected = cohen_kappa_score(members.true[rows], one[rows].argmax(1), weights="quadratic")
            assert value == pytest.approx(expected)


def test_the_gain_accounts_for_the_choice_of_the_best_view():
    members = members_made(count=60)
    same = np.repeat(fused(members.scores, VIEWS, Fusion())[None], 3, axis=0)
    assert judge(same, members, 100, 0).gain("accuracy", 0, [1, 2]).high == 0
    chance = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 60))  # no candidate knows anything
    found = judge(chance, members, 500, 0)
    chosen = found.gain("accuracy", 0, [1, 2, 3, 4])
    best = int(found.values["accuracy"][1:].argmax()) + 1
    assert chosen.high <= found.difference("accuracy", 0, best).high


def test_without_resamples_there_are_values_without_limits():
    members = members_made()
    found = judge(subset_scores(members, Fusion()), members, 0, 0)
    for one in (found.of("accuracy", 3), found.difference("accuracy", 3, 14), found.gain("kappa", 14, [0, 1])):
        assert np.isfinite(one.value)
        assert np.isnan([one.low, one.high]).all()
    assert np.isnan(oracle(members, 0, 0).low)


def test_figures_that_are_undefined_are_nan_without_a_warning():
    one = np.tile([1.0, 0.0, 0.0], (1, 5, 1))
    members = Members(np.zeros((5, 1, 3)), np.zeros(5, dtype=int), list("abcde"), (View.CC_R,), (2,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judge(one, members, 10, 0)
    assert found.values["accuracy"][0] == 1
    assert np.isnan(found.of("kappa", 0).value)


def test_the_oracle_counts_exams_of_which_some_view_is_right():
    members = members_made(gaps=True)
    plain = [
        any(not np.isnan(row).any() and row.argmax() == true for row in exam)
        for exam, true in zip(members.scores, members.true, strict=True)
    ]
    found = oracle(members, 100, 0)
    assert found.value == pytest.approx(np.mean(plain))
    assert found.low <= found.value <= found.high


def test_views_are_held_against_the_exam_or_against_their_own_breast():
    right, left = [0.9, 0.1], [0.2, 0.8]
    scores = np.array([[right, left, right, left]])  # CC_R CC_L MLO_R MLO_L
    assert agreed(scores, VIEWS, Fusion(breast_to_subject="mean")).tolist() == [[0, 0, 0, 0]]
    assert agreed(scores, VIEWS, Fusion(breast_to_subject="maximum")).tolist() == [[0, 1, 0, 1]]


def test_rules_go_both_ways_where_there_are_two_breasts_and_the_median_takes_no_weights():
    weighted = Fusion(weights={"CC_R": 2.0}, breast_to_subject="mean")
    rules = rules_of(VIEWS, weighted)
    assert len(rules) == 8
    assert {rule.breast_to_subject for rule in rules} == {"mean", "maximum"}
    assert all(bool(rule.weights) == (rule.rule != "median") for rule in rules)
    assert len(rules_of((View.CC_R, View.MLO_R), weighted)) == 4


def test_complete_exams_have_every_view():
    members = members_made(gaps=True)
    complete = members.complete()
    assert 0 < len(complete.true) < len(members.true)
    assert not np.isnan(complete.scores).any()
    assert len(complete.subjects) == len(complete.true) == (members.present == 4).sum()


def test_many_exams_are_judged_on_fewer_resamples():
    assert resamples_for(150, 10_000) == 10_000
    assert resamples_for(10_000, 10_000) == 2_000
    assert resamples_for(1_000_000, 10_000) == 1_000
    assert resamples_for(1_000_000, 0) == 0
