"""An epoch that stops in the middle: what is done of it, and the random state that the rest goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ensemble_mammo.learning import parallel


@dataclass(frozen=True)
class Part:
    """What of an epoch is done."""

    batches: int = 0
    "shown; the weights have moved by all of them"
    loss: float = 0.0
    "added up over the images"
    weight: float = 0.0
    "of these images in the loss, added up"
    right: int = 0
    "images given their class"
    seen: int = 0
    "images shown"
    seconds: float = 0.0
    "that it took"
    random: tuple[Tensor, ...] = ()
    "torch's random state behind it, of each process that trained"

    @property
    def figures(self) -> tuple[float, float]:
        """Mean loss and accuracy so far."""
        return self.loss / self.weight, self.right / self.seen

    def and_batch(self, told: Sequence[float]) -> Part:
        """The part with one batch more: its loss, weight, images right and images."""
        loss, weight, right, seen = told[:4]
        return Part(
            self.batches + 1, self.loss + loss, self.weight + weight, self.right + int(right), self.seen + int(seen)
        )


def random_of(device: torch.device) -> Tensor:
    """Torch's random state, of the generator that a device draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random(part: Part, seed: int, epoch: int, device: torch.device) -> None:
    """Seed torch for an epoch; where one goes on with as many processes, take up the random state it stopped with."""
    known = part.random[parallel.rank()] if len(part.random) == parallel.world() else None
    if known is None or known.shape != random_of(device).shape:
        process = [parallel.rank() + 1] if parallel.world() > 1 else []
        torch.manual_seed(_number(seed, epoch, *process, *([part.batches] if part.batches else [])))
    elif device.type == "cuda":
        torch.cuda.set_rng_state(known, device)
    else:
        torch.set_rng_state(known)


def _number(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
