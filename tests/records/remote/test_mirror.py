"""Remote folders in the local cache: brought, sent, gone on with elsewhere."""

import logging
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ensemble_mammo.errors import DatasetError, ExecutionError, OutputError
from ensemble_mammo.records import remote
from ensemble_mammo.records.files import link_or_copy, write_text
from ensemble_mammo.records.remote import mirror
from ensemble_mammo.records.remote.store import Store
from tests.s3 import BUCKET, local_tree, remote_tree

URL = f"s3://{BUCKET}/data"


def put(files, name, text="x"):
    files.pipe_file(f"{BUCKET}/data/{name}", text.encode())


@pytest.fixture
def counted(monkeypatch):
    """What was brought and sent, by name."""
    said = []

    def counting(work, own):
        def counted(self, *words):
            said.append((work, next(word for word in reversed(words) if isinstance(word, str))))
            return own(self, *words)

        return counted

    for work in ("get", "put", "remove", "copy"):
        monkeypatch.setattr(Store, work, counting(work, getattr(Store, work)))
    return said


def test_a_folder_is_brought_once_and_then_what_differs(bucket, opened, machine, counted):
    put(bucket, "a.txt")
    put(bucket, "deep/b.txt", "bb")
    folder = opened((URL, False))
    assert folder.name == "data" and local_tree(folder) == remote_tree(bucket, "data")
    assert sorted(counted) == [("get", "data/a.txt"), ("get", "data/deep/b.txt")]
    assert folder.is_relative_to(machine("one")) and stat.S_IMODE((folder.parents[2]).parent.stat().st_mode) == 0o700
    counted.clear()
    assert opened((URL, False)) == folder and counted == []
    machine("one")
    put(bucket, "a.txt", "y")  # of the same size
    bucket.rm_file(f"{BUCKET}/data/deep/b.txt")
    opened((URL, False))
    assert counted == [("get", "data/a.txt")] and local_tree(folder) == {"a.txt": b"y"}


def test_times_are_those_of_the_store_on_every_machine(bucket, opened, machine):
    put(bucket, "a.txt")
    first = (opened((URL, False)) / "a.txt").stat().st_mtime_ns
    machine("two")
    assert (opened((URL, False)) / "a.txt").stat().st_mtime_ns == first


def test_a_file_is_sent_as_soon_as_it_is_written_and_the_rest_at_the_end(bucket, opened, counted):
    out = opened((URL, True))
    assert not out.exists()
    write_text(out / "images" / "a.txt", "one")
    assert remote_tree(bucket, "data") == {"images/a.txt": b"one"}
    link_or_copy(out / "images" / "a.txt", out / "folders" / "a.txt")
    (out / "appended").write_text("as events are")
    (out / ".packed").mkdir()
    (out / ".packed" / "pack").write_text("of this machine alone")
    assert set(remote_tree(bucket, "data")) == {"images/a.txt"}
    remote.settle()
    sent = local_tree(out)
    sent.pop(".packed/pack", None)
    assert remote_tree(bucket, "data") == sent
    assert sorted(counted) == [("copy", "data/folders/a.txt"), ("put", "data/appended"), ("put", "data/images/a.txt")]
    assert not list(out.parents[2].glob("command-*"))


def test_what_is_removed_here_is_removed_there(bucket, opened, machine):
    for name in ("images/a.txt", "images/b.txt", "other.txt"):
        put(bucket, name)
    out = opened((URL, True))
    (out / "images" / "a.txt").unlink()
    (out / "other.txt").unlink()
    put(bucket, "other.txt", "of somebody else, meanwhile")
    remote.settle()
    assert remote_tree(bucket, "data") == {"images/b.txt": b"x", "other.txt": b"of somebody else, meanwhile"}


