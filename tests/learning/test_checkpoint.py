import json

import pytest
import torch

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import (
    CHECKSUM,
    INFO,
    RECIPE,
    WEIGHTS,
    Passport,
    file_sha256,
    load_run,
    read_info,
    runs_in,
    write_tensors,
    write_weights,
)
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from tests.learning.tiny import tiny_recipe


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "CC_R"
    recipe = tiny_recipe(dropout=0.5)
    torch.manual_seed(0)
    network = create_network(recipe.network, 4)
    folder.mkdir(parents=True)
    (folder / RECIPE).write_text(recipe_to_toml(recipe))
    passport = Passport(recipe, View.CC_R, TASKS["density"].classes, Preparation(height=512))
    write_weights(folder, network.state_dict(), passport)
    (folder / INFO).write_text(json.dumps({"status": "finished"}))
    return folder, recipe, network


def test_a_run_comes_back_as_it_was_written(run):
    folder, recipe, network = run
    loaded = load_run(folder, task="density")
    assert (loaded.recipe, loaded.view, loaded.task) == (recipe, View.CC_R, TASKS["density"])
    assert loaded.classes == ("A", "B", "C", "D") and loaded.preparation == Preparation(height=512)
    assert loaded.info == {"status": "finished"} and not loaded.network.training
    x = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(loaded.network(x), network.eval()(x), atol=1e-6)


def test_loading_leaves_the_random_state_alone(run):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_run(run[0])
    assert torch.equal(torch.rand(1), expected)


def test_the_same_weights_are_the_same_bytes(run):
    folder, recipe, network = run
    before = (folder / WEIGHTS).read_bytes()
    write_weights(folder, network.state_dict(), Passport(recipe, View.CC_R, tuple("ABCD"), Preparation(height=512)))
    assert (folder / WEIGHTS).read_bytes() == before
    assert (folder / CHECKSUM).read_text() == f"{file_sha256(folder / WEIGHTS)}  weights.safetensors\n"


def test_a_changed_byte_is_found(run):
    path = run[0] / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match="SHA-256 is not that of"):
        load_run(run[0])


def test_a_run_of_another_task_is_refused(run):
    with pytest.raises(RunError, match="trained for the task 'density', expected 'pathology'"):
        load_run(run[0], task="pathology")


def test_an_unfinished_run_says_how_to_resume(run):
    (run[0] / CHECKSUM).unlink()
    with pytest.raises(RunError, match=r"unfinished.*same train command again"):
        load_run(run[0])


def test_a_missing_folder_and_a_folder_without_a_run_are_told_apart(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="no run folder"):
        load_run(tmp_path)


def test_weights_without_a_passport_or_of_another_format_are_refused(run):
    folder = run[0]
    write_tensors(folder / WEIGHTS, {"x": torch.zeros(1)}, {})
    (folder / CHECKSUM).write_text(file_sha256(folder / WEIGHTS))
    with pytest.raises(RunError, match="cannot be read"):
        load_run(folder)
    write_tensors(folder / WEIGHTS, {"x": torch.zeros(1)}, {"format": 99})
    (folder / CHECKSUM).write_text(file_sha256(folder / WEIGHTS))
    with pytest.raises(RunError, match="format is 99, expected 1"):
        load_run(folder)


def test_weights_of_another_network_are_refused(run):
    folder, recipe, _ = run
    write_weights(folder, {"x": torch.zeros(1)}, Passport(recipe, View.CC_R, tuple("ABCD"), Preparation()))
    with pytest.raises(RunError, match="do not fit the network 'test_efficientnet'"):
        load_run(folder)


def test_a_damaged_run_json_is_named(run):
    (run[0] / INFO).write_text("{")
    with pytest.raises(RunError, match=r"run\.json: not JSON"):
        read_info(run[0])


def test_runs_are_found_by_view_and_fold(tmp_path):
    for place in ("CC_R", "MLO_L", "fold-10/CC_R", "fold-2/CC_R", "other/CC_L"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / RECIPE).write_text("")
    found = runs_in(tmp_path)
    assert {view: [p.relative_to(tmp_path).as_posix() for p in paths] for view, paths in found.items()} == {
        View.CC_R: ["CC_R", "fold-2/CC_R", "fold-10/CC_R"],
        View.MLO_L: ["MLO_L"],
    }
    assert runs_in(tmp_path / "MLO_L") == {View.MLO_L: [tmp_path / "MLO_L"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no run in it"):
        runs_in(tmp_path / "empty")
    with pytest.raises(RunError, match="no such folder"):
        runs_in(tmp_path / "nowhere")
