import numpy as np
import pytest
import torch
from timm.models.vgg import VGG
from torch import nn
from torch.nn import functional as F

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.heatmap import HeatmapOptions, chain_of, deviation, heatmap_of
from ensemble_mammo.learning.images import normalise
from tests.learning.heatmap.made import Patchify, image_of, plain_loop, run_of


def dense(run, pixels, mask=None, **options):
    return heatmap_of([run], pixels, mask, HeatmapOptions("dense", **options))


def patchify_run(**its_input):
    torch.manual_seed(3)
    return run_of(network=Patchify(), **its_input)


@pytest.mark.parametrize("shared", [-1, 1, 2, 3, 4])
@pytest.mark.parametrize(("stride", "dilated"), [(8, 0), (4, 1), (2, 2), (1, 3), (16, 0), (12, 1), (24, 3)])
def test_dense_is_exact_where_nothing_around_a_patch_is_seen(shared, stride, dilated):
    run, pixels = patchify_run(), image_of(45, 38)
    cell = (4, 4, 8, 8)[shared - 1 if shared > 0 else -1]
    dilated = min(dilated, cell.bit_length() - 1)
    stride *= 1 if stride % (cell >> dilated) == 0 else cell >> dilated  # where all places are computed
    mask = np.zeros((45, 38), bool)
    mask[9:33, 6:35] = True
    mask[20:22] = False
    found = dense(run, pixels, mask, stride_px=stride, shared=shared, dilated=dilated)
    exact = heatmap_of([run], pixels, mask, HeatmapOptions(stride_px=stride))
    np.testing.assert_allclose(found.values, exact.values, atol=1e-5)
    assert np.isfinite(found.values).any()


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "tf_efficientnet_lite0", "infn_resnet"])
def test_a_dense_map_is_the_pooled_features_of_the_padded_image(name):
    run, pixels = run_of(name, size=64), image_of(90, 70)
    found = dense(run, pixels, stride_px=32)
    canvas = np.pad(pixels / np.float32(65535), 32)[None, None, :128, :128]  # to the end of the last patch
    with torch.no_grad():
        features = run.network.forward_features(normalise(torch.from_numpy(canvas), run.recipe.input))
        pooled = F.avg_pool2d(features, 2, stride=1)[0]
        expected = torch.softmax(run.network.get_classifier()(pooled.permute(1, 2, 0)), -1).numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "tf_efficientnet_lite0", "vgg", "infn_resnet"])
def test_a_patch_that_is_the_whole_image_has_its_exact_scores_however_much_is_shared(name):
    small = VGG([4, "M", 8, "M", 8, "M", 8, "M", 8, "M"], num_classes=3, in_chans=1) if name == "vgg" else None
    run, pixels = run_of("vgg11" if small else name, size=64, network=small), image_of(64, 64)
    exact = plain_loop([run], pixels, 64, 0)
    stages = len(chain_of(run).stages)
    assert stages >= 5
    for shared in range(stages + (small is None)):
        found = dense(run, pixels, stride_px=64, padding_px=0, shared=shared)
        np.testing.assert_allclose(found.values, exact, atol=1e-5)


def test_sharing_no_stage_is_the_exact_map():
    run, pixels = run_of(), image_of(50, 41)
    exact = heatmap_of([run], pixels, None, HeatmapOptions(stride_px=7))
    found = dense(run, pixels, stride_px=7, shared=0)
    np.testing.assert_array_equal(found.values, exact.values)


