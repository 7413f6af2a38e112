"""`prepare` against a plain loop of pydicom, OpenCV and pypng that does the same, in one run, turn by turn.

python eval/bench/prepare.py FOLDER_OR_FILE ... [--copies N] [--rounds N] [--fast]

Both read DICOM mammograms, apply the window, turn MONOCHROME1, scale to fit 1152 x 896 with padding (nothing cropped,
nothing blackened) and write 16-bit PNGs. Each file is linked N times under other names, so that the start of the
workers counts little. Needs pypng and OpenCV. The loop's resampling is cv2.INTER_AREA, so the pixels differ a little;
to show that nothing but the resampling differs, they are compared a second time with ours scaled by cv2.INTER_AREA.
"""

import argparse
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import png
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.execution.local import cores
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

HEIGHT, WIDTH = 1152, 896


def scaled(values: np.ndarray) -> np.ndarray:
    """0..1 to 16 bits of the size wanted, aspect kept, padding on both sides alike."""
    aspect = values.shape[1] / values.shape[0]
    height, width = HEIGHT, round(HEIGHT * aspect)
    if width > WIDTH:
        height, width = round(WIDTH / aspect), WIDTH
    small = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    whole = np.zeros((HEIGHT, WIDTH), np.uint16)
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    whole[top : top + height, left : left + width] = np.rint(np.clip(small, 0, 1) * 65535)
    return whole


def plain_values(path: Path) -> np.ndarray:
    """What pydicom gives of a file: windowed, 0 to 1, tissue bright, padding black."""
    found = dcmread(path)
    stored = found.pixel_array
    values = apply_voi_lut(apply_modality_lut(stored, found), found, index=0).astype(np.float64)
    if "VOILUTSequence" in found:
        low, high = 0.0, 2.0 ** found.VOILUTSequence[0].LUTDescriptor[2] - 1
    else:  # pydicom spreads a window over the range of the bits stored
        low, high = 0.0, 2.0**found.BitsStored - 1
    values = (values - low) / (high - low)
    if found.PhotometricInterpretation == "MONOCHROME1":
        values = 1 - values
    padding = found.get("PixelPaddingValue")
    return values if padding is None else np.where(stored == padding, 0, values)


def loop(files: list[Path], out: Path) -> None:
    out.mkdir()
    writer = png.Writer(WIDTH, HEIGHT, greyscale=True, bitdepth=16)
    for path in files:
        with (out / f"{path.stem}.png").open("wb") as stream:
            writer.write(stream, scaled(plain_values(path)).tolist())


def ours(folder: Path, views: Path, out: Path, decode: str) -> Dataset:
    preparation = Preparation(decode=decode, crop=False, outside="keep", height=HEIGHT, width=WIDTH)
    return prepare("dicom", folder, out, PrepareOptions(ArchiveOptions(views=views, keep_ids=True), preparation))


def measured(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds by the clock, and of the processors (workers that have ended included); what came of it."""
    before, begin = os.times(), time.perf_counter()
    made = work()
    wall, after = time.perf_counter() - begin, os.times()
    return (wall, sum(after[:4]) - sum(before[:4])), made


def linked(sources: list[Path], folder: Path, copies: int) -> tuple[list[Path], Path]:
    """Each file in a folder of its own subject, N times; and a table of views, which most headers lack."""
    files, rows = [], []
    for copy in range(copies):
        for number, source in enumerate(sources):
            place = folder / f"s{number}c{copy}" / f"n{number}c{copy}.dcm"
            place.parent.mkdir(parents=True)
            try:
                os.link(source, place)
            except OSError:
                shutil.copyfile(source, place)
            side = str(dcmread(source, specific_tags=["ImageLaterality"]).get("ImageLaterality") or "R")
            files.append(place)
            rows.append((place.relative_to(folder).as_posix(), View.CC_L if side == "L" else View.CC_R))
    views = folder.with_suffix(".csv")
    pd.DataFrame(rows, columns=["file", "view"]).to_csv(views, index=False)
    return files, views


def readable(paths: list[Path]) -> list[Path]:
    """The DICOM files among paths and below folders that can be decoded."""
    found = []
    for path in sorted(file for place in paths for file in (place.rglob("*") if place.is_dir() else [place])):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            try:
                dcmread(path).pixel_array  # noqa: B018
            except Exception as error:
                print(f"left out: {path.name} ({str(error).splitlines()[0][:60]})")
                continue
            found.append(path)
    return found


def compare(files: list[Path], dataset: Dataset, plain: Path) -> None:
    """Mean and largest difference of the pixels, in steps of 16 bits, file by file."""
    made = {Path(row["source"]).stem: dataset.root / row["file"] for _, row in dataset.table.iterrows()}
    preparation = Preparation(crop=False, outside="keep")
    print("file, then |ours - loop| of 65535: mean, largest; and the same with ours scaled by cv2.INTER_AREA too")
    for path in files:
        theirs = np.array(list(png.Reader(str(plain / f"{path.stem}.png")).asDirect()[2]), np.int64)
        off = np.abs(theirs - read_png16(made[path.stem]))
        same = np.abs(theirs - scaled(read_mammogram(path, preparation).pixels))
        print(f"  {path.stem:8} {off.mean():7.1f} {off.max():6d}   {same.mean():7.3f} {same.max():6d}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fast", action="store_true", help="ours with decode='fast'")
    options = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")  # pydicom's, of rescaled values
    cv2.setNumThreads(1)
    sources = readable(options.paths)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        files, views = linked(sources, root / "in", options.copies)
        decode = "fast" if options.fast else "full"
        print(f"{len(sources)} files x {options.copies} = {len(files)} images, {cores()} cores, decode {decode}")
        ratios = []
        for turn in range(options.rounds):
            load = os.getloadavg()[0]
            taken, dataset = measured(lambda turn=turn: ours(root / "in", views, root / f"ours{turn}", decode))
            plain, _ = measured(lambda turn=turn: loop(files, root / f"loop{turn}"))
            ratios.append(plain[0] / taken[0])
            print(f"round {turn + 1} (load average {load:.1f}): ", end="")
            for who, (wall, processor) in (("ours", taken), ("loop", plain)):
                print(
                    f"{who} {len(files) / wall:.2f} images/s, {processor / len(files):.2f} processor s an image; ",
                    end="",
                )
            print(f"ratio {ratios[-1]:.2f}, of processor time {plain[1] / taken[1]:.2f}", flush=True)
        print(f"median ratio {np.median(ratios):.2f}")
        compare(files[: len(sources)], dataset, root / f"loop{turn}")


if __name__ == "__main__":
    main()
