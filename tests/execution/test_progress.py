"""Progress where nobody sees a bar: lines, now and then."""

import logging

import ensemble_mammo.execution.progress as progress
from ensemble_mammo.execution.progress import counting, track


def test_items_pass_through_unchanged(caplog):
    assert list(track(iter("abc"), 3, "work")) == ["a", "b", "c"]
    assert caplog.text == ""


def test_long_work_says_how_far_it_is(caplog, monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 25.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO, logger="ensemble_mammo")
    with counting(4, "prepare") as advance:
        for _ in range(4):
            advance(1, "")
    assert caplog.messages == ["prepare: 2 of 4, about 20 s left "]
