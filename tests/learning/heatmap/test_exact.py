import tracemalloc

import numpy as np
import pytest

from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.learning.heatmap import HeatmapOptions, heatmap_of
from tests.learning.heatmap.made import image_of, plain_loop, run_of


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
@pytest.mark.parametrize(("shape", "stride", "padding"), [((61, 47), 7, 0), ((40, 53), 9, 16), ((32, 32), 8, 16)])
def test_exact_scores_are_those_of_patches_cut_out_by_hand(name, shape, stride, padding):
    run, pixels = run_of(name), image_of(*shape)
    found = heatmap_of([run], pixels, None, HeatmapOptions(stride_px=stride, padding_px=padding, batch_size=5))
    np.testing.assert_allclose(found.values, plain_loop([run], pixels, stride, padding), atol=1e-5)
    assert np.ptp(found.values[..., 0]) > 0.01


def test_a_patch_has_its_own_mean_taken_off_where_the_recipe_says_so():
    run, pixels = run_of(centre="image"), image_of(50, 41)
    found = heatmap_of([run], pixels, None, HeatmapOptions(stride_px=10))
    np.testing.assert_allclose(found.values, plain_loop([run], pixels, 10, 16), atol=1e-5)


def test_the_default_is_every_8_pixels_with_half_a_patch_around():
    found = heatmap_of([run_of()], image_of(40, 24))
    assert (found.values.shape, found.stride_px, found.patch_px) == ((6, 4, 3), 8, 32)
    assert (found.first_row, found.first_column) == (0, 0)


def test_several_networks_are_averaged():
    runs, pixels = [run_of(seed=0), run_of("test_resnet", seed=1)], image_of(45, 40)
    found = heatmap_of(runs, pixels, None, HeatmapOptions(stride_px=16))
    np.testing.assert_allclose(found.values, plain_loop(runs, pixels, 16, 16), atol=1e-5)


def test_only_places_whose_centre_lies_in_the_mask_are_looked_at():
    run, pixels, mask = run_of(), image_of(64, 48), np.zeros((64, 48), bool)
    mask[16:33, 24:] = True
    found = heatmap_of([run], pixels, mask, HeatmapOptions(stride_px=8))
    seen = np.zeros((9, 7), bool)
    seen[2:5, 3:] = True  # centres at rows 16, 24, 32 and columns 24 to 48, the last on the edge
    np.testing.assert_array_equal(np.isfinite(found.values).all(-1), seen)
    np.testing.assert_array_equal(np.isnan(found.values).all(-1), ~seen)
    whole = heatmap_of([run], pixels, None, HeatmapOptions(stride_px=8)).values
    np.testing.assert_allclose(found.values[seen], whole[seen], atol=1e-6)


def test_nothing_is_looked_at_where_the_mask_is_empty():
    mask = np.zeros((40, 40), bool)
    for mode in ("exact", "dense"):
        assert np.isnan(heatmap_of([run_of()], image_of(40, 40), mask, HeatmapOptions(mode)).values).all()


def test_memory_does_not_grow_with_the_image():
    run, peaks = run_of(), []
    for height in (128, 512):
        pixels, mask = image_of(height, 128), np.zeros((height, 128), bool)
        mask[::8, 40:80] = True
        heatmap_of([run], pixels, mask, HeatmapOptions(stride_px=8, batch_size=8))  # what is made once
        tracemalloc.start()
        heatmap_of([run], pixels, mask, HeatmapOptions(stride_px=8, batch_size=8))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    padded = 2 * 160 * (544 - 160)  # bytes that the larger image itself takes more
    patches = 2 * 32 * 32 * (65 - 17) * 5  # bytes that its further patches would take
    assert peaks[1] - peaks[0] < padded * 1.2 < patches + padded


def test_networks_see_no_more_patches_than_a_batch(monkeypatch):
    run, seen = run_of(), []
    run.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    heatmap_of([run], image_of(64, 64), None, HeatmapOptions(stride_px=8, batch_size=7))
    assert max(seen) == 7
    assert sum(seen) == 81


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(DatasetError, match="20 x 50 pixels with 0 around it holds no patch of 32"):
        heatmap_of([run_of()], image_of(20, 50), None, HeatmapOptions(padding_px=0))


def test_networks_that_do_not_belong_together_are_refused():
    with pytest.raises(RunError, match="only networks of the same patches can be averaged"):
        heatmap_of([run_of(), run_of(size=64, seed=1)], image_of(64, 64))
    with pytest.raises(RunError, match="its input is 32 x 64 pixels, expected a square patch"):
        heatmap_of([run_of(width=64)], image_of(64, 64))
    with pytest.raises(ValueError, match="no runs"):
        heatmap_of([], image_of(64, 64))


def test_pixels_and_masks_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"pixels are float64 \[40, 40\], expected uint16"):
        heatmap_of([run_of()], np.zeros((40, 40)))
    with pytest.raises(ValueError, match=r"the mask is bool \[40, 41\], expected bool \[40, 40\]"):
        heatmap_of([run_of()], image_of(40, 40), np.ones((40, 41), bool))
    with pytest.raises(ValueError, match=r"the mask is uint8 \[40, 40\], expected bool"):
        heatmap_of([run_of()], image_of(40, 40), np.ones((40, 40), np.uint8))
