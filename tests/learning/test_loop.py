import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from ensemble_mammo.errors import TrainingError
from ensemble_mammo.learning import loop
from ensemble_mammo.learning.device import resolve_device, resolve_precision
from ensemble_mammo.learning.images import ViewImages
from ensemble_mammo.learning.loop import evaluate, fit, train_one_epoch
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.objective import balanced_weights, make_optimizer
from ensemble_mammo.learning.schedule import Plan, set_trainable
from ensemble_mammo.learning.state import HISTORY, Samples, Setting, State
from ensemble_mammo.records.recipe import LossRecipe, StageRecipe
from tests.learning.tiny import CLASSES, tiny_dataset, tiny_recipe, with_loss, with_train


class Plain(nn.Module):
    """A network without batch norm, so that a batch's parts add up to it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 4)

    def get_classifier(self):
        return self.fc

    def forward(self, x):
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("dataset"), train=13, val=4)


def _samples(dataset, split, recipe):
    rows = dataset.rows(split=split)
    targets = np.array([CLASSES.index(label) for label in rows["density"]])
    return Samples(ViewImages(dataset.root, rows, recipe.input), targets)


def _setting(recipe, dtype=torch.float32, **options):
    return Setting(recipe, torch.device("cpu"), dtype, torch.ones(4), **options)


def _one_epoch(dataset, recipe):
    torch.manual_seed(0)
    state = State(Plain())
    loop.begin_epoch(state, Plan(0, "all", 0.1), recipe.train)
    figures = train_one_epoch(state, _samples(dataset, "train", recipe), _setting(recipe))
    return state.network.fc.weight.detach(), figures


def test_accumulated_batches_move_the_weights_as_one_large_batch(dataset):
    # 13 images: the last group of 2 x 4 is incomplete, and its last batch took a single image in
    large, figures = _one_epoch(dataset, with_loss(tiny_recipe(batch_size=8), label_smoothing=0.1))
    small, same = _one_epoch(dataset, with_loss(tiny_recipe(batch_size=4, accumulate=2), label_smoothing=0.1))
    assert torch.allclose(large, small, atol=1e-6)
    assert same == pytest.approx(figures)


def test_losses_are_means_over_images_not_over_batches(dataset):
    recipe = tiny_recipe(batch_size=8)
    samples = _samples(dataset, "train", recipe)
    torch.manual_seed(0)
    network = Plain()
    setting = _setting(recipe)
    judged = evaluate(network, samples, setting)
    scores = torch.from_numpy(judged.scores).double()
    losses = -scores[torch.arange(13), torch.from_numpy(samples.targets)].log()
    assert judged.loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert judged.accuracy == (judged.scores.argmax(1) == samples.targets).mean()
    assert judged.scores.shape == (13, 4)


def test_fit_records_every_epoch_once_with_all_columns(dataset):
    recipe = tiny_recipe(epochs=3, stages=(StageRecipe(1e-2, 1, "head"), StageRecipe(1e-3)))
    network = loop_network()
    frozen = network.conv_stem.weight.detach().clone()
    seen = []

    def record(state, judged):
        seen.append((state.epoch, state.stage, torch.equal(network.conv_stem.weight, frozen), len(judged.scores)))

    state = State(network)
    fit(state, _samples(dataset, "train", recipe), _samples(dataset, "val", recipe), _setting(recipe), record)
    assert seen == [(1, 0, True, 4), (2, 1, False, 4), (3, 1, False, 4)]
    assert all(tuple(row) == HISTORY for row in state.history)
    assert [row["learning_rate"] for row in state.history] == [1e-2, 1e-3, 1e-3]
    assert state.kept_epoch == 3


def loop_network():
    import timm

    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", in_chans=1, num_classes=4)


def test_without_validation_images_its_figures_are_nan(dataset):
    recipe = tiny_recipe(epochs=1)
    nobody = Samples(ViewImages(dataset.root, dataset.rows(split="test"), recipe.input), np.zeros(0, np.int64))
    state = State(loop_network())
    fit(state, _samples(dataset, "train", recipe), nobody, _setting(recipe), lambda *_: None)
    assert math.isnan(state.history[0]["val_loss"]) and math.isnan(state.history[0]["val_accuracy"])


def test_the_kept_weights_are_those_of_the_best_epoch(dataset):
    recipe = tiny_recipe(epochs=4, keep="best-loss", stages=(StageRecipe(3e-2),))
    copies = []
    state = State(loop_network())
    fit(
        state,
        _samples(dataset, "train", recipe),
        _samples(dataset, "val", recipe),
        _setting(recipe),
        lambda state, _: copies.append({k: v.clone() for k, v in state.network.state_dict().items()}),
    )
    best = int(np.argmin(state.val_losses))
    assert state.kept_epoch == best + 1
    assert all(torch.equal(state.kept[key], copies[best][key]) for key in state.kept)


def test_early_stopping_ends_the_run(dataset):
    recipe = tiny_recipe(epochs=50, early_stopping=2, stages=(StageRecipe(1e-12),), frozen_norm=True)
    state = State(loop_network())
    fit(state, _samples(dataset, "train", recipe), _samples(dataset, "val", recipe), _setting(recipe), lambda *_: None)
    assert state.epoch < 10


def test_a_loss_that_is_not_finite_stops_with_epoch_batch_rate_and_advice(dataset):
    recipe = tiny_recipe(epochs=3, stages=(StageRecipe(1e30),))
    state = State(loop_network())
    recorded = []
    with pytest.raises(TrainingError, match=r"epoch 1, batch 2 at learning rate 1e\+30; no epoch.*lower learning rate"):
        fit(
            state,
            _samples(dataset, "train", recipe),
            _samples(dataset, "val", recipe),
            _setting(recipe),
            lambda *_: recorded.append(1),
        )
    assert not recorded and not state.history


def test_weights_that_overflow_in_the_last_step_are_not_recorded(dataset, monkeypatch):
    def overflow(_, optimizer, __):
        optimizer.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(loop, "take_step", overflow)
    recipe = tiny_recipe(epochs=1, batch_size=16)
    rows = dataset.rows(split="test")
    nobody = Samples(ViewImages(dataset.root, rows, recipe.input), np.zeros(0, np.int64))
    with pytest.raises(TrainingError, match="some weight is nan in epoch 1"):
        fit(State(Plain()), _samples(dataset, "train", recipe), nobody, _setting(recipe), lambda *_: pytest.fail())


def test_progress_is_told_after_every_batch(dataset):
    recipe = tiny_recipe(epochs=1)
    told = []
    setting = _setting(recipe, progress=told.append)
    fit(State(loop_network()), _samples(dataset, "train", recipe), _samples(dataset, "val", recipe), setting, _nothing)
    assert [(a.epoch, a.epochs, a.batch, a.batches) for a in told] == [(1, 1, 1, 3), (1, 1, 2, 3), (1, 1, 3, 3)]


def _nothing(*_):
    pass


def test_bfloat16_gives_logits_near_those_of_float32(dataset):
    recipe = tiny_recipe()
    samples, network = _samples(dataset, "val", recipe), loop_network()
    exact = evaluate(network, samples, _setting(recipe))
    mixed = evaluate(network, samples, _setting(recipe, torch.bfloat16))
    assert np.allclose(exact.scores, mixed.scores, atol=0.02) and mixed.scores.dtype == np.float32


def test_balanced_weights_are_inverse_to_frequency_with_mean_one():
    targets = np.array([0] * 6 + [1] * 2 + [2] * 1)
    weights = balanced_weights(targets, 4, LossRecipe(class_weights="balanced"))
    assert weights.tolist() == pytest.approx([0.5, 1.5, 3.0, 1.0])
    assert weights[torch.from_numpy(targets)].mean().item() == pytest.approx(1)
    assert balanced_weights(targets, 4, LossRecipe()).tolist() == [1, 1, 1, 1]


def test_adamw_leaves_biases_and_norms_without_decay():
    network = loop_network()
    recipe = tiny_recipe(optimizer="adamw", weight_decay=0.1).train
    decayed, free = make_optimizer(set_trainable(network, "all"), recipe).param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4} and decayed["weight_decay"] == 0.1
    assert {p.ndim for p in free["params"]} == {1} and free["weight_decay"] == 0


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_the_optimizer_named_is_the_one_that_runs(name, kind):
    recipe = with_train(tiny_recipe(), optimizer=name, momentum=0.9 if name == "sgd" else 0.0)
    optimizer = make_optimizer([("w", nn.Parameter(torch.zeros(2)))], recipe.train)
    assert type(optimizer) is kind
    assert optimizer.defaults.get("momentum", 0.9) == 0.9


def test_gradients_are_clipped_to_the_norm(dataset):
    free, _ = _one_epoch(dataset, tiny_recipe(batch_size=16))
    clipped, _ = _one_epoch(dataset, tiny_recipe(batch_size=16, clip_norm=1e-3))
    torch.manual_seed(0)
    start = Plain().fc.weight.detach()
    assert (clipped - start).norm() <= 0.1 * 1e-3 * 1.01 < (free - start).norm()


def test_devices_and_precisions_are_resolved_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(TrainingError, match="no GPU that torch can use"):
        resolve_device("cuda")
    with pytest.raises(TrainingError, match="not one of auto, cpu, cuda"):
        resolve_device("tpu")
    with pytest.raises(TrainingError, match="needs a GPU"):
        resolve_precision("float16", torch.device("cpu"))
    assert resolve_precision("bfloat16", torch.device("cpu")) == torch.bfloat16
    assert resolve_precision("auto", torch.device("cpu")) in (torch.bfloat16, torch.float32)


def test_a_setting_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _setting(tiny_recipe()).seed = 1


def test_an_epoch_of_fewer_images_shows_so_many_and_others_the_next_time(dataset):
    recipe = tiny_recipe(epochs=2, images_an_epoch=8)
    told, seen = [], []
    setting = _setting(recipe, progress=told.append)
    samples = _samples(dataset, "train", recipe)
    original = samples.images.__class__.fitted

    class Watched(samples.images.__class__):
        def fitted(self, index):
            seen.append(index)
            return original(self, index)

    samples.images.__class__ = Watched
    fit(State(loop_network()), samples, _samples(dataset, "val", recipe), setting, _nothing)
    assert [(a.epoch, a.batches) for a in told] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert len(set(seen[:8])) == len(set(seen[8:])) == 8 and set(seen[:8]) != set(seen[8:])


def test_a_collage_trains_and_its_share_of_batches_is_kept(dataset, monkeypatch):
    recipe = tiny_recipe(network="test_resnet", epochs=1, collage=1.0)
    shapes = []
    real = loop.judged_side_by_side

    def watched(network, batch):
        shapes.append(tuple(batch.shape))
        return real(network, batch)

    monkeypatch.setattr(loop, "judged_side_by_side", watched)
    torch.manual_seed(0)
    state = loop.begin(_setting(recipe), 4)
    fit(state, _samples(dataset, "train", recipe), _samples(dataset, "val", recipe), _setting(recipe), _nothing)
    assert shapes == [(4, 1, 32, 32), (4, 1, 32, 32), (5, 1, 32, 32)]
    half = _setting(tiny_recipe(collage=0.5))
    share = np.mean([loop._is_collage(half, 0, number) for number in range(2000)])
    assert share == pytest.approx(0.5, abs=0.04)


def test_the_auc_of_two_classes_is_scikit_learns_and_of_more_undefined(dataset):
    from sklearn.metrics import roc_auc_score

    recipe = tiny_recipe()
    samples = _samples(dataset, "train", recipe)
    two = Samples(samples.images, samples.targets % 2)
    network = create_network(recipe.network, 2)
    setting = Setting(recipe, torch.device("cpu"), torch.float32, torch.ones(2))
    judged = evaluate(network, two, setting)
    assert judged.auc == pytest.approx(roc_auc_score(two.targets, judged.scores[:, 1]))
    assert math.isnan(evaluate(Plain(), samples, _setting(recipe)).auc)
