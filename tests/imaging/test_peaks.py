import math

import numpy as np
import pytest
from scipy import ndimage

from ensemble_mammo.imaging.peaks import peaks, regions, smoothed


def bumps(shape, places, width=2.0):
    """Gaussian hills of given heights at given cells."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return sum(h * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * width**2)) for r, c, h in places)


def noise(seed, shape=(30, 40), width=1.5):
    made = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), width)
    return (made - made.min()) / np.ptp(made)


# ---- smoothing


def test_smoothing_is_the_mean_of_the_cells_that_have_a_value_weighted_by_a_gaussian():
    values = np.random.default_rng(3).random((12, 15))
    values[:4, :6] = np.nan
    values[8, 9] = np.nan
    found, sigma, reach = smoothed(values, 1.3), 1.3, 5  # 4 deviations, as scipy cuts it
    for row in range(12):
        for column in range(15):
            total = weight = 0.0
            for r in range(max(0, row - reach), min(12, row + reach + 1)):
                for c in range(max(0, column - reach), min(15, column + reach + 1)):
                    if np.isfinite(values[r, c]):
                        share = math.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * sigma**2))
                        total, weight = total + share * values[r, c], weight + share
            expected = total / weight if np.isfinite(values[row, column]) else math.nan
            assert found[row, column] == pytest.approx(expected, nan_ok=True)


def test_no_smoothing_leaves_the_values_as_they_are():
    values = np.array([[0.25, np.nan], [1.0, 0.5]], np.float32)
    np.testing.assert_array_equal(smoothed(values, 0), values)


# ---- maxima


@pytest.mark.parametrize("seed", range(5))
def test_maxima_are_those_of_a_plain_search_that_drops_lower_ones_nearby(seed):
    values, apart = noise(seed), 4.5
    values[:5, :7] = np.nan
    tops = []
    for r in range(30):
        for c in range(40):
            around = [
                values[i, j]
                for i in range(max(0, r - 1), min(30, r + 2))
                for j in range(max(0, c - 1), min(40, c + 2))
                if (i, j) != (r, c) and np.isfinite(values[i, j])
            ]
            if values[r, c] >= 0.2 and all(values[r, c] > other for other in around):
                tops.append((values[r, c], r, c))
    kept = []
    for value, r, c in sorted(tops, reverse=True):
        if all(math.hypot(r - one[1], c - one[2]) >= apart for one in kept):
            kept.append((value, r, c))
    assert len(kept) > 5
    assert [(one.score, one.row, one.column) for one in peaks(values, apart, 8, 100, 0.2)] == kept
    assert [(one.score, one.row, one.column) for one in peaks(values, apart, 8, 3, 0.2)] == kept[:3]


def test_of_two_near_maxima_the_higher_one_stays_and_far_ones_both_do():
    values = bumps((30, 40), [(10, 10, 0.9), (10, 15, 0.6), (22, 30, 0.7)], 1.2)
    assert [(one.row, one.column) for one in peaks(values, 8, 6, least=0.05)] == [(10, 10), (22, 30)]
    assert [(one.row, one.column) for one in peaks(values, 4, 6, least=0.05)] == [(10, 10), (22, 30), (10, 15)]
    assert [(one.row, one.column) for one in peaks(values, 4, 6, least=0.65)] == [(10, 10), (22, 30)]


def test_a_flat_top_is_one_maximum_in_its_middle_and_a_step_is_none():
    values = np.zeros((20, 30))
    values[5:10, 4:11] = 1.0
    assert [(one.row, one.column) for one in peaks(values, 3, 8, least=0.1)] == [(7, 7)]
    values[4:14, 15:28] = 0.6  # a terrace with a tower on it
    values[8:11, 25:28] = 0.8
    assert [(one.row, one.column) for one in peaks(values, 3, 8, least=0.1)] == [(7, 7), (9, 26)]


def test_a_grid_without_values_has_no_maximum():
    assert peaks(np.full((4, 5), np.nan), 1, 2) == []
    assert peaks(np.zeros((4, 5)), 1, 2, least=0.05) == []


# ---- boxes


def test_a_box_encloses_what_has_half_of_the_peak_and_is_connected_to_it():
    values = np.zeros((30, 40))
    values[10:15, 10:19] = 0.6
    values[12, 14] = 1.0
    values[13, 19] = 0.49  # below half
    values[20:22, 14] = 0.8  # not connected
    (one, _) = peaks(values, 3, 16, least=0.1)
    assert (one.row, one.column, one.score) == (12, 14, 1.0)
    assert (one.top, one.left, one.height, one.width) == (9.5, 9.5, 5, 9)


def test_a_box_is_no_larger_than_a_patch_around_its_peak():
    values = bumps((60, 60), [(30, 30, 1.0)], 20.0)
    (one,) = peaks(values, 8, 16, least=0.1)
    assert (one.top, one.left, one.height, one.width) == (22.5, 22.5, 15, 15)


@pytest.mark.parametrize("patch", [16.0, 4.0, 0.5])
def test_a_maximum_too_thin_to_have_a_size_has_a_patch_around_it(patch):
    values = np.zeros((40, 40))
    values[20, 20] = 1.0
    (one,) = peaks(values, 2, patch, least=0.1)
    assert (one.top, one.left, one.height, one.width) == (20 - patch / 2, 20 - patch / 2, patch, patch)


# ---- regions


def test_the_largest_region_of_several_is_measured_and_all_are_counted():
    values = np.zeros((20, 20))
    values[2:6, 3:13] = 0.8  # 4 x 10
    values[4, 5] = 1.0
    values[10:12, 2:4] = 0.9
    values[12, 4] = 0.9  # touches by a corner
    found = regions(values, 0.5)
    assert (found.count, found.area, found.extent) == (2, 40, 1.0)
    assert found.eccentricity == pytest.approx(math.sqrt(1 - (4**2 - 1) / (10**2 - 1)))
    assert found.major_axis == pytest.approx(4 * math.sqrt((10**2 - 1) / 12))
    assert found.mean == pytest.approx((39 * 0.8 + 1) / 40) and found.maximum == 1.0
    assert found.share == pytest.approx(45 / 400)


def test_an_ellipse_has_its_own_eccentricity_and_long_axis():
    rows, columns = np.mgrid[:200, :300]
    across, down = columns - 150, rows - 100
    turned = (across * 0.8 + down * 0.6) / 90, (-across * 0.6 + down * 0.8) / 40
    found = regions(((turned[0] ** 2 + turned[1] ** 2) <= 1).astype(float), 0.5)
    assert found.area == pytest.approx(math.pi * 90 * 40, rel=0.005)
    assert found.eccentricity == pytest.approx(math.sqrt(1 - (40 / 90) ** 2), abs=0.003)
    assert found.major_axis == pytest.approx(180, rel=0.005)


def test_a_disc_is_round_and_fills_pi_quarters_of_its_box():
    rows, columns = np.mgrid[:200, :200]
    found = regions((np.hypot(rows - 100, columns - 100) <= 80).astype(float), 0.5)
    assert found.eccentricity < 0.02
    assert found.extent == pytest.approx(math.pi * 80**2 / 161**2, rel=0.005)


def test_cells_without_a_value_belong_to_no_region_and_to_no_area():
    values = np.full((10, 10), np.nan)
    values[:5] = 0.2
    values[0, 0] = 0.9
    found = regions(values, 0.5)
    assert (found.count, found.area, found.eccentricity, found.major_axis) == (1, 1, 0.0, 0.0)
    assert found.share == pytest.approx(1 / 50)


def test_without_a_region_counts_are_zero_and_shapes_are_undefined():
    found = regions(np.zeros((5, 5)), 0.5)
    assert (found.count, found.area, found.share) == (0, 0, 0.0)
    shapes = found.eccentricity, found.extent, found.major_axis, found.mean, found.maximum
    assert np.isnan(shapes).all()
    assert math.isnan(regions(np.full((5, 5), np.nan), 0.5).share)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cutoff", [0.3, 0.7])
def test_regions_are_those_of_scikit_image(seed, cutoff):
    measure = pytest.importorskip("skimage.measure")
    values = noise(seed)
    found = regions(values, cutoff)
    theirs = measure.regionprops(measure.label(values >= cutoff), values)
    largest = max(theirs, key=lambda one: one.area)
    assert (found.count, found.area) == (len(theirs), largest.area)
    for name, other in (
        ("eccentricity", "eccentricity"),
        ("extent", "extent"),
        ("major_axis", "axis_major_length"),
        ("mean", "intensity_mean"),
        ("maximum", "intensity_max"),
    ):
        assert getattr(found, name) == pytest.approx(getattr(largest, other))
