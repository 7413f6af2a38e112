"""What stands beside the accuracy of a training."""

import math
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from ensemble_mammo.learning.state import SEVERAL, Judgement, State
from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.stages.train.floor import floor_facts

PLAIN = NetworkRecipe("test_resnet")
NAMES = ("normal", "abnormal")


def state_of(only):
    return State(nn.Identity(), kept_only=only)


def test_the_most_frequent_class_is_counted_and_one_named_class_is_warned_of():
    targets = np.array([0, 0, 0, 1])
    assert floor_facts(state_of(SEVERAL), targets, PLAIN, NAMES) == {"val_majority": 0.75}
    found = floor_facts(state_of(1), targets, PLAIN, NAMES)
    assert found["warnings"] == [
        "the kept network names abnormal for each of the 4 validation images, of which 1 are: it tells nothing apart"
    ]
    assert "warnings" not in floor_facts(state_of(1), np.array([1, 1]), PLAIN, NAMES)  # there is nothing else


def test_each_last_layer_has_its_own_most_frequent_class():
    network = replace(PLAIN, layers=("X:abnormality", "Y:abnormality"))
    targets = np.array([0, 0, 1, 3, 3, 3, 2])
    found = floor_facts(state_of(SEVERAL), targets, network, ("X:normal", "X:abnormal", "Y:normal", "Y:abnormal"))
    assert found == {"val_majority": 5 / 7}


@pytest.mark.parametrize("targets", [[], [-1, -1]])
def test_without_classes_there_is_no_most_frequent_one(targets):
    found = floor_facts(state_of(0), np.array(targets, np.int64), PLAIN, NAMES)
    assert list(found) == ["val_majority"] and math.isnan(found["val_majority"])


def test_a_judgement_knows_whether_one_class_is_named():
    scores = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
    assert [Judgement(0, 0, one).only for one in (scores, scores[:, ::-1], np.eye(2), scores[:0])] == [0, 1, -1, -1]
