"""The recipes of the abnormality networks: what their descriptions say, and that each network can be made and learn."""

from dataclasses import replace

import pytest
import torch

from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import make_optimizer
from ensemble_mammo.records.recipe_files import load_recipe, recipe_names

NAMES = [name for name in recipe_names() if name.startswith("abnormality/")]
OWN = [name for name in NAMES if "transfer" not in name and "lite-" not in name]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_of_tiles_and_one_network_for_all_views(name):
    recipe = load_recipe(name)
    assert (recipe.task, recipe.cut, recipe.pooled) == ("abnormality", "tiles", True)
    assert recipe.source
    assert recipe.loss.positive_weight > 1 or recipe.loss.class_weights == "balanced"
    assert recipe.input.contrast == 1


@pytest.mark.parametrize(
    ("name", "std", "centre"),
    [("29", 1 / 255, "none"), ("35", 1.0, "none"), ("45", 1 / 255, "training"), ("46", 1.0, "training")],
)
def test_29_35_45_and_46_are_one_network_whose_input_differs(name, std, centre):
    recipe, best = load_recipe(f"abnormality/convnet-{name}"), load_recipe("abnormality/convnet-35")
    assert recipe.input.std == pytest.approx(std)
    assert (recipe.input.mean, recipe.input.centre) == (0, centre)
    assert replace(recipe, input=best.input, source="") == replace(best, source="")


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("convnet-35", 30), ("convnet-35-98", 40), ("vgg-lite", 30), ("inception-lite", 20), ("convnet-from-five", 30)],
)
def test_the_published_training_stands_in_the_recipe(name, epochs):
    recipe = load_recipe(f"abnormality/{name}")
    train = recipe.train
    assert (train.epochs, train.batch_size, train.optimizer) == (epochs, 32, "adam")
    assert (train.decay, train.step_epochs, train.step_factor) == ("steps", 5, 0.8)
    assert (train.weight_decay, train.dense_weight_decay) == (1e-5, 2.5e-3)
    assert train.stages[0].learning_rate == 1e-3
    assert recipe.loss.positive_weight == 6
    assert recipe.augment.flip_horizontal and recipe.augment.flip_vertical
    assert recipe.input.size == (299, 299)


@pytest.mark.parametrize("name", ["convnet-35", "vgg-lite", "inception-lite", "demo-tiles"])
def test_each_network_takes_a_step_that_lowers_its_loss(name):
    recipe = load_recipe(f"abnormality/{name}")
    size = (80, 80) if name == "inception-lite" else (48, 48)
    torch.manual_seed(0)
    network = create_network(replace(recipe.network, dropout=0.0), 2, size).train()
    optimizer = make_optimizer(list(network.named_parameters()), recipe.train)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    x, y, losses = torch.rand(6, 1, *size), torch.tensor([0, 1] * 3), []
    for _ in range(6):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert min(losses[-2:]) < losses[0]


@pytest.mark.parametrize(("name", "features"), [("transfer-vgg19", 4096), ("transfer-inception-v3", 2048)])
def test_networks_whose_weights_need_the_internet_can_be_made(name, features):
    recipe = load_recipe(f"abnormality/{name}")
    assert recipe.network.pretrained == "hub"
    network = create_network(replace(recipe.network, pretrained="none"), 2, recipe.input.size).eval()
    with torch.inference_mode():
        pooled = network.forward_head(network.forward_features(torch.zeros(1, 1, *recipe.input.size)), pre_logits=True)
    assert pooled.shape == (1, features)
