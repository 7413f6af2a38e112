import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from ensemble_mammo.learning.networks import convnet

WIDTHS = (32, 32, 32, 64, 64, 128, 128, 256, 512)
POOLS = {3: 3, 5: 2, 7: 2, 8: 2, 9: 2}
"""Convolutions before a pooling: places that it sees"""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return timm.create_model(convnet.ConvNet.name, num_classes=2, img_size=90).eval()


def parameters(cells, classes, channels=1):
    """By hand: 3x3 kernels, two numbers a batch norm, two dense layers of 2048, a last layer with biases."""
    total, before = 0, channels
    for width in WIDTHS:
        total, before = total + 9 * before * width + 2 * width, width
    total += 512 * cells * 2048 + 2 * 2048
    total += 2048 * 2048 + 2 * 2048
    return total + 2048 * classes + classes


def same(x, size, value=0.0):
    """TensorFlow's "same" padding for a step of 2: the odd place behind."""
    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // 2) - 1) * 2 + size - length, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def plain(network, x):
    """The features, from the description alone."""
    kernels = [m.weight for m in network.features.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.features.modules() if isinstance(m, nn.BatchNorm2d)]
    for number, (kernel, norm) in enumerate(zip(kernels, norms, strict=True), start=1):
        x = F.conv2d(same(x, 3), kernel, stride=2) if number == 1 else F.conv2d(x, kernel, padding=1)
        mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        x = torch.relu((x - mean) / (variance + 1e-8).sqrt())
        if number in POOLS:
            x = F.max_pool2d(same(x, POOLS[number], -torch.inf), POOLS[number], 2)
    return x


@pytest.mark.parametrize(("size", "cells", "classes"), [(299, 25, 2), (299, 25, 5), (90, 4, 2), (33, 1, 2)])
def test_it_has_the_parameters_of_its_description(size, cells, classes):
    with torch.device("meta"):
        made = timm.create_model("convnet_1_0_0", num_classes=classes, img_size=size)
    assert sum(p.numel() for p in made.parameters()) == parameters(cells, classes)


def test_the_number_in_its_own_description_is_right():
    assert f"{parameters(25, 2):,} parameters" in " ".join(convnet.__doc__.split())


def test_the_maps_halve_as_described():
    with torch.device("meta"):
        made = timm.create_model("convnet_1_0_0").eval()
        x, sizes = torch.zeros(1, 1, 299, 299), []
        for group in made.features:
            for layer in group:
                x = layer(x)
                if x.shape[-1] not in sizes:
                    sizes.append(x.shape[-1])
    assert sizes == [150, 75, 38, 19, 10, 5]
    assert x.shape == (1, 512, 5, 5)


@pytest.mark.parametrize("size", [(90, 90), (80, 91), (117, 64)])
def test_its_features_are_those_of_a_plain_network(network, size):
    with torch.inference_mode():
        for norm in (m for m in network.features.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
        x = torch.rand(2, 1, *size)
        expected = plain(network, x)
        assert torch.allclose(network.forward_features(x), expected, rtol=1e-4, atol=1e-5)
        assert expected.std() > 0


def test_dropout_stands_behind_each_pooling_and_in_the_dense_part():
    made = timm.create_model("convnet_1_0_0", img_size=33, drop_rate=0.4, pool_drop_rate=0.2)
    for group in made.features:
        kinds = [type(layer).__name__ for layer in group]
        assert kinds[-2:] == ["MaxPool2dSame", "Dropout"]
        assert set(kinds[:-2]) == {"Convolution"}
        assert group[-1].p == 0.2
    assert [m.p for m in made.dense if isinstance(m, nn.Dropout)] == [0.4] * 3


def test_a_tenth_of_the_pooled_places_is_dropped_unless_told():
    made = timm.create_model("convnet_1_0_0", img_size=33)
    assert {group[-1].p for group in made.features} == {0.1}
    torch.manual_seed(0)
    dropped = made.train().features[-1][-1](torch.ones(1, 512, 20, 20))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_it_learns_two_kinds_of_tiles():
    torch.manual_seed(0)
    made = timm.create_model("convnet_1_0_0", img_size=40, drop_rate=0.0, pool_drop_rate=0.0)
    y = torch.arange(16) % 2
    x = torch.rand(16, 1, 40, 40)
    x[y == 1, :, 10:30, 10:30] += 0.5
    optimizer = torch.optim.Adam(made.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(made(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
