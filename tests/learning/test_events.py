import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from torch import nn

from ensemble_mammo.learning.events import STEPS, STEPS_APART, Board
from ensemble_mammo.learning.kernels import picture_of
from ensemble_mammo.learning.state import HISTORY, Advance, Judgement, State
from ensemble_mammo.records.recipe import NetworkRecipe

BATCHES = 30
"""Of an epoch, so that entries fall into all but the first of five."""


def told(board, first, last, batches=BATCHES, until=BATCHES):
    """Tell a board of epochs, of which the last may stop early; the loss is the number of batches so far."""
    for epoch in range(first, last + 1):
        for batch in range(1, (until if epoch == last else batches) + 1):
            before = (epoch - 1) * batches
            board.show_step(Advance(epoch, 5, batch, batches, float(before + batch), batch / batches, 0.1**epoch))


def scalars(folder, tag):
    found = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_steps_are_shown_every_fifty_batches_since_the_training_began(tmp_path):
    board = Board(tmp_path, 0)
    told(board, 1, 5)
    board.close()
    assert STEPS_APART == 50
    assert scalars(tmp_path / STEPS, "steps/loss") == [(50, 50.0), (100, 100.0), (150, 150.0)]
    accuracies = scalars(tmp_path / STEPS, "steps/accuracy")  # batch 20 of epoch 2, 10 of epoch 4, 30 of epoch 5
    assert accuracies == [(step, pytest.approx(share / 30)) for step, share in ((50, 20), (100, 10), (150, 30))]
    rates = scalars(tmp_path / STEPS, "steps/learning_rate")
    assert rates == [(step, pytest.approx(rate)) for step, rate in ((50, 1e-2), (100, 1e-4), (150, 1e-5))]


def test_a_resumed_run_goes_on_and_drops_what_its_interrupted_epoch_left(tmp_path):
    board = Board(tmp_path, 0)
    told(board, 1, 4, until=15)  # stopped in epoch 4, after steps 50 and 100
    board.close()
    assert len(scalars(tmp_path / STEPS, "steps/loss")) == 2
    board = Board(tmp_path, 3)
    for batch in range(1, BATCHES + 1):  # epoch 4 once more, with other values
        board.show_step(Advance(4, 5, batch, BATCHES, -1.0, 0.5, 0.1))
    told(board, 5, 5)
    board.close()
    assert scalars(tmp_path / STEPS, "steps/loss") == [(50, 50.0), (100, -1.0), (150, 150.0)]


def test_a_run_that_begins_anew_drops_all_steps(tmp_path):
    for value in (1.0, 2.0):
        board = Board(tmp_path, 0)
        for batch in range(1, 61):
            board.show_step(Advance(1, 1, batch, 100, value))
        board.close()
    assert scalars(tmp_path / STEPS, "steps/loss") == [(50, 2.0)]


def test_short_and_stepless_trainings_have_no_steps(tmp_path):
    board = Board(tmp_path, 0)
    told(board, 1, 1)
    for batch in range(1, 101):
        board.show_step(Advance(1, 1, batch, 100, math.nan))  # a last layer fitted in one go
    board.close()
    assert not (tmp_path / STEPS).exists()


def test_whoever_watches_is_told_after_the_board(tmp_path):
    board, seen = Board(tmp_path, 0), []
    board.watching(seen.append)(Advance(1, 1, 50, 50, 0.7))
    board.watching(None)(Advance(2, 2, 50, 50, 0.6))
    board.close()
    assert [advance.loss for advance in seen] == [0.7]
    assert scalars(tmp_path / STEPS, "steps/loss") == [(50, pytest.approx(0.7)), (100, pytest.approx(0.6))]


def shown(folder, scores, targets, classes, network=None, recipe=None, **row):
    """The events of one epoch with that validation."""
    state = State(network or nn.Flatten(), history=[dict.fromkeys(HISTORY, math.nan) | {"epoch": 1} | row])
    board = Board(folder, 0)
    board.show_epoch(state, Judgement(0.0, 0.0, scores), targets, recipe or NetworkRecipe("test_resnet"), classes)
    board.close()
    return EventAccumulator(str(folder)).Reload()


