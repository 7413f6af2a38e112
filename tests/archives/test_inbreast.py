import json

import numpy as np
import pytest

from ensemble_mammo.archives.inbreast import list_inbreast
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.lesion import ArchiveLesion, Outline
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.subject import View

NAMES = ("20587054_b6a4_MG_R_CC_ANON", "20587080_b6a4_MG_R_ML_ANON", "20587148_fd74_MG_L_CC_ANON")
INDEX = """file,image_id,patient,date,laterality,view,name_view,acr,birads,mass,micros
a.png,20587054,b6a4,200902,R,CC,CC,2,4c,,x
b.png,20587080,b6a4,200902,R,MLO,ML,2,3,,x
c.png,20587148,fd74,200901,L,CC,CC,,2,,x
"""
ORIGINAL = """Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads;Mass ;Micros
removed;removed;R;CC;200902;20587054;2;4c; ;X
removed;removed;R;MLO;200902;20587080;2;3; ;X
removed;removed;L;CC;200901;20587148; ;2; ;X
;;;;;;;;;
"""


@pytest.fixture
def release(tmp_path):
    for name in NAMES:
        write_png16(tmp_path / "images" / f"{name}.png", np.zeros((4, 4), np.uint16))
    return tmp_path


def found(root):
    listing = list_inbreast(root, ArchiveOptions())
    return listing, [(i.image_id, i.subject_id, i.exam_id, i.view, dict(i.labels)) for i in listing.images]


@pytest.mark.parametrize(("name", "text"), [("index.csv", INDEX), ("INbreast.csv", ORIGINAL)])
def test_the_shared_index_and_the_original_table_give_the_same(release, name, text):
    (release / name).write_text(text)
    _, images = found(release)
    assert images == [
        ("20587054", "b6a4", "200902", View.CC_R, {"density": "B", "birads": "4-6", "abnormality": "abnormal"}),
        ("20587080", "b6a4", "200902", View.MLO_R, {"density": "B", "abnormality": "abnormal"}),
        ("20587148", "fd74", "200901", View.CC_L, {"birads": "1-2", "abnormality": "abnormal"}),
    ]


def test_a_table_in_another_encoding_is_refused_without_a_traceback(release):
    (release / "INbreast.csv").write_bytes(ORIGINAL.replace("Mass ", "Maß ").encode("latin-1"))
    with pytest.raises(DatasetError, match=r"INbreast\.csv line 1: is not UTF-8; save the table as UTF-8"):
        found(release)


def test_an_image_without_a_row_and_one_that_is_there_twice_are_left_out(release):
    (release / "index.csv").write_text(INDEX)
    write_png16(release / "more" / "1_zz_MG_L_CC_ANON.png", np.zeros((4, 4), np.uint16))
    write_png16(release / "more" / f"{NAMES[0]}.tif.png", np.zeros((4, 4), np.uint16))
    write_png16(release / "more" / f"{NAMES[0]}.png", np.zeros((4, 4), np.uint16))
    listing, images = found(release)
    assert len(images) == 3
    assert ("more/1_zz_MG_L_CC_ANON.png", "no row for image 1 in index.csv") in listing.left_out
    assert (f"more/{NAMES[0]}.png", f"the same image as images/{NAMES[0]}.png") in listing.left_out


def test_rows_without_a_file_are_counted(release):
    (release / "index.csv").write_text(INDEX + "d.png,9,b6a4,200902,L,CC,CC,2,2,,\n")
    assert found(release)[0].notes == (
        "1 images of index.csv have no file here",
        "1 images have no density label, the first 20587148",
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("200902,R,CC", "200902,L,CC"), "image 20587054: laterality L, but the file's name says"),
        (("200902,R,CC", "200902,R,MLO"), "image 20587054: view MLO, but the file's name says"),
        (("CC,CC,2,4c", "CC,CC,7,4c"), "image 20587054: label '7' is not one of A, B, C, D"),
        (("b.png,20587080", "b.png,20587054"), "line 3: image 20587054 stands in an earlier row"),
        (("acr", "density"), "column acr missing"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(release, change, match):
    (release / "index.csv").write_text(INDEX.replace(*change, 1))
    with pytest.raises(DatasetError, match=match):
        found(release)


def test_a_folder_without_table_without_images_or_not_there_is_refused(release, tmp_path):
    with pytest.raises(DatasetError, match=r"neither index\.csv nor INbreast\.csv there; give the table with --labels"):
        found(release)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "index.csv").write_text(INDEX)
    with pytest.raises(DatasetError, match="no image named like 20587054_"):
        found(tmp_path / "bare")
    with pytest.raises(DatasetError, match="no such folder"):
        found(tmp_path / "nowhere")


