"""Weights of the loss and decays of the weights, against hand-made ones."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.images import normalise
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import loss_weights, make_optimizer, summed_loss
from ensemble_mammo.learning.schedule import schedule
from ensemble_mammo.records.recipe import InputRecipe, LossRecipe, NetworkRecipe, StageRecipe, TrainRecipe
from tests.learning.tiny import tiny_recipe, with_loss

BINARY = dataclasses.replace(tiny_recipe(), task="abnormality")
FIVE = dataclasses.replace(tiny_recipe(), task="abnormality5")


def test_the_positive_class_weighs_so_many_times_the_other():
    targets = np.array([0] * 9 + [1])
    weights = loss_weights(targets, 2, with_loss(BINARY, positive_weight=6))
    assert (weights[1] / weights[0]).item() == pytest.approx(6)
    assert weights[torch.from_numpy(targets)].mean().item() == pytest.approx(1)


def test_all_abnormal_classes_of_five_are_positive():
    weights = loss_weights(np.arange(5), 5, with_loss(FIVE, positive_weight=3))
    assert (weights / weights[0]).tolist() == pytest.approx([1, 3, 3, 3, 3])


def test_a_positive_weight_lies_over_balanced_classes():
    targets = np.array([0] * 8 + [1] * 2)
    weights = loss_weights(targets, 2, with_loss(BINARY, positive_weight=2, class_weights="balanced"))
    assert (weights[1] / weights[0]).item() == pytest.approx(2 * 8 / 2)


def test_the_weighted_loss_is_the_mean_by_these_weights():
    logits, targets = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 1, 0, 1])
    weights = loss_weights(targets.numpy(), 2, with_loss(BINARY, positive_weight=6))
    loss, weight = summed_loss(logits, targets, weights, 0.0)
    each = F.cross_entropy(logits, targets, reduction="none") * torch.tensor([1.0, 6.0])[targets]
    assert loss.item() / weight == pytest.approx((each.sum() / (4 + 2 * 6)).item(), rel=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_dense_layers_and_convolutions_decay_apart_and_biases_not_at_all(optimizer):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    train = TrainRecipe(
        1, (StageRecipe(0.1),), optimizer=optimizer, weight_decay=1e-5, dense_weight_decay=2.5e-3, keep="last"
    )
    made = make_optimizer(list(network.named_parameters()), train)
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert decays[id(network[0].weight)] == 1e-5
    assert decays[id(network[3].weight)] == 2.5e-3
    assert {decays[id(p)] for p in (network[0].bias, network[3].bias, *network[1].parameters())} == {0.0}


def test_the_decay_of_adam_is_the_gradient_of_an_l2_penalty():
    torch.manual_seed(0)
    layer, twin = nn.Linear(4, 2, bias=False), nn.Linear(4, 2, bias=False)
    twin.load_state_dict(layer.state_dict())
    train = TrainRecipe(1, (StageRecipe(0.1),), optimizer="adam", dense_weight_decay=0.3, keep="last")
    ours, theirs = make_optimizer(list(layer.named_parameters()), train), torch.optim.Adam(twin.parameters(), 0.01)
    ours.param_groups[0]["lr"] = 0.01
    x = torch.randn(5, 4)
    for _ in range(3):
        layer(x).square().mean().backward()
        (twin(x).square().mean() + 0.3 * twin.weight.square().sum() / 2).backward()
        for optimizer in (ours, theirs):
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(layer.weight, twin.weight)


def test_the_rate_falls_by_a_factor_after_every_so_many_epochs():
    stages = (StageRecipe(1e-3, 7), StageRecipe(1e-4))
    train = TrainRecipe(20, stages, decay="steps", step_epochs=5, step_factor=0.8, keep="last")
    rates = [schedule(train, epoch, []).learning_rate for epoch in range(20)]
    expected = [1e-3] * 5 + [8e-4] * 2 + [1e-4] * 5 + [8e-5] * 5 + [6.4e-5] * 3
    assert rates == pytest.approx(expected)


def test_contrast_is_about_the_images_own_mean_and_comes_first():
    batch = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    recipe = InputRecipe(16, 16, mean=0.25, std=0.5, contrast=1.5)
    for image, made in zip(batch.numpy(), normalise(batch, recipe).numpy(), strict=True):
        own = image.mean()
        assert made == pytest.approx(((image - own) * 1.5 + own - 0.25) / 0.5, abs=1e-5)


def test_features_to_begin_with_need_a_run():
    with pytest.raises(RecipeError, match="no run whose features it could begin with; name one with --start RUN"):
        create_network(NetworkRecipe("convnet_1_0_0", start_part="features"), 2, (48, 48))


def test_features_alone_of_a_run_leave_dense_layers_and_the_last_one_fresh(tmp_path):
    from ensemble_mammo.learning.weights import _features_alone

    network = create_network(NetworkRecipe("convnet_1_0_0"), 2, (48, 48))
    other = create_network(NetworkRecipe("convnet_1_0_0"), 5, (64, 64)).state_dict()
    taken = _features_alone(network, other)
    network.load_state_dict(taken)
    own = network.state_dict()
    assert {key for key in taken if taken[key] is other.get(key)} == {k for k in own if k.startswith("features.")}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"positive_weight": 0.0}, "positive_weight is 0.0, expected 0.01 to 100"),
        ({"class_weights": "equal"}, "class_weights is 'equal', expected one of none, balanced"),
    ],
)
def test_losses_out_of_range_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        LossRecipe(**fields)
