"""An S3 server on loopback for tests (moto's), with keys that open nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BUCKET = "hospital"


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, and the plain fsspec file system that looks at it from outside."""
    import fsspec
    from moto.server import ThreadedMotoServer

    from ensemble_mammo.records.remote import store

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    own = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    own.start()
    host, port = own.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    store._store.cache_clear()
    files = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    if not files.exists(BUCKET):  # moto's buckets outlive a server
        files.mkdir(BUCKET)
    try:
        yield files
    finally:
        for name in files.find(BUCKET):
            files.rm_file(name)
        own.stop()
        store._store.cache_clear()


def remote_tree(files: Any, folder: str) -> dict[str, bytes]:
    """Name -> content of what lies under a folder of the bucket."""
    root = f"{BUCKET}/{folder}/"
    return {name.removeprefix(root): files.cat_file(name) for name in files.find(root)}


def local_tree(folder: Path) -> dict[str, bytes]:
    """Name -> content of the files of a local folder; hidden folders stay out."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".packed")}
