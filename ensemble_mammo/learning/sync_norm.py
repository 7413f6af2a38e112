"""Batch norms that measure the whole batch, over all processes of a training."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn import functional as F


def measure_whole_batches(network: nn.Module, device: torch.device) -> None:
    """Let every batch norm of a network measure the whole batch; names, weights, hooks and activations stay.

    Torch's own on a GPU; it has none for processors.
    """
    for module in network.modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if device.type == "cpu":
            module.__class__ = WholeBatchNorm
        else:
            acts = isinstance(module, BatchNormAct2d)
            module.process_group = None  # type: ignore[assignment]
            module.__class__ = SyncBatchNormAct if acts else nn.SyncBatchNorm


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """The batch norm of a processor, with mean and variance over the shares of all processes.

    A share may be empty. Where the whole batch has a single value a channel, the running statistics are used.
    """

    def forward(self, x: Tensor) -> Tensor:
        """From `[B, C, …]` to the same; what a norm of timm's does behind it (drop, act) is done as well."""
        normed = self._by_batch(x) if self.training or self.running_mean is None else self._as_known(x)
        for name in ("drop", "act"):
            normed = getattr(self, name)(normed) if hasattr(self, name) else normed
        return normed

    def _by_batch(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
        totals = over_all(torch.cat([values.sum(axes, dtype=torch.float64), count]))  # float64: as torch's own adds up
        number = float(totals[-1].detach())
        if number == 1 and self.running_mean is not None:
            return self._as_known(x)
        mean = totals[:-1] / number
        centred = values - _of_channels(mean, values)
        variance = over_all(centred.square().sum(axes, dtype=torch.float64)) / number
        normed = (centred * _of_channels((variance + self.eps).rsqrt(), values)).to(x.dtype)
        if self.training and self.running_mean is not None and self.running_var is not None:
            self._remember(mean.detach(), variance.detach() * number / (number - 1))
        if self.weight is None:
            return normed
        bias = self.bias * 1  # else, of a single value a channel, its gradient lies in the memory of another's
        return (normed * _of_channels(self.weight, x) + _of_channels(bias, x)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)

    def _as_known(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _Summed(torch.autograd.Function):
    """The sum over all processes; what depends on it in any of them is passed back to all."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        whole = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole


def over_all(own: Tensor) -> Tensor:
    """The sum of every process's tensor, differentiable."""
    whole: Tensor = _Summed.apply(own)
    return whole


def _of_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
