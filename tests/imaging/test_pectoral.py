"""The pectoral muscle of an MLO, against its true place in phantoms and drawn wedges."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.imaging.breast import chest_side, found_breast
from ensemble_mammo.imaging.pectoral import _STEP, _best_path, pectoral_mask
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.subject import Side, View


def phantom(subject, density, view, height=320):
    """A phantom view, its breast, and the wedge that was drawn into it where the sigmoid of its edge is one half."""
    pixels = phantom_exam(subject, density, height=height, views=[view])[view]
    depth = np.random.default_rng((0, subject, "ABCD".index(density))).uniform(0.38, 0.62)  # her first random number
    rows, columns = np.mgrid[:height, : pixels.shape[1]] / height
    wedge = columns < 0.6 * depth * np.clip(1 - rows / 0.62, 0, 1) - 0.01
    breast = found_breast(pixels)
    return pixels, breast, (wedge if view.side == Side.LEFT else wedge[:, ::-1]) & breast


def half_breast(height=400, width=240):
    """An even half-ellipse with the chest wall on the left."""
    rows, columns = np.mgrid[:height, :width]
    breast = ((rows - height / 2) / (height / 2)) ** 2 + (columns / width) ** 2 < 1.2
    noise = np.random.default_rng(0).normal(0, 0.01, breast.shape)
    return np.where(breast, 0.4 + noise, 0).astype(np.float32), breast


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_the_muscle_of_a_phantom_is_found_where_it_was_drawn_or_left_in_where_all_is_dense():
    left_in = []
    for subject, view in product(range(8), (View.MLO_L, View.MLO_R)):
        density = "ABCD"[subject % 4]
        pixels, breast, muscle = phantom(subject, density, view)
        found = pectoral_mask(pixels, breast, chest_side(breast))
        assert found.shape == breast.shape and found.dtype == bool
        assert (found & ~muscle).sum() < 0.01 * breast.sum()
        if found.any():
            assert overlap(found, muscle) > 0.8, (subject, view)
        else:
            left_in.append(density)
    assert len(left_in) <= 2 and set(left_in) <= {"D"}


@pytest.mark.parametrize("view", [View.CC_L, View.CC_R])
@pytest.mark.parametrize(("subject", "density"), [(0, "A"), (1, "B"), (2, "C"), (3, "D")])
def test_where_no_muscle_is_next_to_nothing_is_cut(subject, density, view):
    pixels = phantom_exam(subject, density, height=320, views=[view])[view]
    breast = found_breast(pixels)
    assert pectoral_mask(pixels, breast, chest_side(breast)).sum() < 0.03 * breast.sum()


def test_an_even_breast_and_one_bright_elsewhere_have_no_muscle():
    values, breast = half_breast()
    assert not pectoral_mask(values, breast, "left").any()
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    disc = (rows - 220) ** 2 + (columns - 120) ** 2 < 60**2
    assert not pectoral_mask(np.where(disc, np.float32(0.8), values), breast, "left").any()


@pytest.mark.parametrize(("top", "foot"), [(60, 180), (100, 160), (140, 300), (50, 330)])
def test_straight_wedges_of_any_angle_are_found(top, foot):
    values, breast = half_breast()
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    wedge = (columns / top + rows / foot < 1) & breast
    found = pectoral_mask(np.where(wedge, values + np.float32(0.2), values), breast, "left")
    assert overlap(found, wedge) > 0.88


def test_a_wedge_darker_than_the_breast_is_none():
    values, breast = half_breast()
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    dark = np.where(columns / 100 + rows / 200 < 1, values - np.float32(0.2) * breast, values)
    assert not pectoral_mask(dark, breast, "left").any()


def test_a_bulging_border_is_followed_beyond_the_line():
    values, breast = half_breast()
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    wedge = (columns < 110 * (1 - (rows / 240) ** 1.5)) & breast
    found = pectoral_mask(np.where(wedge, values + np.float32(0.2), values), breast, "left")
    assert overlap(found, wedge) > 0.92


def test_the_other_side_gives_the_mirror_image():
    pixels, breast, _ = phantom(1, "B", View.MLO_L)
    left = pectoral_mask(pixels, breast, "left")
    right = pectoral_mask(pixels[:, ::-1], breast[:, ::-1], "right")
    assert left.any()
    np.testing.assert_array_equal(right[:, ::-1], left)


def test_a_lost_aspect_and_an_offset_of_the_grey_values_change_little():
    pixels, breast, _ = phantom(1, "B", View.MLO_L)
    found = pectoral_mask(pixels, breast, "left")
    size = (round(1.6 * pixels.shape[1]), pixels.shape[0])
    wide = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    broad = np.asarray(Image.fromarray(breast).resize(size))
    back = Image.fromarray(pectoral_mask(wide, broad, "left")).resize(breast.shape[::-1])
    assert overlap(np.asarray(back), found) > 0.95
    faint = pectoral_mask((0.3 + 0.3 * pixels).astype(np.float32), breast, "left")
    assert overlap(faint, found) > 0.95


@pytest.mark.parametrize("side", ["", "chest"])
def test_without_a_side_nothing_is_looked_for(side):
    pixels, breast, _ = phantom(1, "B", View.MLO_L)
    assert not pectoral_mask(pixels, breast, side).any()


def test_an_empty_mask_and_a_tiny_breast_have_no_muscle():
    values = np.zeros((100, 80), np.float32)
    breast = np.zeros(values.shape, bool)
    assert not pectoral_mask(values, breast, "left").any()
    breast[40:60, :20] = True
    assert not pectoral_mask(values, breast, "left").any()
    with pytest.raises(ValueError, match=r"values \(100, 80\) and breast \(80, 100\) differ"):
        pectoral_mask(values, breast.T, "left")


def test_the_best_path_is_the_best_of_all_paths():
    gain = np.random.default_rng(1).normal(size=(4, 5))
    worth = {
        path: sum(gain[place, point] for point, place in enumerate(path))
        - _STEP * sum(a != b for a, b in pairwise(path))
        for path in product(range(4), repeat=5)
        if all(abs(a - b) <= 1 for a, b in pairwise(path))
    }
    assert tuple(_best_path(gain)) == max(worth, key=worth.get)


def test_a_black_strip_along_the_chest_wall_changes_nothing():
    pixels, breast, muscle = phantom(1, "B", View.MLO_L)
    strip = (np.zeros((len(pixels), 12), np.float32), np.ones((len(pixels), 12), bool))
    found = pectoral_mask(
        np.hstack([strip[0], pixels]), np.hstack([strip[1] & breast.any(axis=1)[:, None], breast]), "left"
    )
    assert overlap(found[:, 12:], muscle) > 0.9 and not found[:, :8].any()
