"""SIGTERM in a single process: saved in the middle of an epoch, gone on with to the same bits."""

import dataclasses
import json
import os
import signal

import pytest

from ensemble_mammo.cli import main
from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import load_run, read_tensors
from ensemble_mammo.learning.stopping import Stopped
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, with_train
from tests.stages.test_train import FILES, assert_same_run, rich_recipe


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
    return train(dataset, View.CC_R, rich_recipe(), tmp_path_factory.mktemp("whole"), TrainOptions(device="cpu"))


def sigterm_at(epoch, batch):
    def told(advance):
        if (advance.epoch, advance.batch) == (epoch, batch):
            os.kill(os.getpid(), signal.SIGTERM)

    return TrainOptions(device="cpu", progress=told)


# of 3 batches: in the first epoch; at the end of one; in an epoch of a new stage; at the last batch but one of all
@pytest.mark.parametrize(("at", "done"), [((1, 1), (0, 2)), ((1, 3), (1, 1)), ((3, 1), (2, 2)), ((5, 2), (4, 3))])
def test_a_stopped_run_has_saved_its_part_of_the_epoch_and_resumes_to_the_same_bits(
    uninterrupted, dataset, tmp_path, at, done
):
    with pytest.raises(Stopped):
        train(dataset, View.CC_R, rich_recipe(), tmp_path, sigterm_at(*at))
    info = json.loads((tmp_path / "CC_R" / "run.json").read_text())
    assert (info["status"], info["stopped_by"], info["epochs"]) == ("unfinished", "SIGTERM", done[0])
    about = read_tensors(tmp_path / "CC_R" / "state.safetensors")[1]
    assert (len(about["history"]), about["part"]["batches"]) == done
    with pytest.raises(RunError, match="unfinished"):
        load_run(tmp_path / "CC_R")
    result = train(dataset, View.CC_R, rich_recipe(), tmp_path, TrainOptions(device="cpu"))
    assert_same_run(result, uninterrupted)
    assert {path.name for path in result.folder.iterdir()} == FILES


def test_accumulated_batches_are_finished_before_it_stops(dataset, tmp_path):
    recipe = with_train(rich_recipe(), batch_size=3, accumulate=2)
    options = TrainOptions(device="cpu")
    whole = train(dataset, View.CC_R, recipe, tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train(dataset, View.CC_R, recipe, tmp_path / "stopped", sigterm_at(2, 2))  # batch 3 is half a step
    about = read_tensors(tmp_path / "stopped" / "CC_R" / "state.safetensors")[1]
    assert about["part"]["batches"] == 4
    assert_same_run(train(dataset, View.CC_R, recipe, tmp_path / "stopped", options), whole)


def test_a_run_stopped_twice_in_an_epoch_goes_on_to_the_same_bits(dataset, tmp_path):
    recipe, options = with_train(rich_recipe(), batch_size=2), TrainOptions(device="cpu")
    for batch in (1, 3):  # of 6
        with pytest.raises(Stopped):
            train(dataset, View.CC_R, recipe, tmp_path / "stopped", sigterm_at(2, batch))
    whole = train(dataset, View.CC_R, recipe, tmp_path / "whole", options)
    assert_same_run(train(dataset, View.CC_R, recipe, tmp_path / "stopped", options), whole)


def test_a_fit_in_one_go_is_stopped_at_once(dataset, tmp_path):
    recipe = dataclasses.replace(load_recipe("density/features"), recommended_images=0)
    recipe = dataclasses.replace(recipe, input=dataclasses.replace(recipe.input, height=64, width=48))
    with pytest.raises(Stopped):
        train(dataset, View.CC_R, recipe, tmp_path, sigterm_at(1, 1))
    info = json.loads((tmp_path / "CC_R" / "run.json").read_text())
    assert (info["status"], info["stopped_by"]) == ("unfinished", "SIGTERM")
    assert not (tmp_path / "CC_R" / "state.safetensors").exists()


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_sigterm_before_the_training_ends_the_command_with_the_same_status(verb, monkeypatch, capsys):
    reached, before = [], signal.getsignal(signal.SIGTERM)

    def killed(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("further")

    monkeypatch.setattr(f"ensemble_mammo.cli.{verb}.engine_of", killed)
    monkeypatch.setattr("sys.argv", ["ensemble-mammo", verb])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 75 and not reached
    assert capsys.readouterr().err.splitlines() == [
        "stopped by SIGTERM, the state is saved; the same command goes on from here"
    ]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_command_ends_with_a_status_that_means_try_again(monkeypatch, capsys):
    def stopped(*_):
        raise Stopped

    monkeypatch.setattr("ensemble_mammo.records.recipe_files.recipes_for", stopped)
    monkeypatch.setattr("sys.argv", ["ensemble-mammo", "train"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 75
    said = capsys.readouterr().err.splitlines()
    assert said == ["stopped by SIGTERM, the state is saved; the same command goes on from here"]
