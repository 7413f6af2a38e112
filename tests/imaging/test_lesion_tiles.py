"""Where tiles lie around lesions: each published rule, over many random lesions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ensemble_mammo.imaging.breast import Box, breast_box
from ensemble_mammo.imaging.lesion_tiles import (
    CONTEXT_FILM_PX,
    CROPS,
    LONG,
    METHODS,
    PADDING,
    Site,
    lesion_squares,
    padded,
)
from ensemble_mammo.imaging.tiles import Scale

SHAPE = (300, 200)
COVER = 60  # a tenth of the film's scale


def site(top, left, height, width):
    mask = np.zeros(SHAPE, bool)
    mask[max(0, top) : top + height, max(0, left) : left + width] = True
    return Site(mask, breast_box(mask), Scale(0.1, Box(0, 0, *SHAPE)))


def some_sites(largest, count=150):
    rng = np.random.default_rng(7)
    for _ in range(count):
        height, width = rng.integers(1, largest, 2).tolist()
        yield site(int(rng.integers(-5, SHAPE[0] - 5)), int(rng.integers(-5, SHAPE[1] - 5)), height, width), rng


def inside_image(square):
    return all(at >= 0 and at + square.side <= n for at, n in zip((square.top, square.left), SHAPE, strict=True))


def holds(first, side, box_first, length):
    return first <= box_first and box_first + length <= first + side


def directions(square, box):
    yield square.top, box.top, box.height
    yield square.left, box.left, box.width


def by_method(squares, method):
    return [square for square in squares if square.method == method]


def test_the_numbers_are_the_published_ones():
    assert PADDING == (0.2, 0.05) and CROPS == 3 and LONG == 1.5
    assert METHODS["9"] == ("crop",) and METHODS["8"] == ("own-size", "whole", "half")
    added = ("crop", "fixed-context", "padded", "overlapping")
    assert METHODS["6"] == (*METHODS["8"], *added) and set(METHODS) == {"6", "8", "9"}


def test_method_2_gives_three_crops_that_hold_the_padded_lesion_or_lie_within_it():
    for one, rng in some_sites(150):
        squares = lesion_squares("9", one, rng)
        assert [(square.method, square.side) for square in squares] == [("crop", COVER)] * 3
        small = max(one.box.height, one.box.width) <= COVER
        share = 0.2 if small else 0.05
        ends = []
        for first, length, whole in ((one.box.top, one.box.height, 300), (one.box.left, one.box.width, 200)):
            pad = round(length * share)
            ends.append((max(0, first - pad), min(whole, first + length + pad)))
        for square in squares:
            assert inside_image(square) and one.shows(square)
            for first, (low, high) in zip((square.top, square.left), ends, strict=True):
                if high - low <= COVER:
                    assert holds(first, COVER, low, high - low)
                else:
                    assert low <= first and first + COVER <= high


def test_padding_falls_from_20_to_5_percent_where_the_lesion_is_larger_than_a_tile():
    assert (site(100, 50, 60, 40).padding(), site(100, 50, 61, 40).padding()) == (0.2, 0.05)
    assert padded(Box(100, 50, 60, 40), 0.2, SHAPE) == Box(88, 42, 84, 56)
    assert padded(Box(5, 190, 60, 10), 0.2, SHAPE) == Box(0, 188, 77, 12)


def test_a_small_lesion_lies_anywhere_in_its_tile():
    one, rng = site(140, 90, 10, 20), np.random.default_rng(0)
    squares = [square for _ in range(300) for square in lesion_squares("9", one, rng)]
    assert {square.top for square in squares} == set(range(152 - COVER, 138 + 1))  # box padded by 2 and 4
    assert {square.left for square in squares} == set(range(114 - COVER, 86 + 1))


def test_method_1_shows_a_lesion_at_its_own_size_and_whole():
    for one, rng in some_sites(150):
        squares = lesion_squares("8", one, rng)
        (own,), (all_of_it,) = by_method(squares, "own-size"), by_method(squares, "whole")
        assert own.side == COVER and inside_image(own)
        for first, low, length in directions(own, one.box):
            assert holds(first, COVER, low, length) or (low <= first and first + COVER <= low + length)
        assert all_of_it.side == one.longer + 2 * round(0.2 * one.longer)
        assert all(holds(first, all_of_it.side, low, length) for first, low, length in directions(all_of_it, one.box))
        assert inside_image(all_of_it) or all_of_it.side > min(SHAPE)


def test_method_1_cuts_long_lesions_in_halves():
    rng = np.random.default_rng(0)
    for one, rng in some_sites(120):
        longer, shorter = max(one.box.height, one.box.width), min(one.box.height, one.box.width)
        assert len(by_method(lesion_squares("8", one, rng), "half")) == (2 if longer > 1.5 * shorter else 0)
    down = by_method(lesion_squares("8", site(100, 80, 80, 40), rng), "half")
    assert [(s.top + 30, s.left + 30, s.side) for s in down] == [(120, 100, 60), (160, 100, 60)]
    across = by_method(lesion_squares("8", site(100, 60, 40, 80), rng), "half")
    assert [(s.top + 30, s.left + 30, s.side) for s in across] == [(120, 80, 60), (120, 120, 60)]
    assert not by_method(lesion_squares("8", site(100, 80, 60, 40), rng), "half")  # 1.5 times is not more
    at_the_edge = by_method(lesion_squares("8", site(0, 0, 80, 10), rng), "half")
    assert [(s.top, s.left) for s in at_the_edge] == [(0, 0), (30, 0)]  # shifted into the image


def test_set_6_has_both_methods_and_more():
    rng = np.random.default_rng(0)
    small = Counter(square.method for square in lesion_squares("6", site(100, 80, 20, 25), rng))
    assert small == {"own-size": 1, "whole": 1, "crop": 3, "fixed-context": 1, "padded": 1}
    large = lesion_squares("6", site(100, 60, 90, 50), rng)
    assert Counter(square.method for square in large) == {
        **small,
        "half": 2,
        "overlapping": 2,
    }
    (context,), (pad,) = by_method(large, "fixed-context"), by_method(large, "padded")
    assert (context.side, context.top, context.left) == (90 + 2 * 10, 90, 85 - 55) and CONTEXT_FILM_PX == 100
    assert pad.side == 90 + 2 * round(90 * 0.05) and (pad.top, pad.left) == (145 - 49, 85 - 49)


def test_overlapping_tiles_are_half_a_tile_apart_and_cover_a_large_lesion():
    one = site(50, 40, 170, 100)
    squares = by_method(lesion_squares("6", one, np.random.default_rng(0)), "overlapping")
    assert sorted({s.top for s in squares}) == [50, 80, 110, 140, 160]
    assert sorted({s.left for s in squares}) == [40, 70, 80]
    seen = np.zeros(SHAPE, bool)
    for square in squares:
        assert square.side == COVER
        seen[square.top : square.top + COVER, square.left : square.left + COVER] = True
    assert np.array_equal(seen, one.mask)


@pytest.mark.parametrize("tile_set", ["6", "8", "9"])
def test_every_tile_shows_the_lesion_though_its_box_be_nearly_empty(tile_set):
    mask = np.zeros(SHAPE, bool)
    mask[20, 10:190] = mask[20:280, 10] = True  # an L: most of its box is free
    one = Site(mask, breast_box(mask), Scale(0.1, Box(0, 0, *SHAPE)))
    for seed in range(30):
        squares = lesion_squares(tile_set, one, np.random.default_rng(seed))
        assert squares and all(
            mask[s.top : s.top + s.side, s.left : s.left + s.side].any() for s in squares if s.top >= 0
        )
        assert tile_set != "9" or len(squares) == 3


def test_a_tile_larger_than_its_image_holds_all_of_it():
    mask = np.zeros((40, 50), bool)
    mask[10:15, 10:15] = True
    one = Site(mask, breast_box(mask), Scale(0.1, Box(0, 0, 40, 50)))
    for square in lesion_squares("9", one, np.random.default_rng(0)):
        assert holds(square.top, COVER, 0, 40) and holds(square.left, COVER, 0, 50)
