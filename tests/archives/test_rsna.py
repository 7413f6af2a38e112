import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.rsna import list_rsna, read_rsna_table
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.phantom_files import write_phantom_file
from ensemble_mammo.records.manifest import read_description
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

HEAD = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
    "difficult_negative_case"
)
TRAIN = f"""{HEAD}
2,10,101,L,CC,61,0,0,0,1,0,B,29,False
2,10,102,R,MLO,61.0,1,1,1,0,0,B,29,False
2,11,111,R,CC,,0,0,0,2,1,,49,True
2,11,112,L,MLO,44,0,0,0,0,0,D,49,True
2,11,113,L,AT,44,1,0,0,,0,D,49,False
2,12,121,L,CC,44,1,0,0,1,0,A,210,False
"""
INDEX = """file,patient_id,image_id,laterality,view,density,machine_id
10/101.jpg,10,101,L,CC,B,29
"""


def release(root, *names, table=TRAIN):
    root.mkdir(exist_ok=True)
    (root / "train.csv").write_text(table)
    for name in names or ("10/101.png", "10/102.png", "11/111.png", "11/112.png", "11/113.png", "12/121.png"):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(root / "images" / name)
    return root


def by_id(listing):
    return {image.image_id: image for image in listing.images}


def test_images_are_found_by_patient_and_name_with_the_labels_of_their_rows(tmp_path):
    images = by_id(list_rsna(release(tmp_path), ArchiveOptions()))
    assert [(i.image_id, i.subject_id, i.exam_id, i.view, dict(i.labels)) for i in images.values()] == [
        (
            "10_101",
            "10",
            "1",
            View.CC_L,
            {"density": "B", "pathology": "benign", "birads": "1-2", "abnormality": "normal"},
        ),
        ("10_102", "10", "1", View.MLO_R, {"density": "B", "pathology": "malignant", "abnormality": "abnormal"}),
        ("11_111", "11", "1", View.CC_R, {"pathology": "benign", "birads": "1-2"}),
        ("11_112", "11", "1", View.MLO_L, {"density": "D", "pathology": "benign", "abnormality": "abnormal"}),
        (
            "12_121",
            "12",
            "1",
            View.CC_L,
            {"density": "A", "pathology": "malignant", "birads": "1-2", "abnormality": "abnormal"},
        ),
    ]
    assert images["10_102"].facts == {"device": "machine 29", "age": "61", "implant": "NO"}
    assert images["11_111"].facts == {"device": "machine 49", "implant": "YES"}


def test_views_that_are_neither_cc_nor_mlo_are_left_out_by_name(tmp_path):
    assert ("images/11/113.png", "AT view, neither CC nor MLO") in list_rsna(
        release(tmp_path), ArchiveOptions()
    ).left_out


def test_files_that_the_table_does_not_tell_of_are_left_out_each_with_its_reason(tmp_path):
    names = ("10/101.png", "10/101.jpg", "10/999.png", "11/102.png", "other/112.png", "12_121.png", "11_121.jpg")
    listing = list_rsna(release(tmp_path, *names), ArchiveOptions())
    assert [image.source for image in listing.images] == [
        "images/10/101.jpg",
        "images/12_121.png",
        "images/other/112.png",
    ]
    assert sorted(listing.left_out) == [
        ("images/10/101.png", "the same image as images/10/101.jpg"),
        ("images/10/999.png", "no row for image 999 in train.csv"),
        ("images/11/102.png", "its image is of patient 10 in train.csv"),
        ("images/11_121.jpg", "its image is of patient 12 in train.csv"),
    ]


def test_the_notes_say_what_a_reader_must_know(tmp_path):
    root = release(tmp_path, "10/101.png", "11/111.png")
    assert list_rsna(root, ArchiveOptions()).notes == (
        "views and sides are those of train.csv; headers were not compared with it",
        "4 rows of train.csv without a file here",
        "1 of 2 images have no label of density in train.csv",
    )
    assert list_rsna(root, ArchiveOptions("pathology")).notes[-1].startswith("pathology: 'benign' is cancer 0")


@pytest.mark.parametrize("place", ["one up", "one down", "named"])
def test_the_table_is_found_near_the_images_or_named(tmp_path, place):
    root = release(tmp_path / "rsna")
    if place == "one up":
        listing = list_rsna(root / "images", ArchiveOptions())
    elif place == "one down":
        (root / "tables").mkdir()
        (root / "train.csv").rename(root / "tables" / "train.csv")
        listing = list_rsna(root, ArchiveOptions())
    else:
        table = (root / "train.csv").rename(tmp_path / "mine.csv")
        listing = list_rsna(root, ArchiveOptions(labels=table))
    assert len(listing.images) == 5


