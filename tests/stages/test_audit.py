"""Faults planted in phantom archives: each is found, and nothing else is named."""

import csv
import dataclasses
import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset as Elements
from pydicom.sequence import Sequence

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.inspect import inspect_file
from ensemble_mammo.imaging.phantom import phantom_exam, write_phantom_exams
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import read_dataset, read_description
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.audit import Audit, AuditOptions, audit
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.conftest import at_once

FAULTS: dict[str, object] = {}
SUBJECTS = 26


def planted(code, name, severity="warning"):
    """Register a function that spoils `<folder>/<name>`; it may return the file that is to be named."""

    def register(spoil):
        FAULTS[spoil.__name__] = (code, name, severity, spoil)
        return spoil

    return register


def values(found):
    return found.pixel_array.astype(np.int64)


def stored(found, pixels, path):
    found.PixelData = np.ascontiguousarray(pixels).astype("<u2").tobytes()
    found.Rows, found.Columns = pixels.shape
    found.save_as(path)


def changed(path, **elements):
    found = dcmread(path)
    for name, value in elements.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    found.save_as(path)


@planted("unreadable", "PH0001/CC_L.dcm", "error")
def a_file_cut_short(path):
    path.write_bytes(path.read_bytes()[:9000])


@planted("inverted", "PH0002/MLO_R.dcm", "error")
def pixels_turned_without_a_word(path):
    found = dcmread(path)
    stored(found, 4095 - values(found), path)


@planted("windows", "PH0003/CC_L.dcm", "info")
def two_windows(path):
    changed(path, WindowCenter=[2048, 1000], WindowWidth=[4096, 800])


@planted("no-window", "PH0003/CC_R.dcm", "info")
def no_window(path):
    changed(path, WindowCenter=None, WindowWidth=None)


@planted("bits-unused", "PH0005/CC_L.dcm")
def twelve_of_sixteen_bits(path):
    changed(path, BitsStored=16, HighBit=15)


@planted("for-processing", "PH0006/CC_L.dcm")
def a_raw_image(path):
    changed(path, PresentationIntentType="FOR PROCESSING")


@planted("conflict", "PH0007/CC_L.dcm", "error")
def a_header_against_its_name(path):
    changed(path, ImageLaterality="R")


@planted("side-by-pixels", "PH0009/MLO_L.dcm")
def an_image_turned_over(path):
    found = dcmread(path)
    stored(found, values(found)[:, ::-1], path)


@planted("view-by-pixels", "PH0010/CC_R.dcm")
def projections_exchanged(path):
    other = path.with_name("MLO_R.dcm")
    cc, mlo = dcmread(path), dcmread(other)
    first, second = values(cc), values(mlo)
    stored(cc, second, path)
    stored(mlo, first, other)


@planted("ml-view", "PH0011/X1.dcm")
def an_ml_that_may_be_an_mlo(path):
    path.with_name("MLO_L.dcm").rename(path)
    changed(path, ViewPosition="ML", ViewCodeSequence=None)


@planted("other-view", "PH0011/X2.dcm", "info")
def an_exaggerated_view(path):
    path.with_name("CC_L.dcm").rename(path)
    changed(path, ViewPosition="XCCL", ViewCodeSequence=None)


@planted("special-view", "PH0013/CC_L.dcm")
def a_spot_view(path):
    found = dcmread(path)
    modifier = Elements()
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = "R-102D7", "SRT", "Spot Compression"
    found.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([modifier])
    found.save_as(path)


@planted("special-view", "PH0013/CC_R.dcm")
def a_magnified_view(path):
    changed(path, EstimatedRadiographicMagnificationFactor=1.8)


@planted("implant", "PH0013/MLO_R.dcm", "info")
def an_implant(path):
    changed(path, BreastImplantPresent="YES")


