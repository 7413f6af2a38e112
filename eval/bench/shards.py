"""Packing images into tar shards, and reading them in random order, against the loose files, in one run.

python eval/bench/shards.py [IMAGES] [--height ROWS] [--shard SIZE] [--threads N] [--folder FOLDER]

Images are 16-bit noise of `height` x 2/3 height, 64 different ones under many names, so that the pixels cost nothing to
make. Each way of reading has the same order, turn by turn; caches of the disk are warm unless memory is too small.
Needs room for twice the images.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ensemble_mammo.records.png16 import read_png16, write_png16
from ensemble_mammo.records.shard_writing import Sample, size_from, size_in_shard, text_of, write_shard
from ensemble_mammo.records.shards import content

ROUNDS = 3


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def loose(folder: Path, images: int, height: int) -> list[Path]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(64):
        write_png16(folder / "one.png", rng.integers(0, 65536, (height, height * 2 // 3)).astype(np.uint16))
        made.append((folder / "one.png").read_bytes())
    files = []
    for number in range(images):
        path = folder / "images" / f"{number % 100:02d}" / f"i{number:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[number % 64])
        files.append(path)
    return files


def packed(files: Sequence[Path], folder: Path, limit: int) -> list[Path]:
    """Pack files in order, as prepare does; the members that they became."""
    members: list[Path] = []
    waiting: list[Sample] = []
    size = shards = 0

    def close() -> None:
        nonlocal size, shards
        shard = folder / f"{shards:06d}.tar"
        write_shard(shard, waiting)
        members.extend(shard / sample.files[0][0] for sample in waiting)
        waiting.clear()
        size, shards = 0, shards + 1

    for file in files:
        text = text_of({"image_id": file.stem, "view": "CC_R", "split": "train"})
        own = size_in_shard([file.name, f"{file.stem}.json"], [file.stat().st_size, len(text)])
        if waiting and size + own > limit:
            close()
        waiting.append(Sample(file.stem, text, ((file.name, file),)))
        size += own
    close()
    return members


def read_all(read: Callable[[Path], object], paths: Sequence[Path], order: Sequence[int], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), 1024):
            list(pool.map(lambda i: read(paths[i]), order[start : start + 1024]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="?", type=int, default=100_000)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--shard", type=size_from, default="100MB")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        files = loose(root, options.images, options.height)
        total = sum(file.stat().st_size for file in files)
        print(f"{len(files)} images of {total / len(files):.0f} bytes, load average {os.getloadavg()[0]:.1f}")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        members: list[Path] = []
        taken = seconds_of(lambda: members.extend(packed(files, root / "shards", options.shard)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"packed into {len(list((root / 'shards').glob('*.tar')))} shards: {len(files) / taken:.0f} images/s, "
            f"{total / taken / 1e6:.0f} MB/s; peak memory grew by {grown:.0f} MB"
        )
        order = np.random.default_rng(0).permutation(len(files)).tolist()
        ways: dict[str, Sequence[Path]] = {"files": files, "shards": members}
        for what, reads in (("bytes", (Path.read_bytes, content)), ("decoded", (read_png16, read_png16))):
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for (way, paths), read in zip(ways.items(), reads, strict=True):
                    rates[way].append(
                        len(order) / seconds_of(lambda p=paths, r=read: read_all(r, p, order, options.threads))
                    )
            rate = {way: float(np.median(each)) for way, each in rates.items()}
            said = ", ".join(f"{way} {each:.0f} images/s" for way, each in rate.items())
            print(
                f"{what}, random order, {options.threads} threads: {said}, ratio {rate['shards'] / rate['files']:.2f}"
            )


if __name__ == "__main__":
    main()
