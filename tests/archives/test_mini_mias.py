import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.archives.mini_mias import list_mini_mias
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.lesions import lesion_mask
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import read_description
from ensemble_mammo.records.png16 import read_mask
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

INFO = """              MINI MAMMOGRAPHIC DATABASE
1st column: MIAS database reference number, such as
  mdb001 (indented: no row)

mdb001 G CIRC B 300 256 64
mdb002 G NORM
mdb003 D CALC M *NOTE 3*
mdb004 D NORM
mdb005 F CIRC B 100 900 30
mdb005 F ARCH M 500 200 26
mdb006 F ASYM B
mdb007 G NORM

=====
"""
TISSUE = ArchiveOptions("tissue")


def release(folder, numbers=range(1, 7), size=64, ending="pgm"):
    folder.mkdir(exist_ok=True)
    (folder / "Info.txt").write_text(INFO)
    for number in numbers:
        Image.new("L", (size, size), 90).save(folder / f"mdb{number:03d}.{ending}")
    return folder


def by_id(listing):
    return {image.image_id: image for image in listing.images}


def test_pairs_are_subjects_and_odd_numbers_are_right_breasts(tmp_path):
    images = list_mini_mias(release(tmp_path), TISSUE).images
    assert [(i.image_id, i.subject_id, i.view) for i in images] == [
        ("mdb001", "mdb001-002", View.MLO_R),
        ("mdb002", "mdb001-002", View.MLO_L),
        ("mdb003", "mdb003-004", View.MLO_R),
        ("mdb004", "mdb003-004", View.MLO_L),
        ("mdb005", "mdb005-006", View.MLO_R),
        ("mdb006", "mdb005-006", View.MLO_L),
    ]


def test_every_task_of_the_release_is_read(tmp_path):
    images = by_id(list_mini_mias(release(tmp_path), TISSUE))
    assert images["mdb001"].labels == {
        "tissue": "G", "abnormality": "abnormal", "pathology": "benign", "abnormality5": "benign-mass",
    }  # fmt: skip
    assert images["mdb002"].labels == {"tissue": "G", "abnormality": "normal", "abnormality5": "normal"}
    assert images["mdb003"].labels["abnormality5"] == "malignant-calcification"
    assert images["mdb005"].labels["pathology"] == "malignant"
    assert images["mdb006"].labels == {"tissue": "F", "abnormality": "abnormal", "pathology": "benign"}


def test_the_origin_is_the_bottom_left_and_other_sizes_scale(tmp_path):
    image = by_id(list_mini_mias(release(tmp_path, size=512), TISSUE))["mdb001"]
    mask, _ = lesion_mask(image.lesions[0].outlines, (512, 512))
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - (1024 - 256) / 2) < 1
    assert abs(columns.mean() - 300 / 2) < 1
    assert abs(mask.sum() / (np.pi * 32**2) - 1) < 0.05
    assert image.facts["pixel_spacing_mm"] == "0.4"


def test_rows_without_a_place_are_lesions_without_an_outline(tmp_path):
    listing = list_mini_mias(release(tmp_path), TISSUE)
    images = by_id(listing)
    assert [len(images[name].lesions) for name in ("mdb002", "mdb003", "mdb005", "mdb006")] == [0, 1, 2, 1]
    assert images["mdb003"].lesions[0].outlines == images["mdb006"].lesions[0].outlines == ()
    assert [lesion.finding for lesion in images["mdb005"].lesions] == ["mass", "distortion"]
    assert listing.notes == (
        "1 images of Info.txt have no file here",
        "2 lesions have no place in Info.txt: listed, without a mask",
    )


