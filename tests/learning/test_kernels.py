import pytest
import torch
from torch import nn

from ensemble_mammo.learning.kernels import GAP_PX, GREY, first_kernels, picture_of


def naive_picture(kernels, times, columns):
    """The same grid, pixel by pixel."""
    count, height, width = kernels.shape
    rows = -(-count // columns)
    down, across = height * times + GAP_PX, width * times + GAP_PX
    picture = torch.full((rows * down + GAP_PX, columns * across + GAP_PX), GREY)
    for number, kernel in enumerate(kernels.tolist()):
        values = [value for line in kernel for value in line]
        low, high = min(values), max(values)
        top, left = number // columns * down + GAP_PX, number % columns * across + GAP_PX
        for y in range(height * times):
            for x in range(width * times):
                value = kernel[y // times][x // times]
                picture[top + y, left + x] = (value - low) / (high - low) if high > low else GREY
    return picture


def test_the_picture_is_a_grid_of_enlarged_kernels_each_scaled_by_its_own_extremes():
    kernels = torch.randn(7, 3, 3) * torch.logspace(-8, 3, 7)[:, None, None]
    picture = picture_of(kernels)
    assert picture.shape == (3, 3 * 38 + 2, 3 * 38 + 2)
    assert torch.allclose(picture, naive_picture(kernels, 12, 3).expand(3, -1, -1), atol=1e-6)
    assert picture.min() == 0 and picture.max() == 1


def test_large_and_oblong_kernels_are_enlarged_less():
    assert picture_of(torch.randn(4, 7, 7)).shape == (3, 2 * 44 + 2, 2 * 44 + 2)  # 6 times
    assert picture_of(torch.randn(4, 1, 4)).shape == (3, 2 * 11 + 2, 2 * 38 + 2)  # 9 times
    assert picture_of(torch.randn(1, 50, 50)).shape == (3, 50, 50)


def test_a_kernel_with_one_value_is_grey():
    kernels = torch.stack([torch.full((3, 3), -0.3), torch.arange(9.0).reshape(3, 3)])
    picture = picture_of(kernels)
    assert (picture[:, :38, :38] == GREY).all() and picture.max() == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_first_kernels_act_on_a_grey_image_as_the_convolution_does(channels):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Sequential(nn.Conv2d(channels, 5, 3, bias=False), nn.ReLU()), nn.Conv2d(5, 2, 3))
    kernels = first_kernels(network)
    assert kernels.shape == (5, 3, 3) and not kernels.requires_grad
    image = torch.rand(1, 1, 8, 8)
    expected = network[0][0](image.expand(-1, channels, -1, -1))
    assert torch.allclose(nn.functional.conv2d(image, kernels[:, None]), expected, atol=1e-6)


def test_a_network_without_convolutions_has_no_kernels():
    assert first_kernels(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) is None
