"""`patches` against a straightforward loop that cuts one patch at a time, in one run, turn by turn.

python eval/bench/patches.py [--images N] [--rounds N] [--workers N]

The loop follows the same rules: the image and its masks get margins of half a patch, a centre is drawn, the patch is
marked in a copy of each lesion's whole mask to count the overlap, and what is accepted is written as a 16-bit PNG (same
compression). Mammograms are made: textured half discs of 1152 rows with one or two lesions, S10 with patches of 224.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ensemble_mammo.execution.local import cores
from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.lesions.patches import PatchOptions, patches
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import Dataset, ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation

HEIGHT, WIDTH, SIZE, COUNT, OVERLAP, LIMIT = 1152, 700, 224, 10, 0.9, 0.35


def made(root: Path, count: int) -> Dataset:
    """Half discs of texture with lesions of 30 to 150 pixels in radius."""
    rows, lesions = [], []
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    breast = ((y - HEIGHT / 2) / (HEIGHT / 2)) ** 2 + (x / WIDTH) ** 2 <= 1
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = np.where(breast, 12_000 + 30_000 * resized(rng.random((288, 175), np.float32), HEIGHT, WIDTH), 0)
        name = f"image{number:03d}"
        rows.append(ImageRow(name, f"P{number}", "1", "CC_L", f"images/{name}.png", "train"))
        for place in range(1 + number % 2):
            centre, radius = (300 + 500 * place, int(rng.integers(100, 300))), int(rng.integers(30, 150))
            mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
            row = LesionRow(f"{name}_{place}", name, f"P{number}", "CC_L", str(place), "mass", "benign")
            write_mask(root / f"masks/{row.lesion_id}.png", np.where(mask, 255, 0).astype(np.uint8))
            lesions.append(LesionRow(**{**row.__dict__, "mask": f"masks/{row.lesion_id}.png"}))
        write_png16(root / rows[-1].file, pixels.astype(np.uint16))
    write_lesions(root, lesions)
    write_dataset(root, rows, {}, {"format": 1, "preparation": to_mapping(Preparation(height=HEIGHT))})
    return read_dataset(root)


def overlap(mask: np.ndarray, row: int, column: int) -> float:
    """The patch marked in a copy of the mask, whole image after whole image."""
    marked = mask.astype(np.int32)
    top, left = row - SIZE // 2, column - SIZE // 2
    marked[top : top + SIZE, left : left + SIZE] += 1000
    common = (marked > 1000).sum()
    return float(max(common / (mask > 0).sum(), common / (marked >= 1000).sum()))


def processor_seconds() -> float:
    """Of this process and of its workers that have ended: other work on the machine does not count."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


def loop(dataset: Dataset, out: Path) -> int:
    """One process, one patch at a time; the number of patches written."""
    rng, written = np.random.default_rng(0), 0
    lesions = dataset.lesions()
    out.mkdir(parents=True)

    def write(pixels: np.ndarray, row: int, column: int) -> None:
        top, left = row - SIZE // 2, column - SIZE // 2
        patch = pixels[top : top + SIZE, left : left + SIZE].astype(np.uint16)
        Image.fromarray(np.ascontiguousarray(patch)).save(out / f"{written}.png", compress_level=3)

    for image in dataset.table.itertuples():
        pixels = np.pad(np.asarray(Image.open(dataset.root / image.file)), SIZE // 2)
        own = lesions[lesions["image_id"] == image.image_id]["mask"]
        masks = [np.pad(np.asarray(Image.open(dataset.root / name)), SIZE // 2) for name in own]
        for mask in masks:
            rows, columns = np.nonzero(mask)
            done, least, failed = 0, OVERLAP, 0
            while done < COUNT:
                row = int(rng.integers(rows.min(), rows.max() + 1))
                column = int(rng.integers(columns.min(), columns.max() + 1))
                if overlap(mask, row, column) >= least:
                    write(pixels, row, column)
                    done, written = done + 1, written + 1
                else:
                    failed += 1
                    if failed == 1000:
                        least, failed = least - 0.05, 0
            done = 0
            while done < COUNT:
                row = int(rng.integers(SIZE // 2, pixels.shape[0] - SIZE // 2))
                column = int(rng.integers(SIZE // 2, pixels.shape[1] - SIZE // 2))
                if pixels[row, column] and all(overlap(other, row, column) < LIMIT for other in masks):
                    write(pixels, row, column)
                    done, written = done + 1, written + 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("ensemble_mammo").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = made(folder / "dataset", given.images)
        rates: dict[str, list[float]] = {"loop": [], "one worker": [], "workers": []}
        spent: dict[str, list[float]] = {way: [] for way in rates}
        for _ in range(given.rounds):
            for way, found in rates.items():
                out = folder / "out"
                begin, before = time.perf_counter(), processor_seconds()
                if way == "loop":
                    count = loop(dataset, out)
                else:
                    workers = 1 if way == "one worker" else given.workers or cores()
                    count = len(patches(dataset, out, PatchOptions("S10", workers=workers)).table)
                found.append(count / (time.perf_counter() - begin))
                spent[way].append((processor_seconds() - before) / count)
                shutil.rmtree(out)
    print(f"{count} patches of {given.images} images, {given.rounds} rounds, {given.workers or cores()} cores")
    for way, found in rates.items():
        ratios = [one / base for one, base in zip(found, rates["loop"], strict=True)]
        print(
            f"  {way:10s} {statistics.median(found):7.1f} patches a second; against the loop "
            f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}, median {statistics.median(ratios):.2f}; "
            f"{1000 * statistics.median(spent[way]):.1f} ms of processor time a patch"
        )


if __name__ == "__main__":
    main()
