import numpy as np
import pytest
import torch

from ensemble_mammo.learning.augment import affine_maps, augment
from ensemble_mammo.records.recipe import AugmentRecipe

STRONG = AugmentRecipe(0.2, 0.2, 10.0, True, True, 0.1, 0.2)


def _seeds(*places):
    return [(0, 3, place) for place in places]


def test_a_recipe_of_zeros_changes_nothing():
    batch = torch.rand(3, 1, 20, 12)
    assert augment(batch, AugmentRecipe(), _seeds(0, 1, 2)) is batch


def test_an_image_changes_by_its_own_seed_and_not_by_its_batch():
    batch = torch.rand(3, 1, 20, 12)
    together = augment(batch, STRONG, _seeds(5, 6, 7))
    alone = augment(batch[1:2], STRONG, _seeds(6))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(alone, augment(batch[1:2], STRONG, [(0, 4, 6)]))


def test_values_stay_between_black_and_white():
    changed = augment(torch.rand(8, 1, 20, 12), STRONG, _seeds(*range(8)))
    assert changed.min() >= 0 and changed.max() <= 1


def test_what_comes_from_outside_is_black_and_stays_so():
    recipe = AugmentRecipe(shift=0.5, brightness=0.5)
    changed = augment(torch.full((8, 1, 40, 40), 0.5), recipe, _seeds(*range(8)))
    assert all(image.min() == 0 for image in changed)


@pytest.mark.parametrize(("height", "width"), [(60, 30), (30, 60)])
def test_pixels_stay_square_when_an_image_is_turned(height, width):
    draws = np.zeros((1, 9))
    draws[0, 3] = 1
    linear = affine_maps(AugmentRecipe(rotation_deg=30), draws, height, width)[0, :, :2]
    assert np.allclose(linear @ linear.T, np.eye(2))
    assert np.allclose(linear[0], [np.cos(np.pi / 6), np.sin(np.pi / 6)])


def test_a_disc_stays_a_disc_in_a_tall_image():
    rows, columns = np.mgrid[:96, :48]
    disc = torch.from_numpy(((rows - 47.5) ** 2 + (columns - 23.5) ** 2 < 15**2).astype(np.float32))[None, None]
    turned = augment(disc, AugmentRecipe(rotation_deg=90), _seeds(1))
    assert (turned - disc).abs().mean() < 0.02


def test_shift_zoom_and_flip_map_places_as_they_should():
    recipe = AugmentRecipe(zoom=0.5, shift=0.25, flip_horizontal=True)
    draws = np.zeros((1, 9))
    draws[0, :5] = 1, 0, 1, 0, -1
    # twice 0.75 = 1.5 times as large, 10 pixels to the right, flipped: x = -(x' - 10) / 1.5
    assert np.allclose(affine_maps(recipe, draws, 20, 40), [[[-1 / 1.5, 0, 10 / 1.5], [0, 1 / 1.5, 0]]])


def test_a_flip_exchanges_left_and_right_exactly():
    batch = torch.rand(16, 1, 8, 6)
    changed = augment(batch, AugmentRecipe(flip_horizontal=True), _seeds(*range(16)))
    flipped = [torch.allclose(new, old.flip(-1), atol=1e-5) for new, old in zip(changed, batch, strict=True)]
    same = [torch.allclose(new, old, atol=1e-5) for new, old in zip(changed, batch, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True)) and any(flipped) and any(same)


def test_contrast_acts_about_the_image_own_mean():
    batch = torch.rand(1, 1, 8, 8) * 0.2 + 0.4
    changed = augment(batch, AugmentRecipe(contrast=0.5), _seeds(0))
    assert changed.mean().item() == pytest.approx(batch.mean().item(), abs=1e-6)
    assert changed.std().item() != pytest.approx(batch.std().item(), rel=0.01)


def test_shear_slides_rows_and_leaves_columns_upright_lengths():
    draws = np.zeros((1, 9))
    draws[0, 8] = 1
    linear = affine_maps(AugmentRecipe(shear_deg=45), draws, 30, 30)[0, :, :2]
    assert np.allclose(linear, [[1, 1], [0, 1]])


@pytest.mark.parametrize(("fill", "least"), [("edge", 0.49), ("reflection", 0.49), ("black", 0.0)])
def test_what_enters_from_outside_is_as_the_recipe_says(fill, least):
    recipe = AugmentRecipe(rotation_deg=45, zoom=0.3, fill=fill)
    changed = augment(torch.full((8, 1, 40, 40), 0.5), recipe, _seeds(*range(8)))
    assert changed.min() >= least
    assert (fill == "black") == bool(changed.min() == 0)


def test_shear_changes_no_other_draw():
    batch = torch.rand(3, 1, 20, 12)
    plain = AugmentRecipe(zoom=0.2, flip_vertical=True)
    sheared = AugmentRecipe(zoom=0.2, flip_vertical=True, shear_deg=1e-9)
    assert torch.allclose(augment(batch, plain, _seeds(1, 2, 3)), augment(batch, sheared, _seeds(1, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("intensity", [{}, {"brightness": 0.1, "contrast": 0.3}])
def test_images_that_are_only_flipped_keep_their_pixels_and_draws(intensity):
    batch = torch.rand(16, 1, 9, 6)
    only = AugmentRecipe(flip_horizontal=True, flip_vertical=True, **intensity)
    sampled = AugmentRecipe(flip_horizontal=True, flip_vertical=True, shift=1e-12, **intensity)  # by interpolation
    changed = augment(batch, only, _seeds(*range(16)))
    assert torch.allclose(changed, augment(batch, sampled, _seeds(*range(16))), atol=1e-5)
    if not intensity:
        draws = [np.random.default_rng(seed).uniform(-1, 1, 9) for seed in _seeds(*range(16))]
        assert len({(draw[4] < 0, draw[5] < 0) for draw in draws}) == 4
        for new, old, draw in zip(changed.numpy(), batch.numpy(), draws, strict=True):
            turned = old[:, :, ::-1] if draw[4] < 0 else old
            assert np.array_equal(new, turned[:, ::-1] if draw[5] < 0 else turned)


def test_a_flip_that_a_recipe_does_not_want_is_not_made():
    batch = torch.rand(16, 1, 9, 6)
    changed = augment(batch, AugmentRecipe(flip_vertical=True), _seeds(*range(16)))
    assert all(torch.equal(new, old) or torch.equal(new, old.flip(1)) for new, old in zip(changed, batch, strict=True))
