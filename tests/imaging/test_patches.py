"""Overlaps, draws and cuts of patches, against plain counting on images with margins."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.patches import (
    Overlaps,
    Region,
    blobs,
    centred,
    cutter,
    drawn_around,
    drawn_at_blobs,
    drawn_elsewhere,
)

SHAPE = (90, 70)


def disc(row, column, radius, shape=SHAPE):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def box(top, left, height, width, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def counted(mask, row, column, size):
    """The overlap as the original counts it: a mask with margins, the patch marked in a copy of it."""
    padded = np.pad(mask, size)
    patch = np.zeros_like(padded)
    top, left = row - size // 2 + size, column - size // 2 + size
    patch[top : top + size, left : left + size] = True
    common = (padded & patch).sum()
    return max(common / padded.sum(), common / patch.sum())


def overlaps_of(*masks, size=32):
    return Overlaps([Region.of(mask) for mask in masks], size)


def drawn(mask, count=10, least=0.9, size=32, seed=0):
    region = Region.of(mask)
    return drawn_around(region, Overlaps([region], size), 0, (count, least), np.random.default_rng(seed))


class CountedDraws:
    """A generator that counts how often centres are drawn."""

    def __init__(self):
        self.rng, self.rounds = np.random.default_rng(0), 0

    def integers(self, *args):
        self.rounds += 1
        return self.rng.integers(*args)


@pytest.mark.parametrize("size", [15, 32, 64])
def test_overlaps_are_those_of_plain_counting(size):
    rng = np.random.default_rng(size)
    masks = [disc(40, 30, 14), box(0, 0, 5, 60), rng.random(SHAPE) < 0.02]
    overlaps = overlaps_of(*masks, size=size)
    centres = rng.integers((0, 0), SHAPE, (60, 2))
    expected = np.array([[counted(mask, row, column, size) for row, column in centres] for mask in masks])
    for number in range(len(masks)):
        assert np.allclose(overlaps.with_lesion(number, centres), expected[number])
    assert np.allclose(overlaps.with_any(centres), expected.max(axis=0))
    assert 0 < expected.max() <= 1


def test_a_region_is_the_mask_within_its_box():
    mask = disc(5, 60, 12)
    region = Region.of(mask)
    whole = np.zeros(SHAPE, bool)
    whole[tuple(region.pixels.T)] = True
    assert np.array_equal(whole, mask)
    assert (region.top, region.left, region.mask.shape) == (0, 48, (18, 22))


def test_the_one_patch_of_a_lesion_lies_on_its_centre_of_mass():
    mask = box(20, 10, 21, 11) | box(20, 10, 3, 41)
    region = Region.of(mask)
    found = centred(region, overlaps_of(mask), 0)
    assert found.centres.tolist() == [[round(v) for v in np.argwhere(mask).mean(axis=0)]]
    assert found.overlap[0] == pytest.approx(counted(mask, *found.centres[0], 32))
    assert np.isnan(found.least).all()


@pytest.mark.parametrize("mask", [disc(45, 35, 4), disc(45, 35, 12), disc(40, 35, 30), box(80, 60, 10, 10)])
def test_patches_around_a_lesion_overlap_it_as_asked_and_have_their_centres_in_its_box(mask):
    found = drawn(mask, count=40)
    rows, columns = np.nonzero(mask)
    assert found.centres.shape == (40, 2)
    assert (found.overlap >= 0.9).all() and (found.least == 0.9).all()
    assert (found.centres >= (rows.min(), columns.min())).all() and (found.centres <= (rows.max(), columns.max())).all()
    assert found.overlap == pytest.approx([counted(mask, row, column, 32) for row, column in found.centres])
    assert len(np.unique(found.centres, axis=0)) > 20


def test_centres_are_drawn_evenly_from_the_box_of_a_lesion():
    found = drawn(box(30, 20, 10, 20), count=4000, size=64)
    counts = np.bincount((found.centres[:, 0] - 30) * 20 + found.centres[:, 1] - 20, minlength=200)
    assert counts.min() > 4 and counts.max() < 45  # 20 on average


def test_the_overlap_falls_by_a_twentieth_after_each_thousand_failures_and_no_further_than_it_must():
    line = box(0, 0, 1, 70)  # 70 pixels at the very edge: a patch of 32 holds at most 32 of them
    region = Region.of(line)
    rng = CountedDraws()
    found = drawn_around(region, Overlaps([region], 32), 0, (10, 0.9), rng)
    best = max(counted(line, 0, column, 32) for column in range(70))
    assert best == pytest.approx(32 / 70)
    assert (found.least == 0.45).all() and (found.overlap >= 0.45).all()
    assert rng.rounds == 10  # 0.9, 0.85 ... 0.45


def test_draws_that_came_before_the_thousandth_failure_are_kept_with_the_overlap_asked_of_them():
    mask = box(30, 20, 20, 20) | box(0, 69, 1, 1) | box(89, 0, 1, 1)
    found = drawn(mask, size=20)  # 13 of the 6,300 places in its box hold nine tenths of a patch of it
    levels = sorted(set(found.least.tolist()), reverse=True)
    assert len(levels) >= 2 and np.allclose(levels, 0.9 - 0.05 * np.arange(len(levels)))
    assert (found.overlap >= found.least).all()
    assert (np.diff(found.least) <= 0).all()
    assert 0 < (found.least == 0.9).sum() < 8  # 2 of 1000 draws on average
    assert found.overlap == pytest.approx([counted(mask, row, column, 20) for row, column in found.centres])


def test_a_lesion_that_no_box_catches_gets_patches_on_its_own_pixels():
    dots = np.zeros((400, 400), bool)
    dots[::40, ::40] = True  # a hundred points; a patch of 16 holds one at most
    found = drawn(dots, count=5, size=16)
    assert len(found.centres) == 5 and (found.least == 0).all()
    assert dots[tuple(found.centres.T)].all() and np.allclose(found.overlap, 0.01)


def test_background_lies_in_the_breast_and_off_every_lesion():
    breast, lesions = disc(45, 0, 44), [disc(30, 10, 8), disc(60, 20, 5)]
    found = drawn_elsewhere(breast, overlaps_of(*lesions, size=16), 50, 0.35, np.random.default_rng(0))
    assert len(found.centres) == 50 and breast[tuple(found.centres.T)].all()
    expected = [max(counted(mask, row, column, 16) for mask in lesions) for row, column in found.centres]
    assert found.overlap == pytest.approx(expected) and max(expected) < 0.35
    assert np.isnan(found.least).all()


def test_background_is_found_where_hardly_any_place_is_left_and_none_where_there_is_none():
    breast = np.ones((300, 300), bool)
    rest = breast.copy()
    rest[297:, 298:] = False  # of 90,000 places those six
    overlaps = Overlaps([Region.of(rest)], 1)
    found = drawn_elsewhere(breast, overlaps, 8, 0.35, np.random.default_rng(0))
    assert len(found.centres) == 8 and not rest[tuple(found.centres.T)].any()
    everywhere = Overlaps([Region.of(breast)], 1)
    assert drawn_elsewhere(breast, everywhere, 8, 0.35, np.random.default_rng(0)).centres.shape == (0, 2)


def test_bright_blobs_of_several_sizes_are_found_and_the_skin_line_is_none():
    rows, columns = np.ogrid[:400, :300]
    breast = disc(200, 0, 190, (400, 300))
    planted = {(120, 60): 5, (200, 100): 9, (290, 50): 16}
    grey = np.full((400, 300), 0.3)
    for (row, column), sigma in planted.items():
        grey += 0.5 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    pixels = np.rint(np.where(breast, grey, 0) * 65535).clip(0, 65535).astype(np.uint16)
    found = blobs(pixels, breast, 128)
    assert breast[tuple(found.T)].all()
    for place in planted:
        assert np.abs(found - place).sum(axis=1).min() <= 4, place
    nearest = [min(np.hypot(*(centre - place)) for place in planted) for centre in found]
    assert max(nearest) < 40  # nothing along the edge of the breast, 190 pixels away from its middle


def test_no_blob_is_found_in_a_breast_of_one_grey():
    breast = disc(45, 0, 44)
    found = blobs(np.where(breast, 30_000, 0).astype(np.uint16), breast, 32)
    assert found.shape == (0, 2)
    assert blobs(np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, bool), 32).shape == (0, 2)


def test_patches_at_blobs_keep_off_the_lesions_and_no_blob_comes_twice():
    lesion = disc(30, 30, 10)
    centres = np.array([[30, 30], [80, 10], [32, 28], [70, 60], [5, 5]])
    found = drawn_at_blobs(centres, overlaps_of(lesion, size=16), 5, 0.35, np.random.default_rng(0))
    assert sorted(map(tuple, found.centres.tolist())) == [(5, 5), (70, 60), (80, 10)]
    assert len(drawn_at_blobs(centres, overlaps_of(lesion, size=16), 2, 0.35, np.random.default_rng(0)).centres) == 2


@pytest.mark.parametrize("size", [17, 32])
def test_a_patch_has_the_pixels_around_its_centre_and_black_beyond_the_edge(size):
    pixels = np.random.default_rng(0).integers(1, 65536, SHAPE).astype(np.uint16)
    cut = cutter(pixels, size)
    for row, column in [(0, 0), (45, 35), (89, 69), (3, 66)]:
        patch = cut(row, column)
        expected = np.zeros((size, size), np.uint16)
        for i in range(size):
            for j in range(size):
                r, c = row - size // 2 + i, column - size // 2 + j
                if 0 <= r < SHAPE[0] and 0 <= c < SHAPE[1]:
                    expected[i, j] = pixels[r, c]
        assert np.array_equal(patch, expected)
        assert patch[size // 2, size // 2] == pixels[row, column]
