"""The dense heatmap: stages of features computed once for the whole image and shared by its patches.

A stage that skips (its step grows from a to b pixels) keeps one of several phases of the map before it. A dilated
network would keep them all; here the map is shifted cell by cell and each shift goes through the rest by itself, which
gives the same values and leaves the network as it is. So a map is a stack of shifts, and the place (row, column), in
pixels, lies in the shift (row % b, column % b) at the cell (row // b, column // b).

Begin and size of what is computed are multiples of the last map's step. So every convolution meets the same phase as in
a patch cut out there, also where padding is "same" as TensorFlow means it (one pixel more below and to the right): a
patch and its window of the map lie on each other, and what differs is what lies around the patch alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.heatmap.chain import Chain, chain_of, window_logits
from ensemble_mammo.learning.heatmap.exact import computed, exact_scores
from ensemble_mammo.learning.heatmap.grid import HeatmapOptions, Lattice
from ensemble_mammo.learning.images import normalise
from ensemble_mammo.records.png16 import WHITE

_PAD_MODES = {"zero": "constant", "reflected": "symmetric"}


def dense_scores(
    run: LoadedRun,
    pixels: NDArray[np.uint16],
    lattice: Lattice,
    wanted: NDArray[np.bool_],
    options: HeatmapOptions,
) -> NDArray[np.float32]:
    """The softmax scores of each patch, as one network gives them with features shared between patches.

    Args:
        run: the network.
        pixels: `[h, w]`, 16 bits.
        lattice: where the patches lie.
        wanted: `[rows, columns]`: which of them are looked at.
        options: how much is shared, how finely, and what lies around the image.

    Returns:
        `[rows, columns, C]`; nan where no patch was looked at.

    Raises:
        RunError: the network cannot be shared so.
    """
    if options.shared == 0 and not run.recipe.train.imitate:
        return exact_scores([run], pixels, lattice, wanted, options)
    chain = chain_of(run)
    shared = _stages_shared(run, chain, options)
    if not wanted.any():
        return np.full((*wanted.shape, len(run.classes)), np.nan, np.float32)
    part = _Part.of(chain, shared, lattice, wanted, options)
    maps = _shared_maps(run, chain, part, _canvas(pixels, lattice, part, options), options.precision)
    cells = lattice.patch_px // part.cell
    if shared == len(chain.stages):
        logits = _pooled(run, maps, part, cells, options.precision)
    else:
        logits = _patch_by_patch(run, chain, maps, part, cells, options)
    return np.where(wanted[..., None], part.interpolated(logits, options.interpolation == "logit"), np.float32(np.nan))


@dataclass(frozen=True)
class _Part:
    """The part of a padded image that is computed, and the places in it."""

    shared: int
    "stages computed for the whole part"
    cell: int
    "pixels from one cell of the shared map to the next"
    step: int
    "pixels from one place that is computed to the next; divides `cell`"
    top: int
    "first row of the part, in pixels of the padded image"
    left: int
    "first column"
    height: int
    "rows of the part"
    width: int
    "columns"
    row_places: NDArray[np.float64]
    "[rows of the lattice] where each lies, in steps from `top`; kept within the places wanted"
    column_places: NDArray[np.float64]
    "likewise"
    needed: NDArray[np.bool_]
    "[a, b] which of the places that could be computed have a place wanted beside them"

    @classmethod
    def of(
        cls, chain: Chain, shared: int, lattice: Lattice, wanted: NDArray[np.bool_], options: HeatmapOptions
    ) -> _Part:
        """The smallest part that holds all patches wanted, its sides multiples of the network's step."""
        cell, whole = chain.step_behind(shared), chain.steps[-1]
        step = max(cell // 2**options.dilated, math.gcd(cell, lattice.stride_px))
        sides = []
        for axis in (0, 1):
            seen = np.flatnonzero(wanted.any(1 - axis)) * lattice.stride_px
            begin = int(seen[0]) // whole * whole
            last = math.ceil((int(seen[-1]) - begin) / step)
            size = math.ceil((last * step + lattice.patch_px) / whole) * whole
            places = np.clip(np.arange(wanted.shape[axis]) * lattice.stride_px, seen[0], seen[-1])
            sides.append((begin, size, (places - begin) / step, last + 1))
        (top, height, rows, a), (left, width, columns, b) = sides
        needed = np.zeros((a, b), np.bool_)
        at = np.nonzero(wanted)
        for side in np.floor, np.ceil:
            for other in np.floor, np.ceil:
                needed[side(rows[at[0]]).astype(int), other(columns[at[1]]).astype(int)] = True
        return cls(shared, cell, step, top, left, height, width, rows, columns, needed)

    def interpolated(self, logits: Tensor, before: bool) -> NDArray[np.float32]:
        """Softmax scores `[rows, columns, C]` at the lattice's places of logits `[a, b, C]` at those computed.

        Args:
            logits: nan where none were needed.
            before: whether log-probabilities are interpolated, not probabilities.
        """
        values = (torch.log_softmax(logits, -1) if before else torch.softmax(logits, -1)).cpu()
        for axis, places in enumerate((self.row_places, self.column_places)):
            low, high = (torch.from_numpy(side(places).astype(np.int64)) for side in (np.floor, np.ceil))
            share = torch.from_numpy((places % 1).astype(np.float32)).view((-1, 1, 1) if axis == 0 else (1, -1, 1))
            values = values.index_select(axis, low) * (1 - share) + values.index_select(axis, high) * share
        found: NDArray[np.float32] = (torch.softmax(values, -1) if before else values).numpy()
        return found


def _stages_shared(run: LoadedRun, chain: Chain, options: HeatmapOptions) -> int:
    """How many stages the image shares, all that is asked for being possible with this network."""
    stages, name = len(chain.stages), run.recipe.network.name
    shared = stages if options.shared < 0 else options.shared
    if shared > stages:
        raise RunError(f"{run.folder}: shared is {shared}, but the features of {name} have {stages} stages; give fewer")
    if shared < stages and run.recipe.train.imitate:
        raise RunError(
            f"{run.folder}: was taught single passes (train.imitate), so that all of its {stages} stages are shared; "
            f"shared is {shared}, leave it out"
        )
    if run.recipe.input.uses_own_mean:
        raise RunError(
            f"{run.folder}: its recipe goes by each patch's own mean (centre = 'image', or a contrast), which no "
            "shared features can; take --mode exact"
        )
    if shared == stages and not chain.pools_by_mean:
        fewer = f" or a number of shared stages below {stages}" if stages > 1 else ""
        raise RunError(
            f"{run.folder}: the head of {name} is not average pooling and one layer, so that its features cannot all "
            f"be shared; take --mode exact{fewer}"
        )
    cell = chain.step_behind(shared)
    if cell % 2**options.dilated:
        raise RunError(
            f"{run.folder}: dilated is {options.dilated}, but {shared} stages of {name} have a step of {cell} pixels, "
            f"which can be halved {(cell & -cell).bit_length() - 1} times; give fewer"
        )
    return shared


def _canvas(pixels: NDArray[np.uint16], lattice: Lattice, part: _Part, options: HeatmapOptions) -> Tensor:
    """The part that is computed `[1, 1, height, width]`, values in 0..1."""
    before = lattice.padding_px
    below = max(before, part.top + part.height - before - lattice.height)
    right = max(before, part.left + part.width - before - lattice.width)
    pads = ((before, below), (before, right))
    padded = np.pad(pixels, pads, mode=_PAD_MODES[options.context])  # type: ignore[call-overload]
    inside = padded[part.top : part.top + part.height, part.left : part.left + part.width]
    return torch.from_numpy(inside.astype(np.float32) / np.float32(WHITE))[None, None]


def _shared_maps(run: LoadedRun, chain: Chain, part: _Part, canvas: Tensor, precision: str) -> Tensor:
    """The shared map at each of its shifts `[m * m, F, a, b]`, m = cell / step, rows' shifts outside."""

    def work(batch: Tensor) -> Tensor:
        before, shifts = 1, 1  # step of the map at hand, and its shifts in each direction
        for stage, behind in zip(chain.stages[: part.shared], chain.steps, strict=False):
            more = behind // part.step // shifts
            if more > 1:
                batch, shifts = _shifted(batch, more, max(before, part.step) // before, shifts), shifts * more
            batch, before = stage(batch), behind
        return batch

    return computed(work, normalise(canvas, run.recipe.input), run, precision)


def _shifted(batch: Tensor, more: int, cells: int, shifts: int) -> Tensor:
    """Each map of a stack at `more` shifts of so many cells in each direction, in the order of the whole shift."""
    moved = [
        F.pad(batch[..., cells * i :, cells * j :], (0, cells * j, 0, cells * i))
        for i in range(more)
        for j in range(more)
    ]
    size = (more, more, shifts, shifts, *batch.shape[1:])
    return torch.stack(moved).reshape(size).transpose(1, 2).reshape(-1, *batch.shape[1:])


def _pooled(run: LoadedRun, maps: Tensor, part: _Part, cells: int, precision: str) -> Tensor:
    """Logits `[a, b, C]` of each window of last maps: the mean of what the head makes of its cells."""
    network: Any = run.network
    each = computed(lambda batch: window_logits(network, batch, cells), maps, run, precision)
    windows = each.permute(0, 2, 3, 1)
    many = part.cell // part.step
    stack = windows.reshape(many, many, *windows.shape[1:])
    # [shift, shift, a, b, C] -> a place's row is cell * many + shift
    logits = stack.permute(2, 0, 3, 1, 4).flatten(0, 1).flatten(1, 2)
    return logits[: part.needed.shape[0], : part.needed.shape[1]]


def _patch_by_patch(
    run: LoadedRun, chain: Chain, maps: Tensor, part: _Part, cells: int, options: HeatmapOptions
) -> Tensor:
    """Logits `[a, b, C]`: the stages not shared go over each needed place's window of the maps by itself."""
    network: Any = run.network

    def rest(batch: Tensor) -> Tensor:
        for stage in chain.stages[part.shared :]:
            batch = stage(batch)
        logits: Tensor = network.forward_head(batch)
        return logits

    logits = torch.full((*part.needed.shape, len(run.classes)), float("nan"))
    # a view [m * m, a, b, cells, cells, F]: cut so, a batch lies in memory with its channels last
    windows = maps.permute(0, 2, 3, 1).unfold(1, cells, 1).unfold(2, cells, 1).permute(0, 1, 2, 4, 5, 3)
    many = part.cell // part.step
    places = torch.from_numpy(np.argwhere(part.needed))
    for rows, columns in (chosen.T for chosen in places.split(options.batch_size)):
        shift = rows % many * many + columns % many
        batch = windows[shift, rows // many, columns // many].permute(0, 3, 1, 2)
        logits[rows, columns] = computed(rest, batch, run, options.precision).cpu()
    return logits
