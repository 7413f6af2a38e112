import os
import signal
import threading

import pytest

from ensemble_mammo.learning.stopping import TEMPORARY, Stopped, asked_to_stop


def test_sigterm_is_told_to_who_asks_and_nothing_is_lost_if_nobody_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="SIGTERM") as caught, asked_to_stop() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert caught.value.code == TEMPORARY == 75
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_that_never_asks_is_stopped_at_once():
    reached = []
    with pytest.raises(Stopped), asked_to_stop(at_once=True):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("further")
    assert not reached


def test_after_an_error_sigterm_may_be_let_pass_so_that_the_error_is_told():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ValueError, match="mine"), asked_to_stop(to_the_end=True):
            raise ValueError("mine")
        os.kill(os.getpid(), signal.SIGTERM)  # would end this process
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_no_signal_is_heard():
    heard = []

    def work():
        with asked_to_stop() as asked:
            heard.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]
