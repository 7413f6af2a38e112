"""What convnet_1_0_0, vgg_lite and inception_lite have in common."""

import numpy as np
import pytest
import timm
import torch
from timm.models import group_parameters
from torch import nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.learning.cam import activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.heatmap.chain import chain_of
from ensemble_mammo.learning.images import to_input
from ensemble_mammo.learning.networks import convnet, create_network, inception_lite, vgg_lite
from ensemble_mammo.learning.networks.flattened import same_cells
from ensemble_mammo.learning.schedule import feature_groups, set_trainable
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe
from ensemble_mammo.records.subject import View
from tests.learning.tiny import tiny_recipe

LEAST = {"convnet_1_0_0": 33, "vgg_lite": 33, "inception_lite": 75}
DENSE = {"convnet_1_0_0": (2048, 2048), "vgg_lite": (1024, 512), "inception_lite": (1024, 512)}
GROUPS = {"convnet_1_0_0": 5, "vgg_lite": 5, "inception_lite": 22}
named = pytest.mark.parametrize("name", LEAST)


@pytest.fixture(scope="module")
def networks():
    """Each network made for 80 rows and 90 columns."""
    torch.manual_seed(0)
    return {name: timm.create_model(name, num_classes=3, img_size=(80, 90)).eval() for name in LEAST}


def on_paper(name, **options):
    """A network without numbers: its shapes alone."""
    with torch.device("meta"):
        return timm.create_model(name, **options).eval()


def run_of(name, size=(96, 96)):
    torch.manual_seed(0)
    recipe = tiny_recipe()
    own = NetworkRecipe(name)
    recipe = type(recipe)(**{**vars(recipe), "network": own, "input": InputRecipe(*size, mean=0.5, std=0.5)})
    network = create_network(own, 4, size).eval()
    return LoadedRun("runs/CC_R", recipe, View.CC_R, None, tuple("ABCD"), Preparation(), network, {})


def test_the_modules_name_what_timm_knows():
    assert (convnet.ConvNet.name, vgg_lite.VGGLite.name, inception_lite.InceptionLite.name) == tuple(LEAST)


@named
def test_it_is_made_for_tiles_of_299_unless_told(name):
    network = on_paper(name)
    assert network.img_size == (299, 299)
    assert network(torch.zeros(2, 1, 299, 299, device="meta")).shape == (2, 2)


@named
def test_the_size_of_the_last_map_is_known_beforehand(name):
    network = on_paper(name)
    for size in (LEAST[name], 90, 106, 107, 299):
        features = network.forward_features(torch.zeros(1, 1, size, 90, device="meta"))
        assert features.shape == (1, network.num_features, network.cells(size), network.cells(90))


def test_same_padding_rounds_every_halving_up():
    for length in range(1, 300):
        left = length
        for _ in range(6):
            left = (left + 1) // 2
        assert same_cells(length, 6) == left


@named
def test_the_head_follows_the_features(networks, name):
    network = networks[name]
    with torch.inference_mode():
        x = torch.rand(2, 1, 80, 90)
        features = network.forward_features(x)
        assert torch.equal(network(x), network.forward_head(features))
        seen = network.forward_head(features, pre_logits=True)
        assert seen.shape == (2, network.head_hidden_size) == (2, DENSE[name][-1])
        assert torch.equal(network(x), F.linear(seen, network.fc.weight, network.fc.bias))


@named
def test_the_dense_layers_stand_on_the_flattened_map_with_batch_norm_and_dropout(networks, name):
    network = networks[name]
    first, second = DENSE[name]
    kinds = [nn.Dropout, *(nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout) * 2]
    assert all(isinstance(layer, kind) for layer, kind in zip(network.dense, kinds, strict=True))
    flat = network.num_features * network.map_size[0] * network.map_size[1]
    assert [tuple(layer.weight.shape) for layer in network.dense if isinstance(layer, nn.Linear)] == [
        (first, flat),
        (second, first),
    ]
    assert {layer.p for layer in network.dense if isinstance(layer, nn.Dropout)} == {0.5}
    with torch.inference_mode():
        features = torch.rand(2, network.num_features, *network.map_size)
        x = features.reshape(2, -1)
        for linear, norm in ((network.dense[1], network.dense[2]), (network.dense[5], network.dense[6])):
            x = torch.relu((x @ linear.weight.T - norm.running_mean) / (norm.running_var + 1e-8).sqrt())
        assert torch.allclose(network.forward_head(features, pre_logits=True), x, atol=1e-5)


@named
def test_every_convolution_has_a_batch_norm_behind_it_and_no_bias(networks, name):
    network = networks[name]
    layers = [m for m in network.features.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.ReLU)]
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU)
    assert len(layers) % 3 == 0
    assert all(isinstance(layer, kinds[place % 3]) for place, layer in enumerate(layers))
    assert all(layer.bias is None for layer in layers[::3])
    assert {(m.eps, m.momentum) for m in layers[1::3]} == {(1e-8, 0.01)}
    assert {(m.eps, m.momentum) for m in network.dense if isinstance(m, nn.BatchNorm1d)} == {(1e-8, 0.1)}


@named
def test_the_first_weights_are_he_s(networks, name):
    network = networks[name]
    last = [m.weight for m in network.features.modules() if isinstance(m, nn.Conv2d)][-1]
    assert float(last.detach().std()) == pytest.approx((2 / last[0].numel()) ** 0.5, rel=0.02)
    for layer, scale in ((network.dense[1], 2), (network.dense[5], 2), (network.fc, 1)):
        expected = (scale / layer.in_features) ** 0.5
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.05)
    assert not network.fc.bias.any()