def test_each_halving_adds_places_and_keeps_those_that_were_there():
    run, pixels = run_of(size=64), image_of(128, 96)
    coarse = dense(run, pixels, stride_px=32).values
    for dilated, step in ((1, 16), (2, 8), (5, 1)):
        fine = dense(run, pixels, stride_px=step, dilated=dilated).values
        np.testing.assert_allclose(fine[:: 32 // step, :: 32 // step], coarse, atol=1e-5)


def test_a_shift_inside_the_network_is_a_shift_of_the_image():
    # black lies far enough around the content that nothing of it is cut off
    run, pixels = run_of("test_resnet", size=64), np.zeros((320, 320), np.uint16)
    pixels[128:192, 128:192] = image_of(64, 64)
    moved = np.roll(pixels, (-8, -16), (0, 1))
    fine = dense(run, pixels, stride_px=8, dilated=2).values
    coarse = dense(run, moved, stride_px=32).values
    inside = slice(4, 7)
    np.testing.assert_allclose(fine[1::4, 2::4][inside, inside], coarse[inside, inside], atol=1e-4)


@pytest.mark.parametrize("interpolation", ["logit", "probability"])
def test_places_between_those_computed_are_interpolated(interpolation):
    run, pixels = patchify_run(), image_of(40, 40)
    coarse = dense(run, pixels, stride_px=8).values
    fine = dense(run, pixels, stride_px=2, interpolation=interpolation).values
    given = np.log(coarse) if interpolation == "logit" else coarse
    between = 0.75 * given[1, 2] + 0.25 * given[2, 2]
    expected = torch.softmax(torch.from_numpy(between), 0).numpy() if interpolation == "logit" else between
    np.testing.assert_allclose(fine[5, 8], expected, atol=1e-5)
    np.testing.assert_allclose(fine[::4, ::4], coarse, atol=1e-5)
    np.testing.assert_allclose(fine.sum(-1), 1, atol=1e-5)


def test_the_mask_changes_places_looked_at_alone_where_nothing_around_a_patch_is_seen():
    run, pixels, mask = patchify_run(), image_of(60, 60), np.zeros((60, 60), bool)
    mask[30:50, 25:58] = True
    part = dense(run, pixels, mask, stride_px=4).values
    whole = dense(run, pixels, stride_px=4).values
    seen = np.isfinite(part).all(-1)
    assert 0 < seen.sum() < seen.size
    np.testing.assert_allclose(part[seen], whole[seen], atol=1e-5)


def test_a_reflected_context_is_the_image_mirrored_at_its_edges():
    run, pixels = patchify_run(), image_of(40, 32)
    found = dense(run, pixels, stride_px=8, context="reflected").values
    np.testing.assert_allclose(found, plain_loop([run], np.pad(pixels, 16, mode="symmetric"), 8, 0), atol=1e-5)


def test_several_networks_are_averaged():
    runs, pixels = [run_of(seed=0), run_of("test_resnet", seed=1)], image_of(50, 40)
    options = HeatmapOptions("dense")
    alone = [heatmap_of([run], pixels, None, options).values for run in runs]
    np.testing.assert_allclose(heatmap_of(runs, pixels, None, options).values, np.mean(alone, 0), atol=1e-6)


def test_bfloat16_changes_little():
    run, pixels = run_of(size=64), image_of(96, 80)
    found = deviation(dense(run, pixels, precision="bfloat16"), dense(run, pixels))
    assert 0 < found.largest_difference < 0.05


class Peculiar(Patchify):
    """Stages by names that are not known."""

    def __init__(self):
        super().__init__()
        self.begin, self.stem = self.stem, None

    def forward_features(self, x):
        return self.groups(self.begin(x))


def test_a_network_of_unknown_build_is_shared_as_a_whole_and_shifted_as_an_image():
    run, pixels = run_of(network=Peculiar()), image_of(40, 40)
    assert chain_of(run).steps == (8,)
    exact = heatmap_of([run], pixels, None, HeatmapOptions(stride_px=2))
    np.testing.assert_allclose(dense(run, pixels, stride_px=2, dilated=2).values, exact.values, atol=1e-5)
    with pytest.raises(RunError, match=r"shared is 2, but the features of .* have 1 stages; give fewer"):
        dense(run, pixels, shared=2)


class MaximumHead(Patchify):
    def forward_head(self, x, pre_logits=False):
        pooled = x.amax((2, 3))
        return pooled if pre_logits else self.fc(pooled)


def test_networks_that_cannot_be_shared_so_are_refused_with_what_to_do():
    pixels = image_of(64, 64)
    for own in ({"centre": "image"}, {"contrast": 1.5}):
        with pytest.raises(RunError, match="goes by each patch's own mean"):
            dense(run_of(**own), pixels)
    with pytest.raises(
        RunError, match=r"not average pooling and one layer.* --mode exact or a number of shared stages"
    ):
        dense(run_of(network=MaximumHead()), pixels)
    with pytest.raises(RunError, match=r"dilated is 6, but 7 stages of .* have a step of 32 pixels.* halved 5 times"):
        dense(run_of(), pixels, dilated=6)
    with pytest.raises(RunError, match=r"no map whose cells divide a patch of 40 pixels evenly.*--mode exact"):
        dense(run_of(size=40), pixels)


def test_a_head_of_another_kind_is_exact_with_fewer_stages_shared():
    run, pixels = run_of(network=MaximumHead()), image_of(40, 40)
    exact = heatmap_of([run], pixels, None, HeatmapOptions())
    np.testing.assert_allclose(dense(run, pixels, shared=3).values, exact.values, atol=1e-5)


class Shaken(nn.Module):
    """Blocks by the names of an EfficientNet, put together in another way."""

    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(1, 4, 4, stride=4), nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(nn.Conv2d(4, 4, 1))
        self.conv_head, self.bn2 = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 3)

    def forward_features(self, x):
        x = self.bn1(self.conv_stem(x))
        return self.bn2(self.conv_head(torch.tanh(x + self.blocks(x))))

    def forward_head(self, x):
        return self.classifier(x.mean((2, 3)))


def test_stages_that_do_not_give_the_networks_features_are_not_believed():
    assert chain_of(run_of(network=Shaken())).steps == (4,)
    assert chain_of(run_of("test_resnet", size=64)).steps == (4, 4, 8, 16, 32)