def test_a_manifest_goes_before_anything_changes_and_comes_back_last(bucket, opened, counted):
    put(bucket, "manifest.csv", "old")
    put(bucket, "images/a.txt", "old")
    out = opened((URL, True))
    counted.clear()
    (out / "manifest.csv").unlink()
    write_text(out / "images" / "a.txt", "new")
    assert remote_tree(bucket, "data") == {"images/a.txt": b"new"}
    (out / "images" / "b.txt").write_text("not through files")
    write_text(out / "manifest.csv", "new")
    names = ["data/images/a.txt", "data/images/b.txt", "data/manifest.csv"]
    assert counted == [("remove", "data/manifest.csv"), *(("put", name) for name in names)]
    assert remote_tree(bucket, "data") == local_tree(out)


def test_nothing_is_sent_where_things_are_read_alone(bucket, opened):
    put(bucket, "a.txt")
    folder = opened((URL, False))
    write_text(folder / "new.txt", "never sent")
    (folder / "a.txt").unlink()
    remote.settle()
    assert remote_tree(bucket, "data") == {"a.txt": b"x"}


def test_the_key_of_pseudonyms_lies_beside_there_too(bucket, opened, machine):
    out = opened((URL, True))
    write_text(out.with_name("data.key"), "secret")
    write_text(out / "manifest.csv", "m")
    remote.settle()
    assert bucket.cat_file(f"{BUCKET}/data.key") == b"secret" and set(remote_tree(bucket, "data")) == {"manifest.csv"}
    machine("two")
    assert opened((URL, True)).with_name("data.key").read_text() == "secret"


def test_a_file_that_cannot_be_sent_stays_and_the_next_command_sends_it(bucket, opened, machine, monkeypatch, caplog):
    out = opened((URL, True))

    def failing(self, source, path):
        raise ExecutionError(f"{path}: the server does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", failing)
        with caplog.at_level(logging.WARNING):
            write_text(out / "a.txt", "work of a night")
            write_text(out / "manifest.csv", "m")
        assert caplog.text.count("does not answer; tried again at the end") == 1
        with pytest.raises(
            ExecutionError, match=r"a\.txt: .* does not answer; what was not sent stays in .*files, and"
        ):
            remote.settle()
    assert remote_tree(bucket, "data") == {}
    machine("one")
    assert (opened((URL, True)) / "a.txt").read_text() == "work of a night"
    remote.settle()
    assert remote_tree(bucket, "data") == {"a.txt": b"work of a night", "manifest.csv": b"m"}


def test_workers_that_share_the_cache_send_and_others_bring_what_they_need(bucket, opened, machine, tmp_path):
    put(bucket, "a.txt")
    source, out = opened((URL, False), (f"s3://{BUCKET}/out", True))
    travelling = remote.mirrors()
    remote.use(travelling)  # on the same machine
    assert all(one.here for one in remote.mirrors())
    write_text(out / "same.txt", "s")
    (source / "a.txt").unlink()
    travelling[0].witness.unlink()  # as seen from another machine
    remote.use(travelling)
    assert not any(one.here for one in remote.mirrors())
    assert remote.present(source / "a.txt").read_text() == "x"
    put(bucket, "b.txt")
    assert (remote.present_all(source) / "b.txt").read_text() == "x"
    write_text(out / "other.txt", "o")
    (out / "events").write_text("e")
    remote.settle()
    assert remote_tree(bucket, "out") == {"same.txt": b"s", "other.txt": b"o", "events": b"e"}


def test_what_another_machine_made_is_handed_over_and_brought_back(bucket, opened, machine):
    out = opened((URL, True))
    command = remote.mirrors()
    command[0].witness.rename(out.with_name("hidden"))  # as seen from another machine, with a disk of its own
    remote.use(command)
    (out / "run").mkdir(parents=True)
    write_text(out / "run" / "run.json", "{}")
    (out / "run" / "events").write_text("e")  # not written at once, so not sent at once
    remote.hand_over(out / "run")
    assert remote_tree(bucket, "data") == {"run/run.json": b"{}", "run/events": b"e"}
    machine("two")
    there = opened((URL, True))
    put(bucket, "run/later")
    assert not (there / "run/later").exists()
    remote.brought_back(there / "run")
    assert local_tree(there) == {"run/run.json": b"{}", "run/events": b"e", "run/later": b"x"}
    assert remote.brought_back(out.parent / "elsewhere") == out.parent / "elsewhere"


