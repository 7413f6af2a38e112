import shutil
import stat
import time
from collections import Counter

import pydicom
import pytest
from PIL import Image

from ensemble_mammo.archives.dicom import find_images, list_dicom
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.subject import View
from tests.archives.pictures import pictures

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def two(exams, tmp_path):
    """Two subjects' folders."""
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "in" / name)
    return tmp_path / "in"


def change(path, **values):
    made = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    made.save_as(path)
    return made


def table(tmp_path, text, name="table.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_labels_are_joined_by_subject(two, tmp_path):
    labels = table(tmp_path, "patient_id,density\n PH0001 ,a\nPH0002,2\nPH0099,C\n")
    listing = list_dicom(two, ArchiveOptions(labels=labels, keep_ids=True))
    assert {(i.subject_id, i.labels["density"]) for i in listing.images} == {("PH0001", "A"), ("PH0002", "B")}
    assert [i.view for i in listing.images[:4]] == [View.CC_L, View.CC_R, View.MLO_L, View.MLO_R]
    assert len({i.image_id for i in listing.images}) == 8
    assert listing.notes == () and listing.left_out == ()


def test_labels_are_joined_by_file(two, tmp_path):
    labels = table(tmp_path, "path,level\nPH0001/CC_R.dcm,A\nPH0002/CC_R.dcm,D\n")
    listing = list_dicom(two, ArchiveOptions(labels=labels, label_column="level", file_column="path", keep_ids=True))
    assert {i.source: i.labels["density"] for i in listing.images if i.labels} == {
        "PH0001/CC_R.dcm": "A",
        "PH0002/CC_R.dcm": "D",
    }
    assert listing.notes == ("6 of 8 images have no label in table.csv",)


def test_labels_are_joined_by_exam(two, tmp_path):
    study = change(two / "PH0001" / "CC_R.dcm").StudyInstanceUID
    for place in (two / "PH0001").glob("*_L.dcm"):
        change(place, StudyInstanceUID="1.2.3")
    labels = table(tmp_path, f"patient_id,exam,density\nPH0001,{study},A\nPH0001,1.2.3,B\n")
    listing = list_dicom(two, ArchiveOptions(labels=labels, exam_column="exam", keep_ids=True))
    assert {(i.exam_id, i.labels["density"]) for i in listing.images if i.labels} == {(study, "A"), ("1.2.3", "B")}


def test_labels_are_joined_by_the_date_where_headers_have_no_study(two, tmp_path):
    for place in two.glob("*/*.dcm"):
        change(place, StudyInstanceUID=None, StudyDate="20240131")
    labels = table(tmp_path, "patient_id,exam,density\nPH0001,2024-01-31,A\nPH0002,2020-01-01,B\n")
    images = list_dicom(two, ArchiveOptions(labels=labels, exam_column="exam")).images
    assert [(i.exam_id, dict(i.labels)) for i in images] == 4 * [("2024-01-31", {"density": "A"})] + 4 * [
        ("2024-01-31", {})
    ]


def test_labels_that_fit_no_image_are_refused_with_what_they_are_joined_by(two, tmp_path):
    labels = table(tmp_path, "patient_id,density\nX1,A\n")
    with pytest.raises(DatasetError, match=r"none of its rows belongs to any of the 8 images; .* by patient_id"):
        list_dicom(two, ArchiveOptions(labels=labels))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("patient,density\nPH0001,A\n", r"table\.csv line 1: column patient_id missing; found patient, density"),
        ("patient_id,acr\nPH0001,A\n", "column density missing; .*--label-column"),
        ("patient_id,density\nPH0001,A\nPH0001,B\n", r"table\.csv line 3: label B, but A for the same in line 2$"),
        ("patient_id,density\nPH0001,X\nPH0002,Y\n", "line 2: label 'X' is not one of .*; line 3: label 'Y'"),
        ("", "not a table"),
        ("patient_id,density\nPH0001,A,\nPH0002,B,\n", "rows have more cells than the header"),
    ],
)
def test_a_labels_table_that_cannot_be_right_is_refused(two, tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        list_dicom(two, ArchiveOptions(labels=table(tmp_path, text)))


def test_without_labels_everything_is_unlabelled_and_said_so(two):
    listing = list_dicom(two, ArchiveOptions(keep_ids=True))
    assert not any(i.labels for i in listing.images)
    assert listing.notes == ("no --labels: every image is unlabelled",)


def test_ids_become_pseudonyms_that_the_key_decides(two, tmp_path):
    labels = table(tmp_path, "patient_id,density\nPH0001,A\nPH0002,B\n")
    key = tmp_path / "dataset.key"

    def ids(path):
        images = list_dicom(two, ArchiveOptions(labels=labels, key=path)).images
        assert {i.labels["density"] for i in images} == {"A", "B"}, "labels are joined before the ids change"
        return [(i.subject_id, i.exam_id, i.image_id) for i in images]

    first = ids(key)
    assert ids(key) == first
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    other = ids(tmp_path / "other.key")
    assert {one[0] for one in other}.isdisjoint(one[0] for one in first)
    assert not any("PH000" in text for one in first for text in one)
    assert len({one[0] for one in first}) == 2


@pytest.mark.parametrize("text", ["", "zz", "abcd"])
def test_a_key_that_is_none_is_refused(two, tmp_path, text):
    (tmp_path / "bad.key").write_text(text)
    with pytest.raises(DatasetError, match=r"bad\.key: not a key: .*expected 64"):
        list_dicom(two, ArchiveOptions(key=tmp_path / "bad.key"))


def test_a_views_table_says_what_headers_do_not_as_the_rsna_release_needs(two, tmp_path):
    for number, place in enumerate(sorted(two.glob("PH0001/*.dcm"))):
        change(place, ViewPosition=None, ViewCodeSequence=None)
        place.rename(place.with_name(f"{number}.dcm"))
    views = table(tmp_path, "patient_id,image_id,laterality,view\n1,0,L,CC\n1,1,R,CC\n1,2,L,MLO\n1,3,R,AT\n")
    listing = list_dicom(two, ArchiveOptions(views=views, keep_ids=True))
    assert {i.source: i.view for i in listing.images if i.source.startswith("PH0001")} == {
        "PH0001/0.dcm": View.CC_L,
        "PH0001/1.dcm": View.CC_R,
        "PH0001/2.dcm": View.MLO_L,
    }
    assert listing.left_out == (("PH0001/3.dcm", "the views table says AT"),)


def test_a_views_table_decides_against_header_and_name_and_an_empty_cell_says_nothing(two, tmp_path):
    views = table(tmp_path, "file,view\nPH0001/CC_R.dcm,LM\nPH0001/CC_L.dcm,\n")
    listing = list_dicom(two, ArchiveOptions(views=views, keep_ids=True))
    assert len(listing.images) == 7 and listing.left_out == (("PH0001/CC_R.dcm", "the views table says LM"),)


@pytest.mark.parametrize("key", ["CC_R.dcm", "CC_R"])
def test_a_name_that_several_files_have_is_refused_in_views_and_in_labels(two, tmp_path, key):
    expected = rf"table\.csv: '{key}' may be PH0001/CC_R\.dcm or PH0002/CC_R\.dcm; give paths relative to the archive"
    views = table(tmp_path, f"file,view\n{key},CC_R\n")
    with pytest.raises(DatasetError, match=expected):
        list_dicom(two, ArchiveOptions(views=views, keep_ids=True))
    labels = table(tmp_path, f"file,density\n{key},A\n")
    with pytest.raises(DatasetError, match=expected):
        list_dicom(two, ArchiveOptions(labels=labels, file_column="file", keep_ids=True))


def test_a_path_belongs_to_its_file_alone(two, tmp_path):
    shutil.copy(two / "PH0001" / "CC_R.dcm", two / "CC_R.dcm")
    labels = table(tmp_path, "file,density\nCC_R.dcm,A\nPH0002/CC_R.dcm,B\n")
    images = list_dicom(two, ArchiveOptions(labels=labels, file_column="file", keep_ids=True)).images
    assert {i.source: i.labels["density"] for i in images if i.labels} == {"CC_R.dcm": "A", "PH0002/CC_R.dcm": "B"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,view\na,CC_R\n", "line 1: no column file or image_id; found name, view"),
        ("file,side\na,R\n", r"column view missing; found file, side; a views table has the columns file .* and view$"),
        ("file,view\na,CC\nb,CCX\n", "line 3: view 'CCX' is not one of CC, MLO, CC_R"),
        ("file,view\na,CC_R\na,CC_L\n", "line 3: file 'a' stands in an earlier row with another view"),
    ],
)
def test_a_views_table_that_cannot_be_right_is_refused(tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        read_views(table(tmp_path, text))


def test_several_images_of_one_view_have_ids_of_their_own(two):
    shutil.copy(two / "PH0001" / "CC_R.dcm", two / "PH0001" / "again.dcm")
    images = list_dicom(two, ArchiveOptions(keep_ids=True)).images
    assert len({i.image_id for i in images}) == len(images) == 9


def test_pictures_are_subjects_by_their_folder_and_a_picture_without_one_is_refused(tmp_path):
    for place in ("in/p1/LCC.png", "in/p2/LCC.png"):
        (tmp_path / place).parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / place)
    images = list_dicom(tmp_path / "in", ArchiveOptions()).images
    assert [(i.subject_id, i.exam_id, i.view) for i in images] == [("p1", "1", View.CC_L), ("p2", "1", View.CC_L)]
    with pytest.raises(DatasetError, match=r"LCC\.png: no PatientID in the header and no folder of its own"):
        list_dicom(tmp_path / "in" / "p1", ArchiveOptions())


