"""Features of a network that learns nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.learning.frozen import FrozenNetwork, FrozenOptions

TINY = FrozenOptions(height=64, device="cpu", batch=2, network="test_efficientnet", pretrained="none")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 65536, (90 + 7 * i, 50), dtype=np.uint16) for i in range(5)]


def test_features_come_in_order_whatever_the_batch(images: list[np.ndarray]) -> None:
    network = FrozenNetwork(FrozenOptions(64, "cpu", 2, "test_efficientnet", "none", "float32"))
    alone = [next(iter(network.features([image]))) for image in images]
    together = list(network.features(images))
    assert len(together) == 5
    assert together[0].ndim == 1
    assert np.allclose(alone, together, atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-4)


def test_two_networks_have_the_same_features_and_leave_torchs_seed_alone(images: list[np.ndarray]) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = np.stack(list(FrozenNetwork(TINY).features(images)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.allclose(first, np.stack(list(FrozenNetwork(TINY).features(images))), atol=1e-4)


def test_only_a_batch_is_read_ahead_and_progress_is_told(images: list[np.ndarray]) -> None:
    read: list[int] = []
    told: list[int] = []

    def source():  # type: ignore[no-untyped-def]
        for place, image in enumerate(images):
            read.append(place)
            yield image

    stream = FrozenNetwork(TINY).features(source(), told.append)
    next(stream)
    assert read == [0, 1]
    assert len(list(stream)) == 4
    assert told == [2, 2, 1]


def test_the_packaged_network_gives_mean_and_maximum_of_its_five_stages() -> None:
    network = FrozenNetwork(FrozenOptions(64, "cpu", precision="float32"))
    black, white = network.features([np.zeros((64, 32), np.uint16), np.full((64, 32), 65535, np.uint16)])
    assert black.shape == (2 * (16 + 24 + 40 + 112 + 320),)
    half = len(black) // 2
    assert (black[half:] >= black[:half] - 1e-5).all()
    assert not np.allclose(black, white)


def test_lower_precision_changes_features_a_little(images: list[np.ndarray]) -> None:
    whole = np.stack(list(FrozenNetwork(FrozenOptions(64, "cpu", precision="float32")).features(images)))
    lower = np.stack(list(FrozenNetwork(FrozenOptions(64, "cpu", precision="bfloat16")).features(images)))
    assert lower.dtype == np.float32
    assert np.corrcoef(whole.ravel(), lower.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("height", "width"), [(768, 448), (384, 224), (64, 32)])
def test_the_input_is_as_wide_as_a_breast_wants(height: int, width: int) -> None:
    assert (FrozenOptions(height).input.height, FrozenOptions(height).input.width) == (height, width)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="height is 8, expected 32 pixels or more"):
        FrozenOptions(height=8)
    with pytest.raises(ValueError, match="batch is 0"):
        FrozenOptions(batch=0)
    with pytest.raises(TrainingError, match="device 'tpu' is not one of"):
        FrozenNetwork(FrozenOptions(64, "tpu", network="test_efficientnet", pretrained="none"))
