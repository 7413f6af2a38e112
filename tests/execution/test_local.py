"""Workers that fail cost their own item alone."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.execution.local import spread


def work(item: int) -> int:
    if item == 3:
        raise ImageReadError("three.dcm: not a mammogram")
    if item == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 7:
        time.sleep(60)
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_order_and_failures_stand_alone(workers):
    outcomes = list(spread(work, list(range(10)), workers=workers, seconds=1.0))
    assert [o.item for o in outcomes] == list(range(10))
    assert {o.item: o.value for o in outcomes if not o.error} == {i: i * i for i in (0, 1, 2, 4, 6, 8, 9)}
    errors = {o.item: o.error for o in outcomes if o.error}
    assert errors[3] == "three.dcm: not a mammogram"
    assert "SIGSEGV" in errors[5]
    assert "within 1 s" in errors[7]


def test_no_items_give_no_outcomes():
    assert list(spread(work, [])) == []


def test_leaving_early_stops_the_workers():
    stream = spread(work, [0, 1, 2], workers=1)
    assert next(stream).value == 0
    stream.close()


def leave(item: int) -> int:
    """Answer, then die a moment later, as a process does that the system takes for memory."""
    if item == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    return item


def test_a_worker_that_dies_between_two_items_is_replaced():
    stream = spread(partial(leave), list(range(12)), workers=1)
    first = next(stream)
    time.sleep(0.5)
    outcomes = [first, *stream]
    assert [o.item for o in outcomes] == list(range(12))
    assert sum(bool(o.error) for o in outcomes) <= 1


def test_any_exception_of_the_work_is_an_error_of_its_item():
    [outcome] = spread(int, ["x"], workers=1)
    assert outcome.value is None and outcome.error.startswith("ValueError: invalid literal")


def test_a_script_without_a_guard_is_not_run_again_in_the_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from os.path import basename\n"
        "from ensemble_mammo.execution.local import spread\n"
        "print('once')\n"
        "print([o.value for o in spread(basename, ['/a/b', 'c'], 1)])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert result.stdout == "once\n['b', 'c']\n", result.stderr
