"""Whether an image without a header shows tissue dark instead of bright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = 256
"rows, at most, of the reduced copy on which the background is looked for"


def reduced(pixels: NDArray[np.float32], rows: int = ROWS) -> NDArray[np.float32]:
    """A copy `[h, w]` made smaller by a whole factor: means of blocks, without what fills none."""
    factor = max(1, pixels.shape[0] // rows, pixels.shape[1] // (2 * rows))
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    if factor == 1 or not height or not width:
        return pixels.astype(np.float32)
    blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def looks_inverted(pixels: NDArray[np.float32]) -> bool:
    """Whether the background of a mammogram is brighter than the breast.

    Background is flat and lies at one end of the values. So: more than a fifth of the image flat and
    near the bright end, and next to nothing flat near the dark end. (RSNA's 45 exports of machine 210:
    0.37 to 0.77 bright, 0.003 dark at most; a fatty breast that fills its frame: 0.53 and 0.16.)

    Args:
        pixels: `[H, W]` from 0 to 1.
    """
    small = reduced(pixels)
    if min(small.shape) < 3:
        return False
    low, high = np.percentile(small, (0.5, 99.5))
    if high - low < 0.05:
        return False
    level = (small - low) / (high - low)
    steps = np.maximum(np.abs(np.diff(level, axis=0))[:, :-1], np.abs(np.diff(level, axis=1))[:-1])
    flat = steps < 0.01
    bright = float((flat & (level[:-1, :-1] > 0.9)).mean())
    dark = float((flat & (level[:-1, :-1] < 0.15)).mean())
    return bright > 0.2 and dark < 0.05
