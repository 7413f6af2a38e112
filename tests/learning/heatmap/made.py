"""Patch networks and images small enough for tests, and the plain loop that heatmaps are compared with."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import normalise
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe
from ensemble_mammo.records.subject import View
from tests.learning.tiny import tiny_recipe

CLASSES = ("background", "malignant", "benign")


def run_of(name="test_efficientnet", size=32, seed=0, network=None, **its_input):
    torch.manual_seed(seed)
    recipe = tiny_recipe(name)
    own = InputRecipe(size, its_input.pop("width", size), **({"mean": 0.4, "std": 0.3} | its_input))
    recipe = dataclasses.replace(recipe, input=own)
    made = network or create_network(recipe.network, len(CLASSES))
    for layer in made.modules():  # norms that do something, and a head with opinions
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.3)
    return LoadedRun(Path(f"runs-{seed}"), recipe, View.CC_R, None, CLASSES, Preparation(), made.eval(), {})


def image_of(height, width, seed=0):
    return (np.random.default_rng(seed).random((height, width)) * 65535).astype(np.uint16)


class Patchify(nn.Module):
    """A network whose cells see 4 x 4 pixels of their own and no others: nothing leaks in from around a patch."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 4, stride=4)
        self.groups = nn.Sequential(
            nn.Sequential(nn.Conv2d(6, 8, 1), nn.GELU()), nn.Conv2d(8, 8, 2, stride=2), nn.Conv2d(8, 12, 1)
        )
        self.fc = nn.Linear(12, len(CLASSES))

    def forward_features(self, x):
        return self.groups(self.stem(x))

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean((2, 3))
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def plain_loop(runs, pixels, stride, padding):
    """Every patch cut out by hand and judged alone; scores [rows, columns, C]."""
    size = runs[0].recipe.input.height
    height, width = pixels.shape
    canvas = np.zeros((height + 2 * padding, width + 2 * padding), np.float32)
    canvas[padding : padding + height, padding : padding + width] = pixels / 65535
    table = []
    for top in range(0, canvas.shape[0] - size + 1, stride):
        line = []
        for left in range(0, canvas.shape[1] - size + 1, stride):
            patch = torch.from_numpy(canvas[top : top + size, left : left + size].copy())[None, None]
            with torch.no_grad():
                scores = [torch.softmax(run.network(normalise(patch, run.recipe.input)), 1)[0].numpy() for run in runs]
            line.append(np.mean(scores, axis=0))
        table.append(line)
    return np.array(table)
