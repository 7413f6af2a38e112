import time

import numpy as np
import pandas as pd
import pytest
import torch

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.learning.images import (
    ViewImages,
    batches_of,
    fit,
    fitted,
    normalise,
    place,
    read_batches,
    to_input,
    values_of,
)
from ensemble_mammo.learning.pace import Pace
from ensemble_mammo.records.png16 import read_png16, write_png16
from ensemble_mammo.records.recipe import InputRecipe


def _pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)


def test_pad_keeps_the_aspect_and_centres_on_black():
    values, where = fit(np.full((100, 50), 65535, np.uint16), InputRecipe(40, 40))
    assert (where.top, where.left, where.height, where.width) == (0, 10, 40, 20)
    assert torch.allclose(values[0, :, 10:30], torch.ones(40, 20))
    assert not values[0, :, :10].any() and not values[0, :, 30:].any()


def test_squash_fills_the_input():
    values, where = fit(np.full((100, 50), 65535, np.uint16), InputRecipe(40, 30, fit="squash"))
    assert (where.top, where.left, where.height, where.width) == (0, 0, 40, 30)
    assert torch.allclose(values, torch.ones(1, 40, 30))


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((64, 64), np.uint16)
    stripes[:, ::2] = 65535
    values, _ = fit(stripes, InputRecipe(16, 16))
    assert values[0, 4:12, 4:12].sub(0.5).abs().max() < 0.05


def test_an_image_of_the_input_size_is_not_touched():
    pixels = _pixels(32, 32)
    values, _ = fit(pixels, InputRecipe(32, 32))
    assert np.array_equal(np.rint(values[0].numpy() * 65535).astype(np.uint16), pixels)


def test_normalisation_is_centring_then_mean_and_std():
    batch = torch.rand(2, 1, 4, 4)
    assert torch.allclose(normalise(batch, InputRecipe(16, 16, mean=0.5, std=0.25)), (batch - 0.5) / 0.25)
    centred = normalise(batch, InputRecipe(16, 16, centre="image"))
    assert torch.allclose(centred.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-6)
    assert torch.allclose(centred[0], normalise(batch[0], InputRecipe(16, 16, centre="image")))


def test_prediction_and_training_build_the_same_tensor():
    recipe = InputRecipe(40, 24, mean=0.4, std=0.2, centre="image")
    pixels = _pixels(90, 31)
    alone, _ = to_input(pixels, recipe)
    batch = normalise(torch.stack([fit(pixels, recipe)[0], fit(_pixels(50, 50), recipe)[0]]), recipe)
    assert torch.allclose(alone, batch[0], atol=1e-6)


@pytest.mark.parametrize("recipe", [InputRecipe(40, 24), InputRecipe(20, 60, fit="squash"), InputRecipe(128, 90)])
def test_a_fitted_image_is_the_plain_resizing_rounded_to_16_bits(recipe):
    pixels = _pixels(90, 31)
    where = place(90, 31, recipe)
    plain = torch.nn.functional.interpolate(
        torch.from_numpy(pixels / 65535.0)[None, None], (where.height, where.width), mode="bilinear", antialias=True
    )[0, 0].numpy()
    whole, same = fitted(pixels, recipe)
    inside = whole[where.top : where.top + where.height, where.left : where.left + where.width]
    assert same == where and whole.shape == recipe.size and whole.dtype == np.uint16
    assert np.abs(inside / 65535.0 - plain).max() < 0.6 / 65535  # half a step, and float32
    assert int(whole.sum(dtype=np.int64)) == int(inside.sum(dtype=np.int64))  # black around it


def test_every_16_bit_step_is_its_share_of_white():
    steps = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(values_of(torch.from_numpy(steps)).numpy(), steps.astype(np.float32) / np.float32(65535))


def test_other_pixels_than_16_bits_are_refused():
    with pytest.raises(ValueError, match="expected uint16"):
        fit(np.zeros((8, 8), np.float32), InputRecipe(16, 16))


def test_a_map_goes_back_to_the_prepared_image():
    where = place(100, 50, InputRecipe(40, 40))
    values = np.zeros((40, 40), np.float32)
    values[:20, 10:20] = 1  # the upper left quarter of the image
    back = where.to_source(values)
    assert back.shape == (100, 50)
    assert back[:45, :20].min() == 1 and back[55:].max() == 0 and back[:, 30:].max() == 0


def _images(root, count=5, **options):
    for number in range(count):
        write_png16(root / f"{number}.png", _pixels(40, 30, number))
    rows = pd.DataFrame({"file": [f"{n}.png" for n in range(count)], "image_id": range(count)})
    return ViewImages(root, rows, InputRecipe(32, 32), **options)


def test_batches_are_the_images_in_order_whatever_the_workers(tmp_path):
    batches = [[0, 3], [1], [4, 2, 0], []]
    images = _images(tmp_path)
    single = [fit(read_png16(tmp_path / f"{i}.png"), InputRecipe(32, 32))[0] for i in range(5)]
    for workers in (0, 1, 3):
        found = list(read_batches(images, batches, workers))
        assert [len(batch) for batch in found] == [2, 1, 3, 0]
        for batch, indices in zip(found, batches, strict=True):
            assert batch.shape[1:] == (1, 32, 32) and batch.dtype == torch.float32
            assert all(torch.equal(one, single[i]) for one, i in zip(batch, indices, strict=True))
    assert all(torch.equal(images[i], single[i]) for i in range(5))


def test_batches_are_read_ahead_and_waiting_for_them_is_counted(tmp_path):
    images = _images(tmp_path, 8)
    begun = []
    real = images.fitted

    def slow(index):
        begun.append(index)
        time.sleep(0.02)
        return real(index)

    images.fitted = slow
    pace, batches = Pace(), [[i, i + 1] for i in range(0, 8, 2)]
    for number, _ in enumerate(read_batches(images, batches, 2, pace=pace)):
        time.sleep(0.08)
        assert len(begun) >= min(8, 2 * number + 4)  # the next batch at least is on its way
    assert pace.batches == 4 and pace.seconds >= 4 * 0.08
    assert 0.02 <= pace.waited < 0.08 + 0.02  # for the first alone
    assert pace.waiting_share == pace.waited / pace.seconds


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_or_damaged_file_is_named(tmp_path, workers):
    images = _images(tmp_path)
    (tmp_path / "3.png").unlink()
    (tmp_path / "4.png").write_bytes((tmp_path / "2.png").read_bytes()[:300])
    with pytest.raises(DatasetError, match=r"3\.png: missing"):
        list(read_batches(images, [[0], [3]], workers))
    with pytest.raises(DatasetError, match=r"4\.png: damaged"):
        list(read_batches(images, [[4]], workers))


def test_no_image_is_dropped_and_none_stands_alone():
    assert batches_of(range(7), 3) == [[0, 1, 2], [3, 4, 5, 6]]
    assert batches_of(range(8), 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert batches_of(range(3), 1) == [[0], [1], [2]]
    assert batches_of(range(1), 4) == [[0]]
