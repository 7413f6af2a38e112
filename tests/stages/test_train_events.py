import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ensemble_mammo.learning import events, record
from ensemble_mammo.learning.checkpoint import load_run, read_tensors, write_tensors
from ensemble_mammo.learning.images import to_input
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.recipe import StageRecipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, tiny_recipe

EPOCHS = 4
BATCHES = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"), train=12, val=8)


def recipe():
    return tiny_recipe("test_resnet", epochs=EPOCHS, stages=(StageRecipe(1e-2, 2), StageRecipe(1e-3)))


@pytest.fixture
def closer(monkeypatch):
    """An entry every two batches: a tiny training has few."""
    monkeypatch.setattr(events, "STEPS_APART", 2)


def steps_of(result, tag="steps/loss"):
    found = EventAccumulator(str(result.folder / "events" / "steps")).Reload()
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_the_steps_of_a_training_are_what_its_epochs_come_to(dataset, tmp_path, closer):
    seen = []
    result = train(dataset, View.CC_R, recipe(), tmp_path, TrainOptions(device="cpu", progress=seen.append))
    by_step = {(one.epoch - 1) * BATCHES + one.batch: one for one in seen}
    even = range(2, EPOCHS * BATCHES + 1, 2)
    assert steps_of(result) == [(step, pytest.approx(by_step[step].loss)) for step in even]
    rates = dict(steps_of(result, "steps/learning_rate"))
    assert rates == {step: pytest.approx(1e-2 if step <= 6 else 1e-3) for step in even}
    accuracies, history = dict(steps_of(result, "steps/accuracy")), result.history.set_index("epoch")
    for epoch in (2, 4):  # their last batch is an even step
        assert dict(steps_of(result))[epoch * BATCHES] == pytest.approx(history["train_loss"][epoch])
        assert accuracies[epoch * BATCHES] == pytest.approx(history["train_accuracy"][epoch])


def test_a_resumed_training_has_the_steps_of_one_that_never_stopped(dataset, tmp_path, closer):
    def interrupt(advance):
        if (advance.epoch, advance.batch) == (3, 2):  # step 8 is shown already
            raise KeyboardInterrupt

    whole = train(dataset, View.CC_R, recipe(), tmp_path / "whole", TrainOptions(device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        train(dataset, View.CC_R, recipe(), tmp_path / "parts", TrainOptions(device="cpu", progress=interrupt))
    parts = train(dataset, View.CC_R, recipe(), tmp_path / "parts", TrainOptions(device="cpu"))
    assert steps_of(parts) == steps_of(whole) and len(steps_of(parts)) == 6
    pictures = EventAccumulator(str(parts.folder / "events")).Reload().Images("network/first_kernels")
    assert [event.step for event in pictures] == [1, 2, 3, 4]


def test_recall_and_precision_of_validation_are_those_of_the_kept_network(dataset, tmp_path):
    result = train(dataset, View.CC_R, recipe(), tmp_path, TrainOptions(device="cpu"))
    run, rows = load_run(result.folder), dataset.rows(View.CC_R, "val")
    batch = torch.stack([to_input(read_png16(dataset.root / file), run.recipe.input)[0] for file in rows["file"]])
    with torch.inference_mode():
        given = run.network(batch).argmax(1).numpy()
    dense, wanted = np.isin(given, (2, 3)), rows["density"].isin(("C", "D"))
    last = result.history.iloc[-1]
    assert list(result.history.columns[-2:]) == ["val_recall", "val_precision"]
    assert last["val_recall"] == result.info["val_recall"] == recall_score(wanted, dense)
    expected = precision_score(wanted, dense, zero_division=np.nan)
    assert last["val_precision"] == pytest.approx(expected, nan_ok=True)


def test_a_run_of_an_older_history_is_resumed(dataset, tmp_path):
    def interrupt(advance):
        if advance.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, View.CC_R, recipe(), tmp_path, TrainOptions(device="cpu", progress=interrupt))
    place = tmp_path / "CC_R" / record.STATE
    tensors, about = read_tensors(place)
    for row in about["history"]:
        del row["val_recall"], row["val_precision"]
    write_tensors(place, tensors, about)
    history = train(dataset, View.CC_R, recipe(), tmp_path, TrainOptions(device="cpu")).history
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["val_recall"].isna().tolist() == [True, True, False, False]
    older = pd.read_csv(tmp_path / "CC_R" / record.HISTORY_TABLE)
    assert tuple(older.columns) == record.HISTORY and older["val_loss"].notna().all()


def test_showing_events_changes_no_bit_of_the_result(dataset, tmp_path, monkeypatch):
    shown = train(dataset, View.CC_R, recipe(), tmp_path / "shown", TrainOptions(device="cpu"))
    monkeypatch.setattr(events.Board, "show_step", lambda *_: None)
    monkeypatch.setattr(events.Board, "show_epoch", lambda *_: None)
    hidden = train(dataset, View.CC_R, recipe(), tmp_path / "hidden", TrainOptions(device="cpu"))
    weights = [(one.folder / "weights.safetensors").read_bytes() for one in (shown, hidden)]
    assert weights[0] == weights[1]
