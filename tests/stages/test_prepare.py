import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import ensemble_mammo.stages.prepare.run as stage
import ensemble_mammo.stages.prepare.written as writing
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import read_dataset, read_description
from ensemble_mammo.records.png16 import read_png16, write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.conftest import DENSITIES, at_once

SMALL = Preparation(height=64)


@pytest.fixture
def few(exams, tmp_path):
    """Two subjects with their labels: seven images and one that is cut short."""
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "few" / name)
    shutil.copy(exams / "labels.csv", tmp_path / "few")
    return tmp_path / "few"


def options(archive, **fields):
    given = ArchiveOptions(labels=archive / "labels.csv", keep_ids=True)
    return PrepareOptions(given, **({"preparation": SMALL} | fields))


def cut(path):
    path.write_bytes(path.read_bytes()[:6000])
    return path


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_exactly_the_documented_files_are_written(dataset, exams):
    names = {path.relative_to(dataset.root).as_posix() for path in dataset.root.rglob("*") if path.is_file()}
    ids = [(f"PH{n:04d}", density) for n, density in enumerate(DENSITIES, start=1)]
    table = dataset.table.set_index(["subject_id", "view"])
    expected = {"manifest.csv", "dataset.json"}
    for subject, density in ids:
        for view in View:
            row = table.loc[(subject, view.value)]
            expected.add(f"images/{view}/{row['image_id']}.png")
            name = f"{subject}_{row['exam_id']}_{density}_{view}.png"
            expected.add(f"folders/density/{view}/{row['split']}/{density}/{name}")
            assert row["file"] == f"images/{view}/{row['image_id']}.png"
            assert row["source"] == f"{subject}/{view}.dcm" and row["density"] == density
            assert row["source_sha256"] == hashlib.sha256((exams / row["source"]).read_bytes()).hexdigest()
            assert (row["source_height"], row["source_width"]) == ("128", "102")
            assert row["pixel_spacing_mm"] == "0.4" and row["manufacturer"].startswith("PHANTOM WORKS")
    assert names == expected


def test_the_description_says_how_and_from_what_it_was_made(dataset, exams):
    description = read_description(dataset.root)
    assert description["kind"] == "dicom" and description["archive"] == str(exams.resolve())
    assert description["counts"]["images"] == 32 and description["counts"]["subjects"] == 8
    assert description["counts"]["views"] == dict.fromkeys(sorted(View), 8)
    assert description["left_out"] == [{"source": "labels.csv", "reason": "not an image"}]
    assert dataset.preparation == Preparation(height=96)


def test_images_are_grey_16_bit_pngs_of_the_asked_height_and_use_more_than_8_bits(dataset):
    for file in dataset.table["file"]:
        with Image.open(dataset.root / file) as image:
            assert image.format == "PNG" and image.mode == "I;16" and image.height == 96
            assert image.width <= 96
    assert len(np.unique(read_png16(dataset.root / dataset.table["file"][0]))) > 256


def test_the_folder_per_class_tree_is_of_hard_links(dataset):
    linked = list((dataset.root / "folders").rglob("*.png"))
    inodes = {(dataset.root / file).stat().st_ino for file in dataset.table["file"]}
    assert len(linked) == 32 and {path.stat().st_ino for path in linked} == inodes


