"""Intensity within the breast made alike: pixels against their surroundings."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble_mammo.imaging.blots import breast_of
from ensemble_mammo.imaging.intensity import levelled
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.subject import View


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray]:
    pixels = phantom_exam(2, "C", height=320)[View.CC_L]
    return pixels, breast_of(np.rint(pixels * 65535).astype(np.uint16), blackened=False)


def test_local_takes_brightness_and_contrast_of_a_digitiser_away(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, mask = phantom
    own = levelled(pixels, mask, "local")
    other = levelled(np.float32(0.1) + np.float32(0.8) * pixels, mask, "local")
    assert np.abs(pixels - (0.1 + 0.8 * pixels))[mask].mean() > 0.02
    assert np.abs(own - other)[mask].mean() < 0.01


def test_local_takes_shading_away_and_keeps_a_small_bright_spot(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, mask = phantom
    spotted = pixels.copy()
    row, column = (int(np.median(places)) for places in np.nonzero(mask))
    spotted[row : row + 3, column : column + 3] += 0.2
    result = levelled(spotted, mask, "local")
    assert result[mask].mean() == pytest.approx(0.5, abs=0.03)
    assert result[row + 1, column + 1] > 0.7
    assert np.array_equal(result[~mask], spotted[~mask])
    assert result[mask].min() >= 0.01
    assert result[mask].max() <= 1


def test_local_leaves_a_flat_breast_flat() -> None:
    pixels = np.full((300, 200), 0.4, np.float32)
    result = levelled(pixels, np.ones(pixels.shape, bool), "local")
    assert result == pytest.approx(0.5, abs=0.02)


def test_another_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="intensity 'equal' is not one of range, rank, local"):
        levelled(np.zeros((4, 4), np.float32), np.ones((4, 4), bool), "equal")
