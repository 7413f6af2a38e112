import math

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from ensemble_mammo.merit.localisation import (
    THRESHOLDS,
    energy_inside,
    iou_over_thresholds,
    localised,
    mean_over_images,
)


def blob(shape=(60, 40), row=20, column=10, width=6.0):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2)).astype(np.float32)


def square(shape=(60, 40), top=16, left=6, side=9):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou_at_each_threshold_is_scikit_learns_jaccard_score():
    rng = np.random.default_rng(0)
    map_ = rng.random((30, 20)).astype(np.float32) ** 2 * 0.7
    mask = rng.random((30, 20)) > 0.8
    expected = [jaccard_score(mask.ravel(), (map_ >= t * float(map_.max())).ravel()) for t in THRESHOLDS]
    np.testing.assert_allclose(iou_over_thresholds(map_, mask), expected, atol=1e-12)
    found = localised(map_, mask)
    assert found.iou_best == pytest.approx(max(expected)) and found.iou_mean == pytest.approx(np.mean(expected))


def test_figures_by_hand():
    map_ = np.array([[0, 1, 3, 0], [0, 2, 4, 0], [0, 0, 0, 0]], dtype=np.float32)
    mask = np.array([[0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    area = np.array([[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    found = localised(map_, mask, area, tolerance_px=0)
    assert found.pointing == 1
    assert found.pointing_random == pytest.approx(3 / 5)
    assert found.energy_inside == pytest.approx(7 / 10) == energy_inside(map_, mask)
    assert found.energy_gain == pytest.approx(0.7 / (3 / 5))
    assert found.coverage == pytest.approx(2 / 3)
    assert found.reason == ""


def test_the_highest_point_may_lie_beside_the_mask_by_the_tolerance():
    map_, mask = blob(row=40, column=10), square(top=16, side=10)  # last row 25: 15 away
    assert localised(map_, mask, tolerance_px=15).pointing == 1
    assert localised(map_, mask, tolerance_px=14.9).pointing == 0


def test_of_several_highest_points_the_share_counts():
    map_ = np.zeros((10, 10), np.float32)
    map_[0, 0] = map_[5, 5] = map_[9, 9] = map_[9, 0] = 1
    mask = np.zeros((10, 10), bool)
    mask[5, 5] = True
    assert localised(map_, mask, tolerance_px=0).pointing == 0.25


def test_an_even_map_has_no_gain_and_points_by_chance():
    mask, area = square(), square(top=4, left=2, side=30)
    found = localised(area.astype(np.float32), mask, area, tolerance_px=3)
    assert found.energy_gain == pytest.approx(1)
    assert found.pointing == pytest.approx(found.pointing_random)


@pytest.mark.parametrize(
    ("map_", "mask", "reason"),
    [
        (np.zeros((60, 40)), square(), "nothing speaks for the class"),
        (blob(), np.zeros((60, 40), bool), "mask is empty"),
    ],
)
def test_an_empty_map_or_mask_has_no_figures_and_a_reason(map_, mask, reason):
    found = localised(map_, mask)
    assert reason in found.reason
    assert all(math.isnan(value) for name, value in vars(found).items() if name != "reason")
    if not map_.any():
        assert math.isnan(energy_inside(map_, mask)) and np.isnan(iou_over_thresholds(map_, mask)).all()


def test_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"the map is \(60, 40\), the mask \(40, 60\)"):
        localised(blob(), square((40, 60)))


def test_means_leave_out_what_is_undefined_and_draw_subjects():
    subjects = ["a", "a", "b", "c", "d", "e"]
    values = np.array([1.0, 0.0, np.nan, 1.0, 0.0, 1.0])
    found = mean_over_images(subjects, {"m": values, "none": np.full(6, np.nan)}, 4000, 3)
    assert found["m"].value == pytest.approx(0.6) and math.isnan(found["none"].value)
    rng, means = np.random.default_rng(5), []
    own = {s: values[[i for i, other in enumerate(subjects) if other == s]] for s in set(subjects)}
    for _ in range(4000):  # the same bootstrap as a plain loop
        drawn = np.concatenate([own[s] for s in rng.choice(sorted(own), 5)])
        if np.isfinite(drawn).any():
            means.append(np.nanmean(drawn))
    np.testing.assert_allclose((found["m"].low, found["m"].high), np.percentile(means, [2.5, 97.5]), atol=0.05)
    without = mean_over_images(subjects, {"m": values}, 0, 0)["m"]
    assert without.value == pytest.approx(0.6) and math.isnan(without.low)
