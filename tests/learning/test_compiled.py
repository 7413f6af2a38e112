from functools import partial

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")  # of the compiler itself


@pytest.fixture
def counter(monkeypatch):
    """Instead of the machine code's maker: counts what is compiled, and runs it as it is."""
    torch._dynamo.reset()
    counted = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted))
    yield counted
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_compiled_training_has_the_same_weights_names_and_few_versions(tmp_path, counter):
    dataset = tiny_dataset(tmp_path / "dataset", train=11, val=7)  # batches of 4, 4, 3 and 4, 3
    plain = train(dataset, View.CC_R, tiny_recipe("test_resnet", epochs=3), tmp_path / "plain", TrainOptions())
    assert not counter.frame_count
    recipe = tiny_recipe("test_resnet", epochs=3, compile=True)
    compiled = train(dataset, View.CC_R, recipe, tmp_path / "compiled", TrainOptions())
    # one trial; learning and judging, each once for 4 images and once for any number
    assert 2 <= counter.frame_count <= 1 + 4
    before, after = (load_run(one.folder).network.state_dict() for one in (plain, compiled))
    assert list(before) == list(after) and all(torch.allclose(before[k], after[k], atol=1e-5) for k in before)


def test_a_run_says_how_it_used_the_machine_and_leaves_no_packs(tmp_path):
    dataset = tiny_dataset(tmp_path / "dataset")
    result = train(dataset, View.CC_R, tiny_recipe(), tmp_path / "runs", TrainOptions())
    assert 0 < result.info["waiting_share"] < 1
    assert result.info["matrix_share"] is None or torch.cuda.is_available()
    assert result.info["peak_memory_mb"] > 50
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["CC_R"]