@planted("text-inside", "PH0014/MLO_L.dcm")
def writing_inside_the_breast(path):
    found = dcmread(path)
    picture = Image.new("L", (found.Columns, found.Rows))
    place = (found.Columns // 8, found.Rows // 2)
    ImageDraw.Draw(picture).text(place, "LMLO 12", fill=255, font=ImageFont.load_default(size=20))
    stored(found, np.maximum(values(found), np.asarray(picture, np.int64) * 4095 // 255), path)


@planted("background", "PH0015/CC_L.dcm")
def a_grey_background(path):
    found = dcmread(path)
    stored(found, np.clip(values(found) + 600, 0, 4095), path)


@planted("little-breast", "PH0017/CC_L.dcm")
def a_black_image(path):
    found = dcmread(path)
    stored(found, values(found) // 200, path)


@planted("duplicate", "PH0018/CC_L.dcm")
def the_same_pixels_twice(path):
    shutil.copy(path, path.with_name("CC_L_again.dcm"))


@planted("duplicate-subject", "PH0018/MLO_L.dcm", "error")
def the_same_pixels_under_another_subject(path):
    found = dcmread(path)
    other = dcmread(path.parents[1] / "PH0019" / "MLO_L.dcm")
    stored(other, values(found), path.parents[1] / "PH0019" / "MLO_L.dcm")


@planted("near-duplicate-subject", "PH0021/CC_R.dcm")
def a_recompressed_copy_turned_over_under_another_subject(path):
    pixels = Image.fromarray((values(dcmread(path)) // 16).astype(np.uint8)[:, ::-1]).resize((400, 500))
    buffer = BytesIO()
    pixels.save(buffer, format="JPEG", quality=80)
    (path.parents[1] / "PH0099").mkdir()
    (path.parents[1] / "PH0099" / "CC_L.jpg").write_bytes(buffer.getvalue())


@planted("size", "PH0022/CC_L.dcm", "info")
def a_small_image(path):
    found = dcmread(path)
    stored(found, values(found)[::3, ::3], path)


@planted("spacing", "PH0022/CC_R.dcm")
def another_pixel_spacing(path):
    changed(path, ImagerPixelSpacing=[0.04, 0.04])


@planted("no-view", "PH0023/unnamed.png", "info")
def a_picture_whose_name_says_nothing(path):
    found = dcmread(path.with_name("MLO_R.dcm"))
    pixels = Image.fromarray((values(found) // 16).astype(np.uint8))
    path.with_name("MLO_R.dcm").unlink()
    pixels.save(path)


@pytest.fixture(autouse=True)
def here(monkeypatch, in_process):
    monkeypatch.setattr("ensemble_mammo.stages.audit.run.spread", at_once)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "exams"
    write_phantom_exams(folder, SUBJECTS, height=320)
    (folder / "labels.csv").rename(folder.parent / "labels.csv")
    return folder


@pytest.fixture(scope="module")
def spoilt(clean, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoilt") / "exams"
    shutil.copytree(clean, folder)
    for _, name, _, spoil in FAULTS.values():
        spoil(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ensemble_mammo.stages.audit.run.spread", at_once)
        return audit(folder, folder.parent / "audit")


def named(found: Audit):
    """(code, file) of all that is more than a fact of every phantom."""
    return {(one.code, one.where) for one in found.problems if one.code not in ("burned-in", "monochrome1")}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found(spoilt, fault):
    code, name, severity, _ = FAULTS[fault]
    found = [one for one in spoilt.problems if one.code == code and name in (one.where, *one.others)]
    assert len(found) == 1 and found[0].severity == severity


@pytest.mark.slow
def test_nothing_but_the_planted_faults_is_named(spoilt):
    expected = {(code, name) for code, name, *_ in FAULTS.values()}
    expected |= {("presentations", "the set"), ("bits-unused", "PH0017/CC_L.dcm")}  # follow from the raw, the black one
    assert named(spoilt) == expected
    assert spoilt.failed


@pytest.mark.slow
def test_nothing_is_named_on_clean_phantoms_and_nothing_is_changed(clean, tmp_path):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in clean.rglob("*")}
    found = audit(clean, tmp_path / "audit")
    assert named(found) == set() and not found.failed
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in clean.rglob("*")} == before
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.json", "audit.csv", "audit.html"}
    table = pd.read_csv(tmp_path / "audit" / "audit.csv")
    assert len(table) == 4 * SUBJECTS and table["pixel_sha256"].nunique() == len(table)


@pytest.mark.slow
def test_the_contact_sheet_shows_each_problem_once_with_pictures_and_names_no_patient_id(spoilt, tmp_path):
    spoilt.write(tmp_path)
    page = (tmp_path / "audit.html").read_text()
    assert page.count('<tr class="problem">') == sum(min(60, n) for _, _, n, _ in spoilt.counts())
    assert "data:image/webp;base64," in page and "<script" not in page
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document["failed"] and document["files"] == len(spoilt.rows) + 1
    assert {one["code"] for one in document["problems"]} >= {code for code, *_ in FAULTS.values()}


@pytest.mark.slow
def test_fix_writes_a_manifest_that_prepare_takes_with_every_decision_logged(clean, tmp_path):
    exams = tmp_path / "exams"
    shutil.copytree(clean, exams, ignore=lambda _, names: [n for n in names if n.startswith("PH") and n > "PH0006"])
    pixels_turned_without_a_word(exams / "PH0002" / "MLO_R.dcm")
    the_same_pixels_twice(exams / "PH0003" / "CC_L.dcm")
    out = tmp_path / "mended"
    audit(exams, out, AuditOptions(fix=True))
    fixes = pd.read_csv(out / "fixes.csv")
    assert sorted(zip(fixes["file"], fixes["column"], fixes["before"], fixes["after"], strict=True)) == [
        ("PH0002/MLO_R.dcm", "turn", "no", "yes"),
        ("PH0003/CC_L_again.dcm", "row", "kept", "left out"),
    ]
    manifest = pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)
    assert len(manifest) == 25 and not manifest["subject_id"].str.startswith("PH").any()
    assert (tmp_path / "mended.key").is_file()
    whole = prepare("dicom", exams, tmp_path / "plain", PrepareOptions(ArchiveOptions(), Preparation(height=64)))
    made = prepare("manifest", out, tmp_path / "made", PrepareOptions(preparation=Preparation(height=64)))
    assert len(made.table) == 24 and len(whole.table) == 25
    assert set(made.table["source"]) == {""}, "paths tell patients whose ids were hidden"
    sources = pd.read_csv(tmp_path / "made.sources.csv").set_index("source")["image_id"]
    name = next(image for source, image in sources.items() if str(source).endswith("PH0002/MLO_R.dcm"))
    turned = made.table[made.table["image_id"] == name].iloc[0]
    plain = prepare("dicom", clean / "PH0002", tmp_path / "right", PrepareOptions(preparation=Preparation(height=64)))
    right = plain.table[plain.table["view"] == "MLO_R"].iloc[0]
    a, b = (np.asarray(Image.open(root / row["file"])) for root, row in ((made.root, turned), (plain.root, right)))
    assert np.abs(a.astype(int) - b).max() <= 40, "the window of a turned image lies one stored value beside"


def test_an_interrupted_audit_is_taken_up_where_it_ended(exams, tmp_path, monkeypatch):
    opened = []

    def counted(path, **limits):
        if len(opened) == 5:
            raise KeyboardInterrupt
        opened.append(path)
        return inspect_file(path, **limits)

    monkeypatch.setattr("ensemble_mammo.stages.audit.run.inspect_file", counted)
    with pytest.raises(KeyboardInterrupt):
        audit(exams, tmp_path / "audit")
    (journal,) = (tmp_path / "audit").iterdir()
    assert journal.name == ".audit.jsonl" and journal.stat().st_mode & 0o777 == 0o600, "it holds PatientIDs"
    monkeypatch.setattr(
        "ensemble_mammo.stages.audit.run.inspect_file",
        lambda path, **limits: (opened.append(path), inspect_file(path, **limits))[1],
    )
    again = audit(exams, tmp_path / "audit")
    assert len(opened) == len(set(opened)) == 32
    whole = audit(exams, tmp_path / "whole")
    assert again.rows.equals(whole.rows) and again.problems == whole.problems
    assert not (tmp_path / "audit" / ".audit.jsonl").exists()


def leaking(dataset, folder, change):
    """A copy of a dataset whose manifest was changed by hand."""
    shutil.copytree(dataset.root, folder)
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(folder / "manifest.csv", index=False)
    return folder


def one_view_elsewhere(table):
    row = table.index[(table["split"] == "train") & (table["view"] == "MLO_L")][0]
    table.loc[row, "split"] = "test"


def test_a_clean_dataset_has_no_problem_but_its_rare_classes(dataset, tmp_path):
    found = audit(dataset.root, tmp_path / "audit")
    assert {one.code for one in found.problems} <= {"class-single", "class-missing"} and not found.leaks
    assert found.source == "dataset" and found.fingerprint == dataset.fingerprint()


def test_a_subject_in_other_splits_in_other_views_is_an_error_and_fix_moves_her_out_of_training(dataset, tmp_path):
    folder = leaking(dataset, tmp_path / "leaking", one_view_elsewhere)
    found = audit(folder, tmp_path / "out", AuditOptions(fix=True))
    leak = next(one for one in found.leaks if one.what == "subject")
    assert found.failed and leak.splits == ("train", "test") and set(leak.views) == {"CC_R", "CC_L", "MLO_R", "MLO_L"}
    assert (tmp_path / "out" / "audit" / "audit.json").is_file()
    mended = read_dataset(tmp_path / "out")
    rows = mended.table[mended.table["subject_id"] == leak.name]
    assert set(rows["split"]) == {"test"} and len(mended.table) == len(dataset.table)
    fixes = pd.read_csv(tmp_path / "out" / "fixes.csv")
    assert len(fixes) == 3 and set(fixes["before"]) == {"train"} and set(fixes["after"]) == {"test"}
    assert not audit(tmp_path / "out", None).leaks
    before = mended.table.copy()
    for fix in fixes.itertuples():  # the log undoes it
        before.loc[before["file"] == fix.file, fix.column] = fix.before
    expected = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    assert before["split"].tolist() == expected["split"].tolist()


def test_copies_of_one_picture_in_two_splits_leak_though_their_subjects_differ(dataset, tmp_path):
    folder = tmp_path / "copies"
    shutil.copytree(dataset.root, folder)
    train, test = (dataset.rows(split=split).iloc[0] for split in ("train", "test"))
    (folder / test["file"]).unlink()
    shutil.copy(folder / train["file"], folder / test["file"])
    found = audit(folder, tmp_path / "out", AuditOptions(fix=True))
    assert [leak.what for leak in found.leaks] == ["picture"]
    assert {one.code for one in found.problems if one.severity == "error"} == {"leak", "duplicate-subject"}
    kept = read_dataset(tmp_path / "out").table
    assert not {train["file"], test["file"]} & set(kept["file"])
    gone = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert set(gone["file"]) == {train["file"], test["file"]}


def test_a_missing_image_of_a_dataset_is_an_error_and_fix_leaves_it_out(dataset, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(dataset.root, folder)
    (folder / dataset.table["file"].iloc[0]).unlink()
    found = audit(folder, tmp_path / "out", AuditOptions(fix=True))
    assert [one.code for one in found.problems if one.severity == "error"] == ["unreadable"]
    assert len(read_dataset(tmp_path / "out").table) == len(dataset.table) - 1


def test_patches_of_one_mammogram_on_both_sides_are_a_leak(tmp_path):
    folder = tmp_path / "patches"
    folder.mkdir()
    rows = [("patch,image_id,lesion_id,subject_id,split"), "1,a,l,s,train", "2,a,l,s,test", "3,b,,t,test"]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    found = audit(folder, None)
    assert found.failed and {leak.what for leak in found.leaks} == {"subject"}
    (folder / "manifest.csv").write_text("\n".join(row.replace(",s,", ",,") for row in rows) + "\n")
    assert {leak.what for leak in audit(folder, None).leaks} == {"mammogram", "lesion"}


def test_class_folders_that_are_empty_or_hold_one_subject_are_named(dataset, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(dataset.root / "folders" / "density", tree)
    for path in tree.rglob("*_D_*.png"):
        path.unlink()
    one = sorted({path.name.split("_")[0] for path in tree.rglob("*_C_*.png")})[0]
    for path in tree.rglob("*_C_*.png"):
        if path.name.startswith(one):
            path.unlink()
    for view in ("CC_R", "CC_L", "MLO_R", "MLO_L"):
        (tree / view / "train" / "C").mkdir(parents=True, exist_ok=True)
        (tree / view / "train" / "D").mkdir(parents=True, exist_ok=True)
    found = audit(tree, tmp_path / "audit")
    classes = {(p.code, p.where) for p in found.problems if p.code in ("class-empty", "class-single")}
    assert found.source == "folders" and classes == {("class-empty", "density D"), ("class-single", "density C")}


def test_a_class_that_one_split_lacks_is_named(dataset, tmp_path):
    def without_d_in_test(table):
        table.loc[(table["split"] == "test") & (table["density"] == "D"), "split"] = "val"
        table.loc[(table["split"] == "test") & (table["density"] == "C"), "density"] = ""

    found = audit(leaking(dataset, tmp_path / "in", without_d_in_test), None)
    (one,) = (p for p in found.problems if p.code == "class-missing" and p.where == "density test")
    assert one.severity == "warning" and one.found.startswith("no subject of class") and "D in test" in one.found


def test_what_cannot_be_audited_is_refused(dataset, tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        audit(tmp_path / "nowhere", None)
    with pytest.raises(OutputError, match="lies inside"):
        audit(dataset.root, dataset.root / "audit")
    with pytest.raises(DatasetError, match="archive kind 'dcm' is not one of folders"):
        audit(tmp_path, None, AuditOptions(kind="dcm"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image file below it"):
        audit(tmp_path / "empty", None)
    with pytest.raises(DatasetError, match="to mend it, give a folder"):
        audit(dataset.root, None, AuditOptions(fix=True))


def test_a_dataset_prepared_with_a_division_by_subject_never_leaks(exams, tmp_path):
    options = PrepareOptions(
        ArchiveOptions(labels=exams / "labels.csv", keep_ids=True),
        Preparation(height=64),
        division=Division((0.5, 0.25, 0.25), folds=2),
    )
    assert not audit(prepare("dicom", exams, tmp_path / "ds", options).root, None).leaks


def test_the_fixes_of_an_archive_go_back_into_prepare_and_its_labels_stay(exams, tmp_path):
    spoilt = Path(shutil.copytree(exams, tmp_path / "in"))
    pixels_turned_without_a_word(spoilt / "PH0002" / "MLO_R.dcm")
    the_same_pixels_twice(spoilt / "PH0003" / "CC_L.dcm")
    tables = ArchiveOptions(labels=spoilt / "labels.csv")
    audit(spoilt, tmp_path / "out", AuditOptions(kind="dicom", archive=tables, fix=True))
    first = (tmp_path / "out.key").read_text()
    fixed = dataclasses.replace(tables, fixes=tmp_path / "out" / "fixes.csv")
    made = prepare("dicom", spoilt, tmp_path / "made", PrepareOptions(fixed, Preparation(height=64)))
    description = read_description(made.root)
    assert len(made.table) == 32 and (made.table["density"] != "").all()
    assert description["image_notes"]["turned: so stated by the archive, or by the fixes of an audit"] == 1
    assert "2 decisions of fixes.csv applied" in description["notes"]
    manifest = pd.read_csv(tmp_path / "out" / "manifest.csv", dtype=str, keep_default_na=False)
    assert set(manifest["hide"]) == {"yes"}, "its ids are pseudonyms, so its paths stay out of datasets"
    assert set(manifest["density"]) == set("ABCD") and (tmp_path / "out.key").read_text() == first
    again = audit(tmp_path / "out", None, AuditOptions(kind="manifest"))
    assert again.source == "manifest" and not again.failed
    assert audit(tmp_path / "out", None).source == "manifest", "a manifest of the user's own is told by its columns"


def test_fixes_of_another_archive_or_with_unknown_words_are_refused(exams, tmp_path):
    table = tmp_path / "fixes.csv"
    options = PrepareOptions(ArchiveOptions(labels=exams / "labels.csv", fixes=table), Preparation(height=64))
    table.write_text("file,column,before,after,reason\nx.dcm,row,kept,left out,y\n")
    with pytest.raises(DatasetError, match=r"fixes\.csv: names none of the archive's files"):
        prepare("dicom", exams, tmp_path / "out", options)
    table.write_text("file,column,before,after,reason\nPH0001/CC_L.dcm,split,,tset,y\n")
    with pytest.raises(DatasetError, match=r"fixes\.csv line 2: split 'tset' is no decision"):
        prepare("dicom", exams, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_headers_are_held_against_what_the_tables_of_an_archive_state(exams, tmp_path):
    views = tmp_path / "views.csv"
    views.write_text("file,view\nPH0001/CC_L.dcm,CC_R\n")
    tables = ArchiveOptions(labels=exams / "labels.csv", views=views)
    found = audit(exams, None, AuditOptions(kind="dicom", archive=tables))
    (conflict,) = (one for one in found.problems if one.code == "conflict")
    assert conflict.where == "PH0001/CC_L.dcm" and "left breast in the header, right" in conflict.found
    spoilt = Path(shutil.copytree(exams, tmp_path / "in"))
    a_header_against_its_name(spoilt / "PH0005" / "CC_L.dcm")
    found = audit(spoilt, None, AuditOptions(kind="dicom", archive=ArchiveOptions(labels=exams / "labels.csv")))
    assert [(one.code, one.where) for one in found.problems if one.severity == "error"] == [
        ("conflict", "PH0005/CC_L.dcm")
    ]


def test_a_date_that_exams_share_is_no_leak(exams, tmp_path):
    dated = Path(shutil.copytree(exams, tmp_path / "in"))
    for path in dated.rglob("*.dcm"):
        changed(path, StudyInstanceUID=None, StudyDate="20100115")
    options = PrepareOptions(ArchiveOptions(labels=exams / "labels.csv"), Preparation(height=64))
    made = prepare("dicom", dated, tmp_path / "ds", options)
    assert set(made.table["exam_id"]) == {"2010-01-15"}
    assert not audit(made.root, None).leaks


def test_class_folders_are_not_taken_for_subjects(tmp_path):
    exam = phantom_exam(1, "B", height=128)
    for number in range(7):
        for name in ("benign", "malignant"):
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            pixels = np.rint(255 * exam[View.CC_L]).astype(np.uint8)
            pixels[0, number] = 255 if name == "benign" else 128
            Image.fromarray(pixels).save(tmp_path / "in" / name / f"{number:03d}_CC_L.png")
    found = audit(tmp_path / "in", tmp_path / "out", AuditOptions(fix=True))
    assert sum(one.code == "no-subject" for one in found.problems) == 14
    manifest = pd.read_csv(tmp_path / "out" / "manifest.csv", dtype=str, keep_default_na=False)
    assert set(manifest["subject_id"]) == {""} and (manifest["leave_out"] != "").all()


def test_breasts_turned_to_one_side_are_no_conflict(exams, tmp_path):
    options = PrepareOptions(
        ArchiveOptions(labels=exams / "labels.csv", keep_ids=True), Preparation(height=64, orientation="chest-left")
    )
    made = prepare("dicom", exams, tmp_path / "ds", options)
    assert not [one for one in audit(made.root, None).problems if one.code == "side-by-pixels"]


def test_chains_of_leaks_are_mended_as_one(dataset, tmp_path):
    def chained(table):
        first = {s: table.index[table["split"] == s][:4] for s in ("train", "val", "test")}
        table.loc[first["train"], "exam_id"] = table.loc[first["val"], "exam_id"] = "2.25.1111111111"
        other = table.index[table["subject_id"] == table.loc[first["val"][0], "subject_id"]][2:]
        table.loc[other, "exam_id"] = "2.25.2222222222"
        table.loc[first["test"], "exam_id"] = "2.25.2222222222"

    found = audit(leaking(dataset, tmp_path / "in", chained), tmp_path / "out", AuditOptions(fix=True))
    assert found.failed and not audit(tmp_path / "out", None).leaks
    table = read_dataset(tmp_path / "out").table
    moved = table["exam_id"].isin(["2.25.1111111111", "2.25.2222222222"])
    assert set(table.loc[moved, "split"]) == {"test"} and (tmp_path / "out" / "folders" / "density").is_dir()


def test_one_picture_stated_as_two_views_is_an_error_and_both_are_left_out(exams, tmp_path):
    spoilt = Path(shutil.copytree(exams, tmp_path / "in"))
    same, other = dcmread(spoilt / "PH0001" / "CC_L.dcm"), dcmread(spoilt / "PH0001" / "CC_R.dcm")
    stored(other, values(same), spoilt / "PH0001" / "CC_R.dcm")
    found = audit(spoilt, tmp_path / "out", AuditOptions(fix=True))
    (one,) = (one for one in found.problems if one.code == "duplicate-conflict")
    assert found.failed and "CC_L and CC_R" in one.found
    assert set(pd.read_csv(tmp_path / "out" / "fixes.csv")["file"]) == {"PH0001/CC_L.dcm", "PH0001/CC_R.dcm"}


def test_lesions_of_a_dataset_are_looked_at_too(dataset, tmp_path):
    folder = Path(shutil.copytree(dataset.root, tmp_path / "ds"))
    rows = dataset.table.iloc[:3]
    (folder / "masks").mkdir()
    height, width = read_png16(folder / rows["file"].iloc[0]).shape
    Image.new("L", (width, height)).save(folder / "masks" / "a.png")
    Image.new("L", (5, 5)).save(folder / "masks" / "b.png")
    lines = [f"l{i},{name},masks/{m}.png" for i, (name, m) in enumerate(zip(rows["image_id"], "abc", strict=True))]
    (folder / "lesions.csv").write_text("\n".join(["lesion_id,image_id,mask", *lines]) + "\n")
    problems = {(one.code, one.where) for one in audit(folder, None).problems if one.severity == "error"}
    assert problems == {("mask", "masks/b.png"), ("mask", "masks/c.png")}
    (folder / "lesions.csv").write_text("lesion_id,image_id\nl,nobody\n")
    (one,) = (one for one in audit(folder, None).problems if one.severity == "error")
    assert one.code == "archive" and "line 2: image_id 'nobody' is not in the manifest" in one.found


@pytest.mark.real
def test_the_overlapping_patients_of_cbis_ddsm_are_named_from_its_tables_alone(real_data, tmp_path):
    found = audit(real_data / "cbis-ddsm-csv", tmp_path)
    assert found.failed and found.source == "tables" and len(found.leaks) == 31
    cases = {name: {"train": set(), "test": set()} for name in ("patients",)}["patients"]
    for path in (real_data / "cbis-ddsm-csv").glob("*.csv"):
        with path.open(newline="") as stream:
            cases["test" if "test" in path.name else "train"] |= {row["patient_id"] for row in csv.DictReader(stream)}
    assert {leak.name for leak in found.leaks} == cases["train"] & cases["test"]
