"""A store to be mirrored, and caches of several machines."""

from __future__ import annotations

import pytest

from ensemble_mammo.records import remote
from ensemble_mammo.records.remote import mirror
from tests.s3 import server


@pytest.fixture
def bucket(monkeypatch):
    with server(monkeypatch) as files:
        yield files


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Go to a machine: its cache, empty at first; nothing is mirrored."""

    def at(name):
        mirror.end()
        monkeypatch.setenv("ENSEMBLE_MAMMO_CACHE", str(tmp_path / name))
        return tmp_path / name

    at("one")
    yield at
    mirror.end()


@pytest.fixture
def opened(machine):
    """Name folders of the store and bring them: (url, writes) pairs -> local paths."""

    def brought(*places):
        found = [remote.place_of(url, writes) for url, writes in places]
        remote.fetch()
        return found if len(found) > 1 else found[0]

    return brought
