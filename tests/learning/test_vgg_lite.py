import pytest
import timm
import torch
from torch import nn

from ensemble_mammo.learning.networks.vgg_lite import VGGLite


def parameters(cells, classes):
    """By hand: VGG-16's kernels, two numbers a batch norm, dense layers of 1024 and 512, a last layer with biases."""
    total, before = 0, 1
    for width in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512):
        total, before = total + 9 * before * width + 2 * width, width
    total += 512 * cells * 1024 + 2 * 1024
    total += 1024 * 512 + 2 * 512
    return total + 512 * classes + classes


@pytest.mark.parametrize(("size", "cells", "classes"), [(299, 25, 2), (299, 25, 5), (90, 4, 2)])
def test_it_has_the_parameters_of_its_description(size, cells, classes):
    with torch.device("meta"):
        made = timm.create_model(VGGLite.name, num_classes=classes, img_size=size)
    assert sum(p.numel() for p in made.parameters()) == parameters(cells, classes)


def test_the_maps_halve_as_described():
    with torch.device("meta"):
        made = timm.create_model("vgg_lite").eval()
        x, sizes = torch.zeros(1, 1, 299, 299), []
        for group in made.features:
            for layer in group:
                x = layer(x)
                if x.shape[-1] not in sizes:
                    sizes.append(x.shape[-1])
    assert sizes == [150, 75, 38, 19, 10, 5]
    assert x.shape == (1, 512, 5, 5)


def test_its_convolutions_are_those_of_timms_vgg16_but_for_the_first_stride():
    with torch.device("meta"):
        own = [m for m in timm.create_model("vgg_lite").modules() if isinstance(m, nn.Conv2d)]
        theirs = [m for m in timm.create_model("vgg16", in_chans=1).features.modules() if isinstance(m, nn.Conv2d)]
    assert [m.weight.shape for m in own] == [m.weight.shape for m in theirs]
    assert [m.stride for m in own] == [(2, 2)] + [(1, 1)] * 12


def test_its_features_are_those_of_timms_vgg16_behind_the_first_convolution():
    torch.manual_seed(0)
    own, theirs = timm.create_model("vgg_lite", img_size=64).eval(), timm.create_model("vgg16_bn", in_chans=1).eval()
    mine, other = tensors(own.features), tensors(theirs.features)
    assert len(mine) == len(other) == 26
    with torch.inference_mode():
        for one, two in zip(mine, other, strict=True):
            two.weight.copy_(one.weight)
            if isinstance(two, nn.BatchNorm2d):
                one.running_mean.uniform_(-0.1, 0.1)
                two.running_mean.copy_(one.running_mean)
                two.eps = one.eps
            else:
                two.bias.zero_()
        x = own.features[0][0](torch.rand(1, 1, 64, 64))
        expected = theirs.features[3:](x)
        for layer in (*own.features[0][1:], *own.features[1:]):
            x = layer(x)
        assert torch.allclose(x, expected, rtol=1e-4, atol=1e-5)


def tensors(features):
    return [m for m in features.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]


def test_nothing_is_dropped_among_the_convolutions():
    made = timm.create_model("vgg_lite", img_size=33)
    assert not [m for m in made.features.modules() if isinstance(m, nn.Dropout)]
    assert [tuple(group[-1].kernel_size) for group in made.features] == [(2, 2)] * 5
