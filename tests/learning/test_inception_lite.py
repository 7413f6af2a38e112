import pytest
import timm
import torch
from torch import nn

from ensemble_mammo.learning.networks.inception_lite import InceptionLite

FULL = 42_679_816
"""Parameters of timm's inception_v4 (42.68 million in its published results), 3 channels and 1000 classes."""
A = 96 + 64 + 96 + 64 + 96 + 96 + 96
B = 384 + 192 + 224 + 256 + 192 + 192 + 224 + 224 + 256 + 128
C = 256 + 384 + 256 + 256 + 384 + 448 + 512 + 256 + 256 + 256
STEM = 32 + 32 + 64 + 96 + 64 + 96 + 64 + 64 + 64 + 96 + 192
REDUCTIONS = 384 + 192 + 224 + 256 + 192 + 192 + 256 + 256 + 320 + 320
FILTERS = STEM + 4 * A + 7 * B + 3 * C + REDUCTIONS
"""Of all convolutions of Inception v4, from the figures of Szegedy et al. 2016."""


def parameters(cells, classes):
    """By hand: half the filters leave a quarter of each kernel, but half of the first, and half of the batch norms."""
    kernels = FULL - 2 * FILTERS - (1536 * 1000 + 1000)
    total = (kernels - 9 * 3 * 32) // 4 + 9 * 1 * 16 + FILTERS
    total += 768 * cells * 1024 + 2 * 1024
    total += 1024 * 512 + 2 * 512
    return total + 512 * classes + classes


@pytest.mark.parametrize(("size", "cells", "classes"), [(299, 64, 2), (299, 64, 5), (90, 1, 2), (107, 4, 2)])
def test_it_has_the_parameters_of_its_description(size, cells, classes):
    with torch.device("meta"):
        made = timm.create_model(InceptionLite.name, num_classes=classes, img_size=size)
    assert sum(p.numel() for p in made.parameters()) == parameters(cells, classes)


def test_its_maps_have_the_published_sizes_and_half_the_channels():
    # Szegedy et al. 2016, figure 9: 35 x 35 x 384 behind the stem, 17 x 17 x 1024, 8 x 8 x 1536
    with torch.device("meta"):
        made = timm.create_model("inception_lite").eval()
        x, shapes = torch.zeros(1, 1, 299, 299), []
        for layer in made.features:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    assert list(dict.fromkeys(shapes)) == [
        (16, 149, 149),
        (16, 147, 147),
        (32, 147, 147),
        (80, 73, 73),
        (96, 71, 71),
        (192, 35, 35),
        (512, 17, 17),
        (768, 8, 8),
    ]


def test_each_convolution_is_that_of_inception_v4_with_half_the_filters():
    with torch.device("meta"):
        own = [m for m in timm.create_model("inception_lite").modules() if isinstance(m, nn.Conv2d)]
        theirs = [m for m in timm.create_model("inception_v4", in_chans=1).modules() if isinstance(m, nn.Conv2d)]
    assert len(own) == len(theirs) == 149
    for one, two in zip(own, theirs, strict=True):
        assert (one.out_channels * 2, one.kernel_size, one.stride, one.padding) == (
            two.out_channels,
            two.kernel_size,
            two.stride,
            two.padding,
        )
    assert [one.in_channels * 2 for one in own[1:]] == [two.in_channels for two in theirs[1:]]


def test_a_map_of_one_place_can_be_learned_from():
    torch.manual_seed(0)
    made = timm.create_model("inception_lite", img_size=90)
    assert made.map_size == (1, 1)
    made(torch.rand(2, 1, 90, 90)).sum().backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in made.parameters())
