"""Several last layers: which outputs are whose, what they aim at, and how they weigh."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ensemble_mammo.learning.layers import layers_of, merged, output_names
from ensemble_mammo.learning.objective import aims_of, loss_weights, summed_loss
from ensemble_mammo.records.recipe import NetworkRecipe, Recipe
from tests.learning.tiny import tiny_recipe, with_loss

NETWORK = NetworkRecipe("test_resnet", layers=("film:density", "mias:tissue"))


def recipe_with(network=NETWORK, **loss) -> Recipe:
    joint = dataclasses.replace(tiny_recipe(), network=network, pooled=True)
    return with_loss(joint, **loss)


def test_outputs_stand_layer_after_layer():
    film, mias = layers_of(NETWORK)
    assert (film.outputs, mias.outputs) == (slice(0, 4), slice(4, 7))
    assert output_names(NETWORK, "ABCD") == ("film:A", "film:B", "film:C", "film:D", "mias:F", "mias:G", "mias:D")
    assert output_names(NetworkRecipe("test_resnet"), "ABCD") == tuple("ABCD")


def test_only_the_outputs_of_an_images_own_layer_compete():
    logits = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([1, 6])
    loss, weight = summed_loss(logits, targets, torch.ones(7), 0.0, aims_of(recipe_with(), 4))
    expected = F.cross_entropy(logits[:1, :4], torch.tensor([1])) + F.cross_entropy(logits[1:, 4:], torch.tensor([2]))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6) and weight == 2
    logits.requires_grad_(True)
    summed_loss(logits, targets, torch.ones(7), 0.0, aims_of(recipe_with(), 4))[0].backward()
    assert not logits.grad[0, 4:].any() and not logits.grad[1, :4].any()


def test_neighbours_share_the_target_and_smoothing_stays_within_the_layer():
    shares = aims_of(recipe_with(soft_targets=0.25, label_smoothing=0.1), 4).shares
    assert shares.sum(1) == pytest.approx(torch.ones(7))
    first = [1 / 1.25, 0.25 / 1.25, 0, 0]
    assert shares[0] == pytest.approx(torch.tensor([*(0.9 * one + 0.025 for one in first), 0, 0, 0]))
    middle = [0.25 / 1.5, 1 / 1.5, 0.25 / 1.5]
    assert shares[5, 4:] == pytest.approx(torch.tensor([0.9 * one + 0.1 / 3 for one in middle]))


def test_soft_targets_without_layers_are_the_cross_entropy_with_shares():
    recipe = with_loss(tiny_recipe(), soft_targets=0.5)
    logits, targets = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2, 3])
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    shares = torch.tensor([[2 / 3, 1 / 3, 0, 0], [0, 0.25, 0.5, 0.25], [0, 0, 1 / 3, 2 / 3]])
    each = F.cross_entropy(logits, shares, reduction="none")
    loss, weight = summed_loss(logits, targets, weights, 0.0, aims_of(recipe, 4))
    assert loss.item() == pytest.approx((each * weights[targets]).sum().item(), rel=1e-6) and weight == 8


def test_plain_targets_need_no_aims():
    assert aims_of(tiny_recipe(), 4) is None


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_a_small_collection_weighs_more_as_balance_says(balance, ratio):
    targets = np.array([0, 1, 2, 3] * 4 + [4, 5, 6, 6])
    weights = loss_weights(targets, 4, recipe_with(balance=balance))
    assert weights[torch.from_numpy(targets)].mean() == pytest.approx(1)
    assert (weights[4] / weights[0]).item() == pytest.approx(ratio)


def test_classes_weigh_alike_within_their_layer():
    targets = np.array([0, 0, 0, 1, 4, 5, 6, 6])
    weights = loss_weights(targets, 4, recipe_with(class_weights="balanced"))
    assert (weights[1] / weights[0]).item() == pytest.approx(3)
    assert (weights[4] / weights[6]).item() == pytest.approx(2)


def test_merged_layers_give_the_mean_of_their_logits():
    network = NetworkRecipe("test_resnet", layers=("film:density", "mias:tissue", "other:density"))
    film, _, other = layers_of(network)
    head = torch.nn.Linear(5, 11)
    tensors = {f"fc.{key}": value for key, value in head.state_dict().items()}
    one = torch.nn.Linear(5, 4)
    found = merged(tensors, "fc", [film, other])
    one.load_state_dict({"weight": found["fc.weight"], "bias": found["fc.bias"]})
    features = torch.randn(3, 5)
    with torch.no_grad():
        every, mean = head(features), one(features)
    assert mean == pytest.approx((every[:, 0:4] + every[:, 7:11]) / 2, abs=1e-6)
