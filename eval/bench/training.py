"""`train` against the same network on tensors in memory, and against a plain PyTorch loop, in one run, turn by turn.

python eval/bench/training.py [resnet50 infn finetune] [--images N] [--rounds N] [--batch N] [--data DATASET]
    [--device auto|cpu|cuda] [--workers N] [--threads N] [--set key=value] [--out FILE.csv]

Three ways to show a network the same number of images, in the same precision, with the same optimizer:
ours        `train_one_epoch`: prepared PNGs, packed at their first use, augmented on the device
in memory   the same batch again and again, on the device, ready for the network: what a data path can reach at best
plain loop  ImageFolder, DataLoader with as many workers, torchvision's Grayscale, Resize, RandomAffine, flips, ToTensor
            and Normalize over the same files (of which it keeps 8 bits)
A round is an epoch of each way. Figures are medians over the rounds after the first, in which images are decoded and
kernels chosen; that first epoch of ours stands beside. Ratios are of images a second, and of processor seconds, which
other work on the machine disturbs less. `waiting` is the share of our epoch that stood still for images, `augment` what
the random changes take of it when they are done alone. Without --data, phantom mammograms are written first.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.learning import loop
from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.device import repeatable, resolve_device, resolve_precision
from ensemble_mammo.learning.images import ViewImages, read_batches
from ensemble_mammo.learning.packed import pack_of
from ensemble_mammo.learning.record import peak_memory_mb
from ensemble_mammo.learning.schedule import Plan
from ensemble_mammo.learning.state import Samples, Setting, State
from ensemble_mammo.records.files import link_or_copy
from ensemble_mammo.records.manifest import Dataset, ImageRow, manifest_table, read_dataset
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

CLASSES = TASKS["density"].classes
RATE = 1e-4
WAYS = ("ours", "in memory", "plain loop")


def recipe_of(name: str, settings: list[str]) -> Recipe:
    """The default recipe, the INFN network's, or a large network on large images."""
    own = load_recipe("density/infn" if name == "infn" else "density/finetune", View.CC_R, settings)
    own = replace(own, network=replace(own.network, pretrained="none"))
    if name != "resnet50":
        return own
    train = TrainRecipe(1, (StageRecipe(RATE),), precision="mixed", optimizer="sgd", momentum=0.9)
    train = replace(train, compile=own.train.compile)
    given = InputRecipe(1152, 896, mean=0.485, std=0.229)
    return Recipe("density", NetworkRecipe("resnet50", in_channels=3), given, train, own.augment)