def curve(found, tag):
    """True and false positives, true and false negatives, precision and recall, at each threshold."""
    return make_ndarray(found.Tensors(tag)[0].tensor_proto)


def assert_curve(found, tag, wanted, scores):
    values = curve(found, tag)
    assert values.shape == (6, 127)
    for place in (*range(0, 126, 9), 126):
        threshold = place / 126
        given = np.floor(scores * np.float32(126)) >= place
        assert np.array_equal(given, scores >= threshold)
        figures = [score(wanted, given, zero_division=0) for score in (precision_score, recall_score)]
        assert values[4:, place] == pytest.approx(figures, abs=1e-6)
        assert values[0, place] == (wanted & given).sum() and values[1, place] == (~wanted & given).sum()


def softmax(*shape):
    return np.random.default_rng(1).dirichlet(np.ones(shape[1]), shape[0]).astype(np.float32)


def test_curves_of_several_classes_are_those_of_scikit_learn(tmp_path):
    scores, targets = softmax(40, 4), np.arange(40) % 3
    found = shown(tmp_path, scores, targets, "ABCD")
    assert sorted(found.Tags()["tensors"]) == ["val/A", "val/B", "val/C"]  # validation has no D
    for place, name in enumerate("ABC"):
        assert_curve(found, f"val/{name}", targets == place, scores[:, place])


def test_two_classes_have_one_curve_that_of_the_second(tmp_path):
    scores, targets = softmax(40, 2), np.arange(40) % 2
    found = shown(tmp_path, scores, targets, ("normal", "abnormal"))
    assert found.Tags()["tensors"] == ["val/abnormal"]
    assert_curve(found, "val/abnormal", targets == 1, scores[:, 1])


def test_a_class_is_judged_among_the_images_of_its_own_last_layer(tmp_path):
    targets = np.array([0, 1, 2, 3] * 5 + [4, 5, 6] * 5)
    scores = np.zeros((35, 7), np.float32)
    scores[:20, :4], scores[20:, 4:] = softmax(20, 4), softmax(15, 3)
    recipe = NetworkRecipe("test_resnet", layers=("inbreast:density", "mias:tissue"))
    found = shown(tmp_path, scores, targets, "ABCD", recipe=recipe)
    assert len(found.Tags()["tensors"]) == 7
    assert_curve(found, "val/inbreast:C", targets[:20] == 2, scores[:20, 2])
    assert_curve(found, "val/mias:D", targets[20:] == 6, scores[20:, 6])
    assert curve(found, "val/mias:D")[:4, 0].sum() == 15


def test_a_validation_without_scores_has_no_curves(tmp_path):
    found = shown(tmp_path, np.zeros((0, 4), np.float32), np.array([0, 1]), "ABCD")
    assert not found.Tags()["tensors"]


def test_an_epoch_shows_recall_and_precision_and_nothing_undefined(tmp_path):
    found = shown(tmp_path, softmax(4, 2), np.arange(4) % 2, ("normal", "abnormal"), val_recall=0.75, train_loss=0.5)
    assert sorted(found.Tags()["scalars"]) == ["train/loss", "val/recall"]
    assert [(event.step, event.value) for event in found.Scalars("val/recall")] == [(1, 0.75)]


def test_the_first_kernels_are_shown_as_a_picture(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 5))
    found = shown(tmp_path, softmax(4, 2), np.arange(4) % 2, ("normal", "abnormal"), network)
    event = found.Images("network/first_kernels")[0]
    pixels = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert event.step == 1 and pixels.shape == (6 * 38 + 2, 6 * 38 + 2, 3)
    expected = picture_of(network[0].weight.detach()[:, 0]).permute(1, 2, 0).numpy() * 255
    assert np.abs(pixels - expected).max() <= 1
    assert not shown(tmp_path / "none", softmax(4, 2), np.arange(4) % 2, "AB").Tags()["images"]
