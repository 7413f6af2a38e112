import numpy as np
import pytest
import pytorch_grad_cam as package
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.cam import CLASSLESS, METHODS, activation_map, activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import to_input
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from tests.learning.tiny import tiny_recipe

SIZES = ((64, 40), (50, 50), (96, 30))


def run_of(name="test_resnet", seed=0, size=96):
    torch.manual_seed(seed)
    recipe = tiny_recipe(name)
    recipe = type(recipe)(**{**vars(recipe), "input": type(recipe.input)(size, size, mean=0.5, std=0.5)})
    network = create_network(recipe.network, 4).eval()
    return LoadedRun(None, recipe, View.CC_R, None, tuple("ABCD"), Preparation(), network, {})


def images(count=3, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.random(SIZES[i % 3]) * 65535).astype(np.uint16) for i in range(count)]


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "tf_efficientnet_lite0", "infn_resnet"])
def test_the_class_map_is_grad_cam_where_a_network_ends_in_one_layer(name):
    run = run_of(name)
    for index in range(4):
        exact = activation_maps([run] * 3, images(), [index] * 3, "class-map")
        theirs = activation_maps([run] * 3, images(), [index] * 3, "grad-cam")
        for one, other in zip(exact, theirs, strict=True):
            np.testing.assert_allclose(one.over_image, other.over_image, atol=1e-5)
            np.testing.assert_allclose(one.coarse, other.coarse, atol=1e-5)


def test_the_class_map_is_the_product_of_weights_and_features():
    run, pixels = run_of(), images()[0]
    [made] = activation_maps([run], [pixels], [2], "class-map")
    with torch.no_grad():
        features = run.network.forward_features(to_input(pixels, run.recipe.input)[0][None])[0]
    raw = sum(w * f for w, f in zip(run.network.get_classifier().weight[2].tolist(), features.numpy(), strict=True))
    above = np.maximum(raw, 0) - np.maximum(raw, 0).min()
    np.testing.assert_allclose(made.coarse, above / above.max(), atol=1e-4)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam", "score-cam"])
def test_maps_are_those_of_the_package_used_as_it_is_meant(method):
    run, pixels = run_of("test_efficientnet"), images()[1]
    batch = to_input(pixels, run.recipe.input)[0][None]
    layer = run.network.bn2  # the last step of its forward_features
    with getattr(package, METHODS[method])(model=run.network, target_layers=[layer]) as explain:
        theirs = explain(batch, [ClassifierOutputTarget(1)])[0]
    np.testing.assert_allclose(activation_maps([run], [pixels], [1], method)[0].over_input, theirs, atol=1e-5)


def test_images_of_several_networks_come_back_in_their_order_with_scores():
    first, second = run_of(seed=1), run_of("test_efficientnet", seed=2)
    runs, given = [first, second, first, first, second], images(5)
    found = activation_maps(runs, given)
    for run, pixels, made in zip(runs, given, found, strict=True):
        np.testing.assert_allclose(made.scores, scores_of([run], [pixels])[0], atol=1e-6)
        assert made.class_index == made.scores.argmax()
        assert made.over_image.shape == pixels.shape
        alone = activation_map(run, pixels, made.class_index)
        np.testing.assert_allclose(made.over_image, alone, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_the_network_as_it_was(method, capfd):
    run = run_of()
    first = next(iter(run.network.parameters()))
    first.requires_grad_(False)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    [made, other] = activation_maps([run] * 2, images(2), [0, 3], method)
    assert np.isfinite(made.over_image).all() and made.over_image.min() >= 0 and other.over_image.max() <= 1
    assert made.coarse.shape == (3, 3) and made.over_input.shape == (96, 96)
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    assert [p.requires_grad for p in run.network.parameters()].count(False) == 1 and not first.requires_grad
    assert all(parameter.grad is None for parameter in run.network.parameters())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("method", sorted(CLASSLESS))
def test_methods_called_classless_do_not_look_at_the_class(method):
    run = run_of()
    one, other = (activation_map(run, images()[0], index, method) for index in (0, 3))
    np.testing.assert_array_equal(one, other)


def test_a_network_that_ends_otherwise_has_no_class_map_and_is_told_what_works():
    run = run_of("mobilenetv3_small_050")
    with pytest.raises(
        RunError, match=r"mobilenetv3_small_050 does not end in average pooling .*take --method grad-cam"
    ):
        activation_map(run, images()[0], 0, "class-map")
    assert activation_map(run, images()[0], 0, "grad-cam").shape == images()[0].shape
    with pytest.raises(
        RunError, match="does not end in average pooling"
    ):  # as wide as its last layer, but a norm between
        activation_map(run_of("test_convnext"), images()[0], 0, "class-map")


def test_a_network_without_a_feature_map_is_refused():
    with pytest.raises(RunError, match=r"features of test_mambaout are .*expected a map \[B, F, h, w\]"):
        activation_map(run_of("test_mambaout"), images()[0], 0)


def test_lists_of_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 runs, 2 images and 2 classes"):
        activation_maps([run_of()], images(2))
