"""Hand-made features of one segmented breast: how bright it is, how bright its depth is, how strands stand out.

The breast is what is brighter than black in a prepared mammogram (black outside it). Everything is the same for a
mirrored breast, and absolute: values 0..1 mean the same in every image. Lengths are in pixels of an input of 384 rows.

Chosen by cross-validation over three sets at once (INbreast, RSNA, mini-MIAS). What added nothing was left out: shape,
thresholds and moments over the whole breast, co-occurrence.

Sources, group by group:

- percentiles, moments: first-order statistics, as in Haralick & Shapiro, Computer and Robot Vision, 1992.
- the deep part: glandular tissue lies deep and fat under the skin, so brightness is judged there, by percentiles,
  moments, shares above thresholds (density by area, after Byng et al., Phys. Med. Biol. 1994, without the observer)
  and by Otsu's threshold (IEEE Trans. SMC 1979).
- bands: differences of box means of growing size, after the pyramid of Burt & Adelson, IEEE Trans. Comm. 1983.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

FILL_PX = 5
"""Side of the neighbourhood that says whether a pixel is of the breast."""
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
"""Of the breast's values."""
DEPTH_PX = 40
"""What lies further than this from the breast's border is its deep part."""
DEEP_PERCENTILES = (5, 25, 50, 75, 95)
"""Of the deep part's values."""
RELATIVE = (0.3, 0.5, 0.7)
"""Thresholds between the whole breast's 1st (0) and 99th percentile (1)."""
BINS = 256
"""Of the histogram over 0..1 that Otsu's threshold is sought in."""
BANDS_PX = (1, 3, 7, 15, 31, 61)
"""Sides of the box means; a band is the difference of two neighbours."""
BORDER_PX = 4
"""Of the breast is left out of the bands: its edge stands out more than any strand."""
BAND_PERCENTILES = (5, 25, 75, 95)
"""Of a band's values: how bright strands and dark gaps are, apart."""
TINY = 1e-6
"""Below this a spread counts as none."""

MOMENTS = ("mean", "deviation", "skewness", "kurtosis")
OTSU = ("otsu", "otsu_share", "otsu_below", "otsu_above", "otsu_variance")
BAND_FIGURES = ("absolute", "deviation", "skewness", *(f"p{share}" for share in BAND_PERCENTILES))

NAMES = (
    *(f"p{share}" for share in PERCENTILES),
    *(f"deep_p{share}" for share in DEEP_PERCENTILES),
    *(f"deep_above_{threshold}" for threshold in RELATIVE),
    *(f"deep_{name}" for name in (*MOMENTS, *OTSU)),
    *(f"band_{size}_{name}" for size in BANDS_PX[:-1] for name in BAND_FIGURES),
)
"""What each feature is called, in order."""


def measured(image: Tensor) -> Tensor:
    """All features of one image.

    Args:
        image: `[H, W]`, values in 0..1, black outside the breast.

    Returns:
        `[F]` in the order of NAMES, float32; zeros where nothing is brighter than black.
    """
    mask = breast(image)
    if not bool(mask.any()):
        return image.new_zeros(len(NAMES), dtype=torch.float32)
    percentiles = _percentiles(image[mask].double().sort().values, PERCENTILES)
    outside = integral(~mask)
    deep = box_sums(outside, 2 * DEPTH_PX + 1) == 0
    groups = (
        percentiles,
        _deep(image[deep if bool(deep.any()) else mask], percentiles[0], percentiles[-1]),
        _bands(image, mask, box_sums(outside, 2 * BORDER_PX + 1) == 0),
    )
    return torch.cat(groups).float()


def breast(image: Tensor) -> Tensor:
    """Where most of the neighbourhood is brighter than black: `[H, W]`; single black pixels make no holes."""
    return box_sums(integral(image > 0), FILL_PX) > FILL_PX**2 / 2


def _deep(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The deep part's percentiles, shares above thresholds from `low` to `high`, moments, and Otsu's threshold."""
    values = values.double().sort().values
    thresholds = low + values.new_tensor(RELATIVE) * (high - low)
    above = 1 - torch.searchsorted(values, thresholds, right=True) / len(values)
    return torch.cat([_percentiles(values, DEEP_PERCENTILES), above, _moments(values), _otsu(values)])


def _percentiles(values: Tensor, percentiles: tuple[int, ...]) -> Tensor:
    """Of sorted values, between the two nearest (linear)."""
    place = values.new_tensor(percentiles) / 100 * (len(values) - 1)
    below = place.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def _moments(values: Tensor) -> Tensor:
    """Mean, deviation, skewness and excess kurtosis; the last two are 0 where all values are equal."""
    mean = values.mean()
    apart = values - mean
    deviation = apart.square().mean().sqrt()
    if deviation < TINY:
        return torch.stack([mean, deviation, torch.zeros_like(mean), torch.zeros_like(mean)])
    scaled = apart / deviation
    cubes = scaled * scaled * scaled
    return torch.stack([mean, deviation, cubes.mean(), (cubes * scaled).mean() - 3])


def _otsu(values: Tensor) -> Tensor:
    """Otsu's threshold, the share above it, the means on both sides, and the share of variance between them."""
    bins = (values * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(bins, minlength=BINS).double() / len(values)
    centres = (torch.arange(BINS, device=values.device, dtype=torch.float64) + 0.5) / BINS
    below, sums = counts.cumsum(0), (counts * centres).cumsum(0)
    mean = sums[-1]
    variance = (counts * (centres - mean).square()).sum()
    if variance < TINY**2:  # one grey value
        return torch.stack([mean, torch.zeros_like(mean), mean, mean, torch.zeros_like(mean)])
    between = (mean * below - sums).square() / (below * (1 - below)).clamp(min=1e-12)
    best = int(between[:-1].argmax())
    under, over = below[best], 1 - below[best]
    means = sums[best] / under, (mean - sums[best]) / over
    return torch.stack([(centres[best] + centres[best + 1]) / 2, over, *means, between[best] / variance])


def _bands(image: Tensor, mask: Tensor, within: Tensor) -> Tensor:
    """Of each band, at the places `within`: mean absolute value, deviation, skewness, percentiles."""
    if not bool(within.any()):
        return image.new_zeros((len(BANDS_PX) - 1) * len(BAND_FIGURES), dtype=torch.float64)
    values, weight = integral(image * mask), integral(mask)
    means = [(box_sums(values, size) / box_sums(weight, size).clamp(min=1))[within] for size in BANDS_PX]
    rows = []
    for fine, coarse in pairwise(means):
        band = fine - coarse
        rows.append(torch.stack([band.abs().mean(), *_moments(band)[1:3]]))
        rows.append(_percentiles(band.float().sort().values.double(), BAND_PERCENTILES))
    return torch.cat(rows)


def integral(x: Tensor) -> Tensor:
    """The sum of all above and left of each place: `[H + 1, W + 1]` of `[H, W]`; a sum over a square is four looks."""
    return F.pad(x.double().cumsum(0).cumsum(1), (1, 0, 1, 0))


def box_sums(sums: Tensor, size: int) -> Tensor:
    """The sum over a square of `size` (odd) about each pixel, as far as it lies in the image: `[H, W]`.

    Args:
        sums: as `integral` gives them.
        size: rows and columns of the square.
    """
    half = size // 2
    for axis in (0, 1):
        last = sums.shape[axis] - 1
        places = torch.arange(last, device=sums.device)
        after, before = (places + half + 1).clamp(max=last), (places - half).clamp(min=0)
        sums = sums.index_select(axis, after) - sums.index_select(axis, before)
    return sums
