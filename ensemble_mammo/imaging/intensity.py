"""Intensity within the breast made alike, whatever scanner or digitiser it came from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ensemble_mammo.imaging.polarity import reduced

_LEVELS = 4096
_ROWS = 256
"local means and deviations are smooth: a copy of at least so many rows holds them"
_REACH = 0.03
"deviation of the Gaussian that a surrounding is weighted with, as a share of the image's height"
_FLATTEST = 0.01
"a surrounding that deviates less than this is not stretched further: noise would be all there is"


def levelled(pixels: NDArray[np.float32], mask: NDArray[np.bool_], rule: str) -> NDArray[np.float32]:
    """Give the breast the same range, or the same histogram, in every image; what lies outside is kept.

    Args:
        pixels: `[H, W]` from 0 to 1.
        mask: `[H, W]`, True on the breast.
        rule: 'range' (its 1st and 99th percentile become 0.05 and 0.95), 'rank' (equal shares at every level) or
            'local' (each pixel against the mean and deviation of its surroundings; 0.5 is their mean).

    Raises:
        ValueError: another rule.
    """
    inside = pixels[mask]
    if rule == "range":
        low, high = (float(v) for v in np.percentile(inside[:: max(1, inside.size // 200_000)], (1, 99)))
        made = np.clip(0.05 + 0.9 * (inside - low) / max(high - low, 1e-6), 0, 1)
    elif rule == "rank":
        places = np.minimum((inside * _LEVELS).astype(np.int32), _LEVELS - 1)
        counts = np.bincount(places, minlength=_LEVELS)
        shares = (np.cumsum(counts) - counts / 2) / inside.size
        made = np.interp(inside * _LEVELS, np.arange(_LEVELS) + 0.5, shares)
    elif rule == "local":
        made = _against_surroundings(pixels, mask)[mask]
    else:
        raise ValueError(f"intensity {rule!r} is not one of range, rank, local")
    result = pixels.copy()
    result[mask] = made
    return result


def _against_surroundings(pixels: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each pixel less the mean of its surroundings within the breast, in their deviations: six of them span 0 to 1."""
    inside = mask.astype(np.float32)
    weight = reduced(inside, _ROWS)
    sigma = _REACH * weight.shape[0]
    total = np.maximum(ndimage.gaussian_filter(weight, sigma), np.float32(1e-3))
    mean = ndimage.gaussian_filter(reduced(pixels * inside, _ROWS), sigma) / total
    square = ndimage.gaussian_filter(reduced(pixels * pixels * inside, _ROWS), sigma) / total
    deviation = np.sqrt(np.maximum(square - mean * mean, np.float32(_FLATTEST**2)))
    around, spread = (_over(values, pixels.shape) for values in (mean, deviation))
    return np.clip(np.float32(0.5) + (pixels - around) / (6 * spread), np.float32(0.01), np.float32(1))


def _over(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)
