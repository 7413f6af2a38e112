"""Time against likeness of dense heatmaps, over the whole dial, on real mammograms: exact maps are the reference.

python eval/bench/heatmap_curve.py --models RUN --data DATASET [--twin RUN] [--images N] [--stride N] [--rounds N]
                                   [--threads N] [--precision P] [--out FILE.csv]

Images are those of the dataset that have a lesion's mask, N of them at even distances in the manifest; the dataset is
prepared at the height of the run's own. Every way is measured in this one process, on each image in turn, after a first
small call; dense ways are the median of ROUNDS; ratios are of processor time. `ceiling`: the exact map itself, thinned
to a step of so many pixels and interpolated back, so what no way of that step can be much better than. `--twin`: a run
that imitates that of --models (train.imitate); its dense maps join the table, against the same exact maps. In the end
the offset in pixels is printed at which the dense map lies best on the exact one.

The CSV has a row an image and way: image (a number), way, shared, step_px, context, interpolation, precision, places,
seconds, cpu_seconds, exact_cpu_seconds, correlation, mean, largest (differences of the probability of a lesion).
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ensemble_mammo.imaging.blots import breast_of
from ensemble_mammo.learning.checkpoint import load_runs
from ensemble_mammo.learning.heatmap import Grid, HeatmapOptions, chain_of, deviation, heatmap_of
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import read_png16

REACH = 3
"Places that a map is shifted by in each direction to find its offset."


def images_of(root, count, height, blackened):
    dataset = read_dataset(root)
    lesions = dataset.lesions()
    drawn = set(lesions.loc[lesions["mask"].fillna("").ne(""), "image_id"])
    rows = dataset.table[dataset.table["image_id"].isin(drawn)]
    if rows.empty:
        raise SystemExit(f"{root}: no image with a lesion's mask")
    for place in np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)):
        pixels = read_png16(root / rows["file"].iloc[place])
        if pixels.shape[0] != height:
            raise SystemExit(f"{root}: images of {pixels.shape[0]} rows, patches were cut at {height}; prepare so")
        yield pixels, breast_of(pixels, blackened)


def ways(stages, cells, options):
    """Name -> options: the dial, then what can be turned where everything is shared."""
    exact = replace(options, mode="dense", shared=0)
    for shared in range(1, stages + 1):
        one = replace(exact, shared=shared)
        yield f"{shared} of {stages} stages shared", one
        halvings, step = 0, cells[shared - 1]
        while step > options.stride_px:
            halvings, step = halvings + 1, step // 2
            yield f"{shared} of {stages}, step {step}", replace(one, dilated=halvings)
    whole = replace(exact, shared=stages)
    yield "all shared, reflected", replace(whole, context="reflected")
    yield "all shared, probability", replace(whole, interpolation="probability")
    for halvings in (0, 1, 2):
        yield f"all shared, dilated {halvings}, bfloat16", replace(whole, dilated=halvings, precision="bfloat16")


def twin_ways(cell, options):
    """Name -> options of a run that imitates: one pass, its steps and what lies around the image."""
    whole = replace(options, mode="dense", shared=-1)
    for halvings in (0, 1, 2):
        for context in ("zero", "reflected"):
            one = replace(whole, dilated=halvings, context=context)
            yield f"imitating run, step {cell >> halvings}{', reflected' * (context == 'reflected')}", one


def thinned(grid, times):
    """The grid with all but every so many places taken out, and interpolated from those left."""
    distance = np.abs(np.arange(grid.values.shape[0])[:, None] - np.arange(0, grid.values.shape[0], times)) / times
    across = np.abs(np.arange(grid.values.shape[1])[:, None] - np.arange(0, grid.values.shape[1], times)) / times
    down, across = np.clip(1 - distance, 0, None), np.clip(1 - across, 0, None)
    left = grid.values[::times, ::times]
    seen = np.isfinite(left[..., 0])
    weight = down @ seen @ across.T
    total = np.einsum("ai,ijc,bj->abc", down, np.where(seen[..., None], left, 0), across)
    with np.errstate(invalid="ignore"):
        values = np.where(weight[..., None] > 0, total / weight[..., None], np.nan)
    return replace(grid, values=values.astype(np.float32))


def shifted(dense, exact):
    """Correlation at each shift (rows, columns) of a dense grid over an exact one, both with the same places."""
    one, other = np.pad(dense.lesion(), REACH, constant_values=np.nan), exact.lesion()
    table = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for i in range(len(table)):
        for j in range(len(table)):
            moved = one[i : i + other.shape[0], j : j + other.shape[1]]
            both = np.isfinite(moved) & np.isfinite(other)
            table[i, j] = np.corrcoef(moved[both], other[both])[0, 1]
    return table


def best_offset(table, stride):
    """Where a parabola through the highest correlation and its neighbours has its top, in pixels."""
    top = np.unravel_index(table.argmax(), table.shape)
    offset = []
    for axis in (0, 1):
        place = int(np.clip(top[axis], 1, len(table) - 2))
        line = table.take(top[1 - axis], 1 - axis)[place - 1 : place + 2]
        bend = line[0] - 2 * line[1] + line[2]
        inside = place == top[axis] and bend < 0
        offset.append((top[axis] - REACH + (0.5 * (line[0] - line[2]) / bend if inside else 0)) * stride)
    return offset


def timed(runs, pixels, mask, options, rounds):
    seconds, cpu = [], []
    for _ in range(rounds):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        grid = heatmap_of(runs, pixels, mask, options)
        seconds.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - cpu_begin)
    return grid, (statistics.median(seconds), statistics.median(cpu))


def measured(runs, twins, args):
    """A row an image and way, and the tables of shifts."""
    chain = chain_of(runs[0])
    base = HeatmapOptions(stride_px=args.stride, precision=args.precision)
    size = runs[0].recipe.input.height
    heatmap_of(runs, np.zeros((size, size), np.uint16), None, base)
    rows, tables = [], []
    preparation = runs[0].preparation
    images = images_of(args.data, args.images, preparation.height, preparation.outside == "black")
    for number, (pixels, mask) in enumerate(images):
        exact, whole = timed(runs, pixels, mask, base, 1)
        facts = {"image": number, "places": int(np.isfinite(exact.values[..., 0]).sum()), "exact_cpu_seconds": whole[1]}
        rows.append(facts | row_of("exact", base, 1, exact, whole, exact))
        for times in (2, 4, 8):
            step = times * args.stride
            rows.append(
                facts | row_of(f"ceiling of step {step}", base, step, thinned(exact, times), (np.nan, np.nan), exact)
            )
        for name, options in ways(len(chain.stages), chain.steps, base):
            grid, seconds = timed(runs, pixels, mask, options, args.rounds)
            step = chain.step_behind(options.shared) >> options.dilated
            rows.append(facts | row_of(name, options, max(step, args.stride), grid, seconds, exact))
        for name, options in twin_ways(chain.steps[-1], base) if twins else ():
            grid, seconds = timed(twins, pixels, mask, options, args.rounds)
            step = max(chain.steps[-1] >> options.dilated, args.stride)
            rows.append(facts | row_of(name, options, step, grid, seconds, exact))
        halvings = max((chain.steps[-1] // args.stride).bit_length() - 1, 0)
        tables.append(shifted(heatmap_of(runs, pixels, mask, replace(base, mode="dense", dilated=halvings)), exact))
        print(f"image {number}: {pixels.shape[0]} x {pixels.shape[1]}, exact {whole[0]:.1f} s", flush=True)
    return pd.DataFrame(rows), tables


def row_of(name, options, step, grid: Grid, seconds, exact: Grid):
    one = deviation(grid, exact)
    return {
        "way": name,
        "shared": options.shared,
        "step_px": step,
        "context": options.context,
        "interpolation": options.interpolation,
        "precision": options.precision,
        "seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "correlation": one.correlation,
        "mean": one.mean_difference,
        "largest": one.largest_difference,
    }


def main(args):
    torch.set_num_threads(args.threads)
    runs = next(iter(load_runs(args.models).values()))
    twins = next(iter(load_runs(args.twin).values())) if args.twin else []
    if any(not run.recipe.train.imitate for run in twins):
        raise SystemExit(f"{args.twin}: no run that imitates another (train.imitate)")
    table, shifts = measured(runs, twins, args)
    if args.out:
        table.to_csv(args.out, index=False, float_format="%.6g", lineterminator="\n")
    table["quicker"] = table["exact_cpu_seconds"] / table["cpu_seconds"]
    groups = table.groupby("way", sort=False)
    print(
        f"\n{table['image'].nunique()} images, stride {args.stride}, {args.threads} threads; medians of time, means of"
    )
    print("correlation and mean difference, lowest correlation and largest difference of all")
    print(f"{'':34}{'s':>8}{'CPU s':>8}{'exact/x':>9}{'corr.':>8}{'lowest':>8}{'mean':>8}{'largest':>9}")
    for name, own in groups:
        print(
            f"{name:34}{own['seconds'].median():>8.2f}{own['cpu_seconds'].median():>8.2f}{own['quicker'].median():>9.1f}{own['correlation'].mean():>8.4f}"
            f"{own['correlation'].min():>8.4f}{own['mean'].mean():>8.4f}{own['largest'].max():>9.4f}"
        )
    rows, columns = best_offset(np.nanmean(shifts, axis=0), args.stride)
    print(f"the dense map lies best on the exact one at an offset of {rows:.1f} rows, {columns:.1f} columns (pixels)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--twin", type=Path)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path)
    main(parser.parse_args())
