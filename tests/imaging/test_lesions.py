"""Lesions land where they should: in the source, and in the prepared image whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.imaging.breast import breast_box
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.lesions import LesionProblem, lesion_mask, prepared_mask
from ensemble_mammo.imaging.prepared import prepare_pixels
from ensemble_mammo.imaging.read import Mammogram
from ensemble_mammo.records.lesion import Outline
from ensemble_mammo.records.preparation import Preparation

SHAPE = (400, 300)
SPOT = Outline("box", ((60, 150), (80, 180)))
"""Rows 150 to 179, columns 60 to 79: the bright spot of `film`."""


def film(mirrored=False):
    """A round breast against the left edge, dark grey, with a bright spot where SPOT lies."""
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    pixels = np.where((rows - 200) ** 2 + columns**2 * 1.4 < 170**2, 0.4, 0.0).astype(np.float32)
    pixels[150:180, 60:80] = 1.0
    pixels = pixels[:, ::-1].copy() if mirrored else pixels
    return Mammogram(pixels, HeaderFacts("png", *SHAPE, 8), "")


def box_of(mask):
    box = breast_box(mask)
    return box.top, box.left, box.top + box.height, box.left + box.width


def drawn(outline, shape=SHAPE):
    return lesion_mask([outline], shape)[0]


def test_a_box_covers_the_pixels_between_its_corners():
    mask = drawn(SPOT)
    assert box_of(mask) == (150, 60, 180, 80) and mask.sum() == 30 * 20


def test_a_box_with_broken_corners_covers_the_pixels_whose_centres_lie_within():
    assert box_of(drawn(Outline("box", ((10.6, 20.4), (14.4, 22.6))))) == (20, 11, 23, 14)
    assert drawn(Outline("box", ((10.1, 20.1), (10.2, 20.2)))).sum() == 1


def test_a_polygon_is_filled():
    mask = drawn(Outline("polygon", ((50, 100), (150, 100), (150, 200), (50, 200))))
    assert box_of(mask) == (100, 50, 201, 151) and mask[150, 100] and mask.sum() == 101 * 101
    triangle = drawn(Outline("polygon", ((50, 100), (150, 100), (50, 200))))
    assert triangle[110, 60] and not triangle[190, 140]


def test_a_circle_has_its_radius_around_its_centre():
    mask = drawn(Outline("circle", ((100, 200),), radius=30))
    assert box_of(mask) == (170, 70, 231, 131)
    assert mask.sum() == pytest.approx(np.pi * 30.5**2, rel=0.02)


def test_each_single_point_is_a_small_disc():
    mask = drawn(Outline("points", ((10, 20), (200, 300))))
    assert mask[20, 10] and mask[300, 200] and 10 < mask.sum() < 60


def test_runs_are_rectangles_pair_after_pair_without_gaps_when_scaled():
    columns = Outline("runs", tuple(c for x in range(20, 40) for c in ((x, 50), (x + 1, 90))), frame=(200, 150))
    mask = drawn(columns, (430, 317))
    top, left, bottom, right = box_of(mask)
    assert mask[top:bottom, left:right].all()
    assert (top, left, bottom, right) == (
        round(50 * 2.15),
        round(20 * 317 / 150),
        round(90 * 2.15),
        round(40 * 317 / 150),
    )


@pytest.mark.parametrize(
    ("outline", "box"),
    [
        (Outline("box", ((20, 10), (40, 30)), frame=(100, 100)), (40, 60, 120, 120)),
        (Outline("circle", ((50, 50),), 10, (100, 100)), (160, 120, 241, 181)),
        (Outline("polygon", ((20, 10), (40, 10), (40, 30)), frame=(800, 600)), (5, 10, 16, 21)),
        (Outline("points", ((1500, 2000),), frame=(4000, 3000)), (198, 148, 203, 153)),
    ],
)
def test_points_of_another_frame_are_scaled_to_the_image(outline, box):
    assert box_of(drawn(outline)) == box


def test_the_outlines_of_a_lesion_are_one_mask():
    mask, note = lesion_mask([SPOT, Outline("box", ((0, 0), (2, 2)))], SHAPE)
    assert mask[0, 0] and mask[160, 70] and mask.sum() == 600 + 4 and note == ""


def test_a_lesion_without_outline_or_beyond_the_image_has_no_mask():
    with pytest.raises(LesionProblem, match="the archive does not say where it lies"):
        lesion_mask([], SHAPE)
    with pytest.raises(LesionProblem, match="nothing of it lies within the image"):
        lesion_mask([Outline("box", ((310, 10), (330, 30)))], SHAPE)


def mask_file(folder, name, array):
    Image.fromarray(array).save(folder / name)
    return folder / name


def two_valued(shape, box=(10, 20, 30, 50), high=255):
    values = np.zeros(shape, np.uint8)
    values[box[0] : box[2], box[1] : box[3]] = high
    return values


def test_a_mask_file_is_told_from_a_crop_by_its_content_not_by_its_name(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    crop = mask_file(tmp_path, "mask.png", noise)
    mask = mask_file(tmp_path, "crop.png", two_valued(SHAPE))
    found, note = lesion_mask([Outline("mask", masks=(crop, mask))], SHAPE)
    np.testing.assert_array_equal(found, two_valued(SHAPE) > 0)
    assert note == ""


def test_a_dim_mask_counts_by_its_two_values(tmp_path):
    path = mask_file(tmp_path, "m.png", two_valued(SHAPE, high=1))
    assert box_of(lesion_mask([Outline("mask", masks=(path,))], SHAPE)[0]) == (10, 20, 30, 50)


def test_a_mask_of_the_films_aspect_is_scaled_and_said(tmp_path):
    path = mask_file(tmp_path, "m.png", two_valued((800, 600)))
    found, note = lesion_mask([Outline("mask", masks=(path,))], SHAPE)
    assert box_of(found) == (5, 10, 15, 25) and note == "mask of 800 x 600 pixels scaled to the film's 400 x 300"


def test_a_mask_of_the_films_size_wins_over_one_that_must_be_scaled(tmp_path):
    scaled = mask_file(tmp_path, "a.png", two_valued((800, 600)))
    exact = mask_file(tmp_path, "b.png", two_valued(SHAPE, (100, 100, 120, 140)))
    found, note = lesion_mask([Outline("mask", masks=(scaled, exact))], SHAPE)
    assert box_of(found) == (100, 100, 120, 140) and note == ""


def test_masks_that_do_not_fit_are_named_with_the_reason(tmp_path):
    other = mask_file(tmp_path, "other.png", two_valued((400, 400)))
    crop = mask_file(tmp_path, "crop.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    empty = mask_file(tmp_path, "empty.png", np.zeros(SHAPE, np.uint8))
    with pytest.raises(LesionProblem) as caught:
        lesion_mask([Outline("mask", masks=(other, crop, empty))], SHAPE)
    text = str(caught.value)
    assert "other.png: a mask of 400 x 400 pixels on a film of 400 x 300, whose aspect differs" in text
    assert "crop.png: has more values than two, so it is a crop" in text and "empty.png: is empty" in text
    with pytest.raises(LesionProblem, match=r"gone\.png: "):
        lesion_mask([Outline("mask", masks=(tmp_path / "gone.png",))], SHAPE)


PREPARATIONS = {
    "cropped": Preparation(height=200),
    "enlarged": Preparation(height=900),
    "whole": Preparation(height=200, crop=False),
    "its own size": Preparation(height=0),
    "wide": Preparation(height=200, width=300),
    "narrow": Preparation(height=300, width=80),
    "aspect restored": Preparation(height=200, source_aspect=0.5),
    "trimmed": Preparation(height=200, trim=0.05),
    "turned over": Preparation(height=200, width=300, orientation="chest-left"),
}


@pytest.mark.parametrize("mirrored", [False, True], ids=["chest left", "chest right"])
@pytest.mark.parametrize("preparation", PREPARATIONS.values(), ids=PREPARATIONS.keys())
def test_the_prepared_mask_lies_on_the_spot_of_the_prepared_image(preparation, mirrored):
    mammogram = film(mirrored)
    prepared = prepare_pixels(mammogram, preparation)
    spot = Outline("box", ((SHAPE[1] - 80, 150), (SHAPE[1] - 60, 180))) if mirrored else SPOT
    mask, visible = prepared_mask(drawn(spot), prepared.placement)
    bright = prepared.pixels > 0.7 * 65535
    assert mask.shape == prepared.pixels.shape and set(np.unique(mask)) == {0, 255} and visible == 1
    assert bright.any() and (bright & (mask > 0)).sum() / (bright | (mask > 0)).sum() > 0.85
    turned = mirrored and preparation.orientation == "chest-left"
    assert prepared.placement.mirrored == turned


def test_the_share_within_the_crop_is_stated():
    placement = prepare_pixels(film(), Preparation(height=200)).placement
    edge = placement.crop_left + placement.crop_width
    outline = Outline("box", ((edge - 10, 190), (edge + 30, 210)))
    mask, visible = prepared_mask(drawn(outline), placement)
    assert visible == pytest.approx(0.25) and mask[:, -1].any()


def test_a_lesion_outside_the_crop_has_no_mask():
    placement = prepare_pixels(film(), Preparation(height=200)).placement
    with pytest.raises(LesionProblem, match="it lies outside the breast as found"):
        prepared_mask(drawn(Outline("box", ((280, 10), (290, 20)))), placement)


def test_a_lesion_smaller_than_a_prepared_pixel_does_not_vanish():
    placement = prepare_pixels(film(), Preparation(height=32)).placement
    mask, _ = prepared_mask(drawn(Outline("box", ((70, 160), (71, 161)))), placement)
    assert 1 <= (mask > 0).sum() <= 4
    row, column = placement.point_to_prepared(160, 70)
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - row) <= 1 and abs(columns.mean() - column) <= 1
