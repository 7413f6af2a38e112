"""`predict` against four processes of a plain loop, one a view, in one run, turn by turn.

python eval/bench/predict.py [--exams N] [--raw N] [--rounds N] [--recipe NAME] [--height ROWS] [--device NAME]

Phantom exams, networks of random weights. Both read the same files and write the scores of each view. The loop is what
one writes first: timm's network with the same weights, Pillow or pydicom, torchvision's resize, softmax,
numpy.savetxt. Its four processes run at once, and share the cores evenly (a thread each on four cores or fewer). Their
scores are compared with ours before anything is timed: they differ by the rounding of the prepared image to 16 bits.

Three measures: one exam, cold (a fresh process of the command line, and four fresh ones of the loop) and warm (in this
process, networks loaded; the loop has no such thing); N exams of a dataset; fewer straight from DICOM. Eight exams are
generated, and linked under other names, so that the files come from memory.
"""

import argparse
import dataclasses
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ensemble_mammo import View, load_recipe, predict, prepare, read_dataset, write_phantom_exams
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.execution.local import cores
from ensemble_mammo.learning.checkpoint import INFO, RECIPE, WEIGHTS, Passport, load_runs, write_weights
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.predict import PredictOptions
from ensemble_mammo.stages.prepare import PrepareOptions

PREPARATION = Preparation(crop=False, outside="keep")
"""What a plain loop does too: nothing is cut off or blackened."""
MADE = 8
"""Exams that are generated."""

LOOP = """
import sys
import numpy, PIL.Image, pydicom, timm, torch
from pydicom.pixels import apply_windowing
from safetensors.torch import load_file
from torchvision.transforms.v2 import functional as F

name, weights, height, width, mean, std, threads, device, files, out = sys.argv[1:]
height, width, mean, std = int(height), int(width), float(mean), float(std)
torch.set_num_threads(int(threads))
network = timm.create_model(name, in_chans=1, num_classes=4)
network.load_state_dict(load_file(weights))
network.eval().to(device)

def read(path):
    if not path.endswith(".dcm"):
        return numpy.asarray(PIL.Image.open(path)).astype(numpy.float32) / 65535
    found = pydicom.dcmread(path)
    values = apply_windowing(found.pixel_array, found) / (2**found.BitsStored - 1)
    return (1 - values if found.PhotometricInterpretation == "MONOCHROME1" else values).astype(numpy.float32)

def load(path):
    image = torch.from_numpy(read(path))[None]
    scale = min(height / image.shape[1], width / image.shape[2])
    rows, columns = round(image.shape[1] * scale), round(image.shape[2] * scale)
    image = F.resize(image, [rows, columns], antialias=True)
    left, top = (width - columns) // 2, (height - rows) // 2
    return (F.pad(image, [left, top, width - columns - left, height - rows - top]) - mean) / std

paths, scores = open(files).read().splitlines(), []
with torch.no_grad():
    for first in range(0, len(paths), 8):
        batch = torch.stack([load(path) for path in paths[first : first + 8]]).to(device)
        scores.append(torch.softmax(network(batch), 1).cpu().numpy())
numpy.savetxt(out, numpy.concatenate(scores))
"""


def made_runs(root: Path, recipe: str) -> Path:
    """A run a view, its weights by chance."""
    for seed, view in enumerate(View):
        own = load_recipe(recipe, view)
        torch.manual_seed(seed)
        network = create_network(dataclasses.replace(own.network, pretrained="none"), 4, own.input.size)
        folder = root / view
        folder.mkdir(parents=True)
        (folder / RECIPE).write_text(recipe_to_toml(own))
        (folder / INFO).write_text("{}")
        write_weights(folder, network.state_dict(), Passport(own, view, TASKS["density"].classes, PREPARATION))
    return root


def linked(source: Dataset, root: Path, exams: int) -> Dataset:
    """The dataset with its exams under other names, again and again."""
    (root / "images").mkdir(parents=True)
    rows, own = [], source.table.to_dict("records")
    for number in range(exams):
        for row in own[number % MADE * 4 : number % MADE * 4 + 4]:
            name = f"images/{number:06d}-{row['view']}.png"
            os.link(source.root / row["file"], root / name)
            rows.append(row | {"file": name, "subject_id": f"s{number:06d}", "image_id": f"{number:06d}-{row['view']}"})
    table = type(source.table)(rows)
    table.to_csv(root / "manifest.csv", index=False)
    (root / "dataset.json").write_bytes((source.root / "dataset.json").read_bytes())
    return read_dataset(root)


def linked_raw(source: Path, root: Path, exams: int) -> Path:
    """The folders of DICOM files, likewise."""
    for number in range(exams):
        (root / f"s{number:06d}").mkdir(parents=True)
        for path in (source / f"PH{1 + number % MADE:04d}").iterdir():
            os.link(path, root / f"s{number:06d}" / path.name)
    return root


