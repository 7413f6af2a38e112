import pytest

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.ranks import Ranks, ranks_here, require_one

TOLD = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_without_torchrun_there_is_one_process():
    assert ranks_here({}) == ranks_here({"RANK": "0", "WORLD_SIZE": "1"}) == Ranks(0, 1, 0)
    assert Ranks().is_first


def test_torchrun_says_which_process_of_how_many_this_is():
    assert ranks_here(TOLD) == Ranks(2, 4, 0)
    assert not ranks_here(TOLD).is_first


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"RANK": ""}, "WORLD_SIZE is 4 and RANK not set; start with torchrun, or unset WORLD_SIZE"),
        ({"WORLD_SIZE": "four"}, "are whole numbers: .*'four'"),
        ({"RANK": "4"}, "RANK is 4, WORLD_SIZE 4, LOCAL_RANK 0: no such place"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(change, text):
    with pytest.raises(ExecutionError, match=text):
        ranks_here(TOLD | change)


def test_what_is_not_divided_is_refused_with_several_processes(monkeypatch):
    require_one("predict")
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ExecutionError, match="predict is not divided among processes, and here are 4; start it without"
    ):
        require_one("predict")
