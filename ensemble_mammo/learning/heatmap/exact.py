"""The exact heatmap: every patch cut out and computed by itself, streamed in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.device import resolve_precision
from ensemble_mammo.learning.heatmap.grid import HeatmapOptions, Lattice
from ensemble_mammo.learning.images import normalise
from ensemble_mammo.records.png16 import WHITE


def exact_scores(
    runs: Sequence[LoadedRun],
    pixels: NDArray[np.uint16],
    lattice: Lattice,
    wanted: NDArray[np.bool_],
    options: HeatmapOptions,
) -> NDArray[np.float32]:
    """The softmax scores of each patch, the mean over the networks.

    Beside the padded image (2 bytes a pixel) only one batch of patches is in memory, whatever the image's size.

    Args:
        runs: the networks, of one patch size.
        pixels: `[h, w]`, 16 bits.
        lattice: where the patches lie.
        wanted: `[rows, columns]`: which of them are looked at.
        options: batch size and precision.

    Returns:
        `[rows, columns, C]`; nan where no patch was looked at.
    """
    values = np.full((*wanted.shape, len(runs[0].classes)), np.nan, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(pixels, lattice.padding_px), (lattice.patch_px, lattice.patch_px)
    )[:: lattice.stride_px, :: lattice.stride_px]  # a view: nothing is copied until a batch is cut
    places = np.argwhere(wanted)
    for start in range(0, len(places), options.batch_size):
        rows, columns = places[start : start + options.batch_size].T
        batch = torch.from_numpy(windows[rows, columns].astype(np.float32) / np.float32(WHITE))[:, None]
        scores = [patch_scores(run, batch, options.precision) for run in runs]
        values[rows, columns] = torch.stack(scores).mean(0).numpy()
    return values


def patch_scores(run: LoadedRun, batch: Tensor, precision: str) -> Tensor:
    """Softmax scores `[B, C]` of patches `[B, 1, P, P]`, values in 0..1."""
    return torch.softmax(computed(run.network.eval(), normalise(batch, run.recipe.input), run, precision), 1).cpu()


def computed(work: Callable[[Tensor], Tensor], batch: Tensor, run: LoadedRun, precision: str) -> Tensor:
    """What a run's network, or a part of it, makes of a batch, on its device and in that precision, as float32.

    The memory layout is channels last, in which convolutions on a processor are quickest.
    """
    device = next(run.network.parameters()).device
    kind = resolve_precision(precision, device)
    lower = torch.autocast(device.type, kind, enabled=kind != torch.float32)
    with torch.inference_mode(), lower:
        return work(batch.to(device).contiguous(memory_format=torch.channels_last)).float()
