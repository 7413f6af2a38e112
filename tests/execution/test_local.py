"""Workers that fail cost their own item alone."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from ensemble_mammo.errors import ExecutionError, ImageReadError
from ensemble_mammo.execution.engine import spread
from ensemble_mammo.execution.local import Share


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
        "from ensemble_mammo.execution.engine import spread\n"
        "print('once')\n"
        "print([o.value for o in spread(basename, ['/a/b', 'c'], 1)])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert result.stdout == "once\n['b', 'c']\n", result.stderr


def seen(item: int) -> tuple[int, str | None]:
    time.sleep(0.3)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def gpus_of_workers(count: int) -> list[str | None]:
    """What each worker sees, by worker."""
    outcomes = spread(seen, list(range(8)), workers=count, seconds=math.inf, share=Share(1, 1))
    return sorted(dict(outcome.value for outcome in outcomes).values())


def test_each_worker_sees_gpus_of_its_own(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_of_workers(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7")
    assert gpus_of_workers(4) == ["3", "GPU-7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ExecutionError, match="CUDA_VISIBLE_DEVICES is '': no room for 1 GPUs each"):
        gpus_of_workers(1)


def test_cores_that_the_machine_does_not_have_are_refused():
    with pytest.raises(ExecutionError, match=r"10000 cores asked for each, this machine has \d+; ask for fewer"):
        list(spread(work, [0], share=Share(10_000)))


def slow_first(item: int) -> int:
    time.sleep(2.0 if item == 0 else 0.0)
    return item


def test_long_work_is_not_held_back_by_one_that_is_late():
    stream = spread(slow_first, list(range(40)), workers=2, seconds=math.inf)
    assert next(stream).value == 0
    began = time.monotonic()
    assert [outcome.value for outcome in stream] == list(range(1, 40))
    assert time.monotonic() - began < 1.0  # all were done meanwhile


def saved(item: str) -> None:
    """Work that writes a file when it is told to end."""

    def save(*_: object) -> None:
        time.sleep(0.5)
        Path(item).write_text("saved")
        sys.exit(75)

    signal.signal(signal.SIGTERM, save)
    Path(item).with_suffix(".begun").touch()
    time.sleep(60)


def both_begun(folder: Path) -> bool:
    return len(list(folder.glob("*.begun"))) == 2


def test_busy_workers_are_told_to_end_together_and_may_save(tmp_path):
    items = [str(tmp_path / name) for name in ("a.txt", "b.txt")]

    def interrupt_when_begun():
        until = time.monotonic() + 60
        while not both_begun(tmp_path) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests side by side ignore it
    threading.Thread(target=interrupt_when_begun).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(spread(saved, items, workers=2, seconds=math.inf))
    finally:
        signal.signal(signal.SIGINT, before)
    assert [Path(item).read_text() for item in items] == ["saved", "saved"]


def test_workers_end_with_the_process_that_gives_the_items(tmp_path):
    items = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    code = (
        "import math\nfrom ensemble_mammo.execution.engine import spread\n"
        "from tests.execution.test_local import saved\n"
        f"list(spread(saved, {items!r}, workers=2, seconds=math.inf))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        until = time.monotonic() + 60
        while not both_begun(tmp_path) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
    until = time.monotonic() + 20
    while not all(Path(item).exists() for item in items) and time.monotonic() < until:
        time.sleep(0.05)
    assert [Path(item).read_text() for item in items] == ["saved", "saved"]
