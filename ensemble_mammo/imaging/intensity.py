"""Intensity within the breast made alike, whatever scanner or digitiser it came from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEVELS = 4096


def levelled(pixels: NDArray[np.float32], mask: NDArray[np.bool_], rule: str) -> NDArray[np.float32]:
    """Give the breast the same range, or the same histogram, in every image; what lies outside is kept.

    Args:
        pixels: `[H, W]` from 0 to 1.
        mask: `[H, W]`, True on the breast.
        rule: 'range' (its 1st and 99th percentile become 0.05 and 0.95) or 'rank' (equal shares at every level).

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
    else:
        raise ValueError(f"intensity {rule!r} is not one of range, rank")
    result = pixels.copy()
    result[mask] = made
    return result