@pytest.mark.parametrize(
    ("name", "subject", "exam"),
    [
        ("p1/CC/L_CC.png", "p1", "1"),
        ("p1/left/L_CC.png", "p1", "1"),
        ("p1/2019/L_CC.png", "p1", "1"),
        ("CC_R/test/A/1251_2_A_CC_R.png", "1251", "2"),
        ("AllDICOMs/20587054_b6a4_MG_R_CC_ANON.png", "b6a4", "1"),
    ],
)
def test_pictures_are_subjects_by_the_id_in_the_name_or_the_first_folder_that_is_no_view(tmp_path, name, subject, exam):
    [image] = list_dicom(pictures(tmp_path / "in", name), ArchiveOptions()).images
    assert (image.subject_id, image.exam_id) == (subject, exam)


def test_a_folder_with_more_than_five_images_of_a_view_is_no_subject(tmp_path):
    names = [f"A/{n}_LCC.png" for n in range(6)]
    assert len(list_dicom(pictures(tmp_path / "five", *names[:5]), ArchiveOptions()).images) == 5
    with pytest.raises(DatasetError, match=r"more than 5 images of one view \('A' 6 of CC_L\); name the subjects with"):
        list_dicom(pictures(tmp_path / "six", *names), ArchiveOptions())
    labels = table(tmp_path, "file,patient_id,density\n" + "".join(f"{name},{name[2]},A\n" for name in names))
    images = list_dicom(tmp_path / "six", ArchiveOptions(labels=labels, file_column="file")).images
    assert {i.subject_id for i in images} == set("012345")