class Loop:
    """Four processes, one a view."""

    def __init__(self, runs: Path, root: Path, device: str) -> None:
        self.runs, self.root, self.device = load_runs(runs), root, device
        (root / "loop.py").write_text(LOOP)

    def __call__(self, files: dict[View, list[Path]]) -> dict[View, np.ndarray]:
        """The scores of the files of each view."""
        started = []
        for view, paths in files.items():
            (run,) = self.runs[view]
            (self.root / f"{view}.files").write_text("\n".join(map(str, paths)))
            own = run.recipe.input
            words = [run.recipe.network.name, run.folder / WEIGHTS, own.height, own.width, own.mean, own.std]
            words += [max(1, cores() // 4), self.device, self.root / f"{view}.files", self.root / f"{view}.txt"]
            command = [sys.executable, str(self.root / "loop.py"), *map(str, words)]
            started.append(subprocess.Popen(command))
        if any(process.wait() for process in started):
            raise SystemExit("the loop failed")
        return {view: np.loadtxt(self.root / f"{view}.txt", ndmin=2) for view in files}


def files_of_dataset(dataset: Dataset) -> dict[View, list[Path]]:
    rows = dataset.table.sort_values("image_id")
    return {view: [dataset.root / name for name in rows["file"][rows["view"] == view]] for view in View}


def files_of_folders(root: Path) -> dict[View, list[Path]]:
    return {view: sorted(root.rglob(f"{view}.dcm")) for view in View}


def scores_in(out: Path) -> dict[View, np.ndarray]:
    names = {view: f"predictions_{view.lower().replace('_', '')}.txt" for view in View}
    return {view: np.loadtxt(out / "predictions" / name, ndmin=2) for view, name in names.items()}


def compare(what: str, ours: dict[View, np.ndarray], theirs: dict[View, np.ndarray]) -> None:
    off = max(float(np.abs(ours[view] - theirs[view]).max()) for view in View)
    print(f"{what}: scores of {sum(map(len, ours.values()))} images differ by {off:.1e} at most")
    if off > 0.01:
        raise SystemExit("the outputs are not the same: nothing is timed")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def timed(what: str, images: int, rounds: int, ours: Callable[[], object], loop: Callable[[], object]) -> None:
    """Turn by turn; medians over the rounds."""
    pairs = [(seconds(ours), seconds(loop)) for _ in range(rounds)]
    mine, theirs = (float(np.median(column)) for column in zip(*pairs, strict=True))
    ratios = [other / own for own, other in pairs]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if rounds > 1 else "one round"
    print(
        f"{what}: ours {mine:.2f} s ({images / mine:.1f} images/s), loop {theirs:.2f} s ({images / theirs:.1f} "
        f"images/s); ratio, median {np.median(ratios):.2f} ({spread}); load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def command(runs: Path, exam: Path, out: Path, device: str) -> Sequence[str]:
    words = ["predict", "--models", runs, "--subject-dir", exam, "--out", out, "--device", device]
    return [sys.executable, "-m", "ensemble_mammo", "--quiet", *map(str, words)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exams", type=int, default=1000, help="of the dataset")
    parser.add_argument("--raw", type=int, default=50, help="straight from DICOM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="density/finetune")
    parser.add_argument("--height", type=int, default=2560, help="rows of the DICOM files")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_phantom_exams(root / "made", MADE, height=asked.height, densities="ABCD" * (MADE // 4))
        runs, options = made_runs(root / "runs", asked.recipe), PredictOptions(device=asked.device)
        archive = ArchiveOptions(labels=root / "made" / "labels.csv", keep_ids=True)
        made = prepare("dicom", root / "made", root / "prepared", PrepareOptions(archive, PREPARATION))
        loop, loaded = Loop(runs, root, asked.device), load_runs(runs, device=asked.device)
        exam = root / "made" / "PH0001"
        print(f"{cores()} cores, {asked.recipe}, {asked.device}, {asked.rounds} rounds")

        subprocess.run(command(runs, exam, root / "one", asked.device), check=True, stdout=subprocess.DEVNULL)
        compare("one exam", scores_in(root / "one"), loop(files_of_folders(exam)))
        cold = command(runs, exam, root / "one", asked.device)
        timed(
            "one exam, cold", 4, asked.rounds,
            lambda: subprocess.run(cold, check=True, stdout=subprocess.DEVNULL), lambda: loop(files_of_folders(exam)),
        )  # fmt: skip
        warm = [seconds(lambda: predict(exam, loaded, options=options)) for _ in range(max(3, asked.rounds))]
        print(f"one exam, warm: median {np.median(warm):.2f} s ({min(warm):.2f} to {max(warm):.2f})", flush=True)

        data = linked(made, root / "data", asked.exams)
        predict(data, loaded, root / "many", options)
        compare("dataset", scores_in(root / "many"), loop(files_of_dataset(data)))
        timed(
            f"{asked.exams} exams of a dataset", 4 * asked.exams, asked.rounds,
            lambda: predict(data, runs, root / "many", options), lambda: loop(files_of_dataset(data)),
        )  # fmt: skip
        raw = linked_raw(root / "made", root / "raw", asked.raw)
        many = dataclasses.replace(options, many=True)
        predict(raw, loaded, root / "straight", many)
        compare("DICOM", scores_in(root / "straight"), loop(files_of_folders(raw)))
        timed(
            f"{asked.raw} exams straight from DICOM", 4 * asked.raw, asked.rounds,
            lambda: predict(raw, runs, root / "straight", many), lambda: loop(files_of_folders(raw)),
        )  # fmt: skip


if __name__ == "__main__":
    main()
