"""Heatmaps: a patch classifier's scores all over a mammogram, patch by patch or from shared features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.heatmap.chain import Chain, chain_of
from ensemble_mammo.learning.heatmap.dense import dense_scores
from ensemble_mammo.learning.heatmap.exact import exact_scores
from ensemble_mammo.learning.heatmap.grid import Deviation, Grid, HeatmapOptions, Lattice, deviation

__all__ = ["Chain", "Deviation", "Grid", "HeatmapOptions", "Lattice", "chain_of", "deviation", "heatmap_of"]


def heatmap_of(
    runs: Sequence[LoadedRun],
    pixels: NDArray[np.uint16],
    mask: NDArray[np.bool_] | None = None,
    options: HeatmapOptions | None = None,
) -> Grid:
    """The scores of a mammogram's patches, at every step: softmax, the mean over the networks.

    Args:
        runs: patch networks of the same classes and patch size.
        pixels: `[h, w]`, 16 bits, at the image height that the patches were cut at.
        mask: `[h, w]`, True in the breast: a patch is looked at if its centre lies there; None: all.
        options: how; the exact values by default.

    Raises:
        RunError: runs that cannot be averaged, are no patch networks, or cannot be computed in this way.
        DatasetError: the image is smaller than a patch.
        ValueError: pixels or mask of another type or shape.
    """
    options = options or HeatmapOptions()
    patch = _patch_px(runs)
    for run in runs if options.mode == "exact" else ():
        if run.recipe.train.imitate:
            raise RunError(
                f"{run.folder}: was taught single passes (train.imitate), not patches; its exact map is that of the "
                f"run it imitates, {run.recipe.network.weights_file}; take that one, or mode dense"
            )
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint16 [h, w]")
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != pixels.shape):
        raise ValueError(f"the mask is {mask.dtype} {list(mask.shape)}, expected bool {list(pixels.shape)}")
    padding = patch // 2 if options.padding_px < 0 else options.padding_px
    lattice = Lattice(pixels.shape[0], pixels.shape[1], patch, options.stride_px, padding)
    wanted = lattice.wanted(mask)
    if options.mode == "exact":
        values = exact_scores(runs, pixels, lattice, wanted, options)
    else:
        each = [dense_scores(run, pixels, lattice, wanted, options) for run in runs]
        values = np.mean(each, axis=0, dtype=np.float32)
    return Grid(values, options.stride_px, lattice.first, lattice.first, patch)


def _patch_px(runs: Sequence[LoadedRun]) -> int:
    """Rows and columns of the patches that all the networks take."""
    if not runs:
        raise ValueError("no runs, expected one or more")
    first = runs[0]
    for run in runs:
        size = run.recipe.input
        if size.height != size.width:
            raise RunError(
                f"{run.folder}: its input is {size.height} x {size.width} pixels, expected a square patch; give the "
                "run of a patch network (a recipe such as cancer/patch-…)"
            )
        if size.height != first.recipe.input.height or run.classes != first.classes:
            raise RunError(
                f"{run.folder}: patches of {size.height} pixels, classes {', '.join(run.classes)}; {first.folder}: of "
                f"{first.recipe.input.height}, classes {', '.join(first.classes)}; only networks of the same patches "
                "can be averaged"
            )
    return first.recipe.input.height
