import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ensemble_mammo.merit.learned_fusion import (
    STRENGTHS,
    cross_fitted,
    learned_elsewhere,
    learned_weights,
    reason_against,
    stacking,
    strength_chosen,
)
from ensemble_mammo.merit.members import Members
from ensemble_mammo.records.subject import View


def scores_made(count, skills, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    true = np.arange(count) % classes
    logits = generator.normal(size=(count, len(skills), classes))
    logits[np.arange(count), :, true] += np.array(skills)
    exponents = np.exp(logits)
    return exponents / exponents.sum(-1, keepdims=True), true


def members_made(count, skills=(1.5, 1.0), seed=0, exams=1):
    scores, true = scores_made(count, skills, seed=seed)
    subjects = tuple(f"S{i // exams}" for i in range(count))
    return Members(scores, true, subjects, tuple(View)[: len(skills)], (2,))


def test_two_weights_are_those_of_a_fine_grid():
    scores, true = scores_made(200, (1.5, 0.7))
    grid = np.linspace(0, 1, 2001)
    own = scores[np.arange(200), :, true]
    losses = [-np.log(w * own[:, 0] + (1 - w) * own[:, 1]).mean() for w in grid]
    assert learned_weights(scores, true)[0] == pytest.approx(grid[int(np.argmin(losses))], abs=1e-3)


def test_four_weights_are_those_of_expectation_maximisation():
    scores, true = scores_made(300, (1.5, 0.2, 1.0, 0.8), classes=4)
    own = scores[np.arange(300), :, true]
    weights = np.full(4, 0.25)
    for _ in range(20_000):  # the mixing shares of a mixture, which maximise the same likelihood
        shares = own * weights
        weights = (shares / shares.sum(1, keepdims=True)).mean(0)
    found = learned_weights(scores, true)
    np.testing.assert_allclose(found, weights, atol=2e-3)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()


def test_a_view_that_knows_nothing_weighs_nothing():
    scores, true = scores_made(200, (3.0, 0.0))
    scores[:, 1] = np.roll(scores[:, 0], 1, axis=1)  # sure, and always of another class
    assert learned_weights(scores, true)[1] < 0.05


def test_stacking_is_a_logistic_regression_on_standardised_log_scores():
    scores, true = scores_made(120, (1.5, 1.0))
    features = np.log(scores).reshape(120, -1)
    features = (features - features[:80].mean(0)) / features[:80].std(0)
    plain = LogisticRegression(C=0.1, max_iter=5000).fit(features[:80], true[:80]).predict_proba(features[80:])
    np.testing.assert_allclose(stacking((scores[:80], true[:80]), scores[80:], 0.1), plain, atol=1e-6)


def test_a_class_that_was_not_there_to_learn_from_scores_nothing():
    scores, true = scores_made(60, (1.5, 1.0))
    learn = true != 1
    given = stacking((scores[learn], true[learn]), scores[~learn], 1.0)
    assert (given[:, 1] == 0).all()
    np.testing.assert_allclose(given.sum(1), 1)


def test_the_strength_is_small_where_there_is_nothing_to_learn():
    generator = np.random.default_rng(0)
    members = members_made(60)
    blind = Members(generator.dirichlet(np.ones(3), size=(60, 2)), members.true, members.subjects, members.views)
    assert strength_chosen(blind, 0) == min(STRENGTHS)


def test_subjects_are_never_on_both_sides_of_a_fold(monkeypatch):
    members = members_made(60, exams=3)
    seen = []
    name = "ensemble_mammo.merit.learned_fusion.learned_elsewhere"

    def watched(learn, judge, seed):
        held = [i for i, scores in enumerate(members.scores) if (scores == judge).all(axis=(1, 2)).any()]
        seen.append((set(learn.subjects), {members.subjects[i] for i in held}))
        return learned_elsewhere(learn, judge, seed)

    monkeypatch.setattr(name, watched)
    cross_fitted(members, 0)
    assert len(seen) == 5
    assert all(not learned & held for learned, held in seen)
    assert set.union(*(held for _, held in seen)) == set(members.subjects)


def test_the_same_seed_learns_the_same():
    members = members_made(60)
    one, two = (learned_elsewhere(members, members.scores[:9], 3) for _ in range(2))
    np.testing.assert_array_equal(one.stacked, two.stacked)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.weights.shape == (1, 2)
    assert one.strengths[0] in STRENGTHS


def test_too_few_subjects_are_refused_with_the_reason():
    assert reason_against(members_made(60), ("A", "B", "C")) == ""
    assert "39 subjects have every view, 40 are needed" in reason_against(members_made(39), ("A", "B", "C"))
    assert "39 subjects" in reason_against(members_made(78, exams=2), ("A", "B", "C"))
    members = members_made(60)
    members.true[members.true == 1] = 0
    members.true[:4] = 1
    assert reason_against(members, ("A", "B", "C")).endswith("there are 4 of B")
