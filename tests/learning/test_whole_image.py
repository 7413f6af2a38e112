import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.schedule import feature_groups, set_trainable
from ensemble_mammo.records.recipe import NetworkRecipe
from tests.learning import tiny  # noqa: F401 - one thread


def made(blocks="resnet", backbone="test_resnet", classes=2, **given):
    torch.manual_seed(0)
    return create_network(NetworkRecipe("whole_image", backbone=backbone, blocks=blocks, **given), classes)


@pytest.mark.parametrize("blocks", ["resnet", "vgg", "heatmap"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_head_follows_the_features_and_pools_before_the_logits(blocks, channels):
    network = made(blocks, in_channels=channels).eval()
    x = torch.rand(2, 1, 96, 64)
    with torch.inference_mode():
        features = network.forward_features(x)
        assert features.shape[:2] == (2, network.num_features)
        assert torch.equal(network(x), network.forward_head(features))
        assert network.forward_head(features, pre_logits=True).shape == (2, network.head_hidden_size)
    assert network.get_classifier() is network.fc
    network.reset_classifier(5)
    assert network.get_classifier().out_features == 5
    with pytest.raises(ValueError, match="global_pool is 'max'"):
        network.reset_classifier(2, "max")


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("resnet50", {"fc"}),
        ("vgg16", {"pre_logits", "head"}),
        ("vgg16_bn", {"pre_logits", "head"}),
        ("tf_efficientnet_lite0", {"classifier"}),
        ("mobilenetv3_small_050", {"conv_head", "classifier"}),
    ],
)
def test_a_backbone_keeps_its_features_and_loses_all_that_stands_behind_them(name, behind):
    with torch.device("meta"):
        network = timm.create_model("whole_image", backbone=name)
        whole = timm.create_model(name, in_chans=1, num_classes=5)
        x = torch.empty(1, 1, 128, 96)
        expected = whole.eval().forward_features(x).shape
        assert network.eval().backbone.forward_features(x).shape == expected
    assert network.blocks[0][0].body[0].in_channels == expected[1]
    kept, all_ = ({key.split(".")[0] for key in one.state_dict()} for one in (network.backbone, whole))
    assert all_ - kept == behind


@pytest.mark.parametrize(
    ("stride", "blocks", "expected"),
    [(2, "resnet", (1, 1024, 9, 7)), (1, "resnet", (1, 1024, 36, 28)), (2, "vgg", (1, 512, 9, 7))],
)
def test_maps_have_the_sizes_of_original_and_port(stride, blocks, expected):
    with torch.device("meta"):
        network = timm.create_model("whole_image", backbone="resnet50", blocks=blocks, block_stride=stride).eval()
        assert network.forward_features(torch.empty(1, 1, 1152, 896)).shape == expected


def test_parameters_come_in_the_order_that_stages_rely_on():
    network = made("heatmap")
    names = [name.split(".")[0] for name, _ in network.named_parameters()]
    assert list(dict.fromkeys(names)) == ["backbone", "patch_head", "blocks", "fc"]
    learning = {name.split(".")[0] for name, _ in set_trainable(network, "from:blocks")}
    assert learning == {"blocks", "fc"}
    assert not network.backbone.bn1.training and network.blocks[0].layers[1].training


def test_the_two_blocks_have_the_published_widths():
    network = made(backbone="resnet50")
    before, count = 2048, 0
    for _ in range(2):
        for project in (True, False):  # convolutions, batch norms, and the projected shortcut
            count += before * 512 + 9 * 512 * 512 + 512 * 1024 + 2 * (512 + 512 + 1024)
            count += (before * 1024 + 2 * 1024) if project else 0
            before = 1024
    assert sum(p.numel() for p in network.blocks.parameters()) == count
    assert sum(p.numel() for p in network.fc.parameters()) == 1024 * 2 + 2
    sizes = [[m.kernel_size[0] for m in one.body if isinstance(m, nn.Conv2d)] for one in network.blocks[0]]
    assert sizes == [[1, 3, 1], [1, 3, 1]]
    strides = [[one.body[0].stride[0] for one in block] for block in network.blocks]
    assert strides == [[2, 1], [2, 1]]


