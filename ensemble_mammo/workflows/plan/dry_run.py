"""The dry run: training steps on random images, to find what memory holds and what the device does well."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ensemble_mammo.learning import loop
from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.device import repeatable, resolve_precision
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import aims_of, make_optimizer, summed_loss, take_step
from ensemble_mammo.learning.schedule import set_trainable
from ensemble_mammo.learning.state import Setting
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.workflows.plan.rules import GAIN

STEPS = 3
"""Steps that are timed, after one that is not; the quickest counts, it is the least disturbed."""
MEMORY_SHARE = {"cuda": 0.9, "cpu": 0.5}
"""Of the GPU's memory, or of what is free of the machine's: what a training may need."""
HALF = {"cuda": "mixed", "cpu": "bfloat16"}
"""The quicker precision that is tried beside float32, as a recipe names it."""


@dataclass(frozen=True)
class Trial:
    """Training steps of one batch size in one precision."""

    batch: int
    "images at once"
    precision: str
    "as a recipe has it"
    fits: bool
    "whether memory held them"
    images_per_second: float = math.nan
    "nan where they did not fit"
    memory_gb: float = math.nan
    "that they needed at most: measured on a GPU, on a processor the activations that are kept for the gradient"


@dataclass(frozen=True)
class DryRun:
    """What a dry run decides, and on what grounds."""

    best: Trial
    "batch and precision that were chosen"
    why_batch: str
    "reason in words"
    why_precision: str
    "reason in words"
    trials: tuple[Trial, ...]
    "all that was tried, in order"
    seconds: float
    "that it took"


def dry_run(
    recipe: Recipe, classes: int, step: int, memory_gb: float, device: torch.device, seed: int = 0
) -> DryRun | None:
    """Try batches and precisions of a recipe on a device.

    Args:
        recipe: all of it but batch, accumulation and precision; its last stage is what is tried.
        classes: of its task.
        step: images a step of the weights, the most that a batch may have; a power of two.
        memory_gb: of the GPU, or what is free of the machine's memory.
        device: where.
        seed: of the random images.

    Returns:
        None where memory does not hold two images.

    Raises:
        WeightsError: the recipe's first weights are missing.
    """
    with repeatable(device):
        create_network(recipe.network, classes, recipe.input.size)  # so that missing weights are told now
    own = replace(
        recipe, network=replace(recipe.network, pretrained="none", layers=()), loss=replace(recipe.loss, balance=0.0)
    )
    limit = memory_gb * MEMORY_SHARE[device.type]

    def attempt(batch: int, precision: str) -> Trial:
        return _tried(own, classes, batch, precision, limit, device, seed)

    return search(attempt, step, HALF[device.type])


def search(attempt: Callable[[int, str], Trial], step: int, half: str) -> DryRun | None:
    """Choose the batch by memory, then the precision by the clock.

    The batch is all images of a step, or half of them, a quarter and so on where memory does not hold them: more
    would make another step, fewer gain nothing that stays. Then half precision is tried; it is taken
    if it is clearly faster twice in a row, so that another program's work decides nothing.

    Args:
        attempt: a trial of a batch in a precision.
        step: images a step of the weights; a power of two.
        half: the other precision beside float32.

    Returns:
        None where two images do not fit.
    """
    start = time.perf_counter()
    trials = [attempt(step, "float32")]
    while not trials[-1].fits and trials[-1].batch > 2:
        trials.append(attempt(trials[-1].batch // 2, "float32"))
    full = trials[-1]
    if not full.fits:
        return None
    why_batch = "one step" if full.batch == step else f"memory does not hold {full.batch * 2}"
    trials.append(attempt(full.batch, half))
    quicker = trials[-1]
    why_precision = f"{full.images_per_second:.1f} images/s in float32, {quicker.images_per_second:.1f} in {half}"
    if _gains(quicker, full):
        trials += [attempt(full.batch, "float32"), attempt(full.batch, half)]
        quicker = quicker if _gains(trials[-1], trials[-2]) else full
    else:
        quicker = full
    return DryRun(quicker, why_batch, why_precision, tuple(trials), time.perf_counter() - start)


def _gains(one: Trial, other: Trial) -> bool:
    return one.fits and one.images_per_second > GAIN * other.images_per_second


def _tried(
    recipe: Recipe, classes: int, batch: int, precision: str, limit: float, device: torch.device, seed: int
) -> Trial:
    """Run a few steps; what does not fit is no error."""
    recipe = replace(recipe, train=replace(recipe.train, batch_size=batch, precision=precision))
    setting = Setting(recipe, device, resolve_precision(precision, device), torch.ones(classes, device=device), seed)
    result = Trial(batch, precision, False)
    try:
        with repeatable(device):
            result = _timed(setting, classes, limit)
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # as torch says it of a processor's
            raise
    if device.type == "cuda":
        gc.collect()  # now that the error holds no tensors any more
        torch.cuda.empty_cache()
    return result


def _timed(setting: Setting, classes: int, limit: float) -> Trial:
    """Time steps of the recipe's last stage; on a processor only if what they will need is below the limit."""
    recipe, device = setting.recipe, setting.device
    batch, precision = recipe.train.batch_size, recipe.train.precision
    state = loop.begin(setting, classes)
    learning = set_trainable(state.network, recipe.train.stages[-1].trainable, recipe.train.frozen_norm)
    optimizer = make_optimizer(learning, recipe.train)
    for group in optimizer.param_groups:
        group["lr"] = recipe.train.stages[-1].learning_rate
    if device.type == "cpu":
        needed = batch * _kept_bytes(setting, state.network, classes) / 1e9
        if needed > limit:
            return Trial(batch, precision, False, memory_gb=needed)
    else:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for number in range(STEPS + 1):
        start = time.perf_counter()
        loss = _loss(setting, state.network, classes, batch, number)
        state.scaler.scale(loss).backward()
        take_step(state.scaler, optimizer, recipe.train.clip_norm)
        loss.item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    if device.type == "cuda":
        needed = torch.cuda.max_memory_reserved(device) / 1e9
    pace = batch / min(seconds[1:])  # the least disturbed
    return Trial(batch, precision, needed <= limit, pace, needed)


def _loss(setting: Setting, network: nn.Module, classes: int, batch: int, number: int) -> Tensor:
    """The loss of a batch of random images, changed as training images are."""
    recipe, rng = setting.recipe, np.random.default_rng([setting.seed, number])
    values = rng.random((batch, 1, *recipe.input.size), dtype=np.float32)
    targets = torch.from_numpy(rng.integers(0, classes, batch)).to(setting.device)
    seeds = [(setting.seed, number, i) for i in range(batch)]
    changed = augment(torch.from_numpy(values).to(setting.device), recipe.augment, seeds)
    logits = loop.computed(network, changed, setting)
    aims = aims_of(recipe, classes)
    loss, weight = summed_loss(
        logits, targets, setting.class_weights, recipe.loss.label_smoothing, aims.to(setting.device) if aims else None
    )
    return loss / weight


def _kept_bytes(setting: Setting, network: nn.Module, classes: int) -> float:
    """Bytes an image that are kept for the gradient, by two images."""
    kept: dict[int, int] = {}
    own = {parameter.data_ptr() for parameter in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = max(kept.get(tensor.data_ptr(), 0), tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(setting, network, classes, 2, 0)
    del loss
    return sum(kept.values()) / 2
