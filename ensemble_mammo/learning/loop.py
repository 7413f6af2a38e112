"""The training loop: one precision path, no trainer, no callbacks; `record` alone writes files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.learning import parallel
from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.collage import judged_side_by_side
from ensemble_mammo.learning.device import compile_network
from ensemble_mammo.learning.images import batches_of, normalise, read_batches
from ensemble_mammo.learning.midway import Part, random_of, set_random
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import make_optimizer, summed_loss, take_step, within_layer
from ensemble_mammo.learning.pace import Pace, matrix_rate
from ensemble_mammo.learning.positives import positive_outputs, recall_and_precision
from ensemble_mammo.learning.schedule import Plan, is_better, schedule, set_trainable, stops_early
from ensemble_mammo.learning.state import HISTORY, Advance, Judgement, Lesson, Samples, Setting, State
from ensemble_mammo.learning.stopping import Stopped
from ensemble_mammo.learning.sync_norm import measure_whole_batches
from ensemble_mammo.records.recipe import TrainRecipe


def begin(setting: Setting, classes: int) -> State:
    """The state before the first epoch: the recipe's network, its weights from the seed or pre-trained."""
    torch.manual_seed(setting.seed)
    network = create_network(setting.recipe.network, classes, setting.recipe.input.size)
    network.to(setting.device).to(memory_format=torch.channels_last)
    if parallel.world() > 1 and setting.recipe.train.sync_norm:
        measure_whole_batches(network, setting.device)
    if setting.recipe.train.compile:
        compile_network(network, setting.device)
    scaler = torch.amp.GradScaler(setting.device.type, enabled=setting.dtype == torch.float16)
    pace = Pace(matrix_rate(setting.device, setting.dtype) if setting.device.type == "cuda" else math.nan)
    return State(network, scaler=scaler, pace=pace)


def fit(
    state: State, train: Samples, val: Samples, setting: Setting, record: Callable[[State, Judgement], None]
) -> None:
    """Train a network from wherever its state is to the end of its recipe.

    Args:
        state: changed in place.
        train: what is learned from.
        val: what epochs are judged on; may be empty, then its loss and accuracy are nan.
        setting: what stays the same.
        record: called at the end of each epoch; it alone writes files.

    Raises:
        TrainingError: the loss or the weights are no longer finite; the epoch is not recorded.
        Stopped: the setting said so; the state holds the part of the epoch that is done.
    """
    recipe = setting.recipe.train
    lesson = setting.lesson or Lesson(train_one_epoch, evaluate)
    while state.epoch < recipe.epochs and not stops_early(recipe, state.val_losses):
        start = time.perf_counter() - state.part.seconds
        plan = schedule(recipe, state.epoch, state.val_losses)
        set_random(state.part, setting.seed, state.epoch, setting.device)
        begin_epoch(state, plan, recipe)
        learned = lesson.learn(state, train, setting)
        parallel.of_first(state.network)
        trained = time.perf_counter()
        judged = lesson.judge(state.network, val, setting)
        _require_finite(state.network, judged.loss if len(val.targets) else 0.0, state.epoch, plan)
        values = (state.epoch + 1, plan.stage + 1, plan.learning_rate, *learned, judged.loss, judged.accuracy)
        shown = min(recipe.images_an_epoch or len(train.targets), len(train.targets))
        pace = (time.perf_counter() - start, shown / (trained - start))
        judgement = (judged.auc, judged.correlation, judged.recall, judged.precision)
        state.history.append(dict(zip(HISTORY, (*values, *pace, *judgement), strict=True)))
        if is_better(recipe, state.history):
            state.kept_epoch, state.kept_only = state.epoch, judged.only
            state.kept = {k: v.detach().to("cpu", copy=True) for k, v in state.network.state_dict().items()}
        record(state, judged)


