"""Which pictures are nearly the same: perceptual hashes compared all with all, then fine structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.inspect import Inspection

MOST_BITS = 56
"bits of 256 in which two hashes may differ (another mammogram: 120 on average, 39 at the least of 800,000 pairs)"
LEAST_AGREEMENT = 0.75
"correlation of fine structure (copies scaled, recompressed or turned over: above .8; other mammograms: .67 at most)"
_BLOCK = 2048


def near_duplicates(seen: Sequence[Inspection]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of pictures that are nearly the same but not pixel for pixel.

    Every pair is compared; memory grows with the number of pictures, not of pairs.

    Args:
        seen: what was seen in each picture; those without a breast are passed over.
    """
    places = np.array([i for i, one in enumerate(seen) if one.breast_share > 0], int)
    if len(places) < 2:
        return []
    signs = _signs(seen, places)
    pairs: list[tuple[int, int]] = []
    for first in range(0, len(places), _BLOCK):
        for second in range(first, len(places), _BLOCK):
            differing = (signs.shape[1] - signs[first : first + _BLOCK] @ signs[second : second + _BLOCK].T) / 2
            for a, b in np.argwhere(differing <= MOST_BITS):
                i, j = int(places[first + a]), int(places[second + b])
                if i < j and seen[i].pixel_sha256 != seen[j].pixel_sha256 and _alike(seen[i], seen[j]):
                    pairs.append((i, j))
    return sorted(pairs)


def _signs(seen: Sequence[Inspection], places: NDArray[np.int_]) -> NDArray[np.float32]:
    bits = np.unpackbits(np.array([np.frombuffer(seen[i].hash, np.uint8) for i in places]), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _alike(one: Inspection, other: Inspection) -> bool:
    a, b = one.texture.astype(np.float64).ravel(), other.texture.astype(np.float64).ravel()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return norm > 0 and float(a @ b) / norm >= LEAST_AGREEMENT
