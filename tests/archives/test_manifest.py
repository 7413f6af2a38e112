import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ensemble_mammo.archives.manifest import list_manifest
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import MANIFEST, read_description
from ensemble_mammo.records.png16 import read_mask, read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.archives.pictures import pictures

PATHOLOGY = ArchiveOptions("pathology")
ROWS = """file,subject_id,view,pathology,age,implant,split
a/1.png,S1,CC_R,malignant,61,yes,train
a/2.png,S1,R MLO,malignant,61,,train
b/1.png,S2,L-CC,benign,,no,Validation
"""


def own(folder, text=ROWS, lesions="", name="mine.csv"):
    pictures(folder, "a/1.png", "a/2.png", "b/1.png", "m.png")
    (folder / name).write_text(text)
    if lesions:
        (folder / "lesions.csv").write_text(lesions)
    return folder / name


def changed(before, after):
    assert before in ROWS
    return ROWS.replace(before, after, 1)


def by_id(listing):
    return {image.image_id: image for image in listing.images}


def test_a_csv_of_ones_own_is_read_with_ids_views_labels_and_facts(tmp_path):
    listing = list_manifest(own(tmp_path), PATHOLOGY)
    assert [(i.image_id, i.subject_id, i.exam_id, i.view, i.split) for i in listing.images] == [
        ("a-1", "S1", "1", View.CC_R, "train"),
        ("2", "S1", "1", View.MLO_R, "train"),
        ("b-1", "S2", "1", View.CC_L, "val"),
    ]
    first, _, last = listing.images
    assert first.labels == {"pathology": "malignant"} and first.facts == {"age": "61", "implant": "YES"}
    assert last.facts == {"implant": "NO"}
    assert first.path == tmp_path / "a/1.png" and first.source == "a/1.png"


def test_a_folder_stands_for_its_manifest_csv_and_files_may_be_absolute(tmp_path):
    elsewhere = pictures(tmp_path / "elsewhere", "x.png") / "x.png"
    own(tmp_path / "set", changed("b/1.png", str(elsewhere)), name=MANIFEST)
    images = by_id(list_manifest(tmp_path / "set", PATHOLOGY))
    assert images["x"].path == elsewhere


def test_lesions_beside_it_come_from_masks_boxes_or_neither(tmp_path):
    lesions = (
        "image_id,number,mask,left,top,width,height,finding,pathology\n"
        "a-1,,m.png,,,,,mass,malignant\na-1,b,,1,2,3,4,calcification,benign\n2,,,,,,,,benign\n"
    )
    text = changed("view,pathology", "view,abnormality").replace("malignant", "abnormal").replace("benign", "normal")
    images = by_id(list_manifest(own(tmp_path, text, lesions), PATHOLOGY))
    first, second = images["a-1"].lesions
    assert (first.number, first.outlines[0].masks) == ("1", (tmp_path / "m.png",))
    assert (second.number, second.outlines[0].points) == ("b", ((1.0, 2.0), (4.0, 6.0)))
    assert images["2"].lesions[0].outlines == ()
    assert images["a-1"].labels["pathology"] == "malignant"  # told from the lesions: there is no such column
    assert images["2"].labels == {"pathology": "benign", "abnormality": "abnormal"}
    assert "pathology" not in images["b-1"].labels


def test_a_column_decides_alone_also_where_it_is_empty(tmp_path):
    text = changed("CC_R,malignant", "CC_R,")
    images = by_id(list_manifest(own(tmp_path, text, "image_id,pathology\na-1,malignant\n"), PATHOLOGY))
    assert images["a-1"].labels == {"abnormality": "abnormal"}


def test_one_mask_an_image_may_stand_in_the_manifest(tmp_path):
    text = "file,subject_id,view,pathology,mask\na/1.png,S1,CC_R,benign,m.png\na/2.png,S1,MLO_R,benign,\n"
    images = by_id(list_manifest(own(tmp_path, text), PATHOLOGY))
    assert images["1"].lesions[0].pathology == "benign" and images["2"].lesions == ()
    with pytest.raises(DatasetError, match=r"mine\.csv line 2: a mask, but lesions\.csv has lesions of image '1' too"):
        list_manifest(own(tmp_path, text, "image_id\n1\n"), PATHOLOGY)


