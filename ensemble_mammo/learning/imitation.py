"""Imitation: one pass over a mammogram is taught to give what a patch classifier gives patch by patch.

The network that learns (the student) begins with the weights of the one it imitates (the teacher, frozen). Both look at
the same crop of a mammogram: the teacher at every patch of it on its own, the student once at the crop, its logits
averaged over each patch's window of cells, as dense heatmaps do. What lies around a patch is in the student's sight and
not in the teacher's, and from the teacher it learns to judge the patch alone. No labels are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.learning.augment import augment
from ensemble_mammo.learning.checkpoint import LoadedRun, load_run
from ensemble_mammo.learning.heatmap.chain import chain_of, window_logits
from ensemble_mammo.learning.heatmap.exact import patch_scores
from ensemble_mammo.learning.images import batches_of, normalise
from ensemble_mammo.learning.loop import diverged
from ensemble_mammo.learning.objective import take_step
from ensemble_mammo.learning.state import Advance, Judgement, Lesson, Samples, Setting, State
from ensemble_mammo.records.png16 import WHITE, read_png16
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.remote import brought

CORE = 3
"""Rows and columns of a crop whose patches are compared, in patches: 81 patches, a quarter of a patch apart."""
JUDGED = 32
"""Validation images at most; of each, one crop that stays the same."""
TOGETHER = 16
"""Patches that the teacher takes at once: more are no quicker on a processor."""


@dataclass(frozen=True)
class Teacher:
    """The run that is imitated."""

    run: LoadedRun
    "frozen, in evaluation mode"
    cell_px: int
    "pixels of the image from one cell of its last features to the next"

    @property
    def patch_px(self) -> int:
        """Rows and columns of a patch."""
        return self.run.recipe.input.height

    @property
    def windows(self) -> int:
        """Patches of a crop that lies wholly in the image and the breast."""
        return ((CORE - 1) * self.patch_px // self.cell_px + 1) ** 2


@dataclass(frozen=True)
class Crop:
    """A piece of a padded mammogram and the patches of it that are compared."""

    pixels: Tensor
    "`[1, 1, a, b]`, values in 0..1; a and b are multiples of a cell"
    row: int
    "first row of the first patch, in cells"
    column: int
    "first column, likewise"
    wanted: NDArray[np.bool_]
    "`[m, n]`: which of the patches, a cell apart, have their centre in the breast"


def teacher_of(recipe: Recipe, device: torch.device) -> Teacher:
    """The run that a recipe imitates.

    Raises:
        RecipeError: the recipe names no run.
        RunError: no patch run there, or one that no single pass can imitate.
    """
    if recipe.network.pretrained != "run":
        raise RecipeError("train.imitate: no run to imitate; name a patch run with --start, such as runs/patch/ANY")
    folder = brought(recipe.network.weights_file)
    run = load_run(folder, "patch", device)
    if run.recipe.train.imitate:
        raise RunError(f"{folder}: imitates a run itself; give that one, {run.recipe.network.weights_file}")
    if run.recipe.input.height != run.recipe.input.width:
        raise RunError(f"{folder}: its input is no square patch; give the run of a patch network")
    if run.recipe.input.uses_own_mean:
        raise RunError(
            f"{folder}: goes by each patch's own mean (centre = 'image', or a contrast), which no single pass can "
            "imitate"
        )
    chain = chain_of(run)
    if not chain.pools_by_mean:
        raise RunError(
            f"{folder}: the head of {run.recipe.network.name} is not average pooling and one layer, so that no single "
            "pass can imitate it"
        )
    return Teacher(run, chain.steps[-1])


def imitation_of(teacher: Teacher) -> Lesson:
    """The lesson of a training that imitates; validation crops and what the teacher says of them are kept."""
    kept: dict[int, tuple[Crop, Tensor]] = {}
    return Lesson(
        lambda state, samples, setting: imitate_one_epoch(state, samples, setting, teacher),
        lambda network, samples, setting: judge_imitation(network, samples, setting, teacher, kept),
    )


def draw_crop(pixels: NDArray[np.float32], rng: np.random.Generator, teacher: Teacher) -> Crop:
    """A crop of a mammogram about a random place in the breast.

    The image has half a patch of black around it, as for heatmaps. Around the patches that are compared, half a patch
    more is in sight where the padded image has it. Crops begin at any pixel.

    Args:
        pixels: `[h, w]`, values in 0..1, black outside the breast.
        rng: what is drawn from; an image without a breast takes its middle.
        teacher: tells the sizes.
    """
    patch, cell = teacher.patch_px, teacher.cell_px
    places = np.flatnonzero(pixels)
    centre = int(places[rng.integers(len(places))]) if len(places) else pixels.size // 2
    padded = np.pad(pixels, (patch // 2, patch // 2 + cell))  # so that the last patch has whole cells
    sides = [
        _side(int(place) + patch // 2, size + 2 * (patch // 2), int(rng.integers(cell)), teacher)
        for place, size in zip(np.unravel_index(centre, pixels.shape), pixels.shape, strict=True)
    ]
    (top, row, rows, bottom), (left, column, columns, right) = sides
    inside = torch.from_numpy(np.ascontiguousarray(padded[top:bottom, left:right]))[None, None]
    down = top + row * cell + patch // 2 + cell * np.arange(rows)
    across = left + column * cell + patch // 2 + cell * np.arange(columns)
    return Crop(inside, row, column, padded[down][:, across] > 0)


def _side(place: int, size: int, least: int, teacher: Teacher) -> tuple[int, int, int, int]:
    """Begin of a crop, first patch in cells, number of patches, end of the crop; along one side of a padded image."""
    patch, cell = teacher.patch_px, teacher.cell_px
    room = max(0, size - CORE * patch)
    begin = int(np.clip(place - CORE * patch // 2, min(least, room), room))
    before = min(begin, patch // 2) // cell
    first = begin - before * cell
    number = (min(CORE * patch, size - begin) - patch) // cell + 1
    last = begin + (number - 1) * cell + patch
    end = min(last + patch // 2, math.ceil((size - first) / cell) * cell + first)
    return first, before, number, first + (end - first) // cell * cell


def taught(crop: Crop, teacher: Teacher, precision: str) -> Tensor:
    """What the teacher says of the wanted patches of a crop, each cut out: softmax `[N, C]`."""
    patch, cell = teacher.patch_px, teacher.cell_px
    own = crop.pixels[0, 0, crop.row * cell :, crop.column * cell :]
    windows = own.unfold(0, patch, cell).unfold(1, patch, cell)
    chosen = torch.from_numpy(np.argwhere(crop.wanted)).split(TOGETHER)
    found = [patch_scores(teacher.run, windows[at[:, 0], at[:, 1]][:, None], precision) for at in chosen]
    return torch.cat(found) if found else torch.zeros(0, len(teacher.run.classes))


def answered(network: nn.Module, crop: Crop, setting: Setting, teacher: Teacher) -> Tensor:
    """What a single pass over a crop says of its wanted patches: logits `[N, C]`."""
    batch = normalise(crop.pixels.to(setting.device), setting.recipe.input)
    mixed = setting.dtype != torch.float32
    with torch.autocast(setting.device.type, dtype=setting.dtype if mixed else None, enabled=mixed):
        features = network.forward_features(batch.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
        every = window_logits(network, features, teacher.patch_px // teacher.cell_px)[0]
    rows, columns = crop.wanted.shape
    own = every[:, crop.row : crop.row + rows, crop.column : crop.column + columns]
    return own.permute(1, 2, 0)[torch.from_numpy(crop.wanted).to(own.device)]


def imitate_one_epoch(state: State, samples: Samples, setting: Setting, teacher: Teacher) -> tuple[float, float]:
    """Show a crop of each training image, or of as many as an epoch has; each patch compared weighs the same.

    A crop depends on seed, epoch and the image's place alone.

    Returns:
        Mean cross-entropy against the teacher's scores, and the share of patches whose most probable class is the
        teacher's; nan where no patch was compared.
    """
    recipe, optimizer = setting.recipe.train, state.optimizer
    assert optimizer is not None
    order = np.random.default_rng([setting.seed, state.epoch]).permutation(len(samples.targets)).tolist()
    batches = batches_of(order[: recipe.images_an_epoch or None], recipe.batch_size)
    total, right, compared = 0.0, 0, 0
    for number, batch in enumerate(batches):
        first = number - number % recipe.accumulate
        crops = sum(len(part) for part in batches[first : first + recipe.accumulate])
        for index in batch:
            crop = draw_crop(_shown(samples, index, setting, state.epoch), _rng(setting, state.epoch, index), teacher)
            targets = taught(crop, teacher, "auto").to(setting.device)
            logits = answered(state.network, crop, setting, teacher)
            loss = F.cross_entropy(logits, targets, reduction="sum")
            if not math.isfinite(loss.item()):
                raise diverged("loss", loss.item(), state.epoch, optimizer.param_groups[0]["lr"], number)
            state.scaler.scale(loss / (crops * teacher.windows)).backward()
            total, compared = total + loss.item(), compared + len(targets)
            right += int((logits.argmax(1) == targets.argmax(1)).sum())
        if (number + 1) % recipe.accumulate == 0 or number + 1 == len(batches):
            take_step(state.scaler, optimizer, recipe.clip_norm)
        if setting.progress is not None:
            so_far = (total / max(1, compared), right / max(1, compared), optimizer.param_groups[0]["lr"])
            setting.progress(Advance(state.epoch + 1, recipe.epochs, number + 1, len(batches), *so_far))
    return (total / compared, right / compared) if compared else (math.nan, math.nan)


@torch.inference_mode()
def judge_imitation(
    network: nn.Module, samples: Samples, setting: Setting, teacher: Teacher, kept: dict[int, tuple[Crop, Tensor]]
) -> Judgement:
    """How near a network comes to its teacher on crops of validation images that are the same every time.

    Args:
        network: put into evaluation mode.
        samples: of which `JUDGED` at even distances are looked at.
        setting: what stays the same.
        teacher: the run imitated.
        kept: crops and what the teacher says of them, by image; filled here.

    Returns:
        Loss: Kullback and Leibler's divergence of the teacher's scores, in nats, the mean over patches. Accuracy: the
        share with the teacher's most probable class. Correlation: of the probability of a lesion.
    """
    network.eval()
    classes = len(teacher.run.classes)
    targets, logits = [torch.zeros(0, classes)], [torch.zeros(0, classes)]
    for index in _spread(len(samples.targets)):
        if index not in kept:
            crop = draw_crop(_read(samples.images.files[index]), _rng(setting, 0, index), teacher)
            kept[index] = crop, taught(crop, teacher, "float32")
        crop, said = kept[index]
        targets.append(said)
        logits.append(answered(network, crop, setting, teacher).cpu())
    wanted, given = torch.cat(targets), torch.cat(logits)
    scores = np.zeros((0, classes), np.float32)
    if not len(wanted):
        return Judgement(math.nan, math.nan, scores)
    loss = F.kl_div(given.log_softmax(1), wanted, reduction="batchmean").item()
    same = (given.argmax(1) == wanted.argmax(1)).double().mean().item()
    return Judgement(loss, same, scores, correlation=_correlation(given.softmax(1), wanted))


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, of the probability of all classes but the first; nan where one of them is the same everywhere."""
    both = torch.stack([1 - one[:, 0], 1 - other[:, 0]]).double()
    return float(torch.corrcoef(both)[0, 1]) if bool((both.std(1, unbiased=False) > 0).all()) else math.nan


def _spread(number: int) -> Sequence[int]:
    chosen: list[int] = np.unique(np.linspace(0, number - 1, min(number, JUDGED)).round().astype(int)).tolist()
    return chosen


def _shown(samples: Samples, index: int, setting: Setting, epoch: int) -> NDArray[np.float32]:
    """A training image `[h, w]`, changed as the recipe says."""
    values = torch.from_numpy(_read(samples.images.files[index]))[None, None]
    return augment(values, setting.recipe.augment, [(setting.seed, epoch, index)])[0, 0].numpy()


def _read(path: Path) -> NDArray[np.float32]:
    return read_png16(path).astype(np.float32) / np.float32(WHITE)


def _rng(setting: Setting, epoch: int, index: int) -> np.random.Generator:
    return np.random.default_rng([setting.seed, epoch, index, 1])  # augmentation draws from the same without the 1
