"""From a file to the prepared image and back."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.imaging.breast import breast_mask, chest_side, found_breast
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.pectoral import pectoral_mask
from ensemble_mammo.imaging.phantom import phantom_exam, write_phantom_exams
from ensemble_mammo.imaging.prepared import Placement, cleared_pixels, prepare_file, prepare_pixels
from ensemble_mammo.imaging.read import Mammogram
from ensemble_mammo.records.fields import from_mapping, to_mapping
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View


@pytest.fixture(scope="module")
def mammogram():
    pixels = phantom_exam(2, "B")[View.MLO_L]
    return Mammogram(pixels, HeaderFacts("dicom", *pixels.shape, 12), "0" * 64)


def test_height_and_aspect_of_the_crop(mammogram):
    prepared = prepare_pixels(mammogram, Preparation(height=300))
    place = prepared.placement
    assert prepared.pixels.dtype == np.uint16 and prepared.pixels.shape == (300, place.width)
    assert place.scaled_width / place.scaled_height == pytest.approx(place.crop_width / place.crop_height, abs=0.01)
    assert (place.pad_top, place.pad_left) == (0, 0)


def test_width_pads_both_sides_alike_and_never_squashes(mammogram):
    wide = prepare_pixels(mammogram, Preparation(height=300, width=400)).placement
    assert (wide.height, wide.width, wide.scaled_height) == (300, 400, 300)
    assert wide.pad_left == (400 - wide.scaled_width) // 2
    narrow = prepare_pixels(mammogram, Preparation(height=300, width=100)).placement
    assert (narrow.height, narrow.width, narrow.scaled_width) == (300, 100, 100)
    assert narrow.pad_top == (300 - narrow.scaled_height) // 2 and narrow.scaled_height < 300
    assert narrow.scaled_width / narrow.scaled_height == pytest.approx(narrow.crop_width / narrow.crop_height, rel=0.02)


def test_the_aspect_of_the_original_is_restored(mammogram):
    plain = prepare_pixels(mammogram, Preparation(height=300, crop=False)).placement
    restored = prepare_pixels(mammogram, Preparation(height=300, crop=False, source_aspect=0.6)).placement
    assert plain.width == 240 and restored.width == 180
    assert (restored.crop_height, restored.crop_width) == mammogram.pixels.shape


def test_outside_black_takes_the_marker_away_and_keep_keeps_it(mammogram):
    black = prepare_pixels(mammogram, Preparation(height=640, crop=False)).pixels
    kept = prepare_pixels(mammogram, Preparation(height=640, crop=False, outside="keep")).pixels
    assert black[:40, -60:].max() == 0 and kept[:40, -60:].max() > 50_000
    np.testing.assert_array_equal(kept, np.rint(mammogram.pixels.astype(np.float64) * 65535))
    mask = breast_mask(mammogram.pixels)
    np.testing.assert_array_equal(black[mask], kept[mask])


def test_scaling_does_not_overshoot():
    pixels = np.zeros((400, 320), np.float32)
    pixels[100:300, :200] = 0.6
    found = prepare_pixels(Mammogram(pixels, HeaderFacts("png", 400, 320, 8), ""), Preparation(height=150)).pixels
    assert found.max() == pytest.approx(0.6 * 65535, abs=1)


def test_an_image_without_breast_is_kept_whole_and_said():
    empty = Mammogram(np.zeros((200, 100), np.float32), HeaderFacts("png", 200, 100, 8), "")
    prepared = prepare_pixels(empty, Preparation(height=100))
    assert prepared.pixels.shape == (100, 50) and prepared.notes == ("no breast found: the whole image is kept",)


@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(height=200),
        Preparation(height=200, width=90),
        Preparation(height=900, width=800),
        Preparation(height=200, width=300, trim=0.05, source_aspect=0.6),
        Preparation(height=0),
    ],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_point_goes_back_to_where_it_was(mammogram, preparation, mirrored):
    place = replace(prepare_pixels(mammogram, preparation).placement, mirrored=mirrored)
    row, column = place.crop_top + 0.4 * place.crop_height, place.crop_left + 0.3 * place.crop_width
    there = place.point_to_prepared(row, column)
    assert place.point_to_source(*there) == pytest.approx((row, column))
    rows, columns = np.mgrid[0 : place.height, 0 : place.width]
    spread = 4.0 * place.scaled_height / 200
    blob = np.exp(-((rows - there[0]) ** 2 + (columns - there[1]) ** 2) / (2 * spread**2))
    back = place.to_source(blob)
    assert back.shape == mammogram.pixels.shape and back.dtype == np.float32
    weights = back / back.sum()
    source_rows, source_columns = np.mgrid[0 : back.shape[0], 0 : back.shape[1]]
    assert abs((weights * source_rows).sum() - row) < 1 and abs((weights * source_columns).sum() - column) < 1


def test_a_map_is_zero_outside_the_crop_and_of_the_right_size(mammogram):
    place = prepare_pixels(mammogram, Preparation(height=200, width=300)).placement
    back = place.to_source(np.ones((200, 300)))
    inside = np.zeros(back.shape, bool)
    inside[
        place.crop_top : place.crop_top + place.crop_height, place.crop_left : place.crop_left + place.crop_width
    ] = True
    assert back[inside].min() > 0.999 and back[~inside].max(initial=0) == 0
    with pytest.raises(ValueError, match=r"expected \(200, 300\)"):
        place.to_source(np.ones((10, 10)))


def test_placement_as_a_flat_mapping(mammogram):
    place = prepare_pixels(mammogram, Preparation(height=200)).placement
    row = {name: str(value) for name, value in place.to_mapping().items()} | {"other": "x"}
    assert Placement.from_mapping(row) == place
    turned = replace(place, mirrored=True)
    assert Placement.from_mapping({name: str(value) for name, value in turned.to_mapping().items()}) == turned
    assert Placement.from_mapping({name: value for name, value in row.items() if name != "mirrored"}) == place
    with pytest.raises(ValueError, match="lacks crop_top"):
        Placement.from_mapping({name: value for name, value in row.items() if name != "crop_top"})
    with pytest.raises(ValueError, match="crop rows 0 to 999"):
        Placement.from_mapping(row | {"crop_top": "0", "crop_height": "999"})


def test_the_same_file_gives_the_same_pixels_and_travels_between_processes(tmp_path):
    write_phantom_exams(tmp_path, 1, height=320)
    path = tmp_path / "PH0001" / "CC_R.dcm"
    first, second = (prepare_file(path, Preparation(height=128)) for _ in range(2))
    np.testing.assert_array_equal(first.prepared.pixels, second.prepared.pixels)
    again = pickle.loads(pickle.dumps(first))
    assert again.sha256 == first.sha256 and again.facts == first.facts
    assert first.facts.view == View.CC_R


def turned(mammogram):
    return replace(mammogram, pixels=mammogram.pixels[:, ::-1].copy())


def chest_is_left(pixels):
    quarter = pixels.shape[1] // 4
    return (pixels[:, :quarter] > 0).sum() > (pixels[:, -quarter:] > 0).sum()


def test_chest_left_turns_only_the_images_whose_chest_wall_is_right(mammogram):
    kept = prepare_pixels(mammogram, Preparation(height=300))
    left, right = (mammogram, turned(mammogram)) if chest_is_left(kept.pixels) else (turned(mammogram), mammogram)
    preparation = Preparation(height=300, width=300, orientation="chest-left")
    one, other = prepare_pixels(left, preparation), prepare_pixels(right, preparation)
    assert (one.placement.mirrored, other.placement.mirrored) == (False, True)
    assert chest_is_left(one.pixels) and chest_is_left(other.pixels)
    difference = np.abs(one.pixels.astype(int) - other.pixels.astype(int)) > 2000
    assert difference.mean() < 0.02
    assert not prepare_pixels(right, Preparation(height=300)).placement.mirrored


def test_a_map_of_a_turned_image_comes_back_unturned(mammogram):
    kept = prepare_pixels(mammogram, Preparation(height=300)).placement
    map_ = np.zeros((300, kept.width))
    map_[100:140, :10] = 1
    there = kept.to_source(map_)
    np.testing.assert_array_equal(replace(kept, mirrored=True).to_source(map_[:, ::-1]), there)
    assert there.any()


def test_trim_takes_the_border_away_before_the_breast_is_looked_for():
    pixels = np.zeros((400, 300), np.float32)
    pixels[100:300, 15:160] = 0.4
    pixels[:, :15] = pixels[:12] = 1.0
    mammogram = Mammogram(pixels, HeaderFacts("png", 400, 300, 8), "")
    trimmed = prepare_pixels(mammogram, Preparation(height=0, trim=0.07, outside="keep"))
    place = trimmed.placement
    assert place.crop_left >= 21 and place.crop_top >= 28 and place.source_height == 400
    assert trimmed.pixels.max() == pytest.approx(0.4 * 65535, abs=1)
    whole = prepare_pixels(mammogram, Preparation(height=0, trim=0.07, crop=False, outside="keep")).placement
    assert (whole.crop_top, whole.crop_left, whole.crop_height, whole.crop_width) == (28, 21, 344, 258)


def test_white_patches_are_blackened_where_asked_and_said(mammogram):
    pixels = 0.8 * mammogram.pixels * (mammogram.pixels < 0.95)
    rows, columns = np.argwhere(found_breast(pixels)).mean(axis=0).astype(int)
    pixels[rows : rows + 60, columns : columns + 40] = 1.0
    patched = replace(mammogram, pixels=pixels.astype(np.float32))
    plain = cleared_pixels(patched, Preparation())
    black = cleared_pixels(patched, Preparation(white_patches="black"))
    assert plain.pixels[rows + 30, columns + 20] == 1 and plain.notes == ()
    assert black.pixels[rows + 2 : rows + 58, columns + 2 : columns + 38].max() == 0
    assert black.notes == ("white patches blackened",)


def test_a_mammogram_without_white_patches_is_left_alone(mammogram):
    pixels = (0.8 * mammogram.pixels * (mammogram.pixels < 0.95)).astype(np.float32)
    clean = replace(mammogram, pixels=pixels)
    one, other = cleared_pixels(clean, Preparation()), cleared_pixels(clean, Preparation(white_patches="black"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert other.notes == ()


@pytest.mark.parametrize("rule", ["range", "rank"])
def test_intensity_rules_take_the_digitiser_away(mammogram, rule):
    dim = replace(mammogram, pixels=(0.3 * mammogram.pixels + 0.1 * (mammogram.pixels > 0)).astype(np.float32))
    preparation = Preparation(height=300, intensity=rule)
    one, other = prepare_pixels(mammogram, preparation).pixels, prepare_pixels(dim, preparation).pixels
    inside = (one > 0) & (other > 0)
    assert np.abs(one[inside].astype(float) - other[inside]).mean() < 0.03 * 65535
    plain = [prepare_pixels(m, Preparation(height=300)).pixels[inside].mean() for m in (mammogram, dim)]
    assert plain[0] > 1.3 * plain[1]


def test_range_puts_the_percentiles_where_it_says_and_rank_gives_equal_shares(mammogram):
    mask = found_breast(mammogram.pixels)
    inside = cleared_pixels(mammogram, Preparation(intensity="range")).pixels[mask]
    assert np.percentile(inside, (1, 99)) == pytest.approx((0.05, 0.95), abs=0.01)
    ranked = cleared_pixels(mammogram, Preparation(intensity="rank")).pixels[mask]
    assert np.histogram(ranked, 10, (0, 1))[0] / ranked.size == pytest.approx(0.1, abs=0.03)


def test_height_0_keeps_the_pixels_of_the_source(mammogram):
    prepared = prepare_pixels(mammogram, Preparation(height=0, outside="keep"))
    place = prepared.placement
    crop = mammogram.pixels[
        place.crop_top : place.crop_top + place.crop_height, place.crop_left : place.crop_left + place.crop_width
    ]
    np.testing.assert_array_equal(prepared.pixels, np.rint(crop.astype(np.float64) * 65535))


BLACK = Preparation(height=300, pectoral="black")


def test_the_pectoral_muscle_of_an_mlo_is_blackened_and_nothing_else(mammogram):
    mask = found_breast(mammogram.pixels)
    muscle = pectoral_mask(mammogram.pixels, mask, chest_side(mask))
    kept = cleared_pixels(mammogram, replace(BLACK, pectoral="keep"), View.MLO_L)
    black = cleared_pixels(mammogram, BLACK, View.MLO_L)
    assert muscle.any() and black.pixels[muscle].max() == 0
    np.testing.assert_array_equal(black.pixels[~muscle], kept.pixels[~muscle])
    assert black.box == kept.box and black.notes == ("pectoral muscle blackened",) and kept.notes == ()
    alone = cleared_pixels(mammogram, Preparation(crop=False, outside="keep", pectoral="black"), View.MLO_R)
    np.testing.assert_array_equal(alone.pixels, np.where(muscle, np.float32(0), mammogram.pixels))


@pytest.mark.parametrize("view", [None, View.CC_L, View.CC_R])
def test_without_an_mlo_the_pectoral_rule_changes_nothing(mammogram, view):
    one, other = prepare_pixels(mammogram, BLACK, view), prepare_pixels(mammogram, replace(BLACK, pectoral="keep"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.notes == ()


def test_an_mlo_without_a_muscle_is_kept_and_said():
    pixels = np.zeros((400, 300), np.float32)
    rows, columns = np.mgrid[:400, :300]
    pixels[((rows - 200) / 150) ** 2 + (columns / 180) ** 2 < 1] = 0.5
    plain = Mammogram(pixels, HeaderFacts("png", 400, 300, 8), "")
    one, other = prepare_pixels(plain, BLACK, View.MLO_L), prepare_pixels(plain, Preparation(height=300))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.notes == ("no pectoral muscle found",)


def test_an_intensity_rule_does_not_count_the_muscle(mammogram):
    mask = found_breast(mammogram.pixels)
    muscle = pectoral_mask(mammogram.pixels, mask, chest_side(mask))
    ranked = cleared_pixels(mammogram, replace(BLACK, intensity="rank"), View.MLO_L).pixels
    assert ranked[muscle].max() == 0
    rest = ranked[mask & ~muscle]
    assert np.histogram(rest, 10, (0, 1))[0] / rest.size == pytest.approx(0.1, abs=0.03)


def test_a_preparation_of_before_the_pectoral_rule_keeps_the_muscle():
    old = {name: value for name, value in to_mapping(Preparation()).items() if name != "pectoral"}
    assert from_mapping(Preparation, old) == Preparation() and Preparation().pectoral == "keep"
    with pytest.raises(ValueError, match="pectoral is 'cut', expected one of keep, black"):
        Preparation(pectoral="cut")
