"""The rules of a plan, each a function of a few numbers; the numbers and where they come from stand here alone.

Figures that rules go by are in eval/reference/README.md and eval/reference/density-log.md.
"""

from __future__ import annotations

import math

NETWORK = "tf_efficientnet_lite0"
"""ImageNet weights that arrive with the installation; every figure of density was reached with it."""
STRIDE = 32
"""Pixels of the input a cell of its last map: an input of whole cells wastes none."""
GROUPS_ALL = 8
"""Its feature groups: the stem and seven block groups."""
COARSE_ROWS, FINE_ROWS = 256, 640
"""Input of ordinal tasks (of density, 256 x 128 was the best of one fold, and little above 192 x 112); of those that
look for lesions, as in cancer/whole-image-lite."""
MANY_IMAGES = 10_000
"""Training images from which a larger input and a larger step are taken, on a GPU; not measured here."""
LARGE = {COARSE_ROWS: 512, FINE_ROWS: 1152}
"""Input of many images on a GPU: Shen et al. 2019 looked for cancer at 1152 rows."""
POOLED_BELOW = 1000
"""Images a view below which one network learns from all views: what the INFN work recommends for a network of one."""
STEP_IMAGES, STEP_RATE, HEAD_RATE = 16, 1e-3, 2e-3
"""Images a step of density/joint, and the rates made for them: of its freed groups, and of the last layer before."""
SHOWN, LEAST_EPOCHS, MOST_EPOCHS = 6000, 6, 24
"""Images a training shows, all epochs together: density/finetune showed 2,100 (INbreast) and 3,200 (RSNA) a network of
one view, density/joint 14,000 of four sets; epochs stay between the two."""
HEAD_SHARE = 8
"""One epoch of so many is for the last layer alone: density/finetune had 3 of 20, density/joint 1 of 7."""
FREED = ((30, 2), (100, 4), (5000, 5))
"""Training subjects below which so many feature groups learn: 4 as in density/finetune (57 subjects a fold), 5 as in
density/joint (800), where all of them were no better; from 5,000 subjects on all."""
FOLDS = 5
"""Folds, if every class has as many subjects; as every reference figure."""
GAIN = 1.1
"""Half precision must be so many times as fast as float32; less is noise of the clock."""
RARE = 3.0
"""Images of the most frequent class to those of the rarest from which classes are weighted, without an order."""
SMOOTHED_BELOW = 1000
"""Training images below which targets of tasks without an order are smoothed, by 0.1 as in density/finetune."""
VALIDATED_FROM = 200
"""Validation images from which the best epoch is chosen on them; fewer choose by chance."""
CACHE_SHARE = 0.5
"""Of the free disk, for images kept at the input's size (16 bits a pixel)."""
MOST_LOADERS = 16
"""Threads that read images: beyond, decoding no longer gains."""


def folds_of(rarest: int, stated: int, crossvalidated: bool) -> int:
    """Those of the manifest where it has some; else five, or as many as the rarest class has subjects; at least two."""
    if not crossvalidated:
        return 0
    return stated or max(2, min(FOLDS, rarest))


def trained_share(folds: int) -> float:
    """The share of the images to learn from that one training sees."""
    return (folds - 1) / folds if folds else 1.0


def rows_of_input(ordinal: bool, prepared: int, images: int, gpu: bool) -> int:
    """Coarse for classes in an order, fine for lesions, larger with many images on a GPU, never above the prepared."""
    wanted = COARSE_ROWS if ordinal else FINE_ROWS
    if gpu and images >= MANY_IMAGES:
        wanted = LARGE[wanted]
    return max(STRIDE, min(wanted, prepared) // STRIDE * STRIDE)


def columns_of_input(rows: int, aspect: float) -> int:
    """The median aspect of the images, to the nearest whole number of cells."""
    return max(STRIDE, round(rows * aspect / STRIDE) * STRIDE)


def groups_freed(subjects: int) -> int:
    """How many feature groups learn: the more subjects, the more."""
    return next((groups for below, groups in FREED if subjects < below), GROUPS_ALL)


def images_a_step(images: int) -> int:
    """16 images; twice as many from 10,000 training images on, and again with each tenfold."""
    tens = math.floor(math.log10(images / MANY_IMAGES)) + 1 if images >= MANY_IMAGES else 0
    return STEP_IMAGES * 2**tens


def rate_of(rate: float, step: int) -> float:
    """The rate made for steps of 16 images, by the square root of larger ones (Malladi et al. 2022, for Adam)."""
    return float(f"{rate * math.sqrt(step / STEP_IMAGES):.2g}")


def epochs_of(images: int) -> int:
    """As many as show 6,000 images, between 6 and 24."""
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(SHOWN / images)))


def head_epochs_of(epochs: int) -> int:
    """An eighth of the epochs, one at least."""
    return max(1, epochs // HEAD_SHARE)


def cache_of(images: int, rows: int, columns: int, free_gb: float) -> float:
    """Gigabytes that hold all images, in tenths; no more than half of the free disk."""
    return max(0.0, min(math.ceil(10 * packed_gb(images, rows, columns)), math.floor(10 * free_gb * CACHE_SHARE)) / 10)


def packed_gb(images: int, rows: int, columns: int) -> float:
    """Gigabytes of fitted images, 16 bits a pixel and eight bytes an image."""
    return images * (rows * columns * 2 + 8) / 1e9


def loaders_of(cores: int, gpu: bool) -> int:
    """On a GPU the cores but one, 16 at most; one on a processor, whose cores the network needs."""
    return max(1, min(cores - 1, MOST_LOADERS)) if gpu else 1
