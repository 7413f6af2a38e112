import pytest
import timm
import torch
from timm.models import group_parameters
from torch import nn
from torch.nn import functional as F

from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.recipe import NetworkRecipe


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return timm.create_model("infn_resnet", in_chans=3, num_classes=4, drop_rate=0.2).eval()


def test_it_has_the_published_number_of_parameters_and_statistics(network):
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 2_249_988
    assert statistics == 12_672


def test_the_last_feature_map_has_the_published_size(network):
    with torch.inference_mode():
        sizes = []
        x = torch.zeros(1, 3, 650, 650)
        for layer in (*network.stem, *network.groups):
            x = layer(x)
            if x.shape[-1] not in sizes:
                sizes.append(x.shape[-1])
    assert sizes == [325, 163, 82, 41, 21]
    assert x.shape == (1, 256, 21, 21)


def test_the_head_follows_the_features_and_pools_before_the_logits(network):
    with torch.inference_mode():
        x = torch.rand(2, 1, 64, 64)
        features = network.forward_features(x)
        assert torch.equal(network(x), network.forward_head(features))
        assert network.forward_head(features, pre_logits=True).shape == (2, network.num_features)


def test_a_grey_image_counts_as_three_equal_channels(network):
    with torch.inference_mode():
        x = torch.rand(1, 1, 64, 64)
        assert torch.equal(network(x), network(x.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("size", [7, 8])
def test_padding_is_same_as_tensorflow_means_it(network, size):
    # TensorFlow: pad = max((ceil(n / 2) - 1) * 2 + 3 - n, 0), the odd one behind
    total = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
    pad = (total // 2, total - total // 2) * 2
    x = torch.rand(1, 3, size, size)
    convolution, pool = network.stem[0], network.stem[3]
    expected = F.conv2d(F.pad(x, pad), convolution.weight, convolution.bias, stride=2)
    assert torch.allclose(convolution(x), expected)
    assert torch.equal(pool(-x), F.max_pool2d(F.pad(-x, pad, value=-torch.inf), 3, 2))


def test_constants_are_those_of_keras(network):
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.bias is not None and not m.bias.any() for m in convolutions)
    stem = network.stem[0].weight
    limit = (6 / (3 * 9 + 64 * 9)) ** 0.5
    assert limit * 0.95 < stem.abs().max() <= limit
    assert network.stem[2].negative_slope == 0.3


def test_the_stride_sits_on_the_3x3_convolution_and_the_shortcut(network):
    first = network.groups[1][0]
    assert (first.conv1.stride, first.conv2.stride, first.shortcut[0].stride) == ((1, 1), (2, 2), (2, 2))
    assert isinstance(network.groups[1][1].shortcut, nn.Identity)


def test_it_groups_stem_four_groups_and_head(network):
    groups = group_parameters(network, network.group_matcher(coarse=True))
    assert [len(names) for names in groups.values()] == [4, 40, 40, 40, 40, 2]


def test_a_fresh_classifier_has_the_classes_asked_for(network):
    other = create_network(NetworkRecipe("infn_resnet", in_channels=3), 4)
    other.reset_classifier(2)
    assert other.get_classifier().out_features == 2
    with pytest.raises(ValueError, match="global_pool"):
        other.reset_classifier(2, "max")