def test_a_task_without_labels_in_the_release_is_refused(release):
    (release / "index.csv").write_text(INDEX)
    with pytest.raises(DatasetError, match="INbreast has labels of density, birads, abnormality, none of pathology"):
        list_inbreast(release, ArchiveOptions("pathology"))


CONTOUR = {"20587080": [[[1, 1], [3, 1], [3, 3]]]}


def write_contours(root, contours=CONTOUR):
    (root / "mass-contours.json").write_text(json.dumps(contours))


def test_contours_become_masses_of_their_image_alone(release):
    (release / "index.csv").write_text(INDEX)
    write_png16(release / "images" / f"{NAMES[1]}.png", np.zeros((208, 160), np.uint16))
    write_contours(release, CONTOUR | {"999": [[[1, 1], [3, 1], [3, 3]]]})
    listing, _ = found(release)
    own = {image.image_id: image.lesions for image in listing.images}
    assert own["20587080"][0] == ArchiveLesion(
        "1", (Outline("polygon", ((1, 1), (3, 1), (3, 3)), frame=(3328, 2560)),), "mass"
    )
    assert own["20587054"] == (ArchiveLesion("marked-calcification", finding="calcification"),)


def test_a_finding_marked_without_outline_is_a_lesion_without_place_and_said(release):
    (release / "INbreast.csv").write_text(ORIGINAL.replace("4c; ;X", "4c;X;X"))
    write_contours(release)
    listing, _ = found(release)
    assert [lesion.number for lesion in listing.images[0].lesions] == ["marked-mass", "marked-calcification"]
    assert "3 images have a finding that the table marks and no outline shows: a lesion without place" in listing.notes


def test_without_xml_or_json_there_are_no_lesions_and_marks_still_make_an_image_abnormal(release):
    (release / "INbreast.csv").write_text(ORIGINAL)
    listing, _ = found(release)
    assert all(image.lesions == () for image in listing.images)
    assert listing.notes == ("1 images have no density label, the first 20587148",)
    assert [image.labels["abnormality"] for image in listing.images] == ["abnormal"] * 3


def test_an_image_is_normal_where_birads_is_1_and_nothing_is_marked_or_drawn(release):
    (release / "index.csv").write_text(
        INDEX.replace("2,4c,,x", "2,1,,").replace("2,3,,x", "2,1,,").replace(",2,,x", ",2,,")
    )
    write_contours(release)
    listing = list_inbreast(release, ArchiveOptions("abnormality"))
    assert [image.labels.get("abnormality") for image in listing.images] == ["normal", "abnormal", None]


def test_lesions_of_a_file_that_fits_no_original_have_no_place_and_that_is_said(release):
    (release / "index.csv").write_text(INDEX)
    write_contours(release)
    listing, _ = found(release)
    assert listing.images[1].lesions[0].outlines == () and listing.images[1].lesions[0].finding == "mass"
    assert any("1 images have the aspect of neither 3328 x 2560 nor 4084 x 3328" in note for note in listing.notes)


@pytest.mark.real
def test_the_shared_part_of_inbreast_is_listed(real_data):
    listing, images = found(real_data / "inbreast")
    assert len(images) == 258 and len({image[1] for image in images}) == 71
    assert len({image[1:3] for image in images}) == 74
    assert sum("density" not in image[4] for image in images) == 1
    assert listing.left_out == ()
    assert listing.notes == (
        "1 images have no density label, the first 53582540",
        "202 images have a finding that the table marks and no outline shows: a lesion without place",
    )
    outlined = [image for image in listing.images if any(lesion.outlines for lesion in image.lesions)]
    marked = {i.image_id for i in listing.images for lesion in i.lesions if lesion.number == "marked-mass"}
    assert len(outlined) == 59 and marked == {"20587612", "22614097", "22614150"}
    assert sum(image.labels.get("abnormality") == "normal" for image in listing.images) == 34
