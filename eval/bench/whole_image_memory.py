"""Memory and time of one training step of the whole-image classifier: each way of it in a process of its own.

python eval/bench/whole_image_memory.py [--images N] [--stage 1|2] [--gib GIB] [--way WAY]... [--threads N]

The step is that of recipe cancer/whole-image. A way is IMAGESxTIMES, such as 2x6 for twelve images two at a time, with
+again where features are computed a second time for the gradients. Without --way, three are compared: all N images at
once, two at a time, two at a time with +again. A way that needs more than --gib (on a processor) is told as such. Peak
memory is that of the whole process on a processor (network, optimizer and the library itself included), and what torch
allocated on a GPU.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace

RECIPE = "cancer/whole-image"
GIB = 2**30


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--stage", type=int, default=2, choices=(1, 2))
    parser.add_argument("--gib", type=float, default=0.0)
    parser.add_argument("--way", action="append")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def step(way: str, given: argparse.Namespace) -> str:
    """One step in this process; what it took."""
    import torch
    from torch.nn import functional as F

    from ensemble_mammo.learning.device import resolve_precision
    from ensemble_mammo.learning.networks import create_network
    from ensemble_mammo.learning.objective import make_optimizer
    from ensemble_mammo.learning.schedule import set_trainable
    from ensemble_mammo.records.recipe_files import load_recipe

    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    recipe = load_recipe(RECIPE)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, _, again = way.partition("+")
    batch, steps = (int(part) for part in size.split("x"))
    start = replace(recipe.network, pretrained="none", checkpointing=bool(again))
    network = create_network(start, 2).to(device).to(memory_format=torch.channels_last)
    stage = recipe.train.stages[given.stage - 1]
    optimizer = make_optimizer(set_trainable(network, stage.trainable), recipe.train)
    optimizer.param_groups[0]["lr"] = stage.learning_rate
    dtype = resolve_precision(recipe.train.precision, device)
    begin = time.perf_counter()
    for _ in range(steps):
        images = torch.randn(batch, 1, recipe.input.height, recipe.input.width, device=device)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            logits = network(images.contiguous(memory_format=torch.channels_last))
        F.cross_entropy(logits.float(), torch.arange(batch, device=device) % 2).div(steps).backward()
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / GIB
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"processor, {given.threads} thread(s)"
    return f"{name}, {str(dtype).removeprefix('torch.')}: {peak:6.2f} GiB, {time.perf_counter() - begin:7.1f} s a step"


def main() -> None:
    given = parsed()
    if given.one:
        if given.gib:
            resource.setrlimit(resource.RLIMIT_DATA, (int(given.gib * GIB),) * 2)
        print(step(given.one, given))
        return
    ways = given.way or [f"{given.images}x1", f"2x{given.images // 2}", f"2x{given.images // 2}+again"]
    print(f"{RECIPE}, stage {given.stage}; ways are images at once x times, +again: features computed twice")
    for way in ways:
        command = [sys.executable, __file__, "--one", way, "--stage", str(given.stage), "--gib", str(given.gib)]
        command += ["--threads", str(given.threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(given.threads), "MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        print(f"  {way:12s} {done.stdout.strip() or f'did not run: {last}'}", flush=True)


if __name__ == "__main__":
    main()