def test_a_reduced_index_is_read_for_what_it_has(tmp_path):
    root = release(tmp_path, "10/101.png")
    (root / "train.csv").unlink()
    (root / "index.csv").write_text(INDEX)
    image = list_rsna(root, ArchiveOptions()).images[0]
    assert image.labels == {"density": "B"} and image.facts == {"device": "machine 29"}
    with pytest.raises(DatasetError, match=r"index\.csv: has labels of density, none of pathology; give --task"):
        list_rsna(root, ArchiveOptions("pathology"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("laterality,", "side,"), "line 1: column laterality missing"),
        (("10,102,", "10,101,"), "line 3: image_id '101' stands in line 2 already"),
        (("10,102,R", "10,102,X"), "line 3: laterality 'X' is not one of R, RIGHT, L, LEFT"),
        (("10,102,R", "10,102,"), "line 3: view 'MLO' with laterality '' is no view"),
        (("R,CC,,", "R,oblique,,"), "line 4: view 'oblique' is not one of CC, MLO"),
        (("0,1,0,B,29", "0,1,0,E,29"), "line 2: density: label 'E' is not one of A, B, C, D"),
        (("61.0,1,1", "61.0,2,1"), "line 3: cancer: label '2' is not one of benign, malignant"),
        (("61.0,1,1", "adult,1,1"), "line 3: age: 'adult' is no age in years"),
        (("0,0,2,1,,49", "0,0,2,7,,49"), "line 4: implant: '7' is not one of 0, 1"),
        (("0,0,2,1,,49", "0,0,9,1,,49"), "line 4: BIRADS: label '9' is not one of 1-2, 4-6"),
        (("2,11,111", "2,,111"), "line 4: patient_id is empty"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_with_its_line(tmp_path, change, match):
    assert change[0] in TRAIN
    with pytest.raises(DatasetError, match=match):
        list_rsna(release(tmp_path, table=TRAIN.replace(*change, 1)), ArchiveOptions())


def test_all_problems_are_told_at_once_in_the_order_of_lines(tmp_path):
    table = TRAIN.replace("A,210", "Z,210").replace("10,101,L", "10,101,Q")
    with pytest.raises(DatasetError, match=r"train\.csv line 2: laterality 'Q'.*; line 7: density: label 'Z'"):
        list_rsna(release(tmp_path, table=table), ArchiveOptions())


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        list_rsna(tmp_path / "nowhere", ArchiveOptions())
    root = release(tmp_path / "rsna", "10/999.png")
    with pytest.raises(DatasetError, match=r"no image of .*train\.csv below it, expected <patient_id>/<image_id>"):
        list_rsna(root, ArchiveOptions())
    with pytest.raises(DatasetError, match="has labels of density, pathology, birads, abnormality, none of tissue"):
        list_rsna(root, ArchiveOptions("tissue"))
    with pytest.raises(DatasetError, match="leave --views out"):
        list_rsna(root, ArchiveOptions(views=tmp_path / "views.csv"))
    (root / "train.csv").unlink()
    with pytest.raises(
        DatasetError, match=r"no train\.csv or index\.csv there, one folder up or down; name it with --lab"
    ):
        list_rsna(root, ArchiveOptions())


def test_a_release_of_the_real_size_is_read_and_checked_in_under_three_seconds(tmp_path):
    count = 54_706
    labels = [f"{40 + i % 40},{int(i % 50 == 0)},0,0,{i % 3},0,{'ABCD'[i % 4]},{i % 9},False" for i in range(count)]
    views = [f"{'LR'[i % 2]},{('CC', 'MLO')[i // 2 % 2]}" for i in range(count)]
    lines = [f"1,{i // 4},{i},{views[i]},{labels[i]}" for i in range(count)]
    path = tmp_path / "train.csv"
    path.write_text("\n".join([HEAD, *lines]))
    begin = time.process_time()
    assert len(read_rsna_table(path).rows) == count
    assert time.process_time() - begin < 3


def test_dicom_and_inverted_exports_become_a_dataset_with_tissue_bright(tmp_path, in_process):
    views = phantom_exam(1, "B", height=160)
    rows = ["patient_id,image_id,laterality,view,density,machine_id"]
    for number, (view, pixels) in enumerate(views.items()):
        rows.append(f"7,{number},{view.side.letter},{view.projection.value},B,210")
        if number < 2:
            write_phantom_file(tmp_path / "in" / "7" / f"{number}.dcm", pixels, view, (0, 1))
        else:
            (tmp_path / "in" / "7").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint((1 - pixels) * 255).astype(np.uint8)).save(tmp_path / "in" / "7" / f"{number}.png")
    (tmp_path / "in" / "train.csv").write_text("\n".join(rows))
    options = PrepareOptions(ArchiveOptions(), Preparation(polarity="auto", height=96))
    dataset = prepare("rsna", tmp_path / "in", tmp_path / "out", options)
    assert list(dataset.table["image_id"]) == ["7_0", "7_1", "7_2", "7_3"]
    assert set(dataset.table["device"]) == {"machine 210"} and set(dataset.table["density"]) == {"B"}
    assert list(dataset.table["view"]) == [view.value for view in views]
    assert all(read_png16(dataset.root / file).mean() < 45000 for file in dataset.table["file"])
    turned = {k: v for k, v in read_description(dataset.root)["image_notes"].items() if k.startswith("turned")}
    assert list(turned.values()) == [2]


@pytest.mark.real
def test_the_released_table_and_the_four_view_exports(real_data):
    begin = time.process_time()
    table = read_rsna_table(real_data / "rsna" / "train.csv")
    assert time.process_time() - begin < 3
    assert len(table.rows) == 54_706 and table.tasks == ("density", "pathology", "birads", "abnormality")
    assert (table.rows["pathology"] == "malignant").sum() == 1158
    listing = list_rsna(real_data / "rsna" / "four-view", ArchiveOptions())
    assert len(listing.images) == 802 and len({image.subject_id for image in listing.images}) == 157
    assert [reason for _, reason in listing.left_out] == ["AT view, neither CC nor MLO"]
    assert pd.Series([image.facts["device"] for image in listing.images]).eq("machine 210").sum() == 46


@pytest.mark.real
def test_the_dicom_files_take_their_views_from_the_table(real_data):
    listing = list_rsna(real_data / "rsna" / "train_images", ArchiveOptions("pathology"))
    assert len(listing.images) == 7 and {image.subject_id for image in listing.images} == {"10006", "10011"}
    assert {image.labels["pathology"] for image in listing.images} == {"benign"}
