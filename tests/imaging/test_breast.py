"""The breast, without what lies beside it."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.breast import Box, breast_box, breast_mask, found_breast
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.subject import Projection, Side, View


@pytest.fixture(scope="module")
def exam():
    return phantom_exam(3, "C")


@pytest.mark.parametrize("view", View)
def test_phantoms(exam, view):
    pixels = exam[view]
    mask = breast_mask(pixels)
    assert mask.shape == pixels.shape and mask.dtype == bool
    assert mask[pixels > 0.08].mean() > 0.98, "tissue, muscle and skin are inside"
    assert not mask[:40, -60:].any() if view.side == Side.LEFT else not mask[:40, :60].any(), "the marker is outside"
    chest = mask[:, 0] if view.side == Side.LEFT else mask[:, -1]
    assert chest.sum() > 200, "the chest wall is inside"
    if view.projection == Projection.MLO:
        corner = mask[2:30, :40] if view.side == Side.LEFT else mask[2:30, -40:]
        assert corner.all(), "the muscle is inside"


def test_film_border_strip_and_label_are_left_out(exam):
    pixels = exam[View.CC_L].copy()
    pixels[:12], pixels[-14:], pixels[:, -10:] = 1, 0.95, 1
    pixels[30:110, -120:-60] = 1
    mask = breast_mask(pixels)
    assert not mask[:10].any() and not mask[-10:].any() and not mask[:, -60:].any() and not mask[30:110, -120:].any()
    assert mask[exam[View.CC_L] > 0.08].mean() > 0.97 - 0.03


def test_a_grey_noisy_background(exam):
    noise = np.random.default_rng(0).normal(0, 0.01, exam[View.MLO_R].shape).astype(np.float32)
    pixels = np.clip(0.15 + 0.8 * exam[View.MLO_R] + noise, 0, 1)
    share = breast_mask(exam[View.MLO_R]).mean()
    assert breast_mask(pixels).mean() == pytest.approx(share, rel=0.08)


def test_an_empty_image_gives_the_whole_frame():
    for pixels in (
        np.zeros((200, 160), np.float32),
        np.full((200, 160), 0.5, np.float32),
        np.zeros((8, 8), np.float32),
    ):
        assert found_breast(pixels) is None and breast_mask(pixels).all()


def test_sizes_that_divide_by_nothing(exam):
    for height, width in ((577, 433), (640, 511), (301, 512)):
        pixels = exam[View.CC_R][:height, -width:]
        assert breast_mask(pixels).shape == pixels.shape


def test_box():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert breast_box(mask) == Box(2, 3, 3, 6)
    assert breast_box(np.zeros((4, 5), bool)) == Box(0, 0, 4, 5)


@pytest.mark.real
def test_real_images_give_a_breast_of_plausible_size(real):
    places = [
        *sorted((real / "inbreast" / "images").glob("*.png"))[:15],
        *sorted((real / "mini-mias").glob("*.webp"))[:15],
    ]
    places += sorted((real / "cbis-ddsm-mass").rglob("*.jpg"))[:15] + sorted(
        (real / "infn-density" / "TestSet").rglob("*.png")
    )
    for path in places:
        mask = found_breast(read_mammogram(path).pixels)
        assert mask is not None and 0.05 < mask.mean() < 0.97, path