def test_images_without_a_row_twice_there_or_of_another_shape_are_left_out(tmp_path):
    release(tmp_path, ending="png")
    Image.new("L", (8, 8)).save(tmp_path / "mdb001.webp")
    Image.new("L", (8, 8)).save(tmp_path / "mdb099.png")
    Image.new("L", (8, 8)).save(tmp_path / "other.png")
    Image.new("L", (8, 9)).save(tmp_path / "mdb007.png")
    left_out = dict(list_mini_mias(tmp_path, TISSUE).left_out)
    assert left_out == {
        "mdb001.webp": "the same image as mdb001.png",
        "mdb099.png": "no row for it in Info.txt",
        "other.png": "not named like mdb001",
        "mdb007.png": "has 9 x 8 pixels, expected a square like the released 1024 x 1024",
    }


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("mdb8 G NORM", r"Info\.txt line 14: image 'mdb8' is not one of"),
        ("mdb008 X NORM", "line 14: tissue 'X' is not one of F, G, D"),
        ("mdb008", "line 14: tissue '' is not one of F, G, D"),
        ("mdb008 G MASS B", "line 14: class 'MASS' is not one of CALC"),
        ("mdb008 G CALC", "line 14: severity '' is not one of B, M"),
        ("mdb008 G CALC B 12 13", "line 14: place '12 13', expected x, y"),
        ("mdb008 G CALC B 12 13 x", "line 14: place '12 13 x', expected x, y"),
        ("mdb008 G CALC B 1200 13 4", "line 14: place '1200 13 4', expected x, y"),
        ("mdb008 G NORM B", "line 14: 'B' behind NORM, expected nothing"),
        ("mdb007 F NORM", "line 14: mdb007 has tissue F, but G in line 12"),
        ("mdb007 G CIRC B", "line 14: mdb007 is CIRC, but NORM in line 12"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_line(tmp_path, row, match):
    release(tmp_path)
    (tmp_path / "Info.txt").write_text(INFO.replace("\n=====", f"\n{row}\n====="))
    with pytest.raises(DatasetError, match=match):
        list_mini_mias(tmp_path, TISSUE)


def test_all_bad_rows_are_named_at_once(tmp_path):
    release(tmp_path)
    (tmp_path / "Info.txt").write_text("mdb001 X NORM\nmdb002 G NORM\nmdb003 G CALC Q\n")
    with pytest.raises(DatasetError, match=r"line 1: tissue 'X'.*; line 3: severity 'Q'"):
        list_mini_mias(tmp_path, TISSUE)


def test_a_wrong_task_a_missing_table_and_missing_images_are_refused(tmp_path):
    with pytest.raises(
        DatasetError, match="has labels of tissue, pathology, abnormality, abnormality5, none of density"
    ):
        list_mini_mias(tmp_path, ArchiveOptions())
    with pytest.raises(DatasetError, match=r"no Info\.txt there"):
        list_mini_mias(tmp_path, TISSUE)
    (tmp_path / "Info.txt").write_text("nothing here\n")
    with pytest.raises(DatasetError, match="holds no row such as"):
        list_mini_mias(tmp_path, TISSUE)
    with pytest.raises(DatasetError, match="no image named like mdb001"):
        list_mini_mias(release(tmp_path, ()), TISSUE)
    with pytest.raises(DatasetError, match="no such folder"):
        list_mini_mias(tmp_path / "nowhere", TISSUE)


@pytest.mark.real
def test_the_shared_part_is_prepared_with_its_circles(real_data, tmp_path, in_process):
    listing = list_mini_mias(real_data / "mini-mias", TISSUE)
    assert len(listing.images) == 200 and len({image.subject_id for image in listing.images}) == 100
    assert sum(len(image.lesions) for image in listing.images) == 78
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "Info.txt").symlink_to(real_data / "mini-mias" / "Info.txt")
    for number in (27, 28, 183, 184):
        (folder / f"mdb{number:03d}.webp").symlink_to(real_data / "mini-mias" / f"mdb{number:03d}.webp")
    options = PrepareOptions(TISSUE, Preparation(height=256), division=Division((0.5, 0.25, 0.25)))
    dataset = prepare("mini-mias", folder, tmp_path / "out", options)
    assert read_description(dataset.root)["counts"]["lesions"] == len(dataset.lesions()) == 2
    for row in dataset.lesions().to_dict("records"):  # both masses are brighter than the breast around them
        mask = read_mask(dataset.root / row["mask"])
        file = dataset.table.set_index("image_id").at[row["image_id"], "file"]
        pixels = np.asarray(Image.open(dataset.root / file))
        assert pixels[mask].mean() > 1.1 * pixels[pixels > 0].mean()
