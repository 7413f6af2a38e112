"""On a GPU, where there is one."""

import numpy as np
import pytest
import torch

from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, tiny_recipe

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_a_network_trained_on_a_gpu_scores_alike_on_the_processor(tmp_path):
    result = train(tiny_dataset(tmp_path), View.CC_R, tiny_recipe(), tmp_path / "runs", TrainOptions(device="cuda"))
    assert result.info["status"] == "finished"
    batch = torch.rand(4, 1, 32, 32)
    with torch.inference_mode():
        there = load_run(result.folder, device="cuda").network(batch.cuda()).cpu()
        here = load_run(result.folder).network(batch)
    np.testing.assert_allclose(there, here, atol=0.02)
