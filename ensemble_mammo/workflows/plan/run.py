"""plan: look at a dataset and a machine, try what fits, and write a recipe with a reason beside each value."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.learning.device import resolve_device
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipe_from_toml
from ensemble_mammo.records.remote import shown
from ensemble_mammo.records.subject import View
from ensemble_mammo.workflows.dataset import views_at
from ensemble_mammo.workflows.plan import rules
from ensemble_mammo.workflows.plan.choices import Choice, Sizes, of_the_data, of_the_machine, sizes_of
from ensemble_mammo.workflows.plan.dry_run import DryRun, dry_run
from ensemble_mammo.workflows.plan.fingerprint import Fingerprint, read_fingerprint, task_of
from ensemble_mammo.workflows.plan.machine import Machine, read_machine
from ensemble_mammo.workflows.plan.options import PlanOptions
from ensemble_mammo.workflows.plan.written import Planned, recipe_text, write_plan

_log = logging.getLogger(__name__)


def plan(dataset: Dataset, out: Path, options: PlanOptions | None = None) -> Planned:
    """Plan a training: writes the recipe `out` and, beside it, the JSON of the same name.

    Classes are counted among the images that the training learns from; the labels of a test split are looked at
    only where all subjects are cross-validated. What depends on the clock (images at once, precision) is chosen anew
    only where it is clearly faster.

    Args:
        dataset: whole mammograms, prepared.
        out: the TOML file.
        options: task, device and seed.

    Raises:
        DatasetError: no label of the task, one class alone, patches or tiles, a damaged image.
        TrainingError: no such device, or its memory does not hold two images.
        WeightsError: the first weights are missing.
        OutputError: the files cannot be written.
    """
    options = options or PlanOptions()
    device = resolve_device(options.device)
    facts = read_fingerprint(dataset, task_of(dataset, options.task))
    views_at(dataset, tuple(View))  # says which views have no image
    if facts.rarest[1] < rules.FOLDS and not facts.folds:
        _log.warning("%s: %d subjects of class %s; figures of it will say little", dataset.root, *facts.rarest[::-1])
    machine, sizes = read_machine(device, out.parent), sizes_of(facts)
    chosen, tried = _that_fits(facts, sizes, machine, device, options.seed)
    values = {one.key: one.value for one in chosen}
    chosen += of_the_machine(facts, sizes, machine, tried, values)
    _recipe_of(chosen)  # so that nothing is written that `train` refuses
    folds, workers = _folds(facts, sizes), _workers(machine)
    command = _command(dataset, out, folds.value, workers.value, options)
    planned = Planned(out, command, folds, workers, tuple(chosen), facts, machine, tried)
    write_plan(planned)
    return planned


def _that_fits(
    facts: Fingerprint, sizes: Sizes, machine: Machine, device: torch.device, seed: int
) -> tuple[list[Choice], DryRun]:
    """The choices of the data, with an input that memory holds: half the rows until it does."""
    memory = machine.device_memory_gb if device.type == "cuda" else machine.free_ram_gb
    rows = 0
    while True:
        chosen = of_the_data(facts, sizes, device.type == "cuda", rows)
        recipe = _recipe_of(chosen)
        tried = dry_run(recipe, len(facts.classes), rules.images_a_step(sizes.images), memory, device, seed)
        if tried is not None:
            return chosen, tried
        height = recipe.input.height
        rows = height // 2 // rules.STRIDE * rules.STRIDE
        if rows < 2 * rules.STRIDE:
            raise TrainingError(
                f"{machine.name}: {memory:.1f} GB do not hold two images of {height} x {recipe.input.width}; "
                "end what else runs there, or take another --device"
            )


def _recipe_of(choices: list[Choice]) -> Recipe:
    return recipe_from_toml(recipe_text(choices), "the plan")


def _folds(facts: Fingerprint, sizes: Sizes) -> Choice:
    if not sizes.folds:
        return Choice("folds", 0, f"{facts.subjects} training subjects beside splits of their own")
    name, count = facts.rarest
    dealt = "as the manifest deals them; " if facts.folds else ""
    return Choice("folds", sizes.folds, f"{dealt}{count} subjects of {name}, the rarest class")


def _workers(machine: Machine) -> Choice:
    gpu = machine.device == "cuda"
    why = f"{machine.cores} cores, which the network needs; images are decoded once" if not gpu else "the cores but one"
    return Choice("workers", rules.loaders_of(machine.cores, gpu), why)


def _command(dataset: Dataset, out: Path, folds: int, workers: int, options: PlanOptions) -> tuple[str, ...]:
    words = ["ensemble-mammo", "train", "--recipe", shown(out), "--data", shown(dataset.root)]
    words += ["--folds", str(folds)] if folds else []
    words += ["--workers", str(workers)] if workers > 1 else []
    words += ["--device", options.device] if options.device != "auto" else []
    words += ["--seed", str(options.seed)] if options.seed else []
    return tuple(words)
