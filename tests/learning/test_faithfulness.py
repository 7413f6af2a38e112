import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ensemble_mammo.learning.cam import ActivationMap, activation_maps
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.learning.faithfulness import CurveOptions, area_of_input, faithfulness
from ensemble_mammo.learning.images import fit
from ensemble_mammo.learning.randomised import SHUFFLED, likeness, randomisation_check, shuffled
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe
from ensemble_mammo.records.subject import View
from tests.learning.test_cam import images, run_of
from tests.learning.tiny import tiny_recipe


class Spot(nn.Module):
    """Looks at one square of the image alone."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(6.0))

    def forward(self, batch):
        seen = batch[:, 0, 8:16, 8:16].mean((1, 2)) * self.scale - 3
        return torch.stack([seen, torch.zeros_like(seen)], dim=1)


def spot_run(mean=0.0):
    recipe = tiny_recipe()
    recipe = type(recipe)(**{**vars(recipe), "input": InputRecipe(32, 32, mean=mean, std=1.0)})
    return LoadedRun(None, recipe, View.CC_R, None, ("A", "B"), Preparation(), Spot().eval(), {})


def made_of(map_):
    return ActivationMap(map_, map_, map_[::4, ::4], 0, np.array([0.5, 0.5]))


def spot_map(row=8, column=8):
    map_ = np.zeros((32, 32), np.float32)
    map_[row : row + 8, column : column + 8] = 1
    return map_


def bright():
    pixels = np.full((32, 32), 2000, np.uint16)
    pixels[8:16, 8:16] = 60000
    return pixels


@pytest.mark.parametrize("fill", ["blur", "black"])
def test_the_map_of_what_is_looked_at_beats_chance_and_another_does_not(fill):
    options = CurveOptions(steps=16, block_px=4, deletion_fill=fill, blur=0.5, random_orders=20)
    right = faithfulness(spot_run(), bright(), made_of(spot_map()), options=options)
    wrong = faithfulness(spot_run(), bright(), made_of(1 - spot_map()), options=options)
    assert right.deletion < right.deletion_random - 0.1 and right.insertion > right.insertion_random + 0.05
    assert wrong.deletion > wrong.deletion_random and wrong.insertion < wrong.insertion_random
    assert right.reason == ""


def test_deletion_is_that_of_a_plain_loop_over_the_pixels():
    run, pixels = spot_run(0.2), bright()
    map_ = np.random.default_rng(0).permutation(32 * 32).reshape(32, 32).astype(np.float32)
    values = fit(pixels, run.recipe.input)[0].numpy()[0].copy()
    scores = []
    for step in range(9):
        image = values.copy().ravel()
        image[np.argsort(-map_.ravel())[: step * 128]] = 0
        seen = 6 * (image.reshape(32, 32)[8:16, 8:16] - 0.2).mean(dtype=np.float64) - 3
        scores.append(1 / (1 + np.exp(-seen)))
    area = sum((a + b) / 2 for a, b in pairwise(scores)) / 8
    options = CurveOptions(steps=8, block_px=1, deletion_fill="black")
    assert faithfulness(run, pixels, made_of(map_), options=options).deletion == pytest.approx(area, abs=1e-6)


def test_only_the_area_is_touched_and_results_hang_on_the_seed_alone():
    run, area = spot_run(), np.zeros((32, 32), bool)
    area[20:] = True  # what the network looks at lies outside it
    options = CurveOptions(deletion_fill="black", block_px=4)
    found = faithfulness(run, bright(), made_of(np.ones((32, 32), np.float32)), area, options)
    whole = 1 / (1 + math.exp(3 - 6 * 60000 / 65535))
    assert found.deletion == pytest.approx(whole) == pytest.approx(found.deletion_random)
    blurred = CurveOptions(block_px=4, seed=3)
    one, again = (faithfulness(run, bright(), made_of(spot_map()), options=blurred) for _ in range(2))
    assert one == again


def test_an_empty_map_gives_no_order():
    found = faithfulness(spot_run(), bright(), made_of(np.zeros((32, 32), np.float32)))
    assert math.isnan(found.deletion) and math.isnan(found.insertion_random) and "no order" in found.reason


def test_the_padding_belongs_to_no_area():
    _, placement = fit(np.zeros((64, 32), np.uint16), InputRecipe(32, 32))
    inside = area_of_input(None, placement, (32, 32))
    assert inside[:, 8:24].all() and not inside[:, :8].any() and not inside[:, 24:].any()
    half = np.zeros((64, 32), bool)
    half[:32] = True
    np.testing.assert_array_equal(np.flatnonzero(area_of_input(half, placement, (32, 32)).any(1)), np.arange(16))


@pytest.mark.parametrize(
    "fields", [{"steps": 0}, {"random_orders": 0}, {"deletion_fill": "white"}, {"blur": 0.0}, {"block_px": -1}]
)
def test_options_that_cannot_be_right_are_refused(fields):
    with pytest.raises(ValueError, match=r"deletion fill 'white' is not one of blur, black|must be 1 or more"):
        CurveOptions(**fields)


@pytest.mark.parametrize("share", SHUFFLED.values())
def test_shuffled_weights_keep_their_values_and_come_back_bit_for_bit(share):
    network = run_of().network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    changed = []
    with pytest.raises(KeyError), shuffled(network, share, 1):
        for name, value in network.named_parameters():
            torch.testing.assert_close(value.flatten().sort()[0], before[name].flatten().sort()[0], rtol=0, atol=0)
            changed += [name] if not torch.equal(value, before[name]) else []
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "fc.weight" in changed and (share > 0 or {name.split(".")[0] for name in changed} == {"fc"})
    assert (share < 1) or "conv1.0.weight" in changed or "conv1.weight" in changed


def test_the_check_gives_a_likeness_a_step_the_same_each_time():
    run, pixels = run_of(), images()[0]
    [made] = activation_maps([run], [pixels], [1], "class-map")
    found = randomisation_check(run, pixels, made, "class-map", seed=4)
    assert list(found) == list(SHUFFLED)
    again = randomisation_check(run, pixels, made, "class-map", seed=4)
    assert str(found) == str(again)
    layer = run.network.get_classifier()
    places = torch.randperm(layer.weight.numel(), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():  # the first step alone changes the last layer alone
        layer.weight.copy_(layer.weight.flatten()[places].view(layer.weight.shape))
    [other] = activation_maps([run], [pixels], [1], "class-map")
    values, placement = fit(pixels, run.recipe.input)
    inside = area_of_input(None, placement, values.shape[-2:])
    cells = np.array([[inside[32 * r : 32 * r + 32, 32 * c : 32 * c + 32].any() for c in range(3)] for r in range(3)])
    expected = likeness(made.coarse[cells], other.coarse[cells])
    assert found["last layer"].ssim == pytest.approx(expected.ssim, abs=1e-5)


def test_networks_of_many_layers_are_not_silenced_by_the_shuffling():
    run, pixels = run_of("tf_efficientnet_lite0", size=128), images()[0]
    [made] = activation_maps([run], [pixels], [1])
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    found = randomisation_check(run, pixels, made, "grad-cam")
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    assert not any(module.training for module in run.network.modules())
    assert np.isfinite([one.ssim for one in found.values()]).all()
    batch = fit(pixels, run.recipe.input)[0][None]
    with shuffled(run.network, 1.0, 0, batch):
        features = run.network.forward_features(batch).detach()
        assert 0.01 < float(features.std()) < 100


def test_likeness_is_scipys_rank_correlation_and_the_published_similarity():
    rng = np.random.default_rng(0)
    x, y = rng.random(40), rng.random(40)
    found = likeness(x, y)
    ranks = stats.rankdata(x), stats.rankdata(y)
    assert found.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    c1, c2 = 1e-4, 9e-4
    top = (2 * x.mean() * y.mean() + c1) * (2 * np.cov(x, y, bias=True)[0, 1] + c2)
    below = (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)
    assert found.ssim == pytest.approx(top / below)
    assert likeness(x, x).ssim == pytest.approx(1) == likeness(x, x**3).spearman
    assert math.isnan(likeness(x, np.zeros(40)).spearman) and math.isnan(likeness(x[:0], y[:0]).ssim)
