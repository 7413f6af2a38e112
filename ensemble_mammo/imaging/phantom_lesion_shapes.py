"""What phantom lesions add to a view: the profile of one mass, and the specks of one cluster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from ensemble_mammo.imaging.breast import Mask

Pixels = NDArray[np.float32]

_FINER = 4
"each pixel is drawn as so many squared, and averaged"


def mass(size_px: float, malignant: bool, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """One mass.

    Args:
        size_px: extent of its body.
        malignant: irregular, with strands and a soft margin; else a smooth oval with a sharp one.
        rng: what it looks like.

    Returns:
        `[h, w]` what it adds to the tissue, 0 to about 0.3, and its mask: where it adds a quarter of its most or more.
    """
    reach = round((2.3 if malignant else 1.25) * size_px / 2) + 3
    rows, columns = _grid(reach)
    radius = size_px / 2
    tilt = rng.uniform(0, np.pi)
    across = np.hypot(*_turned(rows, columns, tilt, rng.uniform(0.72, 0.95)))
    angle = np.arctan2(rows, columns)
    body = across / (radius * _outline(angle, malignant, rng))
    softness = rng.uniform(0.14, 0.22) if malignant else rng.uniform(0.05, 0.09)
    profile = _edge((1 - body) / max(softness, 0.5 / radius))
    profile *= 0.55 + 0.45 * np.sqrt(np.clip(1 - body**2, 0, 1))  # thickest in the middle
    if malignant:
        haze = 0.16 * np.exp(-((body / 1.5) ** 4))  # tissue drawn together around it
        profile = np.maximum(profile, _strands(rows, columns, radius, rng)) + haze
    else:
        profile = profile - 0.08 * np.exp(-(((body - 1.15) / 0.08) ** 2))  # the thin dark halo of a sharp margin
    grain = ndimage.gaussian_filter(rng.standard_normal(rows.shape), size_px * _FINER / 16)
    profile *= 1 + (0.14 if malignant else 0.09) * grain / grain.std()
    small = _coarser(profile)
    mask = _filled(small > 0.25 * small.max())
    strength = rng.uniform(0.22, 0.30) if malignant else rng.uniform(0.17, 0.25)
    return (strength * small).astype(np.float32), mask


def _outline(angle: NDArray[np.float64], malignant: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Radius at each angle as a share of the mean one: nearly 1, or with lobes of several sizes."""
    waves = ((2, 0.10), (3, 0.11), (4, 0.09), (5, 0.08), (7, 0.07), (9, 0.05)) if malignant else ((2, 0.03), (3, 0.035))
    radius = np.ones_like(angle)
    for number, most in waves:
        radius += rng.uniform(0.5, 1) * most * np.sin(number * angle + rng.uniform(0, 2 * np.pi))
    return radius / (1.2 if malignant else 1.03)


