"""Members of tar shards read as if they were files, held against Python's tarfile and the files they were made of."""

import json
import logging
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.png16 import png_shape, read_mask, read_png16, write_mask, write_png16
from ensemble_mammo.records.shard_writing import (
    Sample,
    key_of,
    rewrite_texts,
    shard_size,
    size_from,
    size_in_shard,
    text_of,
    write_shard,
)
from ensemble_mammo.records.shards import as_if_loose, content, exists, files_behind, in_shard, state


def pixels_of(number):
    return np.random.default_rng(number).integers(0, 65536, (9 + number, 7)).astype(np.uint16)


@pytest.fixture
def shard(tmp_path):
    """A shard of 20 images, every third with a mask, and the loose files beside it."""
    samples = []
    for number in range(20):
        key = f"s{number}" if number else "a" * 120  # one name is longer than a header has room for
        files = [(f"{key}.png", tmp_path / "loose" / f"{key}.png")]
        write_png16(files[0][1], pixels_of(number))
        if number % 3 == 0:
            files.append((f"{key}.1.mask.png", tmp_path / "loose" / f"{key}.1.mask.png"))
            write_mask(files[1][1], np.where(pixels_of(number) > 30_000, 255, 0).astype(np.uint8))
        samples.append(Sample(key, text_of({"image_id": key, "split": ""}), tuple(files)))
    path = tmp_path / "shards" / "000000.tar"
    write_shard(path, samples)
    return path


def test_every_member_is_the_file_that_it_was_made_of(shard, tmp_path):
    loose = sorted((tmp_path / "loose").iterdir())
    assert len(loose) == 27
    for file in loose:
        assert content(shard / file.name) == file.read_bytes() == content(file)
        assert state(shard / file.name)[0] == file.stat().st_size and exists(shard / file.name)
    np.testing.assert_array_equal(read_png16(shard / "s5.png"), pixels_of(5))
    np.testing.assert_array_equal(read_mask(shard / "s6.1.mask.png"), pixels_of(6) > 30_000)
    assert png_shape(shard / "s7.png") == (16, 7)
    np.testing.assert_allclose(read_mammogram(shard / "s5.png").pixels, pixels_of(5) / 65535, atol=1e-6)


def test_tarfile_reads_the_same_members_and_those_of_a_sample_lie_together(shard, tmp_path):
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
        for member in members:
            assert tar.extractfile(member).read() == content(shard / member.name)
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
    keys = [key for key, _ in groupby(member.name.partition(".")[0] for member in members)]
    assert len(keys) == len(set(keys)) == 20
    assert {m.name.partition(".")[2] for m in members} == {"png", "json", "1.mask.png"}
    assert json.loads(content(shard / "s4.json")) == {"image_id": "s4", "split": ""}


def test_the_same_samples_make_the_same_bytes_and_the_size_is_known_before(shard, tmp_path):
    with tarfile.open(shard) as tar:
        members = [(member.name, member.size) for member in tar]
    assert shard.stat().st_size == shard_size(size_in_shard(*zip(*members, strict=True)))
    samples = [Sample("s", text_of({}), (("s.png", tmp_path / "loose" / "s5.png"),))]
    write_shard(tmp_path / "a.tar", samples)
    os.utime(tmp_path / "loose" / "s5.png", (1, 1))
    write_shard(tmp_path / "b.tar", samples)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert (tmp_path / "a.tar.index").read_bytes() == (tmp_path / "b.tar.index").read_bytes()


def test_many_threads_read_the_same_as_one(shard, tmp_path):
    names = [file.name for file in (tmp_path / "loose").iterdir()] * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: content(shard / name), names))
    assert found == [(tmp_path / "loose" / name).read_bytes() for name in names]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "of another shard", "moved"])
def test_without_a_right_index_the_shard_is_read_through(shard, tmp_path, caplog, damage):
    index = shard.with_name("000000.tar.index")
    lines = index.read_bytes().splitlines(keepends=True)
    if damage == "missing":
        index.unlink()
    elif damage == "moved":  # every place is that of the next member
        index.write_bytes(
            b"".join([lines[0], *(a[:-34] + b[-34:] for a, b in zip(lines[1:], lines[2:] + lines[1:2], strict=True))])
        )
    else:
        index.write_bytes({"empty": b"", "cut": index.read_bytes()[:-5]}.get(damage, b"".join([lines[1], *lines])))
    before = index.read_bytes() if index.exists() else None
    with caplog.at_level(logging.WARNING):
        for file in (tmp_path / "loose").iterdir():
            assert content(shard / file.name) == file.read_bytes()
    assert caplog.text.count("its index is missing or damaged") == 1
    assert (index.read_bytes() if index.exists() else None) == before, "a dataset that is read is never changed"


def test_a_damaged_member_is_named_with_its_shard_as_a_damaged_file_is(shard):
    first = shard.read_bytes().index(b"\x89PNG", 20_000)
    with tarfile.open(shard) as tar:
        name = next(member.name for member in tar if member.offset_data == first)
    with shard.open("r+b") as handle:
        handle.seek(first + 50)
        handle.write(bytes(40))
    with pytest.raises(DatasetError, match=rf"000000\.tar/{name}: damaged, or no PNG .*prepare the dataset again"):
        read_png16(shard / name)