@named
def test_a_single_image_can_be_learned_from(networks, name):
    network = timm.create_model(name, num_classes=2, img_size=LEAST[name])
    x = torch.rand(1, 1, LEAST[name], LEAST[name])
    network(x).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert int(network.dense[2].num_batches_tracked) == 0
    network(x.expand(2, -1, -1, -1))
    assert int(network.dense[2].num_batches_tracked) == 1


@named
def test_too_small_an_input_is_refused(name):
    least = LEAST[name]
    assert on_paper(name, img_size=(least, least)).map_size == (1, 1) or name != "inception_lite"
    for size in ((least - 1, 299), (299, least - 1)):
        with pytest.raises(RecipeError, match=rf"{size[0]} rows x {size[1]} columns .*{name}.* at least {least}"):
            timm.create_model(name, img_size=size)


@named
def test_another_size_than_it_was_made_for_is_refused(networks, name):
    with pytest.raises(RecipeError, match=f"{name}: the input is 90 x 80 pixels, .* made for 80 x 90"):
        networks[name](torch.zeros(1, 1, 90, 80))
    with torch.inference_mode():
        large = networks[name].forward_features(torch.zeros(1, 1, 160, 180))
    with pytest.raises(RecipeError, match=f"{name}: the last map is .* that of 80 x 90 pixels"):
        networks[name].forward_head(large)


def test_a_grey_image_counts_as_three_equal_channels():
    network = timm.create_model("convnet_1_0_0", in_chans=3, img_size=40).eval()
    with torch.inference_mode():
        x = torch.rand(1, 1, 40, 40)
        assert torch.equal(network(x), network(x.expand(-1, 3, -1, -1)))


@named
def test_a_fresh_classifier_has_the_classes_asked_for(name):
    size = LEAST[name]
    network = timm.create_model(name, img_size=size)
    before = network.fc.weight
    network.reset_classifier(5)
    assert network.get_classifier() is network.fc
    assert (network.fc.out_features, network.num_classes) == (5, 5)
    assert network.fc.weight is not before
    assert network(torch.rand(2, 1, size, size)).shape == (2, 5)
    network.reset_classifier(0)
    assert network(torch.rand(2, 1, size, size)).shape == (2, DENSE[name][-1])
    with pytest.raises(ValueError, match=f"{name}: global_pool is 'avg'"):
        network.reset_classifier(2, "avg")


@named
def test_parameters_come_as_features_then_dense_then_fc(networks, name):
    parts = [key.partition(".")[0] for key, _ in networks[name].named_parameters()]
    assert list(dict.fromkeys(parts)) == ["features", "dense", "fc"]
    assert parts == sorted(parts, key=["features", "dense", "fc"].index)


@named
def test_training_can_begin_at_the_dense_layers(name):
    network = timm.create_model(name, img_size=LEAST[name])
    whole = [key for key, _ in network.named_parameters() if not key.startswith("features.")]
    assert [key for key, _ in set_trainable(network, "from:dense")] == whole
    assert sorted(key for key, _ in set_trainable(network, "top:1")) == sorted(whole)
    assert not any(m.training for m in norms(network.features))
    assert all(m.training for m in norms(network.dense))


def norms(module):
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@named
def test_timm_groups_the_features_and_the_dense_layers(networks, name):
    network = networks[name]
    assert len(feature_groups(network)) == GROUPS[name] + 1
    groups = group_parameters(network, network.group_matcher())
    assert [sorted({key.split(".")[0] for key in groups[i]}) for i in (0, GROUPS[name])] == [
        ["features"],
        ["dense", "fc"],
    ]


@named
def test_a_recipe_makes_it_for_its_input(name):
    recipe = NetworkRecipe(name, dropout=0.25)
    network = create_network(recipe, 2, (75, 80))
    assert network.img_size == (75, 80)
    assert {m.p for m in network.dense if isinstance(m, nn.Dropout)} == {0.25}
    with pytest.raises(RecipeError, match=r"^input: 20 rows x 96 columns are too small"):
        create_network(recipe, 2, (20, 96))


@named
def test_grad_cam_is_the_mean_gradient_times_the_map(name):
    run = run_of(name, (160, 160))
    pixels = (np.random.default_rng(0).random((160, 120)) * 65535).astype(np.uint16)
    maps = activation_maps([run] * 4, [pixels] * 4, range(4))
    values = to_input(pixels, run.recipe.input)[0][None]
    features = run.network.forward_features(values).detach().requires_grad_(True)
    logits = run.network.forward_head(features)
    for index, made in enumerate(maps):
        [gradient] = torch.autograd.grad(logits[0, index], features, retain_graph=True)
        raw = (gradient.mean((2, 3), keepdim=True) * features).sum(1)[0].detach().numpy()
        above = np.maximum(raw, 0) - np.maximum(raw, 0).min()
        np.testing.assert_allclose(made.coarse, above / max(float(above.max()), 1e-7), atol=1e-3)
        np.testing.assert_allclose(made.scores, torch.softmax(logits[0].double(), 0).detach().numpy(), rtol=1e-4)
        assert made.over_image.shape == pixels.shape
    assert max(made.over_image.max() for made in maps) > 0.5
    with pytest.raises(RunError, match=f"{name} does not end in average pooling"):
        activation_maps([run], [pixels], [0], "class-map")


def test_its_head_cannot_be_laid_over_a_larger_map():
    chain = chain_of(run_of("vgg_lite", (128, 128)))
    assert chain.steps[-1] == 64
    assert not chain.pools_by_mean


def test_its_features_can_stand_under_whole_images():
    recipe = NetworkRecipe("whole_image", backbone="vgg_lite")
    network = create_network(recipe, 2).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 128, 96)).shape == (1, 2)
    assert {"dense", "fc"} <= set(network.left_out)