def begin_epoch(state: State, plan: Plan, recipe: TrainRecipe) -> None:
    """Freeze and free parameters, and set the rate; a new stage begins with a new optimizer."""
    learning = set_trainable(state.network, plan.trainable, recipe.frozen_norm)
    if state.optimizer is None or state.stage != plan.stage:
        state.optimizer, state.stage = make_optimizer(learning, recipe), plan.stage
        state.divided = parallel.Divided(state.network) if parallel.world() > 1 else None
    for group in state.optimizer.param_groups:
        group["lr"] = plan.learning_rate


def train_one_epoch(state: State, samples: Samples, setting: Setting) -> tuple[float, float]:
    """Show every training image once, or as many as an epoch has; the weights move after every `accumulate` batches.

    A step's gradient is that of the mean over all its images, also where the last step has fewer, and whatever the
    number of processes that share them. An epoch that stopped in the middle goes on behind its part.

    Returns:
        Mean loss and accuracy over the images, as they were seen (changed, and while learning).

    Raises:
        TrainingError: the loss is not finite.
        Stopped: the setting said so; `state.part` is what was done.
    """
    recipe, smoothing, optimizer = setting.recipe.train, setting.recipe.loss.label_smoothing, state.optimizer
    assert optimizer is not None
    targets = torch.from_numpy(samples.targets).to(setting.device)
    batches, part = _batches(state, samples, setting), state.part
    begun = time.perf_counter() - part.seconds
    own = [parallel.share_of(batch) for batch in batches[part.batches :]]  # of a last batch perhaps none
    shown = read_batches(samples.images, own, setting.workers, setting.device, state.pace)
    for number, (batch, values) in enumerate(zip(own, shown, strict=True), part.batches):
        first = number - number % recipe.accumulate
        step = [index for one in batches[first : first + recipe.accumulate] for index in one]
        moves = (number + 1) % recipe.accumulate == 0 or number + 1 == len(batches)
        with state.divided.alone(not moves) if state.divided else nullcontext():
            seeds = [(setting.seed, state.epoch, index) for index in batch]
            changed = augment(values, setting.recipe.augment, seeds) if batch else values
            logits = _forward(
                state.divided or state.network, changed, setting, _is_collage(setting, state.epoch, number)
            )
            loss, weight = summed_loss(logits, targets[batch], setting.class_weights, smoothing, setting.aims)
            right = (within_layer(logits, targets[batch], setting.aims).argmax(1) == targets[batch]).sum()
            whole = setting.class_weights[targets[step]].sum()
            state.scaler.scale(loss * parallel.world() / whole).backward()  # processes are averaged over
            # a GPU is asked for figures only now that all its work is on its way
            told = parallel.added([loss.item(), weight, right.item(), len(batch), setting.stop()])
            if not math.isfinite(told[0]):
                raise diverged("loss", told[0], state.epoch, optimizer.param_groups[0]["lr"], number)
        if moves:
            take_step(state.scaler, optimizer, recipe.clip_norm)
        part = part.and_batch(told)
        if setting.progress is not None:
            so_far = (*part.figures, optimizer.param_groups[0]["lr"])
            setting.progress(Advance(state.epoch + 1, recipe.epochs, number + 1, len(batches), *so_far))
        if told[-1] and moves:
            random = tuple(parallel.gathered(random_of(setting.device)))
            state.part = replace(part, seconds=time.perf_counter() - begun, random=random)
            raise Stopped
    state.part = Part()
    return part.figures


def _batches(state: State, samples: Samples, setting: Setting) -> list[list[int]]:
    """The places of the images of an epoch's batches."""
    order = np.random.default_rng([setting.seed, state.epoch]).permutation(len(samples.targets)).tolist()
    return batches_of(order[: setting.recipe.train.images_an_epoch or None], setting.recipe.train.batch_size)


