"""Many trainings of one command: the same bits from any engine; one that fails costs itself alone."""

import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import ensemble_mammo
from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, OutputError, RecipeError, RunError, TrainingError
from ensemble_mammo.execution.engine import Engine
from ensemble_mammo.execution.local import Outcome, Share
from ensemble_mammo.records.manifest import MANIFEST, read_dataset
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows import trained as spread_module
from ensemble_mammo.workflows import trainings as one_module
from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval
from ensemble_mammo.workflows.spreading import Spreading, room, stays_here
from ensemble_mammo.workflows.sweep import SweepOptions, sweep
from ensemble_mammo.workflows.trained import trained
from ensemble_mammo.workflows.trainings import trainings_of
from ensemble_mammo.workflows.views import train_views
from tests.learning.tiny import tiny_dataset, tiny_recipe

CPU = TrainOptions(device="cpu")
SETTINGS = ("train.epochs=1", "input.height=32", "input.width=32", "network.name=test_resnet")
TWO = Spreading(at_once=2, cores=1)
ONE = Spreading(at_once=1, cores=1)
RAY = Spreading(Engine("ray"), at_once=2, cores=1)


@pytest.fixture
def other_process(monkeypatch):
    """What travels to another process and back does so, without the seconds that one takes to start."""

    def spread(work, items, *_):
        for item in items:
            function, sent = pickle.loads(pickle.dumps((work, item)))
            yield Outcome(item, pickle.loads(pickle.dumps(function(sent))))

    monkeypatch.setattr(spread_module, "spread", spread)


def two_views(root):
    """Images of CC_R, and the same again, in files of their own, as CC_L."""
    made = tiny_dataset(root)
    other = made.table.assign(
        view="CC_L", image_id="l" + made.table["image_id"], file="left/" + made.table["file"], source_sha256=""
    )
    shutil.copytree(root / "images", root / "left/images")
    pd.concat([made.table, other]).to_csv(root / MANIFEST, index=False)
    return read_dataset(root)


@pytest.fixture
def data(tmp_path):
    return two_views(tmp_path / "data")


def recipes(**train):
    return {view: tiny_recipe("test_resnet", **train) for view in (View.CC_R, View.CC_L)}


def shas(out):
    """run folder -> SHA-256 of its weights."""
    found = sorted(out.rglob("weights.safetensors"))
    return {p.parent.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def files(out):
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if "tfevents" not in p.name)


def folds(spreading, **fields):
    views = (View.CC_R, View.CC_L)
    return CrossvalOptions(2, "density/demo", SETTINGS, views, CPU, spreading=spreading, baseline=True, **fields)


@pytest.mark.slow
def test_two_processes_write_the_files_and_bits_of_one(data, tmp_path):
    here = train_views(data, recipes(), tmp_path / "here", CPU, baseline=True, spreading=ONE)
    there = train_views(data, recipes(), tmp_path / "there", CPU, baseline=True, spreading=TWO)
    assert [one.training.name for one in there] == ["CC_R", "CC_L", "baseline/CC_R", "baseline/CC_L"]
    assert not any(one.error for one in (*here, *there))
    assert len(shas(tmp_path / "here")) == 4 and shas(tmp_path / "here") == shas(tmp_path / "there")
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert [one.result().info["threads"] for one in there] == [1] * 4
    assert [list(one.result().history["train_loss"]) for one in here] == [
        list(one.result().history["train_loss"]) for one in there
    ]


@pytest.mark.slow
def test_a_cross_validation_has_the_same_bits_here_in_two_processes_and_on_ray(data, tmp_path):
    figures = {}
    for name, spreading in (("here", ONE), ("two", TWO), ("ray", RAY)):
        found = crossval(data, tmp_path / name, folds(spreading))
        figures[name] = (shas(tmp_path / name), found.table())
    assert len(figures["here"][0]) == 8
    assert figures["here"] == figures["two"] == figures["ray"]
    assert files(tmp_path / "here") == files(tmp_path / "two") == files(tmp_path / "ray")


def test_the_number_of_threads_is_the_one_asked_for_and_restored(data, tmp_path):
    before = torch.get_num_threads()
    [one] = trained(data, trainings_of({View.CC_R: tiny_recipe()}, tmp_path, CPU), replace(ONE, cores=2))
    assert one.result().info["threads"] == 2 and torch.get_num_threads() == before