def phantoms(root: Path, count: int, height: int) -> Dataset:
    """Prepared phantom mammograms, four a subject."""
    rows, labels = [], []
    for number in range(-(-count // 4)):
        density = CLASSES[number % 4]
        for view, values in phantom_exam(number, density, 0, height).items():
            file = f"images/{view}/p{number}_{view}.png"
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            write_png16(root / file, np.rint(values * 65535).astype(np.uint16))
            rows.append(ImageRow(f"p{number}_{view}", f"p{number}", "1", view, file, "train"))
            labels.append(density)
    table = manifest_table(rows[:count], {"density": labels[:count]}, str(root))
    return Dataset(root, table, Preparation(height=height))


@dataclass
class Task:
    """What all ways are given."""

    setting: Setting
    dataset: Dataset
    rows: pd.DataFrame
    targets: np.ndarray
    scratch: Path

    @property
    def batch(self) -> int:
        return min(self.setting.recipe.train.batch_size, len(self.rows))


def begun(task: Task) -> State:
    state = loop.begin(task.setting, len(CLASSES))
    loop.begin_epoch(state, Plan(0, "all", RATE), task.setting.recipe.train)
    return state


def samples(task: Task) -> Samples:
    recipe = task.setting.recipe
    pack = pack_of(task.dataset, recipe.input, task.scratch / "packs", 1000.0)
    return Samples(ViewImages(task.dataset.root, task.rows, recipe.input, pack), task.targets)


def ours(task: Task) -> tuple[Callable[[], Any], State]:
    state, shown = begun(task), samples(task)
    return (lambda: loop.train_one_epoch(state, shown, task.setting)), state


def step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor, targets: torch.Tensor, task: Task):
    """What a plain loop does with a batch: forward, loss, backward, optimizer."""
    setting = task.setting
    with torch.autocast(batch.device.type, setting.dtype, enabled=setting.dtype != torch.float32):
        logits = network(batch)
    loss = nn.functional.cross_entropy(logits.float(), targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def of_network(task: Task) -> tuple[nn.Module, torch.optim.Optimizer]:
    state = begun(task)
    state.network.train()
    optimizer = state.optimizer
    assert optimizer is not None
    return state.network, optimizer


def in_memory(task: Task) -> Callable[[], Any]:
    """The same tensor again and again."""
    network, optimizer = of_network(task)
    device, size = task.setting.device, task.setting.recipe.input.size
    batch = torch.randn(task.batch, 1, *size, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(task.targets[: task.batch]).to(device)

    def epoch() -> None:
        for _ in range(len(task.rows) // task.batch):
            loss = step(network, optimizer, batch, targets, task)
        loss.item()

    return epoch


def plain_loop(task: Task) -> Callable[[], Any]:
    """Class folders of the same files, read and changed by torchvision in workers."""
    recipe = task.setting.recipe
    folder = task.scratch / "folders"
    for row in task.rows.to_dict("records"):
        place = folder / row["density"] / f"{row['image_id']}.png"
        link_or_copy(task.dataset.root / row["file"], place)
    change, scale = recipe.augment, recipe.augment.zoom
    flips = [transforms.RandomHorizontalFlip()] if change.flip_horizontal else []
    flips += [transforms.RandomVerticalFlip()] if change.flip_vertical else []
    made = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(recipe.input.size),
            transforms.RandomAffine(change.rotation_deg, (change.shift, change.shift), (1 - scale, 1 + scale)),
            *flips,
            transforms.ToTensor(),
            transforms.Normalize(recipe.input.mean, recipe.input.std),
        ]
    )
    device = task.setting.device
    loader = DataLoader(
        datasets.ImageFolder(str(folder), made),
        task.batch,
        shuffle=True,
        num_workers=task.setting.workers,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    network, optimizer = of_network(task)

    def epoch() -> None:
        for batch, targets in loader:
            moved = batch.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            loss = step(network, optimizer, moved, targets.to(device, non_blocking=True), task)
        loss.item()

    return epoch


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors, workers that have ended included."""
    before, begin = os.times(), time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, after = time.perf_counter() - begin, os.times()
    return wall, sum(after[:4]) - sum(before[:4])


def augment_seconds(task: Task) -> float:
    """What the random changes of an epoch take, done alone."""
    setting = task.setting
    batch = next(iter(read_batches(samples(task).images, [list(range(task.batch))], 1, setting.device)))
    seeds = [(0, 0, place) for place in range(task.batch)]
    times = [measured(lambda: augment(batch, setting.recipe.augment, seeds))[0] for _ in range(5)]
    return statistics.median(times) * len(task.rows) / task.batch


def bench(task: Task, rounds: int) -> dict[str, Any]:
    """A round is an epoch of each way; the first warms up."""
    epoch, state = ours(task)
    ways = dict(zip(WAYS, (epoch, in_memory(task), plain_loop(task)), strict=True))
    wall: dict[str, list[float]] = {way: [] for way in WAYS}
    cpu: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS:
            if way == "ours" and number == 1:
                state.pace.seconds = state.pace.waited = 0.0
            state.history.append({}) if way == "ours" and number else None  # another epoch: another order
            seconds, of_processors = measured(ways[way])
            wall[way].append(seconds)
            cpu[way].append(of_processors)
    middle = {way: statistics.median(wall[way][1:]) for way in WAYS}
    own = {way: statistics.median(cpu[way][1:]) for way in WAYS}
    count, recipe = len(task.rows), task.setting.recipe
    share = state.pace.matrix_share(state.network, recipe.input.size, [count / s for s in wall["ours"][1:]])
    return {
        **{f"{way.replace(' ', '_')}_per_s": count / middle[way] for way in WAYS},
        "first_epoch_per_s": count / wall["ours"][0],
        "to_memory": middle["in memory"] / middle["ours"],
        "to_memory_cpu": own["in memory"] / own["ours"],
        "to_plain": middle["plain loop"] / middle["ours"],
        "to_plain_cpu": own["plain loop"] / own["ours"],
        "waiting": state.pace.waiting_share,
        "augment": augment_seconds(task) / middle["ours"],
        "matrix_share": share,
        "peak_mb": peak_memory_mb(task.setting.device),
    }


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    device = resolve_device(args.device)
    found = []
    for name in args.configurations:
        recipe = recipe_of(name, args.set or [])
        size = args.batch or recipe.train.batch_size
        recipe = replace(recipe, train=replace(recipe.train, batch_size=size))
        count = max(args.images // size, 1) * size  # whole batches
        with tempfile.TemporaryDirectory() as folder, repeatable(device):
            data = read_dataset(args.data) if args.data else phantoms(Path(folder) / "data", count, args.height)
            rows = data.rows(task=TASKS["density"]).iloc[:count]
            rows = rows.iloc[: len(rows) // size * size].reset_index(drop=True)
            targets = np.array([CLASSES.index(label) for label in rows["density"]])
            weights = torch.ones(len(CLASSES), device=device)
            dtype = resolve_precision(recipe.train.precision, device)
            setting = Setting(recipe, device, dtype, weights, workers=args.workers)
            figures = bench(Task(setting, data, rows, targets, Path(folder)), args.rounds)
        about = {
            "configuration": name,
            "network": recipe.network.name,
            "height": recipe.input.height,
            "width": recipe.input.width,
            "batch": size,
            "images": len(rows),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {args.threads} threads",
            "precision": str(dtype).removeprefix("torch."),
        }
        found.append(about | figures)
        print(f"\n{', '.join(f'{key} {value}' for key, value in about.items())}")
        for key, value in figures.items():
            print(f"  {key:20}{value:10.3f}")
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configurations", nargs="*", default=["resnet50", "infn", "finetune"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=0, help="instead of the recipe's")
    parser.add_argument("--height", type=int, default=1152, help="rows of the phantoms")
    parser.add_argument("--data", type=Path, help="a prepared dataset with density labels")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--set", action="append", help="a setting laid over the recipe, such as train.compile=true")
    parser.add_argument("--out", type=Path)
    main(parser.parse_args())