def test_a_damaged_header_or_a_shard_that_is_cut_is_one_clear_error(shard):
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        last = tar.getmember("s19.png")
    shard.write_bytes(whole[: last.offset_data + 10])
    with pytest.raises(
        DatasetError, match=r"000000\.tar/s19\.png: damaged, or no PNG \(its shard 000000\.tar is damaged"
    ):
        read_png16(shard / "s19.png")
    np.testing.assert_array_equal(read_png16(shard / "s2.png"), pixels_of(2))
    shard.write_bytes(whole[: last.offset] + bytes(512) + whole[last.offset_data :])
    with pytest.raises(DatasetError, match=r"s19\.png: damaged, or no PNG \(its shard 000000\.tar is damaged there"):
        read_png16(shard / "s19.png")


def test_a_member_or_a_shard_that_is_not_there_is_missing(shard, tmp_path):
    for path in (shard / "x.png", shard.with_name("000009.tar") / "s1.png"):
        assert in_shard(path) and not exists(path) and state(path) is None
        with pytest.raises(DatasetError, match=rf"{path.parent.name}/{path.name}: missing; prepare the dataset again"):
            read_png16(path)
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(DatasetError, match=r"text\.tar/x\.png: missing"):
        read_png16(tmp_path / "text.tar" / "x.png")


def test_a_folder_whose_name_ends_like_a_shard_is_a_folder(tmp_path):
    write_png16(tmp_path / "films.tar" / "a.png", pixels_of(1))
    assert not in_shard(tmp_path / "films.tar" / "a.png")
    np.testing.assert_array_equal(read_png16(tmp_path / "films.tar" / "a.png"), pixels_of(1))


def test_a_shard_that_is_made_anew_is_read_anew(shard, tmp_path):
    content(shard / "s1.json")
    write_shard(shard, [Sample("s1", text_of({"image_id": "new"}), ())])
    assert json.loads(content(shard / "s1.json")) == {"image_id": "new"}


def test_the_json_of_a_sample_is_written_anew_where_it_lies_and_nothing_else_changes(shard, tmp_path):
    size = shard.stat().st_size
    rewrite_texts(shard, {"s3": {"image_id": "s3", "split": "train"}, "a" * 120: {"split": "val"}})
    assert json.loads(content(shard / "s3.json")) == {"image_id": "s3", "split": "train"}
    assert json.loads(content(shard / ("a" * 120 + ".json"))) == {"split": "val"}
    assert shard.stat().st_size == size
    for file in (tmp_path / "loose").iterdir():
        assert content(shard / file.name) == file.read_bytes()
    with pytest.raises(ValueError, match=r"the JSON of s3 has .* bytes, and its place 512"):
        rewrite_texts(shard, {"s3": {"image_id": "s3", "note": "x" * 600}})


def test_a_disk_that_is_full_leaves_no_shard(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write_png16(tmp_path / "a.png", pixels_of(1))
    monkeypatch.setattr("ensemble_mammo.records.shard_writing._add", full)
    with pytest.raises(OutputError, match=r"000000\.tar: cannot be written: No space left on device"):
        write_shard(tmp_path / "shards" / "000000.tar", [Sample("a", b"{}", (("a.png", tmp_path / "a.png"),))])
    assert list((tmp_path / "shards").iterdir()) == [] and (tmp_path / "a.png").exists()


def test_keys_end_before_a_dot_and_stay_different():
    assert key_of("PH0001_1_CC_R") == "PH0001_1_CC_R"
    ids = ["a.b", "a%2Eb", "a b", "ä", "a+b,c=d", "a.c", "__a__"]
    keys = [key_of(name) for name in ids]
    assert len(set(keys)) == len(ids) and not any(set(key) & set("./ ") for key in keys) and all(map(str.isascii, keys))


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("500MB", 5 * 10**8), ("2GiB", 2**31), ("150 kb", 150_000), ("4096000", 4_096_000)],
)
def test_sizes_are_read_as_they_are_usually_written(text, size):
    assert size_from(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1XB", "-1GB", "0MB", "1 GB each", "1", "4096", "1.5kB"])
def test_other_texts_are_no_size(text):
    with pytest.raises(ValueError, match="is no size; expected a number and a unit, such as 1GB, 500MB or 2GiB"):
        size_from(text)


def test_what_tables_name_is_told_apart(shard, tmp_path):
    files = ["shards/000000.tar/s1.png", "images/CC_R/b.png"]
    table = pd.DataFrame({"view": "CC_R", "image_id": ["a", "b"], "file": files})
    assert as_if_loose(table).tolist() == ["images/CC_R/a.png", "images/CC_R/b.png"]
    named = [*files, "shards/000000.tar/s2.png", "", "images/CC_R/b.png"]
    expected = ["shards/000000.tar", "shards/000000.tar.index", "images/CC_R/b.png"]
    assert files_behind(tmp_path, named) == expected
