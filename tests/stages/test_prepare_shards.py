"""prepare --shards: the same dataset in tar shards, whatever interrupts it; training learns the same from it."""

import hashlib
import json
import os
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging import prepared_files
from ensemble_mammo.imaging.phantom_cbis import write_phantom_cbis
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records import shard_writing
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import read_dataset, read_description
from ensemble_mammo.records.png16 import read_mask, read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.shards import content, in_shard
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.audit import AuditOptions, audit
from ensemble_mammo.stages.prepare import PrepareOptions, packing, prepare, written
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.join import join
from tests.conftest import without_workers
from tests.learning.tiny import tiny_recipe

SIZE = 50_000
"""Of a shard: three images of these phantoms fit, or four."""
COUNT = 11
"""Shards of all of them."""
DIVISION = Division((0.5, 0.25, 0.25), folds=2)


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def options(exams, **fields):
    given = ArchiveOptions(labels=exams / "labels.csv", keep_ids=True)
    return PrepareOptions(given, **({"preparation": Preparation(height=96), "division": DIVISION} | fields))


@pytest.fixture(scope="module")
def plain(exams, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        return prepare("dicom", exams, tmp_path_factory.mktemp("plain") / "dataset", options(exams))


@pytest.fixture(scope="module")
def sharded(exams, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        return prepare("dicom", exams, tmp_path_factory.mktemp("sharded") / "dataset", options(exams, shards=SIZE))


@pytest.fixture(scope="module")
def few(exams, tmp_path_factory):
    """Three of the subjects."""
    folder = tmp_path_factory.mktemp("few")
    for name in ("PH0001", "PH0002", "PH0003"):
        shutil.copytree(exams / name, folder / name)
    shutil.copy(exams / "labels.csv", folder)
    return folder


@pytest.fixture(scope="module")
def packed(few, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        return prepare("dicom", few, tmp_path_factory.mktemp("packed") / "dataset", options(few, shards=SIZE))


def names_in(shard):
    with tarfile.open(shard) as tar:
        return tar.getnames()


def test_exactly_the_documented_files_are_written(sharded):
    names = set(tree(sharded.root))
    shards = {name for name in names if name.endswith(".tar")}
    assert len(shards) == COUNT and names == shards | {f"{name}.index" for name in shards} | {
        "manifest.parquet",
        "dataset.json",
    }
    assert all((sharded.root / name).stat().st_size <= SIZE for name in shards)
    assert read_description(sharded.root)["shards"] == {"count": COUNT, "size": SIZE}


def test_rows_images_and_fingerprint_are_those_of_the_plain_dataset(plain, sharded):
    pd.testing.assert_frame_equal(sharded.table.drop(columns="file"), plain.table.drop(columns="file"))
    assert sharded.fingerprint() == plain.fingerprint()
    for packed, loose in zip(sharded.table["file"], plain.table["file"], strict=True):
        assert content(sharded.root / packed) == (plain.root / loose).read_bytes()
    before = read_description(plain.root)
    assert read_description(sharded.root) == before | {"shards": {"count": COUNT, "size": SIZE}}


def test_the_shards_alone_say_what_the_manifest_says(sharded):
    rows = sharded.table.set_index("image_id")
    seen = []
    for shard in sorted((sharded.root / "shards").glob("*.tar")):
        names = names_in(shard)
        assert names[::2] == [name.replace(".json", ".png") for name in names[1::2]]
        for name in names[1::2]:
            found = json.loads(content(shard / name))
            row = rows.loc[found.pop("image_id")]
            assert found == {key: value for key, value in row.to_dict().items() if value}
            assert found["split"] and found["fold"] and found["density"]
            seen.append(row.name)
    assert seen == sharded.table["image_id"].tolist()


def test_an_image_that_is_larger_than_a_shard_has_one_of_its_own(few, tmp_path, in_process):
    made = prepare("dicom", few, tmp_path / "out", options(few, shards=1))
    assert [file.split("/")[1] for file in made.table["file"]] == [f"{number:06d}.tar" for number in range(12)]


def test_masks_and_full_sizes_of_lesions_are_packed_too(tmp_path, in_process):
    write_phantom_cbis(tmp_path / "cbis", subjects=8, height=160, quirks=False)
    made = {}
    for shards in (0, 200_000):
        given = ArchiveOptions(task="pathology")
        how = PrepareOptions(given, Preparation(height=96), full_size=True, shards=shards)
        made[shards] = prepare("cbis-ddsm", tmp_path / "cbis", tmp_path / str(shards), how)
    plain, packed = made.values()
    assert set(tree(packed.root)) >= {"lesions.csv"} and not (packed.root / "masks").exists()
    files = ["mask", "full_mask"]
    pd.testing.assert_frame_equal(packed.lesions().drop(columns=files), plain.lesions().drop(columns=files))
    for name in files:
        for loose, member in zip(plain.lesions()[name], packed.lesions()[name], strict=True):
            np.testing.assert_array_equal(read_mask(packed.root / member), read_mask(plain.root / loose))
    for loose, member in zip(plain.table["full_file"], packed.table["full_file"], strict=True):
        np.testing.assert_array_equal(read_png16(packed.root / member), read_png16(plain.root / loose))
    lesion = packed.lesions().iloc[0]
    shard = packed.root / lesion["mask"].rpartition("/")[0]
    said = json.loads(content(shard / f"{lesion['image_id']}.json"))["lesions"][0]
    assert said == {name: value for name, value in lesion.to_dict().items() if value}


class Interrupted(BaseException):
    """Stands for Ctrl-C, a kill, or a machine that goes down."""


def stopped_after(monkeypatch, module, name, calls):
    """Let a function be called so many times, then end the call of prepare in the middle of it."""
    whole, done = getattr(module, name), []

    def counted(*args, **named):
        if len(done) == calls:
            raise Interrupted
        done.append(args)
        return whole(*args, **named)

    monkeypatch.setattr(module, name, counted)
    return done


@pytest.mark.parametrize(
    ("place", "name", "calls"),
    [
        (prepared_files, "read_mammogram", 7),
        (shard_writing, "_add", 11),
        (shard_writing, "write_bytes", 1),
        (packing, "rewrite_texts", 2),
        (written, "write_table", 0),
    ],
    ids=["between images", "in a shard", "before its index", "in the JSON of samples", "before the manifest"],
)
def test_an_interrupted_call_goes_on_and_comes_to_the_same_bytes(
    few, packed, tmp_path, monkeypatch, in_process, place, name, calls
):
    with monkeypatch.context() as patch:
        stopped_after(patch, place, name, calls)
        with pytest.raises(Interrupted):
            prepare("dicom", few, tmp_path / "out", options(few, shards=SIZE))
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    with pytest.raises(DatasetError, match=r"out: no manifest"):
        read_dataset(tmp_path / "out")
    journal = (tmp_path / "out" / ".prepare.jsonl").read_text().splitlines()[1:]
    images = [line for line in journal if not json.loads(line)["key"].startswith("shards|")]
    again = stopped_after(monkeypatch, prepared_files, "read_mammogram", 99)
    prepare("dicom", few, tmp_path / "out", options(few, shards=SIZE))
    assert tree(tmp_path / "out") == tree(packed.root)
    assert len(again) == 12 - len(images) <= 5, "nothing that was done is done again"


def test_loose_files_are_never_more_than_those_of_the_open_shard(few, tmp_path, monkeypatch, in_process):
    counts = []

    def counted(path, *rest):
        counts.append(len(list((tmp_path / "out").rglob("*.png"))))
        return read_mammogram(path, *rest)

    monkeypatch.setattr("ensemble_mammo.imaging.prepared_files.read_mammogram", counted)
    prepare("dicom", few, tmp_path / "out", options(few, shards=SIZE))
    assert len(counts) == 12 and max(counts) <= 5


def test_a_shard_of_images_that_have_changed_is_made_anew(few, tmp_path, monkeypatch, in_process):
    archive = shutil.copytree(few, tmp_path / "exams")
    with monkeypatch.context() as patch:
        stopped_after(patch, packing, "rewrite_texts", 0)
        with pytest.raises(Interrupted):
            prepare("dicom", archive, tmp_path / "out", options(archive, shards=SIZE))
    shutil.copy(archive / "PH0002" / "CC_L.dcm", archive / "PH0003" / "CC_L.dcm")
    os.utime(archive / "PH0003" / "CC_L.dcm", (1, 1))
    shutil.rmtree(archive / "PH0001")
    for out in ("out", "whole"):
        prepare("dicom", archive, tmp_path / out, options(archive, shards=SIZE))
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_another_size_or_loose_files_begin_anew_and_leave_nothing_of_the_other(
    few, packed, tmp_path, monkeypatch, in_process
):
    plain = prepare("dicom", few, tmp_path / "plain", options(few))
    for first, then, expected in ((SIZE, 0, plain), (0, SIZE, packed), (30_000, SIZE, packed)):
        out = tmp_path / f"{first}-{then}"
        with monkeypatch.context() as patch:
            stopped_after(patch, prepared_files, "read_mammogram", 9)
            with pytest.raises(Interrupted):
                prepare("dicom", few, out, options(few, shards=first))
        prepare("dicom", few, out, options(few, shards=then))
        assert tree(out) == tree(expected.root)
    prepare("dicom", few, out, options(few, restart=True))
    assert tree(out) == tree(plain.root)


def test_a_full_disk_ends_the_work_and_loses_nothing(few, packed, tmp_path, monkeypatch, in_process):
    def full(path):
        raise OutputError(f"{path}: cannot be written: No space left on device")

    for place in (
        "ensemble_mammo.imaging.prepared_files.write_png16",
        "ensemble_mammo.stages.prepare.packing.write_shard",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda path, *_: full(path))
            with pytest.raises(OutputError, match="No space left on device"):
                prepare("dicom", few, tmp_path / "out", options(few, shards=SIZE))
    prepare("dicom", few, tmp_path / "out", options(few, shards=SIZE))
    assert tree(tmp_path / "out") == tree(packed.root)


def test_the_command_line_takes_a_size_and_refuses_what_is_none(few, packed, tmp_path, in_process):
    words = ["prepare", "dicom", few, "--labels", few / "labels.csv", "--keep-ids", "--height", "96"]
    words += ["--split", "50:25:25", "--folds", "2", "--out", tmp_path / "out"]
    called = CliRunner().invoke(app, [*map(str, words), "--shards", "50kB"])
    assert called.exit_code == 0, called.output
    assert tree(tmp_path / "out") == tree(packed.root)
    for kind, size, found in (
        ("dicom", "many", "is no size"),
        ("join", "1GB", "a join takes shards"),
        ("control", "1GB", "a control has a file"),
    ):
        called = CliRunner().invoke(app, ["prepare", kind, str(few), "--out", str(tmp_path / "no"), "--shards", size])
        assert called.exit_code == 2 and found in " ".join(called.output.split())
    assert not (tmp_path / "no").exists()


def test_training_learns_the_same_bit_by_bit_and_goes_on_with_the_other_copy(plain, sharded, tmp_path):
    torch.set_num_threads(1)
    recipe = tiny_recipe("test_resnet")
    histories, weights = [], []
    for name, dataset in (("plain", plain), ("sharded", sharded)):
        result = train(dataset, View.CC_R, recipe, tmp_path / name, TrainOptions(device="cpu", workers=2))
        histories.append(result.history.drop(columns=["seconds", "images_per_second"], errors="ignore"))
        weights.append(load_file(result.folder / "weights.safetensors"))
    timed = [c for c in histories[0] if "second" in c or "share" in c or "wait" in c or "memory" in c]
    pd.testing.assert_frame_equal(*(table.drop(columns=timed) for table in histories), check_exact=True)
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    taken = train(sharded, View.CC_R, recipe, tmp_path / "plain", TrainOptions(device="cpu"))
    assert taken.info == train(plain, View.CC_R, recipe, tmp_path / "plain", TrainOptions(device="cpu")).info


def test_a_damaged_member_ends_training_with_its_shard_and_name(sharded, tmp_path):
    root = shutil.copytree(sharded.root, tmp_path / "data")
    file = sharded.rows(View.CC_R, "train")["file"].iloc[0]
    shard, _, name = file.rpartition("/")
    whole = (root / shard).read_bytes()
    at = whole.index(name.encode()) + 512
    (root / shard).write_bytes(whole[: at + 40] + bytes(60) + whole[at + 100 :])
    with pytest.raises(DatasetError, match=rf"{shard}/{name}: damaged, or no PNG"):
        train(read_dataset(root), View.CC_R, tiny_recipe("test_resnet"), tmp_path / "runs", TrainOptions(device="cpu"))


def test_an_audit_sees_the_same_and_its_fixes_link_the_shards(plain, sharded, tmp_path, in_process):
    found = [audit(dataset.root, None, AuditOptions()) for dataset in (plain, sharded)]
    assert [len(one.problems) for one in found] == [len(found[0].problems)] * 2 and found[0].files == found[1].files
    assert [one.code for one in found[0].problems] == [one.code for one in found[1].problems]
    audit(sharded.root, tmp_path / "mended", AuditOptions(fix=True))
    mended = read_dataset(tmp_path / "mended")
    assert mended.table["file"].tolist() == sharded.table["file"].tolist()
    one = sharded.table["file"].iloc[0].rpartition("/")[0]
    assert (mended.root / one).stat().st_ino == (sharded.root / one).stat().st_ino
    assert not (mended.root / "folders").exists()


def test_sharded_and_plain_datasets_are_joined_without_unpacking(plain, sharded, tmp_path):
    (tmp_path / "plan.csv").write_text(f"collection,dataset\none,{sharded.root}\ntwo,{plain.root}\n")
    joined = join(tmp_path / "plan.csv", tmp_path / "out")
    assert (joined.root / "manifest.parquet").is_file() and len(list((joined.root / "shards").glob("*.tar"))) == COUNT
    for dataset, name in ((sharded, "one"), (plain, "two")):
        rows = joined.table[joined.table["collection"] == name]
        for new, old in zip(rows["file"], dataset.table["file"], strict=True):
            assert content(joined.root / new) == content(dataset.root / old)
            assert in_shard(joined.root / new) == (name == "one")
    assert {p.name for p in (joined.root / "folders" / "density").rglob("*.png")} and len(joined.table) == 64
