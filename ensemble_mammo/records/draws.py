"""Random numbers that depend on a seed and on one image alone, so that neither workers nor other images matter."""

from __future__ import annotations

import hashlib

import numpy as np


def drawing(seed: int, image_id: str, *purposes: int) -> np.random.Generator:
    """The generator of one image.

    Args:
        seed: of the whole work.
        image_id: of the image.
        purposes: numbers that tell several generators of one image apart.
    """
    number = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, number, *purposes])
