"""Time and money on paper: measured costs an image, assumed machines; the tables of docs/scale.md.

python eval/scale/cost.py

Change the numbers to those of your machines. `MEASURED` was measured (where: docs/scale.md); `MACHINES` is assumed.
"""

from dataclasses import dataclass

SIZES = (10_000, 1_000_000, 100_000_000)
EPOCHS = {10_000: 20, 1_000_000: 10, 100_000_000: 3}
"""Sweeps over the images: the more there are, the fewer are needed."""


@dataclass(frozen=True)
class Costs:
    """Of one image."""

    prepare: float = 0.49
    "core seconds: DICOM (lossless JPEG, JPEG 2000) to a PNG of 1,152 rows"
    predict: float = 0.04
    "core seconds: prepared image, tf_efficientnet_lite0 at 256 x 160"
    train: float = 0.073
    "core seconds an image shown, the same network, forward and backward"
    fit: float = 0.013
    "core seconds: prepared image to the packed map (PNG decoded, resized), once"
    train_gflop: float = 1.8
    "operations of a training step an image, in 10^9, the same network (counted)"
    archive_mb: float = 2.5
    "of a compressed DICOM file"
    prepared_mb: float = 0.8
    "of a prepared PNG of 1,152 rows"
    packed_mb: float = 0.08
    "of the fitted image, 256 x 160 x 2 bytes"


@dataclass(frozen=True)
class Machine:
    """A place to work at; everything here is assumed."""

    name: str
    cores: int
    gpus: int
    gflops: float
    "that training reaches on one GPU, in 10^9 a second (small networks reach a small part of the peak)"
    mb_per_second: float
    "from the store of the archive"
    price: float
    "an hour"


MEASURED = Costs()
MACHINES = (
    Machine("laptop", 8, 0, 0.0, 200.0, 0.0),
    Machine("GPU node", 96, 8, 10_000.0, 2_000.0, 30.0),
    Machine("64 GPUs", 8 * 96, 64, 10_000.0, 10_000.0, 8 * 30.0),
)


def hours(machine: Machine, images: int) -> dict[str, tuple[float, str]]:
    """Hours of each stage, and what bounds it."""
    cost, cores = MEASURED, machine.cores
    prepare = {"cores": cost.prepare / cores, "store": cost.archive_mb / machine.mb_per_second}
    step = cost.train_gflop / (machine.gpus * machine.gflops) if machine.gpus else cost.train / cores
    train = {"GPUs" if machine.gpus else "cores": EPOCHS[images] * step, "decoding": cost.fit / cores}
    train["store"] = cost.prepared_mb / machine.mb_per_second
    predict = {"cores": (cost.fit if machine.gpus else cost.predict) / cores}
    predict["store"] = cost.prepared_mb / machine.mb_per_second
    found = {}
    for stage, parts in (("prepare", prepare), ("train", train), ("predict", predict)):
        bound = max(parts, key=parts.__getitem__)
        found[stage] = (parts[bound] * images / 3600, bound)
    return found


def shown(value: float) -> str:
    """Hours as a reader says them."""
    if value < 1:
        return f"{value * 60:.0f} min"
    return f"{value:.0f} h" if value < 72 else f"{value / 24:,.0f} d"


def main() -> None:
    print("| images | machine | prepare | train | predict | in all | price |\n|---|---|---|---|---|---|---|")
    for images in SIZES:
        for machine in MACHINES:
            found = hours(machine, images)
            cells = " | ".join(f"{shown(value)} ({bound})" for value, bound in found.values())
            total = sum(value for value, _ in found.values())
            print(f"| {images:,} | {machine.name} | {cells} | {shown(total)} | {total * machine.price:,.0f} |")
    print("\n| images | archive | prepared | packed | manifest.parquet |\n|---|---|---|---|---|")
    for images in SIZES:
        sizes = (MEASURED.archive_mb, MEASURED.prepared_mb, MEASURED.packed_mb, 80e-6)
        print(f"| {images:,} | " + " | ".join(f"{size * images / 1e3:,.1f} GB" for size in sizes) + " |")


if __name__ == "__main__":
    main()
