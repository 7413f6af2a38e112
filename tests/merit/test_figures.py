import warnings

import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.merit import figures
from ensemble_mammo.merit.figures import UndefinedFigureWarning, confusion_matrix, figures_of, figures_of_confusion


def drawn(count, classes, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    return true, rng.dirichlet(np.ones(classes), count) * 0.7 + 0.3 * np.eye(classes)[true]


@pytest.mark.parametrize(("classes", "positive", "seed"), [(4, (2, 3), 0), (3, (2,), 1), (2, (1,), 2)])
def test_all_figures_agree_with_scikit_learn(classes, positive, seed):
    true, scores = drawn(200, classes, seed)
    called = scores.argmax(1)
    score = scores[:, list(positive)].sum(1)
    names = "WXYZ"[:classes]
    sides = np.isin(true, positive), np.isin(called, positive)
    expected = {
        "accuracy": metrics.accuracy_score(true, called),
        "recall": metrics.recall_score(true, called, average="macro"),
        "precision": metrics.precision_score(true, called, average="macro"),
        "f1": metrics.f1_score(true, called, average="macro"),
        "kappa": metrics.cohen_kappa_score(true, called, weights="quadratic"),
        "kappa_linear": metrics.cohen_kappa_score(true, called, weights="linear"),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, called),
        "positive": metrics.accuracy_score(*sides),
        "positive_sensitivity": metrics.recall_score(*sides),
        "positive_specificity": metrics.recall_score(*sides, pos_label=False),
        "auc": metrics.roc_auc_score(np.isin(true, positive), score),
    }
    each = {
        "recall": metrics.recall_score(true, called, average=None),
        "precision": metrics.precision_score(true, called, average=None),
        "f1": metrics.f1_score(true, called, average=None),
    }
    if classes > 2:
        expected["auc_macro"] = metrics.roc_auc_score(true, scores, multi_class="ovr", average="macro")
        each["auc"] = [metrics.roc_auc_score(true == k, scores[:, k]) for k in range(classes)]
    expected |= {f"{kind}_{n}": v for kind, values in each.items() for n, v in zip(names, values, strict=True)}
    found = figures_of(true, scores, positive, names)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    confusion = confusion_matrix(true, called, classes)
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(true, called))
    np.testing.assert_allclose(figures.recalls(confusion), metrics.recall_score(true, called, average=None))
    np.testing.assert_allclose(figures.precisions(confusion), metrics.precision_score(true, called, average=None))


def test_figures_of_many_matrices_are_those_of_each():
    counts = np.random.default_rng(0).integers(1, 9, (5, 2, 4, 4))
    together = figures_of_confusion(counts, (2, 3))
    for place in np.ndindex(5, 2):
        for name, value in figures_of_confusion(counts[place], (2, 3)).items():
            assert together[name][place] == pytest.approx(float(value))


def test_the_auc_heeds_ties_and_weights_as_scikit_learn():
    rng = np.random.default_rng(0)
    side, score, times = rng.random(60) > 0.5, rng.integers(0, 6, 60) / 5, rng.integers(0, 4, (3, 60))
    found = figures.auc(side, score, times)
    assert found == pytest.approx([metrics.roc_auc_score(side, score, sample_weight=w) for w in times])


def test_equal_scores_go_to_the_lower_class():
    with pytest.warns(UndefinedFigureWarning, match="precision of class number 1"):
        assert figures_of([0, 0, 1], np.full((3, 2), 0.5))["accuracy"] == pytest.approx(2 / 3)


def test_a_class_never_predicted_is_left_out_of_the_macro_precision_with_a_warning():
    counts = np.array([[4, 0, 0], [1, 3, 0], [0, 2, 0]])
    with pytest.warns(UndefinedFigureWarning, match=r"precision of class number 2 \(from 0\) .* never predicted"):
        value = figures.macro_precision(counts)
    assert value == pytest.approx((4 / 5 + 3 / 5) / 2)
    assert np.isnan(figures.precisions(counts)[2])
    assert figures.undefined(counts, "ABC") == [
        "C is never predicted: its precision is undefined and not in the macro mean"
    ]


def test_a_class_without_cases_is_left_out_of_the_macro_recall_with_a_warning():
    counts = np.array([[4, 0, 1], [1, 3, 0], [0, 0, 0]])
    with pytest.warns(UndefinedFigureWarning, match="recall of class number 2 .* no case is truly of it"):
        assert figures.macro_recall(counts) == pytest.approx((4 / 5 + 3 / 4) / 2)
    assert figures.undefined(counts, "ABC")[0].startswith("no case is truly C")


def test_resamples_follow_the_same_rule_without_warnings():
    counts = np.array([[[4, 0, 1], [1, 3, 0], [0, 0, 0]], [[0, 0, 0]] * 3])
    found = figures_of_confusion(counts)
    assert found["recall"][0] == pytest.approx((4 / 5 + 3 / 4) / 2)
    assert all(np.isnan(value[1]) for value in found.values())


def test_kappa_and_auc_of_one_class_are_undefined():
    with pytest.warns(UndefinedFigureWarning, match="kappa is undefined"):
        assert np.isnan(figures.kappa([[5, 0], [0, 0]]))
    with pytest.warns(UndefinedFigureWarning, match="AUC is undefined"):
        assert np.isnan(figures.auc([True, True], [0.1, 0.2]))
    assert "all cases are of one class" in figures.undefined([[5, 0], [0, 0]], "AB")[-1]


def test_no_warning_comes_where_all_is_defined():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures_of(*drawn(50, 3))


def test_what_is_no_confusion_matrix_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\): expected \[\.\.\., C, C\]"):
        figures.accuracy(np.ones((2, 3)))
