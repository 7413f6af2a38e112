import math
from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn

from ensemble_mammo.learning import record
from ensemble_mammo.learning.device import compile_network
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.pace import Pace, matrix_rate, training_flops
from ensemble_mammo.records.recipe import NetworkRecipe


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


def test_the_operations_of_a_step_are_those_counted_by_hand():
    conv, fc = 2 * 20 * 12 * 9 * 8, 2 * 8 * 4
    # backward: the gradient of the weights as much again; of what comes in as well, but of the image
    assert training_flops(Small(), (20, 12)) == 2 * conv + 3 * fc


def test_what_is_frozen_needs_no_gradient():
    network = Small()
    network.conv.requires_grad_(False)
    assert training_flops(network, (20, 12)) == 2 * 20 * 12 * 9 * 8 + 2 * 2 * 8 * 4 + 2 * 8 * 4
    network.requires_grad_(False)
    assert training_flops(network, (20, 12)) == 2 * 20 * 12 * 9 * 8 + 2 * 8 * 4


def test_resnet50_has_the_operations_of_the_literature():
    network = timm.create_model("resnet50", num_classes=1000, in_chans=1)
    # 4.1 billion multiplications and additions of one image of 224 x 224 (He et al. 2016), of which one channel less
    assert training_flops(network, (224, 224)) == pytest.approx(3 * 2 * 4.09e9, rel=0.05)


def test_convolutions_of_groups_are_counted_by_their_groups():
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000, in_chans=3)
    # 407 million multiplications and additions of one image of 224 x 224, as its release says
    grey = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False).requires_grad_(False), network)
    assert training_flops(grey, (224, 224)) == pytest.approx(3 * 2 * 407e6, rel=0.08)


@pytest.mark.parametrize("name", ["infn_resnet", "tf_efficientnet_lite0", "convnet_1_0_0"])
def test_counting_leaves_the_network_and_the_random_numbers_alone(name):
    network = create_network(NetworkRecipe(name, in_channels=3, dropout=0.2), 4, (96, 96)).eval()
    before, drawn = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    assert training_flops(network, (96, 96)) > 1e6
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state()) and not network.training
    assert all(p.grad is None and p.device.type == "cpu" for p in network.parameters())


def test_a_network_that_needs_values_has_no_count():
    class Needy(Small):
        def forward(self, x):
            return super().forward(x) * float(x.max())

    assert math.isnan(training_flops(Needy(), (20, 12)))


def test_the_matrix_rate_is_that_of_a_plain_product():
    rate = matrix_rate(torch.device("cpu"), torch.float32, 256)
    assert 1e8 < rate < 1e14  # between a slow core in one thread and a large server
    assert torch.get_float32_matmul_precision() == "highest"


def test_shares_are_ratios_and_undefined_without_their_parts():
    network, flops = Small(), training_flops(Small(), (20, 12))
    assert Pace(1e9).matrix_share(network, (20, 12), [10, 1000, 20]) == pytest.approx(20 * flops / 1e9)
    assert math.isnan(Pace().matrix_share(network, (20, 12), [10]))
    assert math.isnan(Pace(1e9).matrix_share(network, (20, 12), []))
    assert Pace(seconds=8.0, waited=2.0, batches=3).waiting_share == 0.25
    assert math.isnan(Pace(seconds=8.0).waiting_share)


def test_the_matrix_share_of_a_run_is_that_of_its_last_stage():
    network = Small()
    rows = [{"stage": 1, "images_per_second": 99.0}, *({"stage": 2, "images_per_second": v} for v in (4.0, 6.0))]
    size = SimpleNamespace(recipe=SimpleNamespace(input=SimpleNamespace(size=(20, 12))))
    share = record._matrix_share(SimpleNamespace(pace=Pace(1e9), network=network, history=rows), size)
    assert share == pytest.approx(5 * training_flops(network, (20, 12)) / 1e9)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_can_be_counted_and_keeps_its_names():
    network = Small()
    names, flops = list(network.state_dict()), training_flops(network, (20, 12))
    network.compile(backend="eager")
    network(torch.zeros(2, 1, 20, 12))
    assert list(network.state_dict()) == names
    assert training_flops(network, (20, 12)) == flops


def test_where_torch_cannot_compile_the_error_says_what_to_do(monkeypatch):
    from ensemble_mammo.errors import TrainingError

    def broken(_):
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(TrainingError, match=r"\(No working C\+\+ compiler found\); install a C\+\+ compiler.*or set"):
        compile_network(Small(), torch.device("cpu"))