def test_rows_to_be_left_out_are_with_their_reason_whatever_else_is_wrong_with_them(tmp_path):
    text = "file,subject_id,view,pathology,leave_out,turn\na/1.png,S1,CC_R,benign,,\nno.png,,XX,?,cannot be read,\n"
    listing = list_manifest(own(tmp_path, text), PATHOLOGY)
    assert listing.left_out == (("no.png", "cannot be read"),) and len(listing.images) == 1
    with pytest.raises(DatasetError, match="holds no image; 1 rows are to be left out"):
        list_manifest(own(tmp_path, text.replace("a/1.png,S1,CC_R,benign,,\n", "")), PATHOLOGY)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (changed("subject_id", "patient"), r"mine\.csv line 1: column subject_id missing; found file, patient"),
        (changed("b/1.png", "b/9.png"), "line 4: file 'b/9.png' is not there"),
        (changed("b/1.png", ""), "line 4: file is empty"),
        (changed("CC_R", "CCR2"), "line 2: view 'CCR2' is not one of"),
        (changed("R MLO", "MLO"), "line 3: view 'MLO' is not one of CC_R, CC_L, MLO_R, MLO_L"),
        (changed("Validation", "later"), "line 4: split 'later' is not one of"),
        (changed("malignant", "bad"), "line 2: label 'bad' is not one of benign, malignant"),
        (changed("S2", ""), "line 4: subject_id is empty"),
        (changed("S2", "S/2"), "line 4: subject_id 'S/2' cannot be part of a file name"),
        (changed("61", "old"), "line 2: age 'old' is no number"),
        (changed("61", "610"), "line 2: age '610' cannot be right"),
        (changed("61", "nan"), "line 2: age 'nan' cannot be right"),
        (changed("61,yes", "61,maybe"), "line 2: implant 'maybe' is not one of yes, no"),
        (changed("a/2.png", "a/1.png"), "line 3: image_id 'a-1' stands in line 2 already"),
        (ROWS.splitlines()[0], "holds no image"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_line(tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        list_manifest(own(tmp_path, text), PATHOLOGY)


def test_all_problems_of_a_manifest_are_said_at_once_in_order(tmp_path):
    text = changed("CC_R", "AT").replace("R MLO,malignant", "R MLO,2").replace("S2", "")
    with pytest.raises(DatasetError, match=r"line 2: view 'AT'.*; line 3: label '2'.*; line 4: subject_id"):
        list_manifest(own(tmp_path, text), PATHOLOGY)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("image\na-1\n", r"lesions\.csv line 1: column image_id missing"),
        ("image_id\nzz\n", "line 2: image_id 'zz' is not in the manifest"),
        ("image_id,mask\na-1,no.png\n", "line 2: mask 'no.png' is not there"),
        ("image_id,finding\na-1,lump\n", "line 2: finding 'lump' is not one of mass"),
        ("image_id,pathology\na-1,bad\n", "line 2: pathology 'bad' is not one of benign, malignant"),
        ("image_id,left,top,width,height\na-1,1,2,x,4\n", "line 2: width 'x' is no number"),
        ("image_id,left,top,width\na-1,1,2,3\n", "line 2: height '' is no number"),
        ("image_id,left,top,width,height\na-1,1,2,0,4\n", "line 2: a box of width 0 and height 4"),
        ("image_id,left,top,width,height\na-1,80,2,3,4\n", "line 2: a box at 80, 2 outside its image of 8 x 8"),
        ("image_id,number\na-1,1\na-1,1\n", "line 3: lesion '1' of image 'a-1' stands in line 2 already"),
        ("image_id,number\na-1,a/b\n", "line 2: number 'a/b' cannot be part of a file name"),
    ],
)
def test_a_lesion_that_cannot_be_right_is_refused_with_its_line(tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        list_manifest(own(tmp_path, lesions=text), PATHOLOGY)


def test_a_task_that_neither_columns_nor_lesions_tell_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"no column 'density' \(found labels of: pathology\)"):
        list_manifest(own(tmp_path), ArchiveOptions())
    with pytest.raises(DatasetError, match="no column 'density', and its lesions tell none"):
        list_manifest(own(tmp_path, lesions="image_id\na-1\n"), ArchiveOptions())
    with pytest.raises(DatasetError, match=r"nowhere\.csv: no such file"):
        list_manifest(tmp_path / "nowhere.csv", PATHOLOGY)
    with pytest.raises(DatasetError, match="leave both tables out"):
        list_manifest(tmp_path / "mine.csv", ArchiveOptions("pathology", labels=tmp_path / "x.csv"))


