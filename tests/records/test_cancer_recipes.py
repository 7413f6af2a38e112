import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import make_optimizer
from ensemble_mammo.learning.schedule import schedule, set_trainable
from ensemble_mammo.records.recipe_files import load_recipe, recipe_names
from ensemble_mammo.records.task import TASKS
from tests.learning import tiny  # noqa: F401 - one thread

NAMES = [name for name in recipe_names() if name.startswith("cancer/")]
VARIANTS = ("", "-46", "-256", "-s", "-s-port", "-big", "-unit", "-shear")
SLOW = pytest.mark.slow  # 134 million parameters
LITTLE = "cancer/patch-lite", "cancer/whole-image-lite"


@cache
def network_of(recipe, classes):
    torch.manual_seed(0)
    return create_network(recipe, classes)


@cache
def outline_of(name):
    """The recipe's network without memory for its weights."""
    recipe = load_recipe(name)
    with torch.device("meta"):
        return create_network(replace(recipe.network, pretrained="none"), 2)


def test_the_recipes_that_the_sources_state_are_shipped():
    wanted = {f"cancer/patch-resnet50{end}" for end in VARIANTS} | {"cancer/patch-vgg16", "cancer/patch-lite"}
    wanted |= {f"cancer/whole-image{end}" for end in ("", "-port", "-vgg", "-hybrid", "-heatmap", "-lite")}
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if "vgg16" in name else ()) for name in NAMES])
def test_every_recipe_is_pooled_and_takes_one_step_of_its_last_stage(name):
    recipe = load_recipe(name)
    assert recipe.pooled
    classes = TASKS[recipe.task].classes
    network = copy.deepcopy(network_of(replace(recipe.network, pretrained="none", checkpointing=False), len(classes)))
    plan = schedule(recipe.train, recipe.train.epochs - 1, [])
    ours = "-lite" in name or "demo" in name  # the sources end with all layers
    assert plan.stage == len(recipe.train.stages) - 1 and (ours or plan.trainable == "all")
    learning = set_trainable(network, plan.trainable, recipe.train.frozen_norm)
    optimizer = make_optimizer(learning, recipe.train)
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate
    before = {key: value.detach().clone() for key, value in learning if value.ndim == 1}
    F.cross_entropy(network(torch.rand(2, 1, 64, 64)), torch.tensor([0, 1])).backward()
    optimizer.step()
    after = dict(network.named_parameters())
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "modules", "tensors"),
    [
        # three convolutions and three batch norms of two tensors a block; four of each where the shortcut is projected
        ("cancer/patch-resnet50", {"layer4.2", "fc"}, 9 + 2),
        ("cancer/patch-resnet50-46", {"layer3.5", "layer4.0", "layer4.1", "layer4.2", "fc"}, 9 + 12 + 9 + 9 + 2),
        ("cancer/patch-vgg16", {"features.24", "features.26", "features.28", "pre_logits.fc1", "pre_logits.fc2"}, 12),
    ],
)
def test_the_second_stage_frees_what_its_source_says(name, modules, tensors):
    recipe, network = load_recipe(name), outline_of(name)
    assert [name for name, _ in set_trainable(network, recipe.train.stages[0].trainable)] == (
        ["head.fc.weight", "head.fc.bias"] if "vgg" in name else ["fc.weight", "fc.bias"]
    )
    learning = [key for key, _ in set_trainable(network, recipe.train.stages[1].trainable)]
    assert len(learning) == tensors
    assert {".".join(key.split(".")[:2]) for key in learning} - {"head.fc"} == {
        module if "." in module else f"{module}.{end}" for module in modules for end in ("weight", "bias")
    }
    assert len(set_trainable(network, "all")) == len(list(network.parameters()))


def test_the_46_layers_are_those_that_keras_counts():
    """Keras counts a convolution, a batch norm, an activation and an addition as a layer each.

    The 46th from the end is the activation before the block that begins here; it has no weights.
    """
    plain = 3 * 2 + 2 + 1 + 1  # convolutions and norms, two activations, the addition, its activation
    projected = plain + 2
    last_stage = projected + 2 * plain
    head = 3  # two poolings (7 x 7, then what is left) and the dense layer
    assert head + last_stage + plain == 45
    assert load_recipe("cancer/patch-resnet50-46").train.stages[1].trainable == "from:layer3.5"


@pytest.mark.parametrize("end", ["", "-port", "-vgg", "-hybrid", "-heatmap", "-lite"])
def test_the_first_stage_of_a_whole_image_learns_the_new_layers_alone(end):
    name = f"cancer/whole-image{end}"
    learning = {
        key.split(".")[0] for key, _ in set_trainable(outline_of(name), load_recipe(name).train.stages[0].trainable)
    }
    assert learning == {"blocks", "fc"}


def test_patches_are_trained_as_published():
    recipe = load_recipe("cancer/patch-resnet50")
    assert [(s.learning_rate, s.epochs) for s in recipe.train.stages] == [(1e-3, 3), (1e-4, 10), (1e-5, 37)]
    assert (recipe.train.optimizer, recipe.train.weight_decay, recipe.train.batch_size) == ("adam", 1e-4, 32)
    assert (recipe.input.height, recipe.input.width, recipe.input.centre) == (224, 224, "training")
    assert recipe.input.std == pytest.approx(1 / 255, rel=1e-5)
    augment = recipe.augment
    assert (augment.flip_horizontal, augment.flip_vertical, augment.rotation_deg, augment.zoom) == (True, True, 25, 0.2)
    assert augment.brightness == pytest.approx(20 / 255, rel=1e-5)
    assert (augment.shear_deg, augment.fill) == (0, "edge")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("-256", {"steps": 256}),
        ("-s", {"epochs": 200, "last": 187}),
        ("-s-port", {"epochs": 213, "last": 200, "steps": 256}),
        ("-big", {"epochs": 200, "size": 512, "last": 187}),
        ("-unit", {"centre": "none", "std": 1.0}),
        ("-shear", {"shear": 12.0}),
    ],
)
def test_a_variant_differs_where_its_source_does_and_nowhere_else(end, said):
    recipe, base = load_recipe(f"cancer/patch-resnet50{end}"), load_recipe("cancer/patch-resnet50")

    def facts(one):
        return {
            "epochs": one.train.epochs,
            "last": one.train.stages[-1].epochs,
            "steps": one.train.batch_size * one.train.accumulate,
            "size": one.input.height,
            "centre": one.input.centre,
            "std": one.input.std,
            "shear": one.augment.shear_deg,
            "optimizer": (one.train.optimizer, one.train.weight_decay),
            "network": one.network,
        }

    assert facts(recipe) == facts(base) | said


def test_whole_images_are_trained_as_published():
    recipe = load_recipe("cancer/whole-image")
    train = recipe.train
    assert [(s.learning_rate, s.epochs) for s in train.stages] == [(1e-4, 30), (1e-5, 20)]
    assert (train.batch_size * train.accumulate, train.weight_decay, train.keep) == (12, 1e-3, "best-auc")
    assert (recipe.task, recipe.input.height, recipe.input.width) == ("pathology", 1152, 896)
    assert (recipe.network.block_stride, recipe.network.checkpointing) == (2, True)
    port = load_recipe("cancer/whole-image-port")
    assert replace(port, network=recipe.network, source=recipe.source) == recipe
    assert port.network.block_stride == 1


def test_recipes_for_two_cores_need_no_download():
    assert all(load_recipe(name).network.pretrained == "package" for name in LITTLE)
