"""One network on several processes, each with its share of every batch: a GPU each, or some cores.

torchrun starts the processes, `torch.distributed` joins them: NCCL between GPUs, gloo between processors and for the
few numbers that they agree on. In a single process each function gives what there is without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ensemble_mammo.errors import EnsembleMammoError, TrainingError
from ensemble_mammo.learning.collage import judged_side_by_side

Value = TypeVar("Value")

_SPOKEN = "ensemble_mammo/spoken"
_LOST = ("gloo", "connection", "nccl", "peer", "broken pipe", "timed out")
"""Words of what torch says where another process is gone."""
_SINGLE = "more than 1 value per channel"
_stores: list[dist.Store] = []  # where the processes met; torchrun's outlives them


def join(rank: int, world: int) -> None:
    """Meet the other processes, where there are any and that was not done yet.

    Raises:
        TrainingError: they do not come.
    """
    if world == 1 or dist.is_initialized():
        return
    try:
        store, _, _ = next(dist.rendezvous("env://", rank, world))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the {world} processes of this training do not find each other: {error}") from error
    _stores.append(store)


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()
        _stores.clear()


def world() -> int:
    """Processes of this training."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The place of this one among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def own_device(device: torch.device, local_rank: int) -> torch.device:
    """The device of this process: of several GPUs, its own.

    Raises:
        TrainingError: the machine has fewer GPUs than processes.
    """
    if world() == 1 or device.type != "cuda":
        return device
    if local_rank >= (found := torch.cuda.device_count()):
        raise TrainingError(f"more processes than GPUs on a machine ({found}); take --nproc-per-node {found}")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def require_work(batch_size: int, images: int) -> None:
    """Refuse more processes than a batch has images.

    Raises:
        TrainingError: there are more.
    """
    if world() > min(batch_size, images):
        raise TrainingError(
            f"{world()} processes, and a batch of {min(batch_size, images)} images (train.batch_size = {batch_size}, "
            f"{images} images an epoch): each needs at least one; start fewer with --nproc-per-node"
        )


def share_of(order: Sequence[int]) -> list[int]:
    """What this process looks at of a batch, or of all images: one in turn to each process."""
    return list(order[rank() :: world()])


def added(values: Sequence[float]) -> list[float]:
    """Numbers of this process, added up over all of them."""
    if world() == 1:
        return list(values)
    totals = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(totals)
    return totals.tolist()


def put_together(own: Tensor, total: int) -> Tensor:
    """All rows `[N, C]` from the shares `[n, C]` that `share_of(range(N))` gave, in order."""
    if world() == 1:
        return own
    whole = own.new_zeros(total, own.shape[1])
    whole[rank() :: world()] = own
    dist.all_reduce(whole)  # every row is 0 in all processes but one
    return whole


def of_first(network: nn.Module) -> None:
    """Give all processes the buffers of the first: the running statistics of norms that measured a share each."""
    if world() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def gathered(own: Value) -> list[Value]:
    """What each process has, in their order."""
    if world() == 1:
        return [own]
    every: list[Any] = [None] * world()
    dist.all_gather_object(every, own)
    return every


def by_first(function: Callable[[], Value]) -> Value:
    """What a function gives that the first process alone calls; its error is raised in all."""
    if world() == 1:
        return function()
    said: list[Any] = [None, None]
    if rank() == 0:
        try:
            said[0] = function()
        except EnsembleMammoError as error:
            said[1] = error
    dist.broadcast_object_list(said, 0)
    if said[1] is not None:
        raise said[1]
    value: Value = said[0]
    return value


def have_met() -> bool:
    """Whether `join` has brought several processes together."""
    return bool(_stores)


def may_speak() -> bool:
    """Whether this one of several processes is the first to tell of an end: what all meet alike is then said once."""
    try:
        return bool(_stores[0].add(_SPOKEN, 1) == 1)
    except RuntimeError:  # the store went with the process that held it
        return True


@contextmanager
def among_others() -> Iterator[None]:
    """Say in words that another process is gone, or that a share is too small.

    Raises:
        TrainingError: torch found nobody at the other end, or a batch norm a single value.
    """
    try:
        yield
    except EnsembleMammoError:
        raise
    except ValueError as error:
        if world() == 1 or _SINGLE not in str(error):
            raise
        raise TrainingError(
            "a process's share of a batch gives a batch norm a single value to measure; set train.sync_norm = true, or "
            "start fewer processes"
        ) from error
    except RuntimeError as error:
        if world() == 1 or not any(word in str(error).lower() for word in _LOST):
            raise
        raise TrainingError(
            "another process of this training ended or hangs (torchrun says which); all end, the last state is on "
            "disk, and the same command goes on from it"
        ) from error


class Divided(nn.Module):
    """A network whose gradient is that of all processes' shares."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._all = DistributedDataParallel(_Judged(network))
        if next(network.parameters()).device.type == "cpu":
            self._all.register_comm_hook(None, lambda _, bucket: _mean_in_order(bucket))

    def forward(self, batch: Tensor, collage: bool = False) -> Tensor:
        """Logits of this process's share of a batch, which may be empty."""
        logits: Tensor = self._all(batch, collage)
        return logits

    def alone(self, wanted: bool) -> AbstractContextManager[None]:
        """While gradients are only added up: leave the other processes out of it."""
        return self._all.no_sync() if wanted else nullcontext()


class _Judged(nn.Module):
    """What a training asks of a network, as the one call that gradients are followed from."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor, collage: bool) -> Tensor:
        logits: Tensor = judged_side_by_side(self.network, batch) if collage and len(batch) else self.network(batch)
        return logits


def _mean_in_order(bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """The mean of all processes' gradients, added up in their order: a resumed training rounds as one that never
    stopped, which a ring, whose order depends on where a value lies, does not promise.
    """
    own = bucket.buffer()
    every = [torch.empty_like(own) for _ in range(world())]
    work = dist.all_gather(every, own, async_op=True)
    assert work is not None

    def mean(done: torch.futures.Future[Any]) -> Tensor:
        done.wait()  # raises where another process is gone
        return functools.reduce(torch.add, every).div_(len(every))

    future: torch.futures.Future[Tensor] = work.get_future().then(mean)
    return future