def test_a_bottleneck_is_that_of_torchvision():
    class Reference(Bottleneck):
        expansion = 2  # 512 inside, 1024 behind

    own = made(block_stride=1).eval().blocks[0][0]
    for module in own.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.weight.data.uniform_(0.5, 1.5)
    reference = Reference(own.body[0].in_channels, 512, downsample=own.shortcut).eval()
    pairs = zip(("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"), (0, 1, 3, 4, 6, 7), strict=True)
    for name, place in pairs:
        getattr(reference, name).load_state_dict(own.body[place].state_dict())
    x = torch.randn(2, own.body[0].in_channels, 5, 4)
    with torch.inference_mode():
        assert torch.allclose(own(x), reference(x), atol=1e-4)


def test_the_heatmap_is_the_patch_head_on_the_mean_of_each_place_and_its_neighbours():
    network = made("heatmap").eval()
    features = torch.randn(1, network.backbone.num_features, 9, 8)
    layer = network.patch_head[1]
    expected = torch.empty(5, 9, 8)
    for row in range(9):
        for column in range(8):
            near = features[0, :, max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].mean((1, 2))
            expected[:, row, column] = F.relu(F.linear(near, layer.weight[:, :, 0, 0], layer.bias))
    with torch.inference_mode():
        found = network.patch_head(features)[0]
        assert torch.allclose(found, expected, atol=1e-5)
        top = network.blocks(found[None])
    assert top.shape == (1, 37, 2, 2)
    assert torch.equal(top[0, 32:, 0, 0], found[:, :5, :5].amax((1, 2)))


def test_new_layers_start_as_he_proposes():
    network = made(backbone="resnet50")
    layer = network.blocks[0][0].body[3].weight
    assert layer.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


def test_groups_are_those_of_the_backbone_and_a_group_a_block():
    network = made()
    groups = feature_groups(network)
    backbone = feature_groups(timm.create_model("test_resnet", in_chans=1))
    assert [[name.removeprefix("backbone.") for name in group] for group in groups[:-2]] == backbone
    assert {name.split(".")[1] for name in groups[-2]} == {"0"}
    top = {name.split(".")[0] for name, _ in set_trainable(network, "top:2")}
    assert top == {"blocks", "fc"}


@pytest.mark.parametrize("name", ["whole_image", "test_efficientnet"])
def test_features_computed_twice_give_the_same_gradients_and_statistics(name):
    states = []
    for twice in (False, True):
        torch.manual_seed(0)
        own = {"backbone": "test_resnet"} if name == "whole_image" else {}
        network = create_network(NetworkRecipe(name, checkpointing=twice, **own), 2)
        set_trainable(network, "all")
        torch.manual_seed(1)
        network(torch.randn(3, 1, 96, 96)).square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        states.append((gradients, list(network.state_dict().values())))
    for kept, recomputed in zip(*states, strict=True):
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(kept, recomputed, strict=True))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, r"network\.backbone is empty; whole_image needs .*--start RUN"),
        ({"backbone": "resnt50"}, r"network\.backbone: 'resnt50' is not known to timm; did you mean resnet50"),
        ({"backbone": "test_vit"}, r"features of 'test_vit' are \[1, 65, 64\], expected a map \[B, F, h, w\]"),
        ({"backbone": "whole_image"}, "'whole_image' stands on another network"),
        ({"backbone": "convnext_atto", "blocks": "heatmap"}, "'convnext_atto' does not end in average pooling"),
        ({"backbone": "vgg11", "checkpointing": True}, "'vgg11' cannot compute its features a second time"),
    ],
)
def test_what_cannot_be_built_is_refused(given, match):
    with torch.device("meta"), pytest.raises(RecipeError, match=match):
        create_network(NetworkRecipe("whole_image", **given), 2)
