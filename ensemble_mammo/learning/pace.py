"""How well a training uses its machine: what it waits for images, and the share of the matrix rate that it reaches."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 8192
"""Rows and columns of the matrices whose product tells a GPU's rate: as large as it takes to reach it."""
_CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward
ROUNDS = 10
"""Products that are timed; their median counts."""


@dataclass
class Pace:
    """What the epochs of this process took, without validation."""

    matrix_rate: float = math.nan
    "floating-point operations a second of large matrix products on the device, in the run's precision"
    seconds: float = 0.0
    "from the first batch asked for to the last one done with, over all epochs"
    waited: float = 0.0
    "of these the loop stood still for images"
    batches: int = 0
    "that were waited for"

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the time of an epoch, or of what of it is shown."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a stretch of waiting for a batch."""
        begin = time.perf_counter()
        yield
        self.waited += time.perf_counter() - begin
        self.batches += 1

    @property
    def waiting_share(self) -> float:
        """Share of the training time that was spent waiting for images; nan where none were read in batches."""
        return self.waited / self.seconds if self.batches and self.seconds else math.nan

    def matrix_share(self, network: nn.Module, size: tuple[int, int], rates: Sequence[float]) -> float:
        """Share of the matrix rate that a training uses.

        Args:
            network: as it is trained now: what is frozen needs no gradient.
            size: rows and columns of its input.
            rates: images a second of each epoch trained so; the median counts.

        Returns:
            nan where the matrix rate is not known, nothing was trained, or the operations cannot be counted.
        """
        if math.isnan(self.matrix_rate) or not rates:
            return math.nan
        return training_flops(network, size) * statistics.median(rates) / self.matrix_rate


def training_flops(network: nn.Module, size: tuple[int, int]) -> float:
    """Floating-point operations of one training step, forward and backward, for each image.

    Counted on tensors without values, so that neither memory nor time nor the network's own state is touched; a
    multiplication and an addition are two. nan for networks that need values to be run.

    Args:
        network: takes `[B, 1, H, W]`.
        size: rows and columns of its input.
    """
    hollow: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in network.buffers()}
    for one in network.parameters():
        hollow[id(one)] = nn.Parameter(torch.empty_like(one, device="meta"), one.requires_grad)
    batch = torch.empty(2, 1, *size, device="meta")  # two, for batch norms
    try:
        copied = copy.deepcopy(network, hollow).train()
        for module in copied.modules():
            if isinstance(module, nn.SyncBatchNorm):
                module.eval()  # its other processes are not here
        with FlopCounterMode(display=False, custom_mapping={_CONVOLUTION_BACKWARD: _gradient_flops}) as counter:
            made = copied(batch)
            if made.requires_grad:
                made.sum().backward()
    except (RuntimeError, NotImplementedError):
        return math.nan
    return counter.get_total_flops() / len(batch)


def _gradient_flops(out: Sequence[int], x: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any) -> int:
    """Operations of a convolution's gradients: as many as forward for each that is asked for.

    (torch's own count, as of 2.15, leaves groups out of account: fourteen times too many for EfficientNet-Lite0.)
    """
    transposed, asked = rest[4], rest[7]
    places = math.prod((x if transposed else out)[2:])
    return 2 * out[0] * places * math.prod(weight) * sum(bool(one) for one in asked[:2])


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = SIDE) -> float:
    """Floating-point operations a second of a product of two large matrices; nan where they find no room.

    In float32 the products are computed as convolutions are on GPUs that have TF32: rounded to it.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        generator = torch.Generator(device).manual_seed(0)
        matrix = torch.randn(side, side, device=device, dtype=dtype, generator=generator)
        seconds = [_seconds(matrix) for _ in range(3 + ROUNDS)][3:]  # after three to warm up
    except torch.OutOfMemoryError:
        return math.nan
    finally:
        torch.set_float32_matmul_precision(before)
    return 2 * side**3 / statistics.median(seconds)


def _seconds(matrix: torch.Tensor) -> float:
    """How long a product takes, by the clock of the device's own queue where it has one."""
    if matrix.device.type != "cuda":
        begin = time.perf_counter()
        torch.mm(matrix, matrix)
        return time.perf_counter() - begin
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    torch.mm(matrix, matrix)
    ended.record()
    ended.synchronize()
    return begun.elapsed_time(ended) / 1e3
