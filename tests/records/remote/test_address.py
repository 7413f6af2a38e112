"""URLs: what they name, and which are refused."""

from pathlib import Path

import pytest

from ensemble_mammo.errors import ExecutionError
from ensemble_mammo.records.remote import is_url, place_of
from ensemble_mammo.records.remote.address import Address, address_of, cache_of


@pytest.mark.parametrize(
    ("url", "parts", "shown"),
    [
        ("s3://bucket/a/b/", ("s3", "bucket", "a/b"), "s3://bucket/a/b"),
        ("S3://bucket", ("s3", "bucket", ""), "s3://bucket"),
        ("memory://a/b", ("memory", "", "a/b"), "memory://a/b"),
        ("abfs://box@account.dfs.core.windows.net/a", ("abfs", "box@account.dfs.core.windows.net", "a"), None),
        (Path("gs://bucket/a"), ("gs", "bucket", "a"), "gs://bucket/a"),  # a Path keeps one slash
    ],
)
def test_a_url_has_a_protocol_a_store_and_a_path(url, parts, shown):
    assert is_url(url) and address_of(url) == Address(*parts) and address_of(url).url == (shown or str(url))


def test_paths_and_file_urls_are_of_this_machine():
    assert place_of("data/set") == Path("data/set") and not is_url("data/set")
    assert place_of("file:///data/set") == Path("/data/set") == place_of(Path("file:///data/set"))
    assert not is_url(r"C:\data") and not is_url("A=B")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://key:secret@bucket/a", "a URL with a password is not taken"),
        ("https://host/a?token=secret", "a URL with a query"),
        ("simplecache::s3://bucket/a", "chain several stores"),
        ("s3://bucket/a/../b", "cannot name folders"),
        ("s3://", "names no place"),
    ],
)
def test_urls_that_are_refused(url, text):
    with pytest.raises(ExecutionError, match=text) as error:
        address_of(url)
    assert "secret" not in str(error.value)


def test_nothing_is_written_to_a_whole_bucket(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_MAMMO_CACHE", str(tmp_path))
    with pytest.raises(ExecutionError, match="name a folder in it"):
        place_of("s3://bucket", writes=True)


def test_an_unknown_protocol_is_named(monkeypatch, tmp_path):
    from ensemble_mammo.records import remote
    from ensemble_mammo.records.remote import mirror

    monkeypatch.setenv("ENSEMBLE_MAMMO_CACHE", str(tmp_path))
    place_of("nothing://bucket/a")
    with pytest.raises(ExecutionError, match="protocol nothing:// is not known; expected s3, gs, az"):
        remote.fetch()
    mirror.end()


def test_two_servers_have_two_caches(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one")
    one = cache_of(address_of("s3://bucket/a"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://two")
    assert one != cache_of(address_of("s3://bucket/a")) and one.name.startswith("s3-bucket-")
    assert cache_of(address_of("s3://bucket/b")) == cache_of(address_of("s3://bucket/a"))
