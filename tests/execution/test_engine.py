"""Which engine, and what no engine may do."""

from __future__ import annotations

import time

import pytest

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.execution.engine import LOCAL, Engine, refuse_lost, running


def test_an_engine_is_one_of_two_and_processes_have_no_address():
    with pytest.raises(ValueError, match="engine is 'dask', expected one of local, ray"):
        Engine("dask")
    with pytest.raises(ValueError, match="address auto goes with engine = ray"):
        Engine("local", "auto")


def test_processes_of_this_machine_need_nothing_to_run():
    with running(LOCAL, workers=900):
        pass


def test_a_file_written_on_a_disk_that_is_not_shared_is_told(tmp_path, monkeypatch):
    (tmp_path / "seen.png").touch()
    refuse_lost(tmp_path / "seen.png")
    monkeypatch.setattr("ensemble_mammo.execution.engine._LATE_SECONDS", (0.01,))
    with pytest.raises(ExecutionError, match=r"unseen.png: was written, but is not seen here: all nodes need"):
        refuse_lost(tmp_path / "unseen.png")


def test_a_file_that_shared_storage_shows_late_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: (tmp_path / "late.png").touch())
    refuse_lost(tmp_path / "late.png")
