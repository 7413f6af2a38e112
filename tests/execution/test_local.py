"""Workers that fail cost their own item alone."""

import os
import signal
import time

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