def test_a_subject_is_in_one_split_in_all_four_views(dataset):
    splits = dataset.table.groupby("subject_id")["split"].agg(["nunique", "size"])
    assert (splits["nunique"] == 1).all() and (splits["size"] == 4).all()
    first = dataset.table.drop_duplicates("subject_id")
    assert first["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 2}


def test_the_tree_is_an_archive_of_its_own_that_keeps_its_splits(dataset, tmp_path, in_process):
    again = prepare(
        "folders", dataset.root / "folders" / "density", tmp_path / "again", PrepareOptions(ArchiveOptions())
    )
    key = ["subject_id", "exam_id", "view"]
    columns = [*key, "split", "density"]
    expected, found = (table[columns].sort_values(key).reset_index(drop=True) for table in (dataset.table, again.table))
    pd.testing.assert_frame_equal(found, expected)


def test_folds_are_written_by_subject(few, tmp_path, in_process):
    made = prepare("dicom", few, tmp_path / "out", options(few, division=Division(folds=2)))
    assert set(made.table["fold"]) == {"0", "1"}
    assert (made.table.groupby("subject_id")["fold"].nunique() == 1).all()
    assert read_description(made.root)["folds"] == 2


def test_one_and_two_workers_give_the_same_bytes(few, tmp_path):
    for workers in (1, 2):
        prepare("dicom", few, tmp_path / str(workers), options(few, workers=workers))
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_the_archive_is_unchanged(few, tmp_path, in_process):
    before = tree(few), {path: path.stat().st_mtime_ns for path in few.rglob("*")}
    prepare("dicom", few, tmp_path / "out", options(few))
    assert (tree(few), {path: path.stat().st_mtime_ns for path in few.rglob("*")}) == before


def test_ids_are_pseudonyms_by_default_with_the_key_beside_the_dataset(few, tmp_path, in_process):
    archive = ArchiveOptions(labels=few / "labels.csv")
    made = prepare("dicom", few, tmp_path / "out", PrepareOptions(archive, SMALL))
    assert (tmp_path / "out.key").is_file()
    assert not list((tmp_path / "out").rglob("*.key"))
    written = "".join(p.read_text() for p in (made.root / "manifest.csv", made.root / "dataset.json"))
    assert not set(made.table["subject_id"]) & {"PH0001", "PH0002"}
    assert "2.25." not in written and (tmp_path / "out.key").read_text().strip() not in written


def test_with_pseudonyms_no_path_of_the_users_stands_in_the_dataset(few, tmp_path, in_process):
    cut(few / "PH0002" / "MLO_R.dcm")
    archive = ArchiveOptions(labels=few / "labels.csv")
    made = prepare("dicom", few, tmp_path / "out", PrepareOptions(archive, SMALL))
    assert set(made.table["source"]) == {""}
    description = read_description(made.root)
    assert "archive" not in description
    assert [one["count"] for one in description["left_out"]] == [1, 1]
    assert {"reason": "not an image", "count": 1} in description["left_out"]
    written = "".join(p.read_text() for p in (made.root / "manifest.csv", made.root / "dataset.json"))
    assert "PH000" not in written and str(few) not in written
    sources = pd.read_csv(tmp_path / "out.sources.csv", keep_default_na=False)
    assert list(sources.columns) == ["image_id", "source", "reason"]
    assert sources["image_id"].tolist() == [*made.table["image_id"], "", ""]
    assert sources["source"].tolist()[-2:] == ["labels.csv", "PH0002/MLO_R.dcm"]
    assert "cannot be decoded" in sources["reason"].iloc[-1]


def test_with_ids_kept_the_sources_stand_in_the_dataset_alone(few, tmp_path, in_process):
    prepare("dicom", few, tmp_path / "out", options(few))
    assert not (tmp_path / "out.sources.csv").exists()


def test_an_interruption_of_the_class_tree_leaves_no_manifest_and_is_mended(few, tmp_path, monkeypatch, in_process):
    def interrupted(dataset):
        stage_write(dataset)
        raise KeyboardInterrupt

    stage_write = writing.write_folders
    monkeypatch.setattr(writing, "write_folders", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("dicom", few, tmp_path / "out", options(few))
    assert not (tmp_path / "out" / "manifest.csv").exists()
    monkeypatch.setattr(writing, "write_folders", stage_write)
    other = options(few, division=Division((0.0, 0.0, 1.0)))
    assert len(prepare("dicom", few, tmp_path / "out", other).table) == 8
    trees = {path.relative_to(tmp_path / "out").parts[3] for path in (tmp_path / "out" / "folders").rglob("*.png")}
    assert trees == {"test"} and not (tmp_path / "out" / ".prepare.jsonl").exists()


def test_the_key_is_refused_inside_the_dataset(few, tmp_path):
    archive = ArchiveOptions(key=tmp_path / "out" / "my.key")
    with pytest.raises(OutputError, match=r"my\.key: the key of the pseudonyms never lies inside the dataset"):
        prepare("dicom", few, tmp_path / "out", PrepareOptions(archive, SMALL))


def test_an_interrupted_call_is_taken_up_where_it_ended(few, tmp_path, monkeypatch, in_process):
    done = []

    def counted(path, *rest):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(path.name)
        return read_mammogram(path, *rest)

    monkeypatch.setattr("ensemble_mammo.imaging.prepared_files.read_mammogram", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare("dicom", few, tmp_path / "out", options(few))
    assert not (tmp_path / "out" / "manifest.csv").exists()
    first = list(done)
    # the machine went down while a line was being written
    journal = tmp_path / "out" / ".prepare.jsonl"
    journal.write_text(journal.read_text()[:-20])
    done.clear()
    prepare("dicom", few, tmp_path / "out", options(few))
    assert len(first) == 5 and len(done) == 4
    assert not journal.exists()
    monkeypatch.undo()
    monkeypatch.setattr("ensemble_mammo.archives.dicom.spread", at_once)
    monkeypatch.setattr(stage, "spread", at_once)
    prepare("dicom", few, tmp_path / "whole", options(few))
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_killed_process_is_taken_up_where_it_ended_and_leaves_nothing_half_written(few, tmp_path, in_process):
    out, journal = tmp_path / "out", tmp_path / "out" / ".prepare.jsonl"
    words = ["prepare", "dicom", few, "--labels", few / "labels.csv", "--keep-ids", "--height", "64", "--out", out]
    command = [sys.executable, "-c", "from ensemble_mammo.cli import main; main()", *map(str, words), "--workers", "1"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not journal.exists() or journal.read_text().count("\n") < 3):
            time.sleep(0.002)
        process.kill()
    assert not (out / "manifest.csv").exists(), "the process was to be killed before its end"
    (out / "images" / "CC_R" / ".x.png.abc.png").write_bytes(b"half")
    keys = [json.loads(line)["key"].split("|") for line in journal.read_text().splitlines()[1:] if line.endswith("}")]
    kept = {path: path.stat().st_mtime_ns for path in (out / "images" / view / f"{i}.png" for _, i, view, *_ in keys)}
    prepare("dicom", few, out, options(few))
    assert len(kept) >= 2 and all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    prepare("dicom", few, tmp_path / "whole", options(few))
    assert tree(out) == tree(tmp_path / "whole")


def test_what_was_prepared_otherwise_or_has_changed_is_done_again(few, tmp_path, monkeypatch, in_process):
    done = []

    def counted(path, *rest):
        done.append(path.name)
        if len(done) == 5:
            raise KeyboardInterrupt
        return read_mammogram(path, *rest)

    monkeypatch.setattr("ensemble_mammo.imaging.prepared_files.read_mammogram", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare("dicom", few, tmp_path / "out", options(few))
    os.utime(few / "PH0001" / "CC_L.dcm", (1, 1))
    done[:] = [""] * 10
    prepare("dicom", few, tmp_path / "out", options(few))
    assert len(done) - 10 == 5, "the four that were missing and the one that is another file now"
    other = options(few, preparation=Preparation(height=80), restart=True)
    assert prepare("dicom", few, tmp_path / "out", other).preparation.height == 80
    assert {read_png16(path).shape[0] for path in (tmp_path / "out" / "images").rglob("*.png")} == {80}


def test_a_damaged_file_is_listed_with_its_reason_and_is_not_fatal(few, tmp_path, caplog, in_process):
    cut(few / "PH0002" / "MLO_R.dcm")
    with caplog.at_level(logging.WARNING):
        made = prepare("dicom", few, tmp_path / "out", options(few))
    assert len(made.table) == 7
    [listed] = [one for one in read_description(made.root)["left_out"] if one["source"] == "PH0002/MLO_R.dcm"]
    assert "cannot be decoded" in listed["reason"]
    assert "PH0002/MLO_R.dcm" in caplog.text


@pytest.mark.parametrize("damage", ["pixels", "header"])
def test_a_damaged_file_is_fatal_when_told_so(few, tmp_path, in_process, damage):
    if damage == "pixels":
        cut(few / "PH0002" / "MLO_R.dcm")
    else:
        (few / "PH0002" / "MLO_R.dcm").write_text("no image")
    with pytest.raises(DatasetError, match=r"PH0002/MLO_R\.dcm: .* \(--strict; without it the file is left out\)"):
        prepare("dicom", few, tmp_path / "out", options(few, strict=True))
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_files_that_are_no_images_are_not_fatal_when_strict(few, tmp_path, in_process):
    (few / "readme.txt").write_text("hello")
    assert len(prepare("dicom", few, tmp_path / "out", options(few, strict=True)).table) == 8


def test_when_nothing_could_be_prepared_nothing_is_left(few, tmp_path, in_process):
    for path in few.rglob("*.dcm"):
        cut(path)
    with pytest.raises(DatasetError, match="few: no file could be prepared; first: "):
        prepare("dicom", few, tmp_path / "out", options(few))
    assert not (tmp_path / "out").exists()


def test_an_existing_dataset_is_kept_unless_told_otherwise(few, tmp_path, in_process):
    made = prepare("dicom", few, tmp_path / "out", options(few))
    before = tree(made.root)
    with pytest.raises(OutputError, match="out: holds a dataset already; give another --out, or --restart"):
        prepare("dicom", few, tmp_path / "out", options(few))
    with pytest.raises(DatasetError, match="no such folder"):
        prepare("dicom", tmp_path / "nowhere", tmp_path / "out", PrepareOptions(restart=True))
    assert tree(made.root) == before
    shutil.rmtree(few / "PH0002")
    assert len(prepare("dicom", few, tmp_path / "out", options(few, restart=True)).table) == 4
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 4


def test_a_folder_with_other_files_is_refused_and_left_alone_with_restart_too(few, tmp_path, in_process):
    write_png16(tmp_path / "out" / "images" / "mine.png", np.zeros((4, 4), np.uint16))
    (tmp_path / "out" / "manifest.csv").write_text("mine")
    before = tree(tmp_path / "out")
    with pytest.raises(OutputError, match="give a new or an empty folder"):
        prepare("dicom", few, tmp_path / "out", options(few, restart=True))
    (tmp_path / "out" / "manifest.csv").rename(tmp_path / "out" / "lesions.csv")
    with pytest.raises(OutputError, match="give a new or an empty folder"):
        prepare("dicom", few, tmp_path / "out", options(few))
    assert set(tree(tmp_path / "out").values()) == set(before.values())


def test_the_dataset_and_the_archive_never_lie_in_each_other(few, tmp_path):
    before = tree(few)
    for restart in (False, True):
        with pytest.raises(OutputError, match=r"lies inside the archive .*; an archive is never changed"):
            prepare("dicom", few, few / "out", options(few, restart=restart))
        with pytest.raises(OutputError, match=r"the archive .*few lies inside it; give another --out"):
            prepare("dicom", few, tmp_path, options(few, restart=restart))
    assert tree(few) == before


def test_an_unknown_kind_is_refused(few, tmp_path):
    with pytest.raises(DatasetError, match="archive kind 'nifti' is not one of folders, dicom, inbreast"):
        prepare("nifti", few, tmp_path / "out")


def test_a_subject_in_two_splits_of_the_archive_is_refused_before_any_work(tmp_path):
    for split, view in (("train", "CC_R"), ("test", "CC_L")):
        for name in "ABCD":
            (tmp_path / "in" / view / split / name).mkdir(parents=True)
        write_png16(tmp_path / "in" / view / split / "A" / f"001_1_A_{view}.png", np.zeros((64, 64), np.uint16))
    with pytest.raises(DatasetError, match="subject '001' stands in the splits test, train of the archive"):
        prepare("folders", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"shares": (0.8, 0.1, 0.2)}, "split 0.8:0.1:0.2 does not add up to 1"),
        ({"shares": (float("nan"), 0.5, 0.5)}, "does not add up to 1"),
        ({"folds": 1}, "folds is 1, expected 0 or at least 2"),
    ],
)
def test_a_division_that_is_none_is_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        Division(**fields)


@pytest.mark.real
def test_the_infn_example_becomes_a_dataset(real_data, tmp_path, in_process):
    made = prepare(
        "folders", real_data / "infn-density" / "TestSet", tmp_path / "out", PrepareOptions(preparation=SMALL)
    )
    assert len(made.table) == 8 and set(made.table["split"]) == {"test"}
    assert read_dataset(tmp_path / "out").fingerprint() == made.fingerprint()
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["kind"] == "folders"