def test_twenty_thousand_rows_are_checked(tmp_path):
    pictures(tmp_path, "1.png")
    rows = "".join(f"1.png,i{n},S{n},CC_R,{'ABCD'[n % 4]},50\n" for n in range(20_000))
    (tmp_path / "big.csv").write_text("file,image_id,subject_id,view,density,age\n" + rows)
    assert len(list_manifest(tmp_path / "big.csv", ArchiveOptions()).images) == 20_000


@pytest.fixture
def phantoms(tmp_path):
    """Two phantom breasts and the second of them with light and dark exchanged; a mask on the first."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in (1, 2):
        pixels = phantom_exam(number, "B", height=200)[View.CC_L]
        Image.fromarray((pixels * 255).round().astype(np.uint8)).save(folder / f"p{number}.png")
    Image.fromarray(255 - np.asarray(Image.open(folder / "p2.png"))).save(folder / "p3.png")
    mask = np.zeros_like(np.asarray(Image.open(folder / "p1.png")))
    mask[80:110, 10:40] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    (folder / "mine.csv").write_text(
        "file,subject_id,view,density,turn,mask,collection\n"
        "p1.png,S1,CC_L,B,,mask.png,here\np2.png,S2,CC_L,C,no,,here\np3.png,S3,CC_L,C,yes,,here\n"
    )
    return folder / "mine.csv"


@pytest.mark.parametrize("polarity", ["header", "auto"])
def test_a_turned_image_is_prepared_like_the_one_it_was_made_from(phantoms, tmp_path, in_process, polarity):
    options = PrepareOptions(preparation=Preparation(height=96, polarity=polarity), division=Division((1, 0, 0)))
    dataset = prepare("manifest", phantoms, tmp_path / "out", options)
    files = dataset.table.set_index("image_id")["file"]
    usual, turned = (read_png16(dataset.root / files[name]).astype(int) for name in ("p2", "p3"))
    assert usual.shape == turned.shape and abs(usual - turned).max() <= 1  # 1 - (1 - x) in float32
    description = read_description(dataset.root)
    assert (
        description["archive"] == str(phantoms)
        and description["image_notes"]["turned: so stated by the archive, or by the fixes of an audit"] == 1
    )
    assert set(dataset.table["collection"]) == {"here"}
    assert read_mask(dataset.root / dataset.lesions()["mask"].iloc[0]).any()


def test_a_prepared_dataset_can_be_read_as_a_manifest(phantoms, tmp_path, in_process):
    options = PrepareOptions(preparation=Preparation(height=96), division=Division((1, 0, 0)))
    first = prepare("manifest", phantoms, tmp_path / "first", options)
    second = prepare("manifest", tmp_path / "first", tmp_path / "second", options)
    columns = ["image_id", "subject_id", "view", "split", "density", "collection"]
    pd.testing.assert_frame_equal(first.table[columns], second.table[columns])
    assert len(second.lesions()) == 1
    drawn = [read_mask(one.root / one.lesions()["mask"].iloc[0]).sum() for one in (first, second)]
    assert abs(drawn[1] / drawn[0] - 1) < 0.2


def test_a_manifest_inside_out_and_images_that_restart_would_take_away_are_refused(phantoms, tmp_path, in_process):
    options = PrepareOptions(preparation=Preparation(height=96), division=Division((1, 0, 0)))
    with pytest.raises(OutputError, match="lies inside it"):
        prepare("manifest", phantoms, phantoms.parent, options)
    out = tmp_path / "out"
    prepare("manifest", phantoms, out, options)
    shutil.copy(out / MANIFEST, tmp_path / "copy.csv")
    text = (tmp_path / "copy.csv").read_text().replace("images/", f"{out}/images/")
    (tmp_path / "copy.csv").write_text(text)
    again = PrepareOptions(preparation=Preparation(height=96), restart=True)
    with pytest.raises(OutputError, match="holds 3 images of the archive"):
        prepare("manifest", tmp_path / "copy.csv", out, again)
    assert len(list((out / "images").rglob("*.png"))) == 3
