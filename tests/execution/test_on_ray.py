"""Work on a Ray cluster: what comes out is what processes of this machine give, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution import on_ray, ray_cluster
from ensemble_mammo.execution.engine import Engine, running, spread
from ensemble_mammo.execution.local import Share
from tests.execution.test_local import work

pytest.importorskip("ray")

RAY = Engine("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of this machine for all of these tests, which `spread` finds and leaves running."""
    with running(RAY, workers=2):
        yield


def test_outcomes_are_those_of_processes_of_this_machine(cluster):
    items = list(range(12))
    assert list(spread(work, items, 2, 1.0, RAY)) == list(spread(work, items, 2, 1.0))


def own_array(size: int) -> np.ndarray:
    return np.full(size, os.getpid() > 0, np.float32)


def test_large_answers_arrive_whole_and_can_be_written_to(cluster):
    for outcome in spread(own_array, [10, 500_000], 1, engine=RAY):
        assert outcome.value.shape == (outcome.item,) and outcome.value.all()
        outcome.value[:] = 2


def said(item: str) -> tuple[str, str, bool]:
    return os.environ.get(item, ""), str(Path.cwd()), Path("here.txt").is_file()


def test_relative_paths_start_where_the_command_was_given(cluster, tmp_path, monkeypatch):
    (tmp_path / "here.txt").touch()
    monkeypatch.chdir(tmp_path)
    [outcome] = spread(said, ["HOME"], engine=RAY)
    assert outcome.value == (os.environ["HOME"], str(tmp_path), True)


