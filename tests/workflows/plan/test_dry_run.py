"""The dry run: memory decides first, then what is clearly faster; running out of memory is an answer."""

import math

import pytest
import torch

from ensemble_mammo.learning import loop
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.workflows.plan import dry_run as module
from ensemble_mammo.workflows.plan.dry_run import Trial, dry_run, search

CPU = torch.device("cpu")


@pytest.fixture
def recipe():
    return load_recipe("density/demo", None, ("input.height=64", "input.width=32"))


def device_that(holds, paces):
    """A stand-in: images that memory holds, images a second of each precision (a list: one a trial)."""

    def attempt(batch, precision):
        if batch > holds:
            return Trial(batch, precision, False)
        pace = paces[precision]
        return Trial(batch, precision, True, pace.pop(0) if isinstance(pace, list) else pace)

    return attempt


@pytest.mark.parametrize(("holds", "batch"), [(1000, 16), (16, 16), (15, 8), (5, 4), (2, 2)])
def test_the_batch_is_the_largest_power_of_two_that_memory_holds_and_no_more_than_a_step(holds, batch):
    found = search(device_that(holds, {"float32": 10, "mixed": 10}), 16, "mixed")
    assert (found.best.batch, found.best.precision) == (batch, "float32")
    assert [t.batch for t in found.trials if not t.fits] == [n for n in (16, 8, 4) if n > holds]


def test_no_batch_where_two_images_do_not_fit():
    assert search(device_that(1, {}), 16, "mixed") is None


@pytest.mark.parametrize(
    ("half", "chosen"),
    [
        ([10.5], "float32"),
        ([30, 30], "mixed"),
        ([30, 10.5], "float32"),
        ([math.nan], "float32"),
    ],
)
def test_half_precision_must_be_clearly_faster_twice(half, chosen):
    assert search(device_that(99, {"float32": 10, "mixed": half}), 16, "mixed").best.precision == chosen


def test_real_steps_are_timed_and_change_nothing_outside(recipe):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = dry_run(recipe, 4, 4, 8.0, CPU)
    assert found.best.batch == 4
    assert all(trial.fits and trial.images_per_second > 0 and trial.memory_gb > 0 for trial in found.trials)
    assert {trial.precision for trial in found.trials} == {"float32", "bfloat16"}
    assert torch.equal(torch.random.get_rng_state(), before)


def test_memory_of_a_processor_is_foreseen_before_it_is_taken(recipe):
    whole = dry_run(recipe, 4, 8, 8.0, CPU).trials[0].memory_gb
    limit = whole / module.MEMORY_SHARE["cpu"]
    assert dry_run(recipe, 4, 8, limit * 0.9, CPU).best.batch == 4
    assert dry_run(recipe, 4, 8, limit * 0.1, CPU) is None


def test_what_is_kept_for_the_gradient_grows_with_the_input(recipe):
    larger = load_recipe("density/demo", None, ("input.height=128", "input.width=64"))
    small, large = (dry_run(one, 4, 2, 8.0, CPU).trials[0].memory_gb for one in (recipe, larger))
    assert 3 < large / small < 4.5  # four times the pixels


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_halves_the_batch(recipe, monkeypatch, error):
    real = loop.computed

    def limited(function, values, setting):
        if len(values) > 4:
            raise error
        return real(function, values, setting)

    monkeypatch.setattr(module.loop, "computed", limited)
    found = dry_run(recipe, 4, 16, 8.0, CPU)
    assert found.best.batch == 4
    assert [trial.fits for trial in found.trials[:3]] == [False, False, True]


def test_another_error_of_torch_is_not_taken_for_memory(recipe, monkeypatch):
    def broken(function, values, setting):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(module.loop, "computed", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        dry_run(recipe, 4, 4, 8.0, CPU)
