"""What is taken away from mammograms for the probes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.blots import (
    alone,
    area_share,
    blotted,
    breast_of,
    known_boxes,
    outside_only,
    stray_boxes,
    strips,
    surroundings,
    thumbnail,
)
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.subject import View


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    view = phantom_exam(1, "B", height=320)[View.CC_L]
    return np.rint(view * 65535).astype(np.uint16)


def test_nothing_of_the_breast_is_left_outside(pixels: np.ndarray) -> None:
    mask = breast_of(pixels, blackened=False)
    left = outside_only(pixels, mask)
    assert 0.1 < mask.mean() < 0.7
    assert not left[mask].any()
    assert np.array_equal(left[~mask], pixels[~mask])
    assert left.max() > 30_000  # the burned-in marker stays


def test_where_the_outside_was_blackened_nothing_but_black_is_left(pixels: np.ndarray) -> None:
    prepared = np.where(breast_of(pixels, blackened=False), pixels, np.uint16(0))
    assert not outside_only(prepared, breast_of(prepared, blackened=True)).any()


def test_an_image_without_a_breast_counts_as_breast_as_a_whole() -> None:
    empty = np.full((64, 48), 300, np.uint16)
    assert breast_of(empty, blackened=False).all()


def test_a_blot_covers_the_box_and_a_quarter_around_it_with_the_median_elsewhere() -> None:
    image = np.full((100, 80), 1000, np.uint16)
    image[40:60, 20:40] = 60_000
    image[:5] = 0
    result = blotted(image, image > 0, [Box(40, 20, 20, 20)])
    changed = blotted(np.zeros_like(image), image > 0, [Box(40, 20, 20, 20)])
    assert set(np.unique(result)) == {0, 1000}
    assert not changed.any()
    marked = blotted(np.arange(8000, dtype=np.uint16).reshape(100, 80), np.ones((100, 80), bool), [Box(40, 20, 20, 20)])
    same = marked == marked[50, 30]
    assert same[35:65, 15:45].all()
    assert same.sum() in (900, 901)


def test_two_lesions_of_different_brightness_leave_the_same_image_when_blotted() -> None:
    dark, bright = (np.full((60, 60), 5000, np.uint16) for _ in range(2))
    dark[20:30, 20:30], bright[20:30, 20:30] = 9000, 65_000
    everywhere = np.ones((60, 60), bool)
    box = [Box(20, 20, 10, 10)]
    assert np.array_equal(blotted(dark, everywhere, box), blotted(bright, everywhere, box))


def test_a_box_over_the_edge_is_blotted_as_far_as_there_is_image() -> None:
    image = np.arange(100, dtype=np.uint16).reshape(10, 10)
    result = blotted(image, np.ones((10, 10), bool), [Box(-4, -4, 6, 6)])
    assert (result[:3, :3] == result[0, 0]).all()
    assert np.array_equal(result[4:, 4:], image[4:, 4:])


def test_an_image_blotted_as_a_whole_is_black() -> None:
    image = np.full((10, 10), 7, np.uint16)
    assert not blotted(image, np.ones((10, 10), bool), [Box(0, 0, 10, 10)]).any()


def test_stray_blots_lie_in_the_breast_with_the_sizes_given_and_repeat_with_the_seed(pixels: np.ndarray) -> None:
    mask = breast_of(pixels, blackened=False)
    sizes = [Box(0, 0, 20, 31), Box(5, 5, 7, 9)]
    boxes = stray_boxes(mask, sizes, seed=3)
    assert [(box.height, box.width) for box in boxes] == [(20, 31), (7, 9)]
    assert all(mask[box.top + box.height // 2, box.left + box.width // 2] for box in boxes)
    assert boxes == stray_boxes(mask, sizes, seed=3)
    assert boxes != stray_boxes(mask, sizes, seed=4)
    assert stray_boxes(np.zeros((5, 5), bool), sizes, seed=0) == []


def test_what_is_left_alone_is_what_a_blot_hides() -> None:
    image = np.random.default_rng(0).integers(1, 65_536, (60, 50)).astype(np.uint16)
    boxes = [Box(10, 30, 8, 12), Box(50, -3, 20, 8)]
    naive = np.zeros((60, 50), bool)
    for row in range(60):
        for column in range(50):
            naive[row, column] = (8 <= row < 20 and 27 <= column < 45) or (row >= 45 and column < 7)
    kept = alone(image, boxes)
    assert np.array_equal(surroundings(image.shape, boxes), naive)
    assert np.array_equal(kept, image * naive)
    hidden = blotted(image, np.ones(image.shape, bool), boxes)
    assert np.array_equal(hidden[~naive], image[~naive])
    assert set(hidden[naive]) == {np.uint16(np.median(image[~naive]))}
    assert not alone(image, []).any()


def test_the_area_is_that_of_the_largest_box_as_a_share_of_the_breast() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10] = True
    assert area_share(mask, [Box(0, 0, 4, 5), Box(3, 3, 6, 5)]) == pytest.approx(30 / 200)
    assert area_share(mask, [Box(0, 0, 20, 20)]) == 1
    assert area_share(mask, []) == 0
    assert np.isnan(area_share(np.zeros((4, 4), bool), [Box(0, 0, 2, 2)]))


def test_boxes_come_from_lesions_with_a_mask_and_one_without_numbers_is_named() -> None:
    names = ["lesion_id", "image_id", "mask", "top", "left", "height", "width"]
    rows = [("a1", "a", "m.png", "1", "2", "3", "4"), ("a2", "a", "", "", "", "", ""), ("b1", "b", "", "", "", "", "")]
    assert known_boxes(pd.DataFrame(rows, columns=names)) == {"a": (Box(1, 2, 3, 4),), "b": ()}
    damaged = pd.DataFrame([("a1", "a", "m.png", "", "2", "3", "4")], columns=names)
    with pytest.raises(DatasetError, match="lesion a1 has a mask, but top, left, height and width are '', '2'"):
        known_boxes(damaged)


def test_a_thumbnail_has_32_by_32_values_from_0_to_1(pixels: np.ndarray) -> None:
    small = thumbnail(pixels)
    assert small.shape == (1024,)
    assert 0 <= small.min() < small.max() <= 1


def test_strips_measure_the_four_edges_and_nothing_else() -> None:
    image = np.zeros((800, 400), np.uint16)
    image[10:-10, 10:-10] = 50_000
    assert not strips(image).any()
    image[:6] = 65_535
    values = strips(image).reshape(4, 6)
    assert values[0] == pytest.approx([1, 0, 1, 1, 1, 1])
    assert not values[1].any()
    assert values[2][0] == pytest.approx(6 / 800)
