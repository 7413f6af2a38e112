"""A Ray cluster of nodes that come and go on this machine, and light work for it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STORE = {"object_store_memory": 100 << 20}


@contextmanager
def head_node() -> Iterator[Any]:
    """A cluster of one node with one CPU; nothing of it stays."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **STORE})
    try:
        yield cluster
    finally:
        folder = cluster.head_node.get_session_dir_path()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def doomed_node(cluster: Any, when: Callable[[], bool]) -> Iterator[None]:
    """A second node with two CPUs, killed with all its processes as soon as something holds.

    It is not at the head's address: a command belongs to the head, and outlives this one.
    """
    node = cluster.add_node(num_cpus=2, node_ip_address="127.0.0.2", **STORE)

    def kill() -> None:
        until = time.monotonic() + 60
        while not when() and time.monotonic() < until:
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


def tried(item: int, folder: Path) -> int:
    """Half a second of work that leaves a file for each try."""
    (folder / f"{item}.{os.getpid()}").touch()
    time.sleep(0.5)
    return item
