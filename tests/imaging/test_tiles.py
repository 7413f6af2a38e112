"""Scale, normal tiles, cutting and turning, against plain code and the published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.prepared import Placement, placement_of
from ensemble_mammo.imaging.tiles import (
    FACTORS,
    FILM_ROWS,
    NETWORK_PX,
    STRIDES_PX,
    TILE_FILM_PX,
    Scale,
    Square,
    cut,
    drawn_turn,
    mean_and_variance,
    normal_grid,
    normal_side,
    random_squares,
    scale_of,
    turned,
)
from ensemble_mammo.records.preparation import Preparation


def whole(rows, columns):
    return Placement(rows, columns, 0, 0, rows, columns, rows, columns, 0, 0, rows, columns)


def test_the_numbers_are_the_published_ones():
    assert (FILM_ROWS, TILE_FILM_PX, NETWORK_PX) == (5295, 598, 299)
    assert (FACTORS, STRIDES_PX) == ((1.8, 3.2), (150, 200))


@pytest.mark.parametrize(("rows", "cover"), [(5295, 598), (800, 90), (1024, 116), (2048, 231)])
def test_a_tile_of_598_film_pixels_scales_with_the_rows(rows, cover):
    assert scale_of(whole(rows, 600), 0).cover_px == cover


def test_mini_mias_enlarged_as_published_is_cut_at_299():
    assert scale_of(whole(round(1024 * 2.58), 2642), 0).cover_px == pytest.approx(299, abs=1)


def test_a_cropped_image_has_the_scale_of_its_whole_film():
    placement = placement_of((1000, 700), Box(100, 0, 500, 300), Preparation(height=800))
    assert scale_of(placement, 0).factor == pytest.approx(800 * 1000 / 500 / 5295)
    padded = placement_of((1000, 1000), Box(0, 0, 500, 1000), Preparation(height=800, width=400))
    assert (padded.scaled_height, padded.scaled_width) == (200, 400)
    assert scale_of(padded, 0).factor == pytest.approx(200 * 1000 / 500 / 5295)


def test_the_film_is_trimmed_by_seven_percent_on_each_side():
    assert scale_of(whole(1000, 600), 0.07).area == Box(70, 42, 860, 516)


@pytest.mark.parametrize("seed", range(8))
def test_trimming_a_crop_takes_off_what_lies_beyond_the_films_trimmed_frame(seed):
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 100, 2).tolist()
    height, width = rng.integers(150, 200, 2).tolist()
    placement = placement_of((300, 300), Box(top, left, height, width), Preparation(height=height * 2, width=500))
    area = scale_of(placement, 0.1).area
    for row in range(placement.height):
        for column in (area.left, 0, placement.width - 1):
            source = placement.point_to_source(row, column)
            scaled = 0 <= row - placement.pad_top < placement.scaled_height
            scaled &= 0 <= column - placement.pad_left < placement.scaled_width
            expected = scaled and all(30 <= at + 0.5 <= 270 for at in source)
            found = area.top <= row < area.top + area.height and area.left <= column < area.left + area.width
            assert found == expected or min(abs(at + 0.5 - end) for at in source for end in (30, 270)) < 0.6


def test_where_an_image_may_be_turned_over_the_larger_margin_counts_on_both_sides():
    placement = placement_of((100, 100), Box(0, 0, 100, 60), Preparation(height=100))
    assert scale_of(placement, 0.1).area == Box(10, 10, 80, 50)
    assert scale_of(placement, 0.1, either_side=True).area == Box(10, 10, 80, 40)


def test_normal_tiles_of_set_9_are_a_grid_side_by_side():
    scale = Scale(1.0, Box(100, 50, 1900, 1300))
    squares = normal_grid("9", scale, np.random.default_rng(0))
    assert {square.side for square in squares} == {598}
    assert sorted({square.top for square in squares}) == [153, 751, 1349]
    assert sorted({square.left for square in squares}) == [102, 700]
    assert len(squares) == 6


@pytest.mark.parametrize("tile_set", ["6", "8"])
def test_normal_tiles_of_sets_6_and_8_come_from_a_film_made_smaller_at_a_drawn_stride(tile_set):
    scale, sides, strides = Scale(1.0, Box(300, 200, 4600, 2700)), set(), []
    for seed in range(300):
        side, stride = normal_side(tile_set, scale, np.random.default_rng(seed))
        factor = side / 299
        assert 1.8 - 0.002 <= factor <= 3.2 + 0.002
        sides.add(side)
        strides.append(stride / factor)
    assert 149.5 <= min(strides) < 155 and 195 < max(strides) <= 200.5
    assert min(sides) < 1.85 * 299 and max(sides) > 3.15 * 299
    squares = normal_grid(tile_set, scale, np.random.default_rng(5))
    side, stride = normal_side(tile_set, scale, np.random.default_rng(5))
    assert len(squares) == ((4600 - side) // stride + 1) * ((2700 - side) // stride + 1)
    tops = sorted({square.top for square in squares})
    assert set(np.diff(tops)) == {stride} and tops[0] >= 300 and tops[-1] + side <= 4900


def test_no_tile_fits_into_a_small_area():
    scale = Scale(1.0, Box(0, 0, 500, 900))
    rng = np.random.default_rng(0)
    assert normal_grid("9", scale, rng) == [] and random_squares(5, "9", scale, rng) == []


def test_random_tiles_lie_anywhere_in_the_area():
    scale = Scale(0.1, Box(20, 30, 100, 70))
    found = random_squares(2000, "9", scale, np.random.default_rng(0))
    assert len(found) == 2000 and {square.side for square in found} == {60}
    assert {square.top for square in found} == set(range(20, 61))
    assert {square.left for square in found} == set(range(30, 41))


@pytest.mark.parametrize(("top", "left"), [(5, 7), (-4, 3), (28, -6), (-10, 30), (35, 45)])
def test_what_lies_beyond_the_image_is_black(top, left):
    pixels = np.random.default_rng(0).integers(1, 65536, (40, 50)).astype(np.uint16)
    expected = np.zeros((16, 16), np.uint16)
    for row in range(16):
        for column in range(16):
            if 0 <= top + row < 40 and 0 <= left + column < 50:
                expected[row, column] = pixels[top + row, left + column]
    assert np.array_equal(cut(pixels, Square("crop", top, left, 16), 16), expected)


def test_a_tile_that_shrinks_is_averaged_and_an_even_one_stays_even():
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    small = cut(pixels, Square("whole", 0, 0, 64), 16)
    assert abs(float(small.mean()) - pixels.mean()) < 400 and small.std() < pixels.std() / 3
    assert (cut(np.full((64, 64), 777, np.uint16), Square("whole", 3, 5, 40), 32) == 777).all()


def test_turns_are_drawn_evenly_and_lose_no_pixel():
    tile = np.arange(25, dtype=np.uint16).reshape(5, 5)
    rng = np.random.default_rng(0)
    turns = [drawn_turn(rng) for _ in range(1600)]
    assert set(turns) == {f"{quarter}{flips}" for quarter in range(4) for flips in ("", "h", "v", "hv")}
    assert min(turns.count(turn) for turn in set(turns)) > 60
    for turn in set(turns):
        expected = tile.tolist()
        for _ in range(int(turn[0])):  # counter-clockwise: the last column becomes the first row
            expected = [list(row) for row in zip(*expected, strict=True)][::-1]
        if "h" in turn:
            expected = [row[::-1] for row in expected]
        if "v" in turn:
            expected = expected[::-1]
        assert turned(tile, turn).tolist() == expected


def test_mean_and_variance_are_of_values_from_0_to_1():
    assert mean_and_variance(np.array([[0, 65535], [65535, 0]], np.uint16)) == (0.5, 0.25)
