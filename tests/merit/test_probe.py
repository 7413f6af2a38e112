"""Probes: what features tell of a label, cross-validated by subject."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.merit.probe import WARNING_LOW, ProbeOptions, probe

QUICK = ProbeOptions(resamples=100)


def cases(count: int = 120, classes: int = 2) -> tuple[np.ndarray, list[str], list[str]]:
    """Noise, a label a subject, two images a subject."""
    rng = np.random.default_rng(1)
    labels = [f"c{subject % classes}" for subject in range(count // 2) for _ in range(2)]
    return rng.standard_normal((count, 6)), labels, [f"s{i // 2}" for i in range(count)]


@pytest.mark.parametrize("rule", ["linear", "trees"])
def test_a_feature_that_is_the_label_tells_it(rule: str) -> None:
    values, labels, subjects = cases()
    values[:, 2] += [5 * (label == "c1") for label in labels]
    found = probe(values, labels, subjects, QUICK, rule)
    assert found.auc.low > 0.9
    assert found.told
    assert (found.images, found.subjects, found.classes, found.reason) == (120, 60, ("c0", "c1"), "")


@pytest.mark.parametrize("rule", ["linear", "trees"])
def test_noise_tells_nothing(rule: str) -> None:
    found = probe(*cases(), QUICK, rule)
    assert 0.3 < found.auc.value < 0.65
    assert found.auc.low < WARNING_LOW
    assert not found.told


def test_what_tells_a_subject_does_not_tell_a_label() -> None:
    """Each woman's images are alike: only folds by subject keep that from being counted."""
    values, labels, subjects = cases(800)
    marks = np.random.default_rng(2).standard_normal((400, 6)) * 10
    values += np.repeat(marks, 2, axis=0)
    assert not probe(values, labels, subjects, QUICK, "trees").told
    assert probe(values, labels, [str(i) for i in range(800)], QUICK, "trees").told  # by image, it would


def test_constant_features_give_exactly_chance() -> None:
    _, labels, subjects = cases()
    found = probe(np.zeros((120, 1)), labels, subjects, QUICK)
    assert (found.auc.value, found.auc.low, found.auc.high) == (0.5, 0.5, 0.5)
    assert not found.told


def test_several_classes_are_judged_each_against_the_rest() -> None:
    values, labels, subjects = cases(180, 3)
    values[:, 0] += [8 * (label == "c2") for label in labels]
    found = probe(values, labels, subjects, QUICK)
    # c2 is told (1), c0 and c1 from c2 but not from each other (.75 each): the mean is about .83
    assert found.auc.value == pytest.approx(0.83, abs=0.06)
    assert found.scores.shape == (180, 3)


def test_the_same_seed_gives_the_same_interval() -> None:
    assert probe(*cases(), QUICK).auc == probe(*cases(), QUICK).auc


def test_one_class_is_undefined_with_a_reason() -> None:
    values, _, subjects = cases()
    found = probe(values, ["benign"] * 120, subjects, QUICK)
    assert np.isnan(found.auc.value)
    assert found.undefined
    assert not found.told
    assert found.reason == "one class only: benign; nothing to tell apart"


def test_too_few_subjects_are_undefined_with_their_counts() -> None:
    found = probe(np.zeros((6, 1)), list("AAABBB"), list("uvwxyz"), QUICK)
    assert np.isnan(found.auc.value)
    assert found.reason == "too few subjects a class (A 3, B 3), expected 4 or more of two classes"


def test_few_subjects_are_given_fewer_folds_and_a_rare_class_is_left_out() -> None:
    values, labels, subjects = cases(24)
    found = probe(values, [*labels[:-2], "rare", "rare"], subjects, QUICK)
    assert found.classes == ("c0", "c1")
    assert found.reason == "2 folds instead of 5, for want of subjects; left out, with too few subjects: rare (1)"
    assert found.images == 22


def test_rows_without_a_label_are_left_out() -> None:
    values, labels, subjects = cases()
    found = probe(values, ["" if i < 20 else label for i, label in enumerate(labels)], subjects, QUICK)
    assert found.images == 100


def test_wrong_arguments_are_refused() -> None:
    values, labels, subjects = cases()
    with pytest.raises(ValueError, match="120 rows of features, 119 labels and 120 subjects"):
        probe(values, labels[1:], subjects)
    with pytest.raises(ValueError, match="rule 'forest' is not one of linear, trees"):
        probe(values, labels, subjects, QUICK, "forest")
    with pytest.raises(ValueError, match="folds is 1"):
        ProbeOptions(folds=1)