def test_files_that_cannot_be_read_and_files_that_are_none_are_told_apart(two):
    (two / "readme.txt").write_text("hello")
    (two / "text.dcm").write_text("this is no DICOM file, whatever its name says")
    (two / "PH0001" / "short.dcm").write_bytes(b"\0" * 128 + b"DICM")
    listing = list_dicom(two, ArchiveOptions(keep_ids=True))
    assert len(listing.images) == 8
    assert ("readme.txt", "not an image") in listing.left_out
    assert {source for source, _ in listing.unreadable} == {"text.dcm", "PH0001/short.dcm"}
    assert dict(listing.unreadable)["text.dcm"].startswith("holds text, expected DICOM")


def test_header_and_name_that_contradict_each_other_cost_the_file_unless_a_table_decides(two, tmp_path):
    (two / "PH0001" / "CC_R.dcm").rename(two / "PH0001" / "L_CC_2.dcm")
    listing = list_dicom(two, ArchiveOptions(keep_ids=True))
    assert listing.left_out == (("PH0001/L_CC_2.dcm", "right breast in the header, left in the file name"),)
    views = table(tmp_path, "file,view\nL_CC_2.dcm,CC_R\n")
    assert len(list_dicom(two, ArchiveOptions(views=views, keep_ids=True)).images) == 8


def test_a_header_that_contradicts_itself_is_not_decided_by_the_name(two):
    change(two / "PH0001" / "CC_R.dcm", ViewPosition="MLO")
    [(source, reason)] = list_dicom(two, ArchiveOptions(keep_ids=True)).left_out
    assert source == "PH0001/CC_R.dcm"
    assert reason.startswith("the header contradicts itself on the view: ViewPosition MLO")


def test_a_view_that_is_none_of_the_four_is_left_out(two):
    change(two / "PH0001" / "CC_R.dcm", ViewPosition="ML", ViewCodeSequence=None)
    (two / "PH0001" / "CC_R.dcm").rename(two / "PH0001" / "a.dcm")
    assert list_dicom(two, ArchiveOptions(keep_ids=True)).left_out == (
        ("PH0001/a.dcm", "view ML is neither CC nor MLO"),
    )


def test_an_empty_folder_and_one_without_a_mammogram_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: the folder is empty; expected DICOM files or images"):
        find_images(tmp_path / "empty", None)
    with pytest.raises(DatasetError, match="no such folder"):
        find_images(tmp_path / "nowhere", None)
    (tmp_path / "empty" / "a.dcm").write_text("no")
    with pytest.raises(DatasetError, match=r"no usable mammogram among 1 files \(a\.dcm: holds text"):
        list_dicom(tmp_path / "empty", ArchiveOptions())


@pytest.mark.real
def test_the_released_table_of_54706_rows_is_read_quickly(real_data):
    before = time.process_time()
    views = read_views(real_data / "rsna" / "train.csv").values
    assert time.process_time() - before < 3
    assert Counter(stated.other for stated in views.values()) == {"": 54668, "AT": 19, "LM": 10, "ML": 8, "LMO": 1}


@pytest.mark.real
def test_the_rsna_exams_are_listed_by_the_released_table(real_data):
    release = real_data / "rsna" / "train.csv"
    options = ArchiveOptions(
        "pathology", release, "cancer", file_column="image_id", views=release, keep_ids=True, workers=1
    )
    for patient, count in (("10011", 4), ("10006", 3)):
        places = [p for p in (real_data / "rsna").rglob(patient) if p.is_dir() and any(p.glob("*.dcm"))]
        images = list_dicom(places[0], options).images
        assert len(images) == count and {i.subject_id for i in images} == {patient}
        assert {i.labels["pathology"] for i in images} == {"benign"}