def test_cores_follow_from_the_trainings_of_the_command_whatever_is_left_to_do(data, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        first = train_views(data, recipes(), tmp_path, CPU, spreading=Spreading(at_once=1))
        shutil.rmtree(tmp_path / "CC_L")
        again = train_views(data, recipes(), tmp_path, CPU, spreading=Spreading(at_once=1))
    finally:
        torch.set_num_threads(before)
    assert [one.result().info["threads"] for one in (*first, *again)] == [2] * 4


def test_room_is_for_cores_and_gpus(monkeypatch):
    monkeypatch.setattr("ensemble_mammo.workflows.spreading.cores", lambda: 16)
    assert room(Share(1), 0) == 16 and room(Share(5), 0) == 3 and room(Share(32), 0) == 1
    assert room(Share(2, 1), 4) == 4 and room(Share(8, 1), 4) == 2


def test_several_trainings_leave_the_process_of_the_command_unless_asked_to_stay():
    # the function itself, imported before tests put theirs in its place
    assert not stays_here(Spreading(), 1, 4) and not stays_here(Spreading(at_once=2), 2, 4)
    assert stays_here(Spreading(at_once=1), 1, 4) and stays_here(Spreading(), 1, 1)


@pytest.mark.parametrize("status", ["running", "unfinished"])
def test_a_run_that_does_not_lie_here_finished_does_not_count_as_trained(
    data, tmp_path, other_process, monkeypatch, status
):
    (tmp_path / "CC_R").mkdir()
    (tmp_path / "CC_R" / "run.json").write_text(json.dumps({"status": status}))
    monkeypatch.setattr(spread_module, "learned_away", _trained_elsewhere)
    ended = list(trained(data, trainings_of(recipes(), tmp_path, CPU), TWO))
    assert all("trained, but not to be seen from here" in one.failure for one in ended) and len(ended) == 2


def _trained_elsewhere(*_):
    return None, []


def test_options_below_nothing_are_refused():
    with pytest.raises(ValueError, match="at_once is -1, expected 0 or more"):
        Spreading(at_once=-1)


def test_warnings_of_another_process_are_said_here(data, tmp_path, other_process, caplog):
    few = replace(data, table=data.table[data.table["density"].isin(["A", "B"])])
    train_views(few, recipes(), tmp_path / "runs", CPU, spreading=TWO)
    assert "CC_L: CC_L: no training image of class C, D; it cannot be learned" in caplog.text
    assert logging.getLogger("ensemble_mammo").propagate


def spoil(data, view="CC_L"):
    """Damage one image of a view; gives back how to mend it."""
    path = data.root / data.rows(View(view))["file"].iloc[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    return lambda: path.write_bytes(whole)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_that_fails_is_listed_and_a_second_call_trains_only_it(data, tmp_path, other_process, jobs):
    mend = spoil(data)
    sets = [part for one in SETTINGS for part in ("--set", one)]
    words = ["train", "--data", str(data.root), "--out", str(tmp_path / "runs"), "--recipe", "density/demo", *sets]
    words += ["--device", "cpu", "--jobs", jobs, "--cores", "1", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, done.output
    failed, finished = sorted(json.loads(done.stdout), key=lambda row: row["view"])
    assert "000.png" in failed["failure"] and (failed["view"], finished["view"]) == ("CC_L", "CC_R")
    assert finished["failure"] == "" and finished["epochs"] == 1
    before = (tmp_path / "runs/CC_R/weights.safetensors").stat().st_mtime_ns
    mend()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "runs/CC_R/weights.safetensors").stat().st_mtime_ns == before
    assert sorted(shas(tmp_path / "runs")) == ["CC_L", "CC_R"]
    assert all("failure" not in row for row in json.loads(done.stdout))
    assert not list((tmp_path / "runs").rglob(".training"))


@pytest.mark.parametrize("spreading", [ONE, TWO])
def test_a_cross_validation_with_a_failed_training_says_which_and_goes_on_from_there(
    data, tmp_path, other_process, spreading
):
    mend = spoil(data)
    options = replace(folds(spreading), baseline=False)
    with pytest.raises(TrainingError) as caught:
        crossval(data, tmp_path / "cv", options)
    text = str(caught.value)
    finished = shas(tmp_path / "cv")
    failed = re.findall(r"fold-\d/CC_L", text)
    assert failed and f"{len(failed)} of 4 trainings failed" in text and "000.png" in text
    assert f"{4 - len(failed)} are finished, and the same command trains only the others" in text
    assert not {*failed} & {*finished} and len(finished) == 4 - len(failed)
    kept = {name: (tmp_path / "cv" / name / "state.safetensors").stat().st_mtime_ns for name in finished}
    mend()
    crossval(data, tmp_path / "cv", options)
    assert len(shas(tmp_path / "cv")) == 4
    assert all((tmp_path / "cv" / name / "state.safetensors").stat().st_mtime_ns == at for name, at in kept.items())


def test_what_every_training_would_meet_is_refused_at_once(data, tmp_path, monkeypatch):
    monkeypatch.setattr(spread_module, "spread", None)  # nothing is started
    monkeypatch.setattr(one_module, "train", None)
    one_class = replace(data, table=data.table.assign(density="B"))
    with pytest.raises(DatasetError, match="all training images of CC_R are B"):
        train_views(one_class, recipes(), tmp_path / "runs", CPU, spreading=TWO)
    leaking = replace(data, table=data.table.assign(subject_id="s1"))
    with pytest.raises(DatasetError, match="stands in train and val"):
        train_views(leaking, recipes(), tmp_path / "runs", CPU, spreading=TWO)
    unknown = {view: tiny_recipe("test_resnet_of_nobody") for view in recipes()}
    with pytest.raises(RecipeError, match="test_resnet_of_nobody"):
        train_views(data, unknown, tmp_path / "runs", CPU, spreading=TWO)
    assert not (tmp_path / "runs").exists()


def test_what_one_training_alone_would_meet_is_left_to_it(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    left = data.table["density"].where(data.table["view"] == "CC_R", "B")
    ended = train_views(replace(data, table=data.table.assign(density=left)), recipes(), tmp_path, CPU, spreading=ONE)
    assert ended[0].error is None
    assert "all training images of CC_L are B" in ended[1].failure and isinstance(ended[1].error, DatasetError)
    assert "CC_L: failed: " in caplog.text


def test_the_error_of_a_single_training_is_its_own(data, tmp_path):
    train_views(data, {View.CC_R: tiny_recipe()}, tmp_path, CPU)
    with pytest.raises(RunError, match="holds another run"):
        train_views(data, {View.CC_R: tiny_recipe(epochs=3)}, tmp_path, CPU)


def test_a_folder_that_cannot_be_written_ends_the_command(data, tmp_path, other_process):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        train_views(data, recipes(), tmp_path / "runs", CPU, spreading=TWO)


@pytest.mark.parametrize("kind", [MemoryError, KeyError])
def test_errors_without_a_text_and_of_other_kinds_have_a_reason(data, tmp_path, monkeypatch, kind):
    def spoilt(*_):
        raise kind

    monkeypatch.setattr(one_module, "train", spoilt)
    ended = list(trained(data, trainings_of(recipes(), tmp_path, CPU), ONE))
    assert [one.failure for one in ended] == [kind.__name__] * 2


def test_a_sweep_spreads_all_its_trainings_and_judges_each_point_alike(data, tmp_path, other_process):
    def asked(spreading):
        settings = (*SETTINGS, "train.batch_size=4")
        return SweepOptions(("seed=0,1",), "density/demo", settings, (View.CC_R,), train=CPU, spreading=spreading)

    here, there = (sweep(data, tmp_path / name, asked(how)) for name, how in (("here", ONE), ("there", TWO)))
    assert shas(tmp_path / "here") == shas(tmp_path / "there") and len(shas(tmp_path / "here")) == 2
    assert [[j.as_json() for j in one.judged] for one in here.outcomes] == [
        [j.as_json() for j in one.judged] for one in there.outcomes
    ]
    assert files(tmp_path / "here") == files(tmp_path / "there")


def test_a_point_of_a_sweep_with_a_failed_fold_is_listed_and_its_other_folds_are_trained(data, tmp_path, monkeypatch):
    real = one_module.train

    def spoilt(dataset, view, recipe, out, options):
        if out.name == "fold-0" and options.seed == 0:
            raise TrainingError("the loss is nan")
        return real(dataset, view, recipe, out, options)

    monkeypatch.setattr(one_module, "train", spoilt)
    asked = SweepOptions(("seed=0,1",), "density/demo", SETTINGS, (View.CC_R,), 2, train=CPU, spreading=ONE)
    found = sweep(data, tmp_path / "out", asked)
    assert [one.failure for one in found.outcomes] == ["training: seed-0/fold-0/CC_R: the loss is nan", ""]
    assert sorted(shas(tmp_path / "out")) == ["seed-0/fold-1/CC_R", "seed-1/fold-0/CC_R", "seed-1/fold-1/CC_R"]


def test_a_large_dataset_is_read_where_it_is_needed_unless_it_is_not_the_one_on_the_disk(data, monkeypatch):
    assert spread_module._parcel(data) is data
    monkeypatch.setattr(spread_module, "_LARGE_ROWS", 10)
    assert spread_module._parcel(data) == data.root
    changed = replace(data, table=data.table.assign(split="train"))
    assert spread_module._parcel(changed) is changed


STOPPED = """
import sys
from pathlib import Path
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.workflows.spreading import Spreading
from ensemble_mammo.workflows.views import train_views
from tests.workflows.test_trainings import CPU, TWO, recipes

train_views(read_dataset(Path(sys.argv[1])), recipes(epochs=60), Path(sys.argv[2]), CPU, spreading=TWO)
"""


@pytest.mark.slow
def test_stopped_trainings_of_other_processes_save_and_go_on_to_the_same_bits(data, tmp_path):
    out = tmp_path / "stopped"
    environment = os.environ | {"PYTHONPATH": str(Path(ensemble_mammo.__file__).parents[1])}
    words = [sys.executable, "-c", STOPPED, str(data.root), str(out)]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while len(list(out.glob("*/history.csv"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 75
    told = [json.loads(path.read_text()) for path in sorted(out.glob("*/run.json"))]
    ends = {(one["status"], one.get("stopped_by")) for one in told}  # on a busy machine one may be done already
    assert ("unfinished", "SIGTERM") in ends <= {("unfinished", "SIGTERM"), ("finished", None)}
    train_views(data, recipes(epochs=60), out, CPU, spreading=ONE)
    train_views(data, recipes(epochs=60), tmp_path / "whole", CPU, spreading=ONE)
    assert shas(out) == shas(tmp_path / "whole")
