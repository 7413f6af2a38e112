"""What is drawn over the original pixels."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.overlay import contours, draw_boxes, draw_contours, grey_rgb, overlay, sheet
from ensemble_mammo.records.subject import View


def bump(height: int = 60, width: int = 80) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.exp(-((rows - 20) ** 2 + (columns - 50) ** 2) / (2 * 8.0**2))


def test_overlay_leaves_the_pixels_where_the_map_is_zero():
    pixels = np.linspace(0, 1, 4800).reshape(60, 80)
    map_ = np.zeros((60, 80))
    np.testing.assert_array_equal(overlay(pixels, map_), grey_rgb(pixels))
    map_[10:20] = 1
    found = overlay(pixels, map_)
    assert found.dtype == np.uint8 and found.shape == (60, 80, 3)
    assert (found[10:20] != grey_rgb(pixels)[10:20]).any() and np.array_equal(found[30:], grey_rgb(pixels)[30:])


def test_overlay_takes_nan_as_nothing_and_refuses_another_size():
    np.testing.assert_array_equal(overlay(np.zeros((4, 4)), np.full((4, 4), np.nan)), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"the map is \(3, 4\), expected \(4, 4\)"):
        overlay(np.zeros((4, 4)), np.zeros((3, 4)))


def test_contours_lie_where_the_values_are():
    (line,) = contours(bump(), [0.5])[0.5]
    radius = np.hypot(line[:, 0] - 50, line[:, 1] - 20)
    np.testing.assert_allclose(radius, 8 * np.sqrt(2 * np.log(2)), atol=0.05)
    np.testing.assert_array_equal(line[0], line[-1])


def test_the_hottest_part_has_no_hole():
    plateau = np.clip(2 * bump(), 0, 1)
    assert len(contours(plateau, [0.9])[0.9]) == 1


def test_a_region_at_the_edge_is_closed_along_it():
    map_ = np.zeros((20, 20))
    map_[5:15, :6] = 1
    (line,) = contours(map_, [0.5])[0.5]
    assert line.min() >= 0 and np.array_equal(line[0], line[-1]) and (line[:, 0] == 0).any()
    assert contours(np.zeros((5, 5)), [0.5])[0.5] == []


def test_contours_are_drawn_over_a_copy():
    picture = grey_rgb(np.zeros((60, 80)))
    drawn = draw_contours(picture, contours(bump(), [0.3, 0.6]))
    assert picture.max() == 0 and drawn.max() > 100 and drawn.shape == picture.shape


def test_the_sheet_hangs_right_breasts_on_the_left():
    panels = {view: np.full((100, 60, 3), 50 * (place + 1), np.uint8) for place, view in enumerate(View)}
    page = sheet(panels, {View.CC_R: "C 0.71"}, heading="subject 1", panel_height=100)

    def where(value):
        rows, columns = np.nonzero((page == value).all(axis=2))
        return rows.mean(), columns.mean()

    places = {view: where(50 * (place + 1)) for place, view in enumerate(View)}
    assert places[View.CC_R][1] < places[View.CC_L][1] and places[View.MLO_R][1] < places[View.MLO_L][1]
    assert places[View.CC_R][0] < places[View.MLO_R][0] and places[View.CC_L][0] < places[View.MLO_L][0]


def test_panels_meet_in_the_middle_and_a_missing_view_is_said():
    narrow, wide = np.full((100, 30, 3), 200, np.uint8), np.full((100, 80, 3), 77, np.uint8)
    page = sheet({View.CC_R: narrow, View.CC_L: wide}, panel_height=100)
    right = np.nonzero((page == 200).all(axis=2).sum(axis=0) > 50)[0]
    left = np.nonzero((page == 77).all(axis=2).sum(axis=0) > 50)[0]
    assert 0 < left.min() - right.max() <= 6
    lower = page[page.shape[0] // 2 + 30 :]
    assert (lower > 120).any(), "words stand where the MLO views would"
    assert sheet({}, panel_height=100).ndim == 3


def test_boxes_are_drawn_at_their_edges_with_their_text_above_or_below():
    plain = np.zeros((100, 80, 3), np.uint8)
    found = draw_boxes(plain, [Box(40, 20, 30, 25), Box(2, 50, 10, 20)], ["0.9", "0.1"], "#ffffff")
    assert not plain.any() and found.shape == plain.shape
    for row, column in ((40, 20), (69, 20), (40, 44), (69, 44), (2, 50), (11, 69)):
        assert found[row, column].tolist() == [255, 255, 255]
    assert not found[45:65, 25:40].any() and not found[72:].any()
    assert found[28:39, 20:45].any() and not found[0, :45].any()
    assert found[14:26, 50:].any()