@torch.inference_mode()
def evaluate(network: nn.Module, samples: Samples, setting: Setting) -> Judgement:
    """Judge a network on samples: never augmented, in evaluation mode, by the loss it is trained with.

    Processes share the samples, each looked at once; all have the same judgement of the whole.
    """
    network.eval()
    if not len(samples.targets):
        return Judgement(math.nan, math.nan, np.zeros((0, len(setting.class_weights)), np.float32))
    size = math.ceil(setting.recipe.train.batch_size / parallel.world())
    batches = batches_of(parallel.share_of(range(len(samples.targets))), size)
    parts = [setting.class_weights.new_zeros(0, len(setting.class_weights))]  # where this process has no share
    parts += [
        _forward(network, values, setting)
        for values in read_batches(samples.images, batches, setting.workers, setting.device)
    ]
    logits = parallel.put_together(torch.cat(parts), len(samples.targets))
    targets = torch.from_numpy(samples.targets).to(setting.device)
    smoothing = setting.recipe.loss.label_smoothing
    loss, weight = summed_loss(logits, targets, setting.class_weights, smoothing, setting.aims)
    logits = within_layer(logits, targets, setting.aims)
    given = logits.argmax(1)
    accuracy = (given == targets).double().mean().item()
    scores = logits.softmax(1).cpu().numpy()
    recall, precision = recall_and_precision(samples.targets, given.cpu().numpy(), positive_outputs(setting.recipe))
    auc = _auc(samples.targets, logits)
    return Judgement(loss.item() / weight, accuracy, scores, auc, recall=recall, precision=precision)


def _auc(targets: NDArray[np.int64], logits: Tensor) -> float:
    """The area under the ROC curve of the second of two classes (by logits: softmax rounds large ones to a tie)."""
    if logits.shape[1] != 2 or len(np.unique(targets)) < 2:
        return math.nan
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(targets, (logits[:, 1] - logits[:, 0]).double().cpu().numpy()))


def _is_collage(setting: Setting, epoch: int, batch: int) -> bool:
    """Whether a training batch is shown as one large image."""
    share = setting.recipe.train.collage
    return share > 0 and np.random.default_rng([setting.seed, epoch, batch]).random() < share


def _forward(network: nn.Module, values: Tensor, setting: Setting, collage: bool = False) -> Tensor:
    """Logits `[B, C]` in float32 of images `[B, 1, H, W]` with values in 0..1."""
    if isinstance(network, parallel.Divided):
        return computed(partial(network, collage=collage), values, setting)
    return computed(partial(judged_side_by_side, network) if collage else network, values, setting)


def computed(function: Callable[[Tensor], Tensor], values: Tensor, setting: Setting) -> Tensor:
    """What a function makes, in float32, of images `[B, 1, H, W]` with values in 0..1: as the recipe's input, in its
    precision.
    """
    batch = normalise(values, setting.recipe.input).contiguous(memory_format=torch.channels_last)
    mixed = setting.dtype != torch.float32
    with torch.autocast(setting.device.type, dtype=setting.dtype if mixed else None, enabled=mixed):
        result = function(batch)
    return result.float()


def _require_finite(network: nn.Module, loss: float, epoch: int, plan: Plan) -> None:
    if not math.isfinite(loss):
        raise diverged("validation loss", loss, epoch, plan.learning_rate)
    if not all(bool(torch.isfinite(t).all()) for t in network.state_dict().values() if t.is_floating_point()):
        raise diverged("some weight", math.nan, epoch, plan.learning_rate)


def diverged(what: str, value: float, epoch: int, rate: float, batch: int | None = None) -> TrainingError:
    """The error of a training whose numbers are no longer finite, with what to do."""
    where = f"epoch {epoch + 1}" + ("" if batch is None else f", batch {batch + 1}")
    state = f"the state after epoch {epoch} is kept" if epoch else "no epoch was finished"
    return TrainingError(
        f"{what} is {value} in {where} at learning rate {rate:g}; {state}; "
        "take a lower learning rate, train.clip_norm = 1, or train.precision = 'float32'"
    )