def _strands(
    rows: NDArray[np.float64], columns: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Thin strands that leave the body in all directions, bend a little, and taper."""
    number = int(rng.integers(16, 26))
    found = np.zeros_like(rows)
    for place in range(number):
        direction = 2 * np.pi * (place + rng.uniform(-0.8, 0.8)) / number
        ahead = rows * np.sin(direction) + columns * np.cos(direction)
        aside = rows * np.cos(direction) - columns * np.sin(direction)
        length = radius * (1.1 + 1.15 * rng.uniform() ** 1.5)
        share = np.clip(ahead / length, 0, 1)
        aside = aside - rng.uniform(-0.4, 0.4) * radius * share**2
        wide = np.maximum(radius * rng.uniform(0.07, 0.18) * (1.1 - share), 0.45)
        line = np.exp(-((aside / wide) ** 2)) * (1 - share) ** 0.7 * (ahead > 0)
        found = np.maximum(found, rng.uniform(0.45, 0.9) * line)
    return found


def calcifications(size_px: float, malignant: bool, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """One cluster of calcifications.

    Args:
        size_px: extent of the cluster.
        malignant: many fine specks of all shapes; else few large round ones.
        rng: where they lie and what they look like.

    Returns:
        `[h, w]` what they add to the tissue, 0 to about 0.7, and the mask of the cluster: the hull of its specks.
    """
    reach = round(0.75 * size_px) + 4
    rows, columns = _grid(reach)
    number = int(rng.integers(16, 30)) if malignant else int(rng.integers(3, 7))
    centres = _scattered(number, size_px, malignant, rng)
    found = np.zeros_like(rows)
    for row, column in centres:
        radius = size_px * (rng.uniform(0.024, 0.050) if malignant else rng.uniform(0.085, 0.14))
        radius = max(radius, 0.7 if malignant else 1.1)
        slender = rng.uniform(1.0, 2.6) if malignant else rng.uniform(1.0, 1.12)
        ahead, aside = _turned(rows - row, columns - column, rng.uniform(0, np.pi), 1 / slender)
        distance = np.hypot(ahead, aside * (slender if malignant else 1.0)) / radius
        speck = _edge((1 - distance) / 0.15)
        if malignant:
            speck *= rng.uniform(0.55, 1.0)
        elif rng.random() < 0.4:
            speck *= 1 - 0.45 * _edge((0.55 - distance) / 0.15)  # lucent in the middle
        found = np.maximum(found, speck)
    small = _coarser(ndimage.gaussian_filter(found, 0.35 * _FINER))
    mask = _hull(centres, reach, margin=0.12 * size_px + 1)
    strength = rng.uniform(0.55, 0.7) if malignant else rng.uniform(0.42, 0.55)
    return (strength * small).astype(np.float32), mask


def _scattered(number: int, size_px: float, malignant: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """`[n, 2]` centres within an ellipse, no two over each other; malignant ones denser in the middle."""
    tilt, slender = rng.uniform(0, np.pi), rng.uniform(0.55, 0.9)
    apart = size_px * (0.07 if malignant else 0.26)
    found: list[NDArray[np.float64]] = []
    for _ in range(60 * number):
        angle, share = rng.uniform(0, 2 * np.pi), rng.uniform() ** (0.75 if malignant else 0.5)
        ahead, aside = share * np.cos(angle), share * np.sin(angle) * slender
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        centre = turn @ np.array([ahead, aside]) * 0.5 * size_px * 0.88
        if all(np.hypot(*(centre - other)) >= apart for other in found):
            found.append(centre)
        if len(found) == number:
            break
    return np.array(found)


def _hull(centres: NDArray[np.float64], reach: int, margin: float) -> Mask:
    """The convex hull of the centres, wider by a margin in pixels."""
    circle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = margin * np.stack([np.sin(circle), np.cos(circle)], axis=1)
    points = (centres[:, None] + rim[None]).reshape(-1, 2)
    edges = ConvexHull(points).equations  # [e, 3]: normal and offset, negative on the inner side
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.ones(rows.shape, np.bool_)
    for down, right, offset in edges:
        inside &= rows * down + columns * right + offset <= 0
    return inside


def _grid(reach: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns about the centre of `2 reach + 1` pixels, in pixels, `_FINER` points a pixel."""
    side = (2 * reach + 1) * _FINER
    at = (np.arange(side) + 0.5) / _FINER - (2 * reach + 1) / 2
    rows, columns = np.meshgrid(at, at, indexing="ij")
    return rows, columns


def _turned(
    rows: NDArray[np.float64], columns: NDArray[np.float64], tilt: float, slender: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates along and across an axis; across it all is narrower by a factor."""
    ahead = rows * np.sin(tilt) + columns * np.cos(tilt)
    aside = rows * np.cos(tilt) - columns * np.sin(tilt)
    return ahead, aside / slender


def _edge(inside: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 outside to 1 inside."""
    return np.asarray(1 / (1 + np.exp(-np.clip(4 * inside, -30, 30))))


def _coarser(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    side = len(fine) // _FINER
    return np.asarray(fine.reshape(side, _FINER, side, _FINER).mean(axis=(1, 3)))


def _filled(mask: Mask) -> Mask:
    """The largest connected part, its holes closed."""
    parts, number = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, number + 1))
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))), np.bool_)
