"""The network of hand-made features."""

import pytest
import timm
import torch

from ensemble_mammo.learning.networks import create_network, hand_features
from ensemble_mammo.learning.networks.measures import NAMES, measured
from ensemble_mammo.learning.schedule import feature_groups, set_trainable
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe


@pytest.fixture
def images():
    torch.manual_seed(0)
    images = torch.zeros(3, 1, 48, 32)
    images[:, :, 4:44, :20] = torch.rand(3, 1, 40, 20)
    return images


@pytest.fixture
def network():
    return create_network(NetworkRecipe("hand_features"), 3).eval()


def test_features_logits_and_parameters_have_their_shapes(network, images):
    features = network.forward_features(images)
    assert features.shape == (3, len(NAMES), 1, 1)
    assert torch.equal(features[1, :, 0, 0], measured(images[1, 0]))
    assert network(images).shape == (3, 3)
    assert torch.equal(network(images), network.forward_head(features))
    assert {name for name, _ in network.named_parameters()} == {"fc.weight", "fc.bias"}


def test_a_mirrored_image_has_the_same_features_to_the_last_bit(network, images):
    assert torch.equal(network.forward_features(images), network.forward_features(images.flip(3)))


def test_standardised_features_have_mean_none_and_deviation_one(network, images):
    pooled = network.forward_head(network.forward_features(images), pre_logits=True)
    deviation = pooled.std(0, correction=0)
    deviation[deviation < 1e-6] = 1
    network.standardise(pooled.mean(0), deviation)
    again = network.forward_head(network.forward_features(images), pre_logits=True)
    assert torch.allclose(again.mean(0), torch.zeros(len(NAMES)), atol=1e-3)
    spread = again.std(0, correction=0)[deviation != 1]
    assert torch.allclose(spread, torch.ones_like(spread), atol=1e-3)
    network.standardise(again.mean(0), torch.full((len(NAMES),), 2.0))  # once more, from there
    third = network.forward_head(network.forward_features(images), pre_logits=True)
    assert torch.allclose(third, (again - again.mean(0)) / 2, atol=1e-3)


def test_only_the_last_layer_has_gradients(network, images):
    network(images.requires_grad_()).sum().backward()
    assert images.grad is None and network.fc.weight.grad is not None


def test_the_last_layer_can_be_another(network, images):
    network.reset_classifier(5)
    assert network(images).shape == (3, 5) and network.get_classifier().out_features == 5
    with pytest.raises(ValueError, match="hand_features: global_pool is 'max', expected 'avg'"):
        network.reset_classifier(5, "max")


def test_no_feature_group_learns(network):
    assert feature_groups(network) == []
    assert [name for name, _ in set_trainable(network, "head")] == ["fc.weight", "fc.bias"]


def test_timm_knows_it_by_name():
    assert timm.is_model("hand_features")
    assert timm.create_model("hand_features", num_classes=2).num_classes == 2


def test_no_more_images_are_remembered_than_there_is_room_for(network, images, monkeypatch):
    monkeypatch.setattr(hand_features, "_measured", {})
    monkeypatch.setattr(hand_features, "REMEMBERED", 2)
    first = network.forward_features(images)
    assert len(hand_features._measured) == 2
    assert torch.equal(network.forward_features(images), first)


def test_an_input_that_moves_black_is_refused():
    train = TrainRecipe(1, (StageRecipe(0.1),))
    with pytest.raises(ValueError, match=r"hand_features takes what is black as no breast: input\.mean = 0"):
        Recipe("density", NetworkRecipe("hand_features"), InputRecipe(48, 32, mean=0.5), train)
    with pytest.raises(ValueError, match=r"hand_features takes what is black as no breast: .* input\.contrast = 1"):
        Recipe("density", NetworkRecipe("hand_features"), InputRecipe(48, 32, contrast=1.5), train)
