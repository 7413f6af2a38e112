"""Heatmaps of one synthetic mammogram: a plain loop that unfolds everything, ours exact, ours dense, in one run.

python eval/bench/heatmap.py [--height N] [--patch N] [--stride N] [--threads N] [--out FILE.csv]

Every way runs in a process of its own, after a first small call, and reports seconds, seconds of processor time (which
other work on the machine disturbs less; `exact/x` is their ratio), the most memory the process ever
held, and that beyond what it held before the map. The network is tf_efficientnet_lite0 with the ImageNet weights of the
package and a head as first drawn: its scores mean nothing, its cost is that of a trained one. How far dense lies from
exact is what an untrained network gives; eval/bench/heatmap_curve.py measures trained ones on real images.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NETWORK = "tf_efficientnet_lite0"
WAYS = {
    "plain loop, all unfolded": None,
    "exact, no mask": {"mode": "exact"},
    "exact": {"mode": "exact"},
    "dense, 3 stages shared": {"mode": "dense", "shared": 3},
    "dense, 4 stages shared": {"mode": "dense", "shared": 4},
    "dense, all shared, dilated 2": {"mode": "dense", "dilated": 2},
    "dense, all shared, dilated 1": {"mode": "dense", "dilated": 1},
    "dense, all shared": {"mode": "dense"},
    "dense, all shared, bfloat16": {"mode": "dense", "precision": "bfloat16"},
}
COLUMNS = (
    "way",
    "places",
    "seconds",
    "cpu_seconds",
    "peak_mb",
    "own_mb",
    "times_quicker",
    "correlation",
    "mean",
    "largest",
)


def image(height):
    from ensemble_mammo.imaging.breast import breast_mask
    from ensemble_mammo.imaging.phantom import phantom_exam
    from ensemble_mammo.records.subject import View

    values = phantom_exam(1, "B", 0, height)[View.MLO_R]
    mask = breast_mask(values)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)  # cropped as `prepare` crops
    return np.rint(np.where(mask, values, 0)[inside] * 65535).astype(np.uint16), mask[inside]


def run_of(patch):
    import torch

    from ensemble_mammo.learning.checkpoint import LoadedRun
    from ensemble_mammo.learning.networks import create_network
    from ensemble_mammo.records.preparation import Preparation
    from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe
    from ensemble_mammo.records.task import TASKS

    task = TASKS["patch"]
    recipe = Recipe(
        "patch",
        NetworkRecipe(NETWORK, "package", in_channels=3),
        InputRecipe(patch, patch, mean=127 / 255, std=128 / 255),
        TrainRecipe(1, (StageRecipe(1e-3),)),
    )
    torch.manual_seed(0)
    network = create_network(recipe.network, len(task.classes)).to(memory_format=torch.channels_last).eval()
    return LoadedRun(Path("bench"), recipe, None, task, task.classes, Preparation(), network, {})


def unfolded(run, pixels, patch, stride):
    """All patches laid out in memory at once, as a plain loop does it, then judged batch by batch."""
    import torch

    from ensemble_mammo.learning.images import normalise

    half = patch // 2
    padded = torch.nn.functional.pad(torch.from_numpy(pixels.astype(np.float32) / 65535)[None, None], [half] * 4)
    columns = torch.nn.functional.unfold(padded, patch, stride=stride)
    patches = columns[0].T.reshape(-1, 1, patch, patch)
    places = tuple((size - patch) // stride + 1 for size in padded.shape[-2:])
    with torch.inference_mode():
        parts = [torch.softmax(run.network(normalise(batch, run.recipe.input)), 1) for batch in patches.split(64)]
    return torch.cat(parts).reshape(*places, -1).numpy()


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name, args, out):
    import torch

    torch.set_num_threads(args.threads)
    from ensemble_mammo.learning.heatmap import HeatmapOptions, heatmap_of

    pixels, mask = image(args.height)
    run = run_of(args.patch)
    heatmap_of([run], pixels[: args.patch, : args.patch], None, HeatmapOptions(stride_px=args.patch // 2))
    way, before, begin, cpu = WAYS[name], peak_mb(), time.perf_counter(), time.process_time()
    if way is None:
        values = unfolded(run, pixels, args.patch, args.stride)
    else:
        inside = None if "no mask" in name else mask
        values = heatmap_of([run], pixels, inside, HeatmapOptions(stride_px=args.stride, **way)).values
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    np.save(out, values)
    places = int(np.isfinite(values[..., 0]).sum())
    memory = {"peak_mb": peak_mb(), "own_mb": peak_mb() - before}
    print(json.dumps({"places": places, "seconds": seconds, "cpu_seconds": cpu} | memory))


def compared(found, exact):
    from ensemble_mammo.learning.heatmap import Grid, deviation

    one = deviation(Grid(found, 1, 0, 0, 1), Grid(exact, 1, 0, 0, 1))
    return {
        "correlation": one.correlation,
        "mean": one.mean_difference,
        "largest": one.largest_difference,
    }


def main(args):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(WAYS):
            command = [sys.executable, __file__, "--way", name, "--save", f"{folder}/{number}.npy"]
            for field in ("height", "patch", "stride", "threads"):
                command += [f"--{field}", str(getattr(args, field))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr}")
            rows.append({"way": name} | json.loads(done.stdout.splitlines()[-1]))
        grids = [np.load(f"{folder}/{number}.npy") for number in range(len(WAYS))]
    exact = list(WAYS).index("exact")
    if (worst := float(np.nanmax(np.abs(grids[exact] - grids[0])))) > 1e-4:
        raise SystemExit(f"exact differs from the plain loop by {worst:.2g}")
    for row, found in zip(rows, grids, strict=True):
        row.update(times_quicker=rows[exact]["cpu_seconds"] / row["cpu_seconds"], **compared(found, grids[exact]))
    height, width = image(args.height)[0].shape
    print(
        f"{height} x {width} pixels, patches of {args.patch}, stride {args.stride}, {NETWORK}, {args.threads} threads"
    )
    names = ("s", "CPU s", "peak MB", "own MB", "exact/x")
    print(f"{'':32}{'places':>8}{''.join(f'{one:>9}' for one in names)}{'corr.':>8}{'mean':>8}{'largest':>9}")
    for row in rows:
        figures = f"{row['seconds']:>9.2f}{row['cpu_seconds']:>9.2f}{row['peak_mb']:>9.0f}{row['own_mb']:>9.0f}"
        likeness = f"{row['correlation']:>8.4f}{row['mean']:>8.4f}{row['largest']:>9.4f}"
        print(f"{row['way']:32}{row['places']:>8}{figures}{row['times_quicker']:>9.1f}{likeness}")
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=640)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measure(given.way, given, given.save)
    else:
        main(given)
