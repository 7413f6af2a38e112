import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from ensemble_mammo.learning.positives import positive_outputs, recall_and_precision
from ensemble_mammo.records.recipe import NetworkRecipe
from tests.learning.tiny import tiny_recipe


def recipe_of(task, *layers):
    network = NetworkRecipe("test_resnet", layers=layers)
    return dataclasses.replace(tiny_recipe(), task=task, network=network, pooled=bool(layers))


def test_positive_outputs_are_the_places_of_the_positive_classes():
    assert positive_outputs(recipe_of("abnormality")) == (1,)
    assert positive_outputs(recipe_of("abnormality5")) == (1, 2, 3, 4)
    assert positive_outputs(recipe_of("density")) == (2, 3)


def test_each_last_layer_has_its_own_positive_outputs():
    joined = recipe_of("density", "inbreast:density", "mias:tissue")  # A B C D, then F G D
    assert positive_outputs(joined) == (2, 3, 6)


def test_recall_and_precision_are_those_of_scikit_learn_over_all_images():
    rng = np.random.default_rng(4)
    targets, given = rng.integers(5, size=300), rng.integers(5, size=300)
    positive = (1, 2, 3, 4)
    expected = [
        score(np.isin(targets, positive), np.isin(given, positive)) for score in (recall_score, precision_score)
    ]
    assert recall_and_precision(targets, given, positive) == pytest.approx(expected)


def test_another_abnormal_class_counts_as_found():
    # of three positive images two are found, one of them in another class; one normal image is called abnormal
    assert recall_and_precision(np.array([1, 2, 4, 0]), np.array([3, 2, 0, 1]), (1, 2, 3, 4)) == (2 / 3, 2 / 3)


def test_shares_of_nothing_are_nan():
    nothing_found = recall_and_precision(np.array([0, 1]), np.array([0, 0]), (1,))
    assert nothing_found[0] == 0 and math.isnan(nothing_found[1])
    no_positive = recall_and_precision(np.array([0, 0]), np.array([0, 1]), (1,))
    assert math.isnan(no_positive[0]) and no_positive[1] == 0
    assert all(math.isnan(value) for value in recall_and_precision(np.array([0, 1]), np.array([0, 1]), ()))
