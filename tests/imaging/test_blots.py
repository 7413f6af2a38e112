"""What is taken away from mammograms for the probes."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.blots import blotted, breast_of, outside_only, stray_boxes, strips, thumbnail
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
