"""Maps a second: four views of one subject in one call, against the grad-cam package image by image, in one run.

python eval/bench/maps.py [ROUNDS]
"""

import statistics
import sys
import time
import warnings

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from ensemble_mammo.learning.cam import activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.images import to_input
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

NETWORK = "tf_efficientnet_lite0"


def runs_made(height: int, width: int, different: bool) -> list[LoadedRun]:
    """Four networks, one a view, or one network four times; random weights cost what trained ones do."""
    task = TASKS["density"]
    train = TrainRecipe(epochs=1, batch_size=4, stages=(StageRecipe(1e-3),))
    recipe = Recipe("density", NetworkRecipe(NETWORK), InputRecipe(height, width, mean=0.5, std=0.5), train)
    made = []
    for number, view in enumerate(View):
        torch.manual_seed(number)
        network = create_network(recipe.network, 4).to(memory_format=torch.channels_last).eval()
        made.append(LoadedRun(None, recipe, view, task, task.classes, Preparation(), network, {}))
    return made if different else [made[0]] * 4


def package(runs: list[LoadedRun], images: list[np.ndarray]) -> list[np.ndarray]:
    """The package as its guide uses it: model, last layer, one image; one GradCAM object a network, kept."""
    made, maps = {}, []
    for run, pixels in zip(runs, images, strict=True):
        batch, placement = to_input(pixels, run.recipe.input)
        if id(run) not in made:
            made[id(run)] = GradCAM(model=run.network, target_layers=[run.network.bn2])
        raw = made[id(run)](batch[None], [ClassifierOutputTarget(0)])[0]
        maps.append(np.clip(placement.to_source(raw), 0, 1))
    return maps


def main(rounds: int) -> None:
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    images = [(rng.random((1152, 700)) * 65535).astype(np.uint16) for _ in range(4)]
    for height, width in ((256, 160), (512, 320)):
        for different in (True, False):
            runs = runs_made(height, width, different)
            ways = {
                "package, image by image": lambda runs=runs: package(runs, images),
                "ours, grad-cam": lambda runs=runs: [
                    one.over_image for one in activation_maps(runs, images, [0] * 4, "grad-cam")
                ],
                "ours, class-map": lambda runs=runs: [
                    one.over_image for one in activation_maps(runs, images, [0] * 4, "class-map")
                ],
            }
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            expected = ways["package, image by image"]()
            for name, way in ways.items():
                worst = max(float(np.abs(a - b).max()) for a, b in zip(way(), expected, strict=True))
                if worst > 1e-4:
                    raise SystemExit(f"{name}: differs from the package's maps by {worst:.2g}")
            for _ in range(rounds):
                for name, way in ways.items():
                    begin = time.perf_counter()
                    way()
                    seconds[name].append(time.perf_counter() - begin)
            middle = {name: statistics.median(own) for name, own in seconds.items()}
            first = middle["package, image by image"]
            print(f"{height} x {width}, {'four networks' if different else 'one network'}, medians of {rounds} rounds")
            for name, own in middle.items():
                print(f"  {name:24s} {4 / own:7.1f} maps a second, {first / own:5.2f} times")


if __name__ == "__main__":
    main(int([*sys.argv[1:], "15"][0]))
