"""Hand-made features against plain NumPy and SciPy."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from ensemble_mammo.learning.networks.measures import (
    BANDS_PX,
    BINS,
    BORDER_PX,
    DEEP_PERCENTILES,
    DEPTH_PX,
    MOMENTS,
    NAMES,
    OTSU,
    PERCENTILES,
    RELATIVE,
    breast,
    measured,
)

HEIGHT, WIDTH = 200, 120


@pytest.fixture(scope="module")
def image():
    """A half disc of coarse and fine texture on black, at the left."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((HEIGHT, WIDTH))
    inside = (rows - HEIGHT / 2) ** 2 + columns**2 < 95**2
    texture = ndimage.gaussian_filter(rng.normal(size=inside.shape), 4) * 2 + 0.05 * rng.normal(size=inside.shape)
    return np.where(inside, np.clip(0.45 + texture, 0.02, 1), 0).astype(np.float32)


@pytest.fixture(scope="module")
def found(image):
    values = measured(torch.from_numpy(image))
    assert values.shape == (len(NAMES),) and values.dtype == torch.float32
    return dict(zip(NAMES, values.tolist(), strict=True))


@pytest.fixture(scope="module")
def mask(image):
    return ndimage.uniform_filter((image > 0).astype(float), 5, mode="constant") > 0.5


@pytest.fixture(scope="module")
def deep(image, mask):
    return image[eroded(mask, DEPTH_PX)].astype(float)


def test_no_name_stands_twice():
    assert len(set(NAMES)) == len(NAMES)


def test_the_breast_is_what_is_mostly_brighter_than_black(image, mask):
    holed = image.copy()
    holed[60, 20] = 0
    assert np.array_equal(breast(torch.from_numpy(image)).numpy(), mask)
    assert np.array_equal(breast(torch.from_numpy(holed)).numpy(), mask)
    assert abs(int(mask.sum()) - int((image > 0).sum())) < 10


def test_percentiles_are_those_of_numpy(found, image, mask):
    wanted = np.percentile(image[mask].astype(float), PERCENTILES)
    assert [found[f"p{share}"] for share in PERCENTILES] == pytest.approx(wanted)


def test_the_deep_part_has_the_percentiles_and_moments_of_numpy_and_scipy(found, deep):
    wanted = np.percentile(deep, DEEP_PERCENTILES)
    assert [found[f"deep_p{share}"] for share in DEEP_PERCENTILES] == pytest.approx(wanted)
    wanted = (deep.mean(), deep.std(), stats.skew(deep), stats.kurtosis(deep))
    assert [found[f"deep_{name}"] for name in MOMENTS] == pytest.approx(wanted, rel=1e-4)


def test_shares_of_the_deep_part_are_above_thresholds_of_the_whole_breast(found, image, mask, deep):
    low, high = np.percentile(image[mask].astype(float), (1, 99))
    for threshold in RELATIVE:
        share = ((deep - low) / (high - low) > threshold).mean()
        assert found[f"deep_above_{threshold}"] == pytest.approx(share, abs=1e-6)


def test_otsu_is_the_best_of_all_thresholds(found, deep):
    bins = np.minimum((deep * BINS).astype(int), BINS - 1)
    centres = (bins + 0.5) / BINS
    between = {}
    for cut in range(1, BINS):
        below, above = centres[bins < cut], centres[bins >= cut]
        if len(below) and len(above):
            share = len(below) / len(bins)
            between[cut] = share * (1 - share) * (below.mean() - above.mean()) ** 2
    best = max(between, key=between.get)
    wanted = (
        best / BINS,
        (bins >= best).mean(),
        centres[bins < best].mean(),
        centres[bins >= best].mean(),
        between[best] / centres.var(),
    )
    assert [found[f"deep_{name}"] for name in OTSU] == pytest.approx(wanted)


def eroded(mask, px):
    outside = ndimage.maximum_filter((~mask).astype(np.uint8), 2 * px + 1, mode="constant", cval=0)
    return outside == 0


def test_bands_are_differences_of_means_over_the_breast_alone(found, image, mask):
    within = eroded(mask, BORDER_PX)

    def mean(size):
        box = {"size": size, "mode": "constant"}
        return ndimage.uniform_filter(image * mask.astype(float), **box) / ndimage.uniform_filter(
            mask.astype(float), **box
        ).clip(1e-9)

    for fine, coarse in pairwise(BANDS_PX):
        band = (mean(fine) - mean(coarse))[within]
        assert found[f"band_{fine}_absolute"] == pytest.approx(np.abs(band).mean(), rel=1e-4)
        assert found[f"band_{fine}_deviation"] == pytest.approx(band.std(), rel=1e-4)
        assert found[f"band_{fine}_skewness"] == pytest.approx(stats.skew(band), rel=1e-3, abs=1e-4)
        assert found[f"band_{fine}_p95"] == pytest.approx(np.percentile(band, 95), rel=1e-3)


def test_an_image_without_a_breast_gives_zeros():
    assert not measured(torch.zeros(40, 30)).any()


@pytest.mark.parametrize("box", [(0, 40, 0, 30), (10, 14, 10, 14), (0, 40, 5, 6), (3, 9, 0, 30)])
@pytest.mark.parametrize("value", [1.0, 0.3])
def test_flat_and_tiny_breasts_give_finite_features(box, value):
    image = torch.zeros(40, 30)
    image[box[0] : box[1], box[2] : box[3]] = value
    assert torch.isfinite(measured(image)).all()


def test_a_noisy_black_image_gives_finite_features():
    rng = np.random.default_rng(2)
    image = np.where(rng.random((60, 50)) < 0.1, 0.02, 0).astype(np.float32)
    image[20:40, 20:40] = rng.random((20, 20)).astype(np.float32) * (rng.random((20, 20)) < 0.7)
    assert torch.isfinite(measured(torch.from_numpy(image))).all()