class Counted(Sequence):
    """A million items that are made when asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, place: Any) -> int:
        if not 0 <= place < len(self):
            raise IndexError(place)
        self.asked = max(self.asked, place + 1)
        return place


def test_few_items_are_begun_ahead_of_the_one_whose_turn_it_is(cluster):
    items = Counted()
    stream = spread(abs, items, 2, engine=RAY)
    assert [next(stream).value for _ in range(50)] == list(range(50))
    time.sleep(0.5)
    assert items.asked <= 50 + 4 * 2
    stream.close()


def held(item: float) -> float:
    time.sleep(item)
    return item


def test_a_cluster_that_others_hold_is_waited_for_with_a_word(cluster, caplog, monkeypatch):
    import ray

    monkeypatch.setattr(on_ray, "_FREED_SECONDS", (0.2, 0.2))
    whole = int(ray.cluster_resources()["CPU"])
    others = ray.remote(num_cpus=whole)(held).remote(6.0)
    until = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) and time.monotonic() < until:
        time.sleep(0.1)
    assert [one.value for one in spread(abs, [-1], seconds=float("inf"), engine=RAY)] == [1]
    assert f"waiting for room, others hold its {whole} cores and 0 GPUs; Ctrl-C ends" in caplog.text
    ray.get(others)


def note(item: int, folder: Path) -> int:
    (folder / str(item)).touch()
    time.sleep(0.2)
    return item


def test_leaving_early_cancels_what_was_begun_and_the_cluster_serves_the_next(cluster, tmp_path):
    stream = spread(partial(note, folder=tmp_path), list(range(100)), 2, engine=RAY)
    assert next(stream).value == 0
    stream.close()
    time.sleep(1)
    begun = len(list(tmp_path.iterdir()))
    assert [o.value for o in spread(abs, [-1, 2], engine=RAY)] == [1, 2]
    assert len(list(tmp_path.iterdir())) == begun <= 10


def ended(item: int, folder: Path) -> int:
    """Take the Ray worker away from under the first try."""
    tried = folder / f"{item}.{os.getpid()}"
    tried.touch()
    if item == 2 and len(list(folder.glob("2.*"))) == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return item


def test_a_ray_worker_that_dies_costs_a_second_try(cluster, tmp_path):
    outcomes = list(spread(partial(ended, folder=tmp_path), list(range(6)), 2, engine=RAY))
    assert [(o.item, o.value, o.error) for o in outcomes] == [(i, i, "") for i in range(6)]
    assert len(list(tmp_path.glob("2.*"))) == 2


def seen_gpus(item: int) -> tuple[str | None, int]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


def test_one_process_serves_many_items_of_a_call_and_none_of_the_next(cluster):
    first = {o.value[1] for o in spread(seen_gpus, list(range(20)), 1, engine=RAY)}
    second = {o.value[1] for o in spread(seen_gpus, list(range(20)), 1, engine=RAY)}
    assert len(first) <= 2 and not first & second


@pytest.mark.parametrize(
    ("workers", "share", "found"),
    [
        (0, Share(500), r"no node with 500 cores and 0 GPUs for each \(its largest: \d+ cores and \d+ GPUs\)"),
        (0, Share(1, 99), r"no node with 1 cores and 99 GPUs"),
        (900, Share(1), r"has room for \d+ at once, 900 workers asked for; give --workers 0"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(cluster, workers, share, found):
    with pytest.raises(ExecutionError, match=found):
        next(spread(abs, [1], workers, engine=RAY, share=share))


def test_whoever_hears_sigterm_hears_it_while_and_after_ray_runs(cluster):
    import ray

    def hear(number: int, frame: Any) -> None:
        del number, frame

    def init(**settings: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    before = signal.signal(signal.SIGTERM, hear)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ray, "is_initialized", lambda: False)
            patch.setattr(ray, "init", init)
            patch.setattr(ray, "shutdown", lambda: None)
            with running(RAY):
                assert signal.getsignal(signal.SIGTERM) is hear
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is hear
    finally:
        signal.signal(signal.SIGTERM, before)


def test_versions_that_differ_end_the_command_with_one_line(cluster, monkeypatch):
    monkeypatch.setattr(on_ray, "versions", lambda: {"Python": "3.0"})  # of the command; the node has its own
    with pytest.raises(
        ExecutionError, match=r"^node \S+ has Python 3.\d+, this command 3.0; every node needs "
    ) as told:
        list(spread(abs, [1, 2, 3], engine=RAY))
    assert "\n" not in str(told.value)


def test_work_that_a_node_cannot_load_ends_the_command(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def work(item):\n    return item\n")
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import work

    assert [o.value for o in spread(work, [4], engine=RAY)] == [4]
    (tmp_path / "only_here.py").unlink()
    with pytest.raises(ExecutionError, match=r"cannot load the work: No module named 'only_here'; every node needs"):
        list(spread(work, [4], engine=RAY))


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutionError, match=r"needs Ray: pip install ensemble-mammo\[ray\]"):
        next(spread(abs, [1], engine=RAY))


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that is no cluster."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_is_none_is_told_at_once(monkeypatch, silent, scheme):
    began = time.monotonic()
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    for address, found in (
        (silent, "what answers there is no Ray cluster"),
        ("127.0.0.1:9", "no Ray cluster answers .*; start one with ray start --head"),
        ("nowhere.invalid:6379", "no Ray cluster answers"),
        ("127.0.0.1:port", "expected auto, HOST:PORT or ray://HOST:PORT"),
    ):
        with pytest.raises(ExecutionError, match=f"^--address {scheme}{address}: {found}"):
            next(spread(abs, [1], engine=Engine("ray", scheme + address)))
    assert time.monotonic() - began < 15


def test_auto_without_a_cluster_is_told(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ExecutionError, match=r"^--address 127.0.0.1:9: no Ray cluster answers"):
        next(spread(abs, [1], engine=Engine("ray", "auto")))


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path):
    given = ["prepare", "dicom", str(tmp_path), "--engine"]
    for more, found in ((["dask"], "local, ray"), (["local", "--address", "auto"], "goes with engine = ray")):
        result = CliRunner().invoke(app, [*given, *more])
        assert result.exit_code == 2 and found in " ".join(result.output.replace("│", " ").split())


def test_a_cluster_of_the_command_ends_with_it_and_leaves_nothing(tmp_path):
    script, short = tmp_path / "script.py", Path(tempfile.mkdtemp(dir="/tmp"))
    script.write_text(
        "import ray\n"
        "from os.path import basename\n"
        "from ensemble_mammo.execution.engine import Engine, spread\n"
        "stream = spread(basename, ['/a/b', 'c', 'd'], 3, engine=Engine('ray'))\n"
        "print(next(stream).value, ray.is_initialized())\n"
        "stream.close()\n"
        "print(ray.is_initialized())\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"TMPDIR": str(short)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", script],
        capture_output=True, text=True, timeout=90, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert result.stdout == "b True\nFalse\n", result.stderr
    assert result.stderr == ""
    short.rmdir()  # nothing in it


def test_a_temporary_folder_too_long_for_sockets_is_not_used(monkeypatch, tmp_path):
    long = tmp_path / ("long" * 12)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = ray_cluster._folder()
    assert not folder.is_relative_to(long)
    folder.rmdir()
