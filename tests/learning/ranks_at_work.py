"""What a test lets several processes do together: `python -m torch.distributed.run … -m tests.learning.ranks_at_work`.

In float64, where the order in which numbers are added up shows in the last digits alone: whatever else differs from one
process is an error. `float64_fit` is what one process does, too.
"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.execution.ranks import ranks_here
from ensemble_mammo.learning import loop, parallel
from ensemble_mammo.learning.images import ViewImages, normalise
from ensemble_mammo.learning.state import Samples, Setting
from ensemble_mammo.learning.sync_norm import measure_whole_batches
from ensemble_mammo.records.manifest import Dataset, read_dataset
from ensemble_mammo.records.recipe import AugmentRecipe, StageRecipe
from tests.learning.tiny import CLASSES, tiny_recipe, with_train

CPU = torch.device("cpu")
NORMS = (nn.BatchNorm2d(3, momentum=None), BatchNormAct2d(3))


def float64_fit(dataset: Dataset, size: int = 32, **train) -> dict:
    """The history, and the scores of validation, of a training in float64 with all that divides it."""
    with patch.object(loop, "computed", _in_float64):
        return _fitted(dataset, size, **train)


def _in_float64(function, values: torch.Tensor, setting: Setting) -> torch.Tensor:
    return function(normalise(values.double(), setting.recipe.input))


def _fitted(dataset: Dataset, size: int, **train) -> dict:
    stages = (StageRecipe(1e-2, 1, "head"), StageRecipe(1e-2))
    recipe = tiny_recipe("test_resnet", epochs=4, accumulate=2, momentum=0.9, stages=stages)
    recipe = with_train(replace(recipe, augment=AugmentRecipe(0.1, 0.1, 10.0)), **train)
    recipe = replace(recipe, input=replace(recipe.input, height=size, width=size))
    weights = torch.tensor([1.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    setting = Setting(recipe, CPU, torch.float32, weights)
    samples = [_samples(dataset, split, recipe) for split in ("train", "val")]
    state = loop.begin(setting, 4)
    state.network.double()
    scores = []
    loop.fit(state, *samples, setting, lambda _, judged: scores.append(judged.scores.tolist()))
    two = Samples(samples[1].images, samples[1].targets[:2])  # fewer than three processes
    return {
        "history": [[row[name] for name in ("train_loss", "train_accuracy", "val_loss")] for row in state.history],
        "scores": scores,
        "of_two": loop.evaluate(state.network, two, setting).scores.tolist(),
        "buffers": [value.double().sum().item() for value in state.network.buffers()],
    }


def _samples(dataset: Dataset, split: str, recipe) -> Samples:
    rows = dataset.rows(split=split)
    return Samples(ViewImages(dataset.root, rows, recipe.input), np.array([CLASSES.index(c) for c in rows["density"]]))


def norm_figures(norm: nn.BatchNorm2d, share: slice, whole: bool) -> list[torch.Tensor]:
    """Output, gradients and running statistics of a batch norm for a share of a batch."""
    norm.double().train()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
    if whole:
        measure_whole_batches(norm, CPU)
    torch.manual_seed(0)
    batch, wanted = torch.randn(2, 4, 3, 5, 4, dtype=torch.float64)
    x = batch[share].requires_grad_()
    y = norm(x)
    (y * wanted[share]).sum().backward()
    return [y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]


def _norms_agree() -> float:
    """How far a batch norm over several processes, one without an image, is from torch's over the batch."""
    rank, apart = parallel.rank(), 0.0
    share = [slice(0, 3), slice(3, 4), slice(4, 4)][rank]
    for norm in NORMS:
        theirs = norm_figures(copy.deepcopy(norm), slice(None), whole=False)
        ours = norm_figures(norm, share, whole=True)
        theirs[:2] = [one[share] for one in theirs[:2]]
        ours[2:4] = [torch.tensor(parallel.added(one.tolist()), dtype=torch.float64) for one in ours[2:4]]
        assert len(ours[0]) == share.stop - share.start
        apart = max([apart, *(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True) if a.numel())])
    return max(parallel.gathered(apart))


def _diverging(dataset: Dataset) -> list[str]:
    """What each process says where one of them alone meets a loss that is not a number."""
    real = loop.summed_loss

    def spoilt(*args):
        loss, weight = real(*args)
        return (loss * torch.nan if parallel.rank() == 1 else loss), weight

    loop.summed_loss = spoilt
    try:
        float64_fit(dataset)
    except TrainingError as error:
        said = str(error)
    finally:
        loop.summed_loss = real
    return parallel.gathered(said)


def _single(dataset: Dataset) -> list[str]:
    """What each process says where its share of a batch is too small to be measured."""
    try:
        with parallel.among_others():
            float64_fit(dataset, sync_norm=False, stages=(StageRecipe(1e-2),), batch_size=3)
    except TrainingError as error:
        return parallel.gathered(str(error))
    return []


def _first_alone() -> list[str]:
    """What each process gets of a function that the first one alone calls, and of its error."""

    def refused():
        raise TrainingError(f"refused by {parallel.rank()}")

    try:
        parallel.by_first(refused)
    except TrainingError as error:
        return parallel.gathered(f"{parallel.by_first(parallel.rank)}, {error}")
    return []


def main(data: Path, out: Path) -> None:
    """Do all of it and write what came out."""
    ranks = ranks_here()
    parallel.join(ranks.rank, ranks.world)
    dataset = read_dataset(data)
    found = {
        "norms": _norms_agree(),
        "fit": float64_fit(dataset),
        "unsynced": float64_fit(dataset, 64, sync_norm=False, batch_size=6)["buffers"],
        "single": _single(dataset),
        "diverging": _diverging(dataset),
        "first": _first_alone(),
        "spoken": parallel.gathered(parallel.may_speak()),
    }
    found["same"] = len({json.dumps(one) for one in parallel.gathered((found["fit"], found["unsynced"]))}) == 1
    parallel.by_first(partial(out.write_text, json.dumps(found)))
    parallel.leave()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
