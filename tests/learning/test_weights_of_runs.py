import dataclasses

import pytest
import timm
import torch

from ensemble_mammo.errors import WeightsError
from ensemble_mammo.learning import weights
from ensemble_mammo.learning.checkpoint import Passport, write_weights
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.records.task import PATCH_CLASSES
from tests.learning.tiny import tiny_recipe

PATCH = NetworkRecipe("test_resnet")


def run_of(folder, network=PATCH, classes=PATCH_CLASSES):
    """A run folder with weights that no fresh network has, and those weights."""
    recipe = dataclasses.replace(tiny_recipe(), task="patch", network=network, pooled=True)
    torch.manual_seed(11)
    state = create_network(network, len(classes)).state_dict()
    state = {key: torch.randn_like(t) if t.is_floating_point() else t for key, t in state.items()}
    folder.mkdir(parents=True)
    write_weights(folder, state, Passport(recipe, None, tuple(classes), Preparation()))
    return state


def started(folder, network, classes=2):
    recipe = dataclasses.replace(network, pretrained="run", weights_file=str(folder))
    return create_network(recipe, classes).state_dict()


def test_a_run_of_the_same_network_gives_all_its_tensors(tmp_path):
    state = run_of(tmp_path / "ANY")
    found = started(tmp_path / "ANY", PATCH, 5)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_another_number_of_classes_leaves_the_last_layer_fresh_and_quiet(tmp_path):
    state = run_of(tmp_path / "ANY")
    found = started(tmp_path / "ANY", PATCH, 2)
    assert found["fc.weight"].shape[0] == 2 and found["fc.weight"].abs().max() < 0.1
    assert all(torch.equal(found[key], state[key]) for key in state if not key.startswith("fc."))


@pytest.mark.parametrize("blocks", ["resnet", "vgg"])
def test_a_patch_run_fills_the_backbone_with_its_statistics(tmp_path, blocks):
    state = run_of(tmp_path / "ANY")
    found = started(tmp_path / "ANY", NetworkRecipe("whole_image", backbone="test_resnet", blocks=blocks))
    body = [key for key in state if not key.startswith("fc.")]
    assert any("running_var" in key for key in body)
    assert all(torch.equal(found[f"backbone.{key}"], state[key]) for key in body)
    assert not [key for key in found if key.startswith("backbone.fc")]


def test_a_patch_run_gives_the_heatmap_its_last_layer(tmp_path):
    state = run_of(tmp_path / "ANY")
    recipe = NetworkRecipe("whole_image", backbone="test_resnet", blocks="heatmap")
    found = started(tmp_path / "ANY", recipe)
    assert torch.equal(found["patch_head.1.weight"][:, :, 0, 0], state["fc.weight"])
    assert torch.equal(found["patch_head.1.bias"], state["fc.bias"])
    run_of(tmp_path / "two", classes=("BENIGN", "MALIGNANT"))
    with pytest.raises(WeightsError, match=r"its last layer is \[2, \d+\], expected \[5, .*needs a patch run"):
        started(tmp_path / "two", recipe)


def test_hidden_layers_of_a_head_stay_behind(tmp_path):
    network = NetworkRecipe("mobilenetv3_small_050")
    state = run_of(tmp_path / "ANY", network)
    found = started(tmp_path / "ANY", NetworkRecipe("whole_image", backbone=network.name))
    assert torch.equal(found["backbone.conv_stem.weight"], state["conv_stem.weight"])
    assert "conv_head.weight" in state and "backbone.conv_head.weight" not in found


def test_a_whole_image_run_is_fine_tuned_as_a_whole(tmp_path):
    network = NetworkRecipe("whole_image", backbone="test_resnet")
    state = run_of(tmp_path / "ANY", network, ("BENIGN", "MALIGNANT"))
    found = started(tmp_path / "ANY", network)
    assert all(torch.equal(found[key], state[key]) for key in state)
    with pytest.raises(
        WeightsError, match=r"resnet blocks on 'test_resnet'\), its weights do not go into .*vgg blocks"
    ):
        started(tmp_path / "ANY", dataclasses.replace(network, blocks="vgg"))


def test_a_run_of_another_network_is_refused_with_both_names(tmp_path):
    run_of(tmp_path / "ANY")
    with pytest.raises(WeightsError, match="a run of 'test_resnet', its weights do not go into 'test_efficientnet'"):
        started(tmp_path / "ANY", NetworkRecipe("test_efficientnet"))
    with pytest.raises(WeightsError, match=r"go into whole_image \(resnet blocks on 'test_efficientnet'\)"):
        started(tmp_path / "ANY", NetworkRecipe("whole_image", backbone="test_efficientnet"))


def test_the_only_run_in_a_folder_is_found_and_several_are_named(tmp_path):
    state = run_of(tmp_path / "runs" / "ANY")
    assert torch.equal(started(tmp_path / "runs", PATCH, 5)["fc.weight"], state["fc.weight"])
    run_of(tmp_path / "runs" / "CC_L")
    with pytest.raises(WeightsError, match=r"holds 2 runs; name one, such as .*ANY"):
        started(tmp_path / "runs", PATCH)
    with pytest.raises(WeightsError, match="nowhere: no such run folder"):
        started(tmp_path / "nowhere", PATCH)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="empty: no finished run"):
        started(tmp_path / "empty", PATCH)


def test_a_run_that_was_changed_or_is_unfinished_is_refused(tmp_path):
    run_of(tmp_path / "ANY")
    path = tmp_path / "ANY" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"its SHA-256 is not that of weights\.safetensors\.sha256"):
        started(tmp_path / "ANY", PATCH)
    (tmp_path / "ANY" / "weights.safetensors.sha256").unlink()
    with pytest.raises(WeightsError, match="its training is unfinished"):
        started(tmp_path / "ANY", PATCH)


def test_packaged_weights_fill_the_backbone():
    found = create_network(NetworkRecipe("whole_image", pretrained="package", backbone=weights.PACKAGED), 2)
    original = weights.packaged_weights()
    assert torch.equal(found.backbone.bn2.running_var, original["bn2.running_var"])
    assert torch.allclose(found.backbone.conv_stem.weight, original["conv_stem.weight"].sum(1, keepdim=True))
    with pytest.raises(WeightsError, match="no weights of 'test_resnet'"):
        create_network(NetworkRecipe("whole_image", pretrained="package", backbone="test_resnet"), 2)


def test_weights_of_the_hub_are_asked_for_by_the_name_of_the_backbone(monkeypatch):
    asked = []
    real = timm.create_model

    def offline(name, pretrained=False, **given):
        asked.append((name, pretrained))
        if name != "whole_image" and pretrained:
            raise OSError("no route to host")
        return real(name, pretrained=pretrained, **given)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"'hub': no weights of 'test_resnet' \(no route to host\)"):
        create_network(NetworkRecipe("whole_image", pretrained="hub", backbone="test_resnet"), 2)
    assert asked == [("whole_image", True), ("test_resnet", True)]
