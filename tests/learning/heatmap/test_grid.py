import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from ensemble_mammo.learning.heatmap import Grid, HeatmapOptions, deviation


def grid_of(values, stride=8, first=0.0):
    return Grid(np.asarray(values, np.float32), stride, first, first, 32)


@pytest.mark.parametrize(("stride", "first"), [(8, 0.0), (6, 16.0), (8, -3.5)])
def test_one_hot_place_lands_at_its_centre(stride, first):
    values = np.zeros((9, 8, 2), np.float32)
    values[4, 3, 1] = 1
    image = grid_of(values, stride, first).to_image(60, 50)[..., 1]
    rows, columns = np.mgrid[:60, :50] + 0.5
    total = np.nansum(image)
    assert np.nansum(image * rows) / total == pytest.approx(first + 4 * stride, abs=1e-3)
    assert np.nansum(image * columns) / total == pytest.approx(first + 3 * stride, abs=1e-3)


def test_between_places_values_are_bilinear():
    values = np.random.default_rng(0).random((6, 5, 3)).astype(np.float32)
    image = grid_of(values, 8, 2.0).to_image(50, 40)
    at = RegularGridInterpolator((2 + 8 * np.arange(6), 2 + 8 * np.arange(5)), values)
    points = np.stack(np.meshgrid(np.arange(2, 42) + 0.5, np.arange(2, 34) + 0.5, indexing="ij"), -1)
    inside = points[(points[..., 0] <= 42) & (points[..., 1] <= 34)]
    np.testing.assert_allclose(image[tuple((inside - 0.5).astype(int).T)], at(inside), atol=1e-6)


def test_places_not_looked_at_have_no_share_in_the_image():
    values = np.full((4, 4, 1), np.nan, np.float32)
    values[1, 1] = 0.7
    image = grid_of(values).to_image(24, 24)[..., 0]
    near = np.zeros((24, 24), bool)
    near[:16, :16] = True  # less than a stride from (8, 8)
    np.testing.assert_array_equal(np.isfinite(image), near)
    np.testing.assert_allclose(image[near], 0.7, atol=1e-6)


def test_the_probability_of_a_lesion_is_that_of_all_classes_but_background():
    values = np.array([[[0.5, 0.2, 0.1, 0.1, 0.1], [0.9, 0.1, 0, 0, 0]]])
    np.testing.assert_allclose(grid_of(values).lesion(), [[0.5, 0.1]], atol=1e-6)


def test_the_deviation_is_that_of_the_places_both_looked_at():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 5, 6, 1)).astype(np.float32)
    one[0], other[:, 0] = np.nan, np.nan
    made = [grid_of(np.concatenate([1 - lesion, lesion], -1)) for lesion in (one, other)]
    found = deviation(*made)
    a, b = one[1:, 1:].ravel().astype(float), other[1:, 1:].ravel().astype(float)
    expected = np.sum((a - a.mean()) * (b - b.mean())) / np.sqrt(np.var(a) * np.var(b)) / a.size
    assert found.correlation == pytest.approx(expected, abs=1e-6)
    assert found.mean_difference == pytest.approx(np.abs(a - b).mean(), abs=1e-6)
    assert found.largest_difference == pytest.approx(np.abs(a - b).max(), abs=1e-6)
    assert found.places == 20


def test_without_places_or_without_variation_the_deviation_is_nan():
    nothing = grid_of(np.full((2, 2, 2), np.nan))
    assert np.isnan(deviation(nothing, nothing).mean_difference)
    assert deviation(nothing, nothing).places == 0
    flat = deviation(grid_of(np.full((2, 2, 2), 0.5)), grid_of(np.random.default_rng(0).random((2, 2, 2))))
    assert np.isnan(flat.correlation)
    assert flat.largest_difference > 0


def test_grids_of_other_places_are_not_compared():
    with pytest.raises(ValueError, match="stride_px is 8 and 4: two different grids"):
        deviation(grid_of(np.zeros((2, 2, 2))), grid_of(np.zeros((2, 2, 2)), 4))
    with pytest.raises(ValueError, match="expected the same shape"):
        deviation(grid_of(np.zeros((2, 2, 2))), grid_of(np.zeros((2, 3, 2))))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"mode": "quick"}, "mode is 'quick', expected one of exact, dense"),
        ({"context": "grey"}, "context is 'grey', expected one of zero, reflected"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic', expected one of logit, probability"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"stride_px": 0}, "stride_px is 0, expected 1 or more"),
        ({"padding_px": -2}, "padding_px is -2, expected -1 or more"),
        ({"dilated": -1}, "dilated is -1, expected 0 or more"),
    ],
)
def test_options_outside_their_range_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        HeatmapOptions(**wrong)
