import shutil

import pydicom
import pytest

from ensemble_mammo.archives.subjects import all_subject_images, subject_images
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.subject import View
from tests.archives.pictures import pictures

pytestmark = pytest.mark.usefixtures("in_process")


def change(path, **values):
    made = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    made.save_as(path)


def test_the_four_views_are_found_however_deep_they_lie(subject):
    (subject / "a" / "b").mkdir(parents=True)
    (subject / "CC_R.dcm").rename(subject / "a" / "b" / "IM0001")
    images, notes = subject_images(subject, None)
    assert {(i.source, i.view) for i in images} >= {("a/b/IM0001", View.CC_R), ("MLO_L.dcm", View.MLO_L)}
    assert {i.key for i in images} == {("PH0001", "1")}
    assert notes == []


def test_other_files_are_ignored_with_a_note(subject):
    (subject / "report.pdf").write_bytes(b"%PDF-1.4")
    (subject / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (subject / ".hidden").write_text("x")
    images, notes = subject_images(subject, None)
    assert len(images) == 4
    assert notes == ["left out PH0001/DICOMDIR: not an image", "left out PH0001/report.pdf: not an image"]


def test_two_patients_are_refused_with_their_files(subject):
    change(subject / "CC_L.dcm", PatientID="OTHER")
    with pytest.raises(DatasetError, match=r"files of 2 patients \(CC_L\.dcm \| CC_R\.dcm, MLO_L\.dcm, MLO_R\.dcm\)"):
        subject_images(subject, None)


def test_two_studies_are_refused_with_their_files(subject):
    change(subject / "MLO_R.dcm", StudyInstanceUID="1.2.3")
    with pytest.raises(DatasetError, match=r"files of 2 studies \(.* \| MLO_R\.dcm\); one folder holds one exam"):
        subject_images(subject, None)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (
            ("A/1251_1_A_CC_R.png", "B/1300_1_B_CC_R.png"),
            r"2 patients \(A/1251_1_A_CC_R\.png \| B/1300_1_B_CC_R\.png\)",
        ),
        (("1251_1_A_CC_R.png", "1251_2_A_CC_R.png"), r"2 studies \(1251_1_A_CC_R\.png \| 1251_2_A_CC_R\.png\)"),
        (
            ("20587054_b6a4_MG_R_CC_ANON.png", "20587148_fd74_MG_L_CC_ANON.png"),
            r"2 patients \(20587054_b6a4_MG_R_CC_ANON\.png \| 20587148_fd74_MG_L_CC_ANON\.png\)",
        ),
    ],
)
def test_without_headers_the_ids_in_the_names_tell_patients_and_studies_apart(tmp_path, names, match):
    with pytest.raises(DatasetError, match=f"files of {match}"):
        subject_images(pictures(tmp_path / "s", *names), None)


@pytest.mark.real
def test_a_tree_of_several_subjects_is_refused_as_one(real_data):
    with pytest.raises(DatasetError, match=r"files of \d patients \(.*_CC_R\.png"):
        subject_images(real_data / "infn-density" / "TestSet", None)


def test_a_views_table_leaves_out_what_it_calls_another_view(subject, tmp_path):
    (tmp_path / "views.csv").write_text("file,view\nCC_L.dcm,AT\n")
    images, notes = subject_images(subject, read_views(tmp_path / "views.csv"))
    assert len(images) == 3 and notes == ["left out PH0001/CC_L.dcm: the views table says AT"]


def test_a_name_that_contradicts_its_header_is_refused_unless_a_table_decides(subject, tmp_path):
    (subject / "CC_L.dcm").rename(subject / "RMLO.dcm")
    expected = r"RMLO\.dcm: view CC in the header, MLO in the file name; left breast in the header, right in the file"
    with pytest.raises(DatasetError, match=expected):
        subject_images(subject, None)
    (tmp_path / "views.csv").write_text("file,view\nRMLO.dcm,CC_L\n")
    images, _ = subject_images(subject, read_views(tmp_path / "views.csv"))
    assert {i.source: i.view for i in images}["RMLO.dcm"] is View.CC_L


def test_a_folder_without_any_mammogram_says_what_is_in_it(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.dcm").write_text("no image")
    with pytest.raises(DatasetError, match=r"s: no usable mammogram: a\.dcm: holds text"):
        subject_images(tmp_path / "s", None)


def test_many_subjects_are_found_by_their_folders_and_the_views_table_knows_their_paths(exams, tmp_path):
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "in" / name)
    shutil.copy(exams / "PH0003" / "CC_R.dcm", tmp_path / "in" / "stray.dcm")
    (tmp_path / "in" / "PH0002" / "CC_L.dcm").rename(tmp_path / "in" / "PH0002" / "CC_R_2.dcm")
    (tmp_path / "views.csv").write_text("file,view\nPH0002/CC_R_2.dcm,CC_L\n")
    images, notes = all_subject_images(tmp_path / "in", read_views(tmp_path / "views.csv"))
    assert {(i.key, i.view) for i in images} == {((s, "1"), v) for s in ("PH0001", "PH0002") for v in View}
    assert notes == ["left out stray.dcm: in no subject's folder"]


def test_one_subject_that_is_refused_does_not_cost_the_others(exams, tmp_path):
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "in" / name)
    change(tmp_path / "in" / "PH0001" / "CC_R.dcm", PatientID="OTHER")
    (tmp_path / "in" / "PH0003").mkdir()
    (tmp_path / "in" / "PH0003" / "CC_R.dcm").write_text("no image")
    images, notes = all_subject_images(tmp_path / "in", None)
    assert {i.key[0] for i in images} == {"PH0002"}
    assert "files of 2 patients" in notes[0] and "PH0003: no usable mammogram: CC_R.dcm: holds text" in notes[1]


def test_a_folder_without_subject_folders_names_the_other_option(exams):
    with pytest.raises(DatasetError, match="no subject folder in it; for one subject's own folder use --subject-dir"):
        all_subject_images(exams / "PH0001", None)


def test_when_no_subject_is_usable_the_first_reason_is_given(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.dcm").write_text("no image")
    with pytest.raises(DatasetError, match=r"none of the 1 subject folders is usable; first: left out .*holds text"):
        all_subject_images(tmp_path, None)
