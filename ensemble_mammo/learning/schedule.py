"""What learns when, at which rate, and when to stop: pure functions of recipe, epoch and history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from timm.models import group_parameters
from torch import nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.recipe import TrainRecipe


@dataclass(frozen=True)
class Plan:
    """What one epoch does."""

    stage: int
    "the number of the stage, from 0"
    trainable: str
    "'head', 'all', 'top:N' or 'from:NAME'"
    learning_rate: float
    "of every step of the epoch"


def schedule(recipe: TrainRecipe, epoch: int, val_losses: Sequence[float]) -> Plan:
    """The plan of an epoch.

    Args:
        recipe: stages and decay.
        epoch: from 0.
        val_losses: the validation loss of each epoch before this one (only `plateau` looks at them).
    """
    number, start, end = stage_at(recipe, epoch)
    stage = recipe.stages[number]
    rate, floor = stage.learning_rate, min(recipe.minimum_learning_rate, stage.learning_rate)
    if recipe.decay == "cosine":
        rate = floor + (rate - floor) * (1 + math.cos(math.pi * (epoch - start) / (end - start))) / 2
    elif recipe.decay == "steps":
        rate = max(rate * recipe.step_factor ** ((epoch - start) // recipe.step_epochs), floor)
    elif recipe.decay == "plateau":
        for _ in range(plateaus(val_losses[start:epoch], recipe.plateau_patience)):
            rate = max(rate * recipe.plateau_factor, floor)
    return Plan(number, stage.trainable, rate)


def stage_at(recipe: TrainRecipe, epoch: int) -> tuple[int, int, int]:
    """The number of the stage that an epoch lies in, its first epoch, and the one after its last.

    The last stage goes on until `train.epochs`, whatever its own epochs say.
    """
    start = 0
    for number, stage in enumerate(recipe.stages[:-1]):
        end = min(start + stage.epochs, recipe.epochs)
        if epoch < end:
            return number, start, end
        start = end
    return len(recipe.stages) - 1, start, max(recipe.epochs, start + 1)


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no lower loss (a reduction starts the count anew)."""
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited >= max(patience, 1):
            found, waited = found + 1, 0
    return found


def stops_early(recipe: TrainRecipe, val_losses: Sequence[float]) -> bool:
    """Whether `train.early_stopping` epochs have passed without a lower validation loss."""
    return recipe.early_stopping > 0 and plateaus(val_losses, recipe.early_stopping) > 0


def is_better(recipe: TrainRecipe, rows: Sequence[dict[str, float]]) -> bool:
    """Whether the last epoch of the history is the one whose weights the run keeps so far."""
    if recipe.keep == "last" or len(rows) == 1:
        return True
    if recipe.keep == "best-loss":
        return rows[-1]["val_loss"] < min(row["val_loss"] for row in rows[:-1])
    if recipe.keep == "best-auc":
        defined = [row["val_auc"] for row in rows[:-1] if not math.isnan(row["val_auc"])]
        return rows[-1]["val_auc"] > max(defined, default=-math.inf)
    best = max((row["val_accuracy"], -row["val_loss"]) for row in rows[:-1])
    return (rows[-1]["val_accuracy"], -rows[-1]["val_loss"]) > best


def needs_validation(recipe: TrainRecipe) -> list[str]:
    """The settings that cannot be followed without validation images."""
    wanted = {
        f"keep = {recipe.keep!r}": recipe.keep != "last",
        "decay = 'plateau'": recipe.decay == "plateau",
        f"early_stopping = {recipe.early_stopping}": recipe.early_stopping > 0,
    }
    return [f"train.{name}" for name, needed in wanted.items() if needed]


def set_trainable(network: nn.Module, trainable: str, frozen_norm: bool = False) -> list[tuple[str, nn.Parameter]]:
    """Freeze what does not learn, and put the network into the mode it trains in.

    Frozen parameters have no gradient; batch norms of frozen parts (all of them with `frozen_norm`)
    keep the statistics they have.

    Returns:
        The parameters that learn, with their names.

    Raises:
        RecipeError: `top:N` with more feature groups than the network has, `from:NAME` of a module it has not.
    """
    learning = set(_learning_names(network, trainable))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            own = list(module.parameters())
            if frozen_norm or (own and not any(parameter.requires_grad for parameter in own)):
                module.eval()
    return [(name, parameter) for name, parameter in network.named_parameters() if name in learning]


def feature_groups(network: nn.Module) -> list[list[str]]:
    """The names of the parameters before the head, grouped from input to output as timm does (coarse)."""
    head = set(_head_names(network))
    matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
    groups: Iterable[list[str]] = group_parameters(network, matcher).values()
    own = [[name for name in group if name not in head] for group in groups]
    return [group for group in own if group]


def _learning_names(network: nn.Module, trainable: str) -> list[str]:
    if trainable == "all":
        return [name for name, _ in network.named_parameters()]
    head = _head_names(network)
    if trainable == "head":
        return head
    if trainable.startswith("from:"):
        return _from_module(network, trainable.removeprefix("from:"))
    groups, wanted = feature_groups(network), int(trainable.removeprefix("top:"))
    if wanted > len(groups):
        raise RecipeError(
            f"train.stages: trainable = {trainable!r}, the network has {len(groups)} feature groups; take 'all'"
        )
    return head + [name for group in groups[len(groups) - wanted :] for name in group]


def _from_module(network: nn.Module, module: str) -> list[str]:
    """The parameters of a module and of all that comes after it."""
    names = [name for name, _ in network.named_parameters()]
    first = next((i for i, name in enumerate(names) if name.startswith(f"{module}.")), None)
    if first is None:
        near = get_close_matches(module, [name for name, _ in network.named_modules()], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise RecipeError(f"train.stages: trainable = 'from:{module}', the network has no such module{hint}")
    return names[first:]


def _head_names(network: nn.Module) -> list[str]:
    head = {id(parameter) for parameter in network.get_classifier().parameters()}  # type: ignore[operator]
    return [name for name, parameter in network.named_parameters() if id(parameter) in head]
