"""The command line, with a signal sent at a step: `python -m tests.stages.signalled RANK STEP SIGNAL WHOM train …`."""

import os
import signal
import sys
import time

from ensemble_mammo.cli import main
from ensemble_mammo.learning import parallel


def _send_at(step: int, name: str, whom: int) -> None:
    added, calls = parallel.added, []

    def counting(values):
        calls.append(1)
        if len(calls) == step:
            os.kill(whom, signal.Signals[name])
            time.sleep(1)  # until torchrun has passed it on
        return added(values)

    parallel.added = counting


if __name__ == "__main__":
    rank, step, name, whom = sys.argv[1:5]
    sys.argv[1:5] = []
    if os.environ["RANK"] == rank:
        _send_at(int(step), name, os.getppid() if whom == "parent" else os.getpid())
    main()