def test_a_stale_file_of_another_machine_is_brought_anew(bucket, opened):
    put(bucket, "a.txt")
    source = opened((URL, False))
    travelling = remote.mirrors()
    travelling[0].witness.unlink()
    put(bucket, "a.txt", "z")
    remote.use(travelling)
    assert remote.present(source / "a.txt").read_text() == "z"


def test_texts_name_urls_and_not_the_cache(bucket, opened):
    out = opened((URL, True))
    assert remote.shown(out / "a.txt") == f"{URL}/a.txt" and remote.shown(out) == URL
    assert remote.worded(f"{out / 'a.txt'}: damaged") == f"{URL}/a.txt: damaged"
    write_text(out / "dataset.json", f'{{"archive": "{out}"}}')
    assert (out / "dataset.json").read_text() == f'{{"archive": "{URL}"}}'
    assert remote.shown(Path("/elsewhere")) == "/elsewhere"


def test_a_full_disk_is_said_before_anything_is_brought(bucket, opened, monkeypatch):
    put(bucket, "a.txt", "x" * 2000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=9))
    with pytest.raises(OutputError, match=r"GB are to be brought, .* set ENSEMBLE_MAMMO_CACHE"):
        opened((URL, False))


def test_nothing_there_is_an_error_of_what_is_read_alone(bucket, opened, machine):
    with pytest.raises(DatasetError, match=f"{URL}: nothing lies there"):
        opened((URL, False))
    machine("two")
    assert not opened((URL, True)).exists()


def test_a_bucket_that_is_not_there_is_said_at_once(bucket, opened):
    for writes in (True, False):
        with pytest.raises(ExecutionError, match=r"s3://nobodys/data: not there .*bucket"):
            opened(("s3://nobodys/data", writes))
        mirror.end()


def test_a_server_that_does_not_answer_and_missing_keys_are_said_soon(bucket, opened, monkeypatch):
    from ensemble_mammo.records.remote import store

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store._store.cache_clear()
    began = time.monotonic()
    with pytest.raises(ExecutionError, match=f"s3://{BUCKET}: the server does not answer .*127.0.0.1:9"):
        opened((URL, False))
    mirror.end()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store._store.cache_clear()
    with pytest.raises(ExecutionError, match=f"s3://{BUCKET}: no credentials; give them by the environment"):
        opened((URL, False))
    assert time.monotonic() - began < 20


def test_a_library_that_is_missing_is_named_with_its_extra(machine, opened, monkeypatch):
    import fsspec  # noqa: F401

    from ensemble_mammo.records.remote import store

    store._store.cache_clear()
    for name, extra in (("s3fs", "s3"), ("gcsfs", "gs"), ("adlfs", "az")):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, extra, raising=False)
        with pytest.raises(
            ExecutionError, match=rf"{extra}://.*is not installed; pip install 'ensemble-mammo\[{extra}\]'"
        ):
            opened((f"{extra}://bucket/data", False))
        mirror.end()


def test_a_folder_in_memory_is_a_store_like_another(opened, machine):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/in/a.txt", b"m")
    try:
        source, out = opened(("memory://in", False), ("memory://out/deep", True))
        write_text(out / "b.txt", (source / "a.txt").read_text())
        assert memory.cat_file("/out/deep/b.txt") == b"m" and remote.mirrors() == ()
        remote.settle()
    finally:
        memory.rm("/in", recursive=True)
        memory.rm("/out", recursive=True)
