"""Planted lesions: where they are said to be, and benign ones unlike malignant ones in what radiologists look at."""

from __future__ import annotations

import numpy as np
import pytest
from contourpy import contour_generator
from scipy import ndimage

from ensemble_mammo.imaging.breast import breast_mask
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.phantom_lesions import SIZES, PhantomLesion, drawn_lesion, in_other_view, planted
from ensemble_mammo.records.subject import View

HEIGHT = 320
KINDS = [(finding, pathology) for finding in SIZES for pathology in ("benign", "malignant")]
SEEDS = range(5)


@pytest.fixture(scope="module")
def films():
    """Subject and view -> pixels of views without lesions, of all four densities."""
    return [
        (view, phantom_exam(subject, "ABCD"[subject % 4], 2, HEIGHT, (view,))[view])
        for subject, view in enumerate((*View, View.CC_L))
    ]


def with_one(films, finding, pathology, seed, contrast=1.0):
    view, pixels = films[seed % len(films)]
    lesion = drawn_lesion(finding, pathology, (8, seed), contrast)
    made = planted(pixels, view, [lesion], (9, seed))
    return pixels, made.pixels, made.masks[0]


@pytest.mark.parametrize(("finding", "pathology"), KINDS)
def test_the_mask_covers_what_was_planted_within_the_breast(films, finding, pathology):
    for seed in SEEDS:
        before, after, mask = with_one(films, finding, pathology, seed)
        added = after - before
        around = ndimage.binary_dilation(mask, iterations=10) & ~ndimage.binary_dilation(mask, iterations=2)
        assert added[mask].mean() > 0.02 and added[mask].mean() > 4 * abs(added[around].mean())
        assert added[mask].sum() > 0.6 * np.abs(added).sum()
        assert breast_mask(before)[mask].all()
        assert not added[~ndimage.binary_dilation(mask, iterations=HEIGHT // 8)].any()
        rows, columns = np.nonzero(mask)
        least, most = SIZES[finding]
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.7 * least * HEIGHT < extent < (2.3 if pathology == "malignant" else 1.5) * most * HEIGHT


def perimeter(mask):
    """Length of the outline, half way between pixels of a slightly smoothed mask."""
    (line, *_) = sorted(contour_generator(z=ndimage.gaussian_filter(mask * 1.0, 0.7)).lines(0.5), key=len, reverse=True)
    return np.hypot(*np.diff(line, axis=0).T).sum()


def test_malignant_masses_are_spiculated_and_benign_ones_are_nearly_round(films):
    def roughness(pathology):
        masks = [with_one(films, "mass", pathology, seed)[2] for seed in range(10)]
        return [perimeter(mask) ** 2 / (4 * np.pi * mask.sum()) for mask in masks]  # 1 of a disc

    benign, malignant = roughness("benign"), roughness("malignant")
    assert max(benign) < 1.15 < min(malignant) and np.median(malignant) > 1.6


def test_margins_of_benign_masses_are_sharper(films):
    def sharpness(pathology):
        steepest = []
        for seed in range(8):
            before, after, mask = with_one(films, "mass", pathology, seed)
            added = ndimage.gaussian_filter(after - before, 0.7)
            rim = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask, iterations=2)
            steepest.append(np.median(np.hypot(*np.gradient(added))[rim]) / added.max())
        return np.median(steepest)

    assert sharpness("benign") > 1.5 * sharpness("malignant")


def specks(before, after):
    """Area and slenderness (long over short axis) of each speck."""
    added = after - before
    parts, number = ndimage.label(added > 0.35 * added.max())
    places = [np.argwhere(parts == part) for part in range(1, number + 1)]
    spreads = [np.linalg.eigvalsh(np.cov(at.T) + np.eye(2) / 12) if len(at) > 1 else (1, 1) for at in places]
    return [(len(at), np.sqrt(most / least)) for at, (least, most) in zip(places, spreads, strict=True)]


def test_malignant_calcifications_are_many_and_fine_benign_ones_few_and_large():
    view = View.CC_L
    before = phantom_exam(3, "B", 2, 960, (view,))[view]
    of = {}
    for pathology in ("benign", "malignant"):
        lesions = [drawn_lesion("calcification", pathology, (8, seed)) for seed in range(4)]
        found = [specks(before, planted(before, view, [one], (9, seed)).pixels) for seed, one in enumerate(lesions)]
        of[pathology] = (
            [len(one) for one in found],
            np.median([area for one in found for area, _ in one]),
            np.std([slender for one in found for area, slender in one if area > 4]),
        )
    assert max(of["benign"][0]) <= 6 < 11 <= min(of["malignant"][0])
    assert of["benign"][1] > 4 * of["malignant"][1]
    assert of["malignant"][2] > 1.3 * of["benign"][2]


def test_the_same_seed_plants_the_same_and_contrast_scales_it(films):
    one, again = (with_one(films, "mass", "malignant", 1)[1] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    before, faint, mask = with_one(films, "mass", "malignant", 1, contrast=0.5)
    np.testing.assert_allclose((faint - before)[mask], 0.5 * (one - before)[mask], atol=1e-6)
    np.testing.assert_array_equal(with_one(films, "calcification", "benign", 1, contrast=0)[1], before)
    other = planted(before, films[1][0], [drawn_lesion("mass", "malignant", (8, 1))], (10, 1)).pixels
    assert not np.array_equal(one, other)


def test_two_lesions_do_not_touch(films):
    view, pixels = films[0]
    same = PhantomLesion("mass", "benign", 0.08, 0.5, 0.5)
    first, second = planted(pixels, view, [same, same], (1,)).masks
    assert first.any() and second.any() and ndimage.distance_transform_edt(~first)[second].min() > 0.05 * HEIGHT


@pytest.mark.parametrize("view", View)
def test_depth_goes_from_the_chest_wall_to_the_nipple(view):
    pixels = phantom_exam(1, "B", 2, HEIGHT, (view,))[view]
    columns = [
        np.nonzero(planted(pixels, view, [PhantomLesion("mass", "benign", 0.05, depth, 0.5)], (1,)).masks[0])[1].mean()
        for depth in (0.35, 0.6, 0.8)
    ]
    assert columns == sorted(columns, reverse=view.value.endswith("R"))


def test_the_other_view_shows_the_same_lesion_at_a_like_depth():
    for seed in range(20):
        lesion = drawn_lesion("mass", "malignant", (seed,))
        other = in_other_view(lesion, (seed, 1))
        assert (other.finding, other.pathology, other.contrast) == ("mass", "malignant", 1.0)
        assert abs(other.depth - lesion.depth) <= 0.04 and 0.9 < other.size / lesion.size < 1.1
        assert SIZES["mass"][0] < min(lesion.size, other.size) and max(lesion.size, other.size) < SIZES["mass"][1]


def test_arguments_that_make_no_sense(films):
    with pytest.raises(ValueError, match="finding 'cyst' is not one of mass, calcification"):
        PhantomLesion("cyst", "benign", 0.05)
    with pytest.raises(ValueError, match="finding 'cyst' is not one of mass, calcification"):
        drawn_lesion("cyst", "benign", (1,))
    with pytest.raises(ValueError, match="pathology 'bad' is not one of benign, malignant"):
        PhantomLesion("mass", "bad", 0.05)
    with pytest.raises(ValueError, match=r"size is 0\.5, expected 0\.005 to 0\.25"):
        PhantomLesion("mass", "benign", 0.5)
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        PhantomLesion("mass", "benign", 0.05, depth=2)
    with pytest.raises(ValueError, match="contrast is -1"):
        PhantomLesion("mass", "benign", 0.05, contrast=-1)
    view, pixels = films[0]
    with pytest.raises(ValueError, match="finds no room"):
        planted(pixels, view, [PhantomLesion("mass", "benign", 0.24)] * 12, (1,))
