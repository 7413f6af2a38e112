import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.ddsm import list_ddsm
from ensemble_mammo.archives.ddsm_files import read_case, read_overlay
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.lesions import lesion_mask
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.png16 import read_mask
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

FILMS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
PATHOLOGY = ArchiveOptions("pathology")


def ics(density="3", age="61", overlays=("LEFT_CC",), lines=400, across=240):
    films = "".join(
        f"{film} LINES {lines} PIXELS_PER_LINE {across} BITS_PER_PIXEL 12 RESOLUTION 50 "
        f"{'OVERLAY' if film in overlays else 'NON_OVERLAY'}\n"
        for film in FILMS
    )
    return (
        f"ics_version 1.0\nfilename B-3024-1\nDATE_OF_STUDY 2 7 1995\nPATIENT_AGE {age}\nFILM \nFILM_TYPE REGULAR\n"
        f"DENSITY {density}\nDATE_DIGITIZED 7 22 1997\nDIGITIZER LUMISYS LASER\nSELECTED\n{films}"
    )


def square(left, top, side):
    """The chain code of a square: right, down, left, up."""
    return f"{left} {top} " + " ".join(["2"] * side + ["4"] * side + ["6"] * side + ["0"] * side) + " #"


def overlay(*lesions, core=False):
    text = f"TOTAL_ABNORMALITIES {len(lesions)}\n"
    for number, (kind, pathology, chain) in enumerate(lesions, start=1):
        text += (
            f"ABNORMALITY {number}\nLESION_TYPE {kind}\nASSESSMENT 4\nSUBTLETY 3\nPATHOLOGY {pathology}\n"
            f"TOTAL_OUTLINES {2 if core else 1}\nBOUNDARY\n{chain}\n"
        )
        text += f"\tCORE\n{square(10, 10, 2)}\n" if core else ""
    return text


MASS = ("MASS SHAPE OVAL MARGINS SPICULATED", "MALIGNANT", square(60, 100, 40))


def case(root, place, name, films=FILMS, size=(200, 120), ending=".png"):
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    for film in films:
        Image.new("L", size[::-1], 70).save(folder / f"{name}.{film}{ending}")
    return folder


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "cases"
    cancer = case(root, "cancers/cancer_01/case0001", "C_0001_1", ending=".LJPEG.png")
    (cancer / "C-0001-1.ics").write_text(ics())
    (cancer / "C_0001_1.LEFT_CC.OVERLAY").write_text(overlay(MASS, core=True))
    benign = case(root, "benigns/benign_02/case0007", "A_0007_1")
    (benign / "A-0007-1.ics").write_text(ics("5", "", ("RIGHT_CC", "RIGHT_MLO")))
    (benign / "A_0007_1.RIGHT_CC.OVERLAY").write_text(
        overlay(("CALCIFICATION TYPE PUNCTATE DISTRIBUTION CLUSTERED", "BENIGN_WITHOUT_CALLBACK", square(5, 5, 9)))
    )
    normal = case(root, "normals/normal_03/case0009", "D_0009_1", ending=".tif")
    (normal / "D-0009-1.ics").write_text(ics("1", overlays=()))
    return root


def by_id(listing):
    return {image.image_id: image for image in listing.images}


def test_case_view_class_density_and_facts_are_read(tree):
    images = by_id(list_ddsm(tree, PATHOLOGY))
    assert len(images) == 12
    image = images["C_0001_1_LEFT_CC"]
    assert (image.subject_id, image.view, image.source) == (
        "C_0001_1", View.CC_L, "cancers/cancer_01/case0001/C_0001_1.LEFT_CC.LJPEG.png",
    )  # fmt: skip
    assert image.labels == {
        "abnormality": "abnormal", "pathology": "malignant", "birads": "4-6",
        "abnormality5": "malignant-mass", "density": "C",
    }  # fmt: skip
    assert image.facts == {"age": "61", "device": "LUMISYS LASER", "pixel_spacing_mm": "0.1"}
    assert images["D_0009_1_RIGHT_MLO"].labels == {"abnormality": "normal", "abnormality5": "normal", "density": "A"}


def test_an_image_of_a_marked_case_without_overlay_has_no_class_but_one_promised_has_its_folders(tree):
    images = by_id(list_ddsm(tree, PATHOLOGY))
    assert images["C_0001_1_RIGHT_CC"].labels == {"density": "C"}
    assert images["A_0007_1_LEFT_MLO"].labels == {}
    assert images["A_0007_1_RIGHT_MLO"].labels == {"abnormality": "abnormal", "pathology": "benign"}
    assert images["A_0007_1_RIGHT_CC"].labels["abnormality5"] == "benign-calcification"
    assert "age" not in images["A_0007_1_RIGHT_CC"].facts


def test_images_alone_have_the_class_of_their_folder(tmp_path):
    case(tmp_path / "set", "cancers", "A_0001_1")
    case(tmp_path / "set", "benign_without_callbacks/x", "A_0002_1", FILMS[:1])
    case(tmp_path / "set", "normal", "A_0003_1", FILMS[:1])
    case(tmp_path / "set", "elsewhere", "A_0004_1", FILMS[:1])
    listing = list_ddsm(tmp_path / "set", ArchiveOptions("abnormality"))
    labels = {image.image_id: dict(image.labels) for image in listing.images}
    assert labels["A_0001_1_RIGHT_MLO"] == {"abnormality": "abnormal", "pathology": "malignant"}
    assert labels["A_0002_1_LEFT_CC"] == {"abnormality": "abnormal", "pathology": "benign"}
    assert labels["A_0003_1_LEFT_CC"] == {"abnormality": "normal", "abnormality5": "normal"}
    assert labels["A_0004_1_LEFT_CC"] == {}
    assert listing.notes == ("5 images without an overlay have the class of their case's folder, both breasts alike",)
    alone = list_ddsm(tmp_path / "set" / "cancers", PATHOLOGY)
    assert {image.labels["pathology"] for image in alone.images} == {"malignant"}


def test_other_names_are_taken_within_the_folder_of_a_case(tmp_path):
    folder = tmp_path / "cancers" / "cancer_01" / "case0005" / "PNGFiles"
    folder.mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "L_MLO.png")
    Image.new("L", (8, 8)).save(folder / "whatever.png")
    listing = list_ddsm(tmp_path, PATHOLOGY)
    assert [(i.image_id, i.subject_id, i.view) for i in listing.images] == [
        ("cancer_01-case0005_LEFT_MLO", "cancer_01-case0005", View.MLO_L)
    ]
    assert listing.left_out[0][1] == "neither named like A_0002_1.LEFT_CC.png, nor a view in a case's folder"


def test_the_chain_code_is_walked_in_pixels_of_the_original(tree):
    lesion = by_id(list_ddsm(tree, PATHOLOGY))["C_0001_1_LEFT_CC"].lesions[0]
    assert (lesion.finding, lesion.pathology, lesion.assessment, lesion.subtlety) == ("mass", "malignant", "4", "3")
    assert lesion.descriptors == "MASS SHAPE OVAL MARGINS SPICULATED"
    assert len(lesion.outlines) == 1  # its core is not one more
    mask, _ = lesion_mask(lesion.outlines, (200, 120))  # half of the original's 400 x 240
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 70, 30, 50)


def test_all_eight_directions(tmp_path):
    (tmp_path / "x.OVERLAY").write_text(overlay(("OTHER", "UNPROVEN", "50 50 0 1 2 3 4 5 6 7 #")))
    lesion = read_overlay(tmp_path / "x.OVERLAY", (100, 100))[0]
    assert lesion.outlines[0].points == (
        (50, 50), (50, 49), (51, 48), (52, 48), (53, 49), (53, 50), (52, 51), (51, 51), (50, 50),
    )  # fmt: skip
    assert (lesion.finding, lesion.pathology) == ("other", "")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("PATHOLOGY MALIGNANT", "PATHOLOGY BAD"), r"LEFT_CC\.OVERLAY line 6: PATHOLOGY 'BAD' is not one of"),
        (("LESION_TYPE MASS", "LESION_TYPE LUMP"), "line 3: LESION_TYPE 'LUMP' is not one of"),
        ((" #", ""), "line 9: chain code ends in '0', expected steps of 0 to 7 and '#'"),
        (("60 100 2", "60 100 9"), "line 9: chain code '60 100 9 2 2 2 …', expected column, row"),
        (("60 100 2", "sixty 100 2"), "line 9: chain code 'sixty 100 2"),
        (("ABNORMALITY 1\n", "", 1), "line 2: LESION_TYPE before any ABNORMALITY"),
        (("SUBTLETY", "SUB"), "line 5: 'SUB' is no word of an .OVERLAY file"),
    ],
)
def test_a_damaged_overlay_leaves_its_image_out_with_the_line(tree, change, match):
    path = tree / "cancers/cancer_01/case0001/C_0001_1.LEFT_CC.OVERLAY"
    text = overlay(MASS)
    if change[0].startswith("ABN"):
        text = text.replace("\nABNORMALITY 1\n", "\n", 1)
    path.write_text(text if change[0].startswith("ABN") else text.replace(*change[:2]))
    listing = list_ddsm(tree, PATHOLOGY)
    assert len(listing.images) == 11
    with pytest.raises(DatasetError, match=match):
        read_overlay(path, None)
    assert listing.left_out[0][1].startswith("cancers/cancer_01/case0001/C_0001_1.LEFT_CC.OVERLAY line ")


def test_a_damaged_ics_leaves_its_case_out(tree):
    path = tree / "cancers/cancer_01/case0001/C-0001-1.ics"
    path.write_text(ics().replace("LEFT_MLO LINES 400", "LEFT_MLO LINES many"))
    with pytest.raises(DatasetError, match=r"ics line 12: 'LEFT_MLO LINES many"):
        read_case(path)
    listing = list_ddsm(tree, PATHOLOGY)
    assert len(listing.images) == 8 and len(listing.left_out) == 4


def test_an_image_of_another_aspect_than_its_film_is_left_out(tree):
    case(tree, "cancers/cancer_01/case0001", "C_0001_1", ("LEFT_CC",), (200, 140), ".LJPEG.png")
    listing = list_ddsm(tree, PATHOLOGY)
    assert "has 200 x 140 pixels, its .ics file says 400 x 240: another aspect" in listing.left_out[0][1]


def test_overlays_in_another_cases_folder_and_originals_beside_conversions_do_nothing(tree):
    folder = tree / "benigns/benign_02/case0007"
    (folder / "C_0001_1.RIGHT_MLO.OVERLAY").write_text(overlay(MASS))
    (folder / "A_0007_1.LEFT_CC.LJPEG").write_bytes(b"\xff\xd8\xff\xc3")
    (folder / "A_0008_1.LEFT_CC.LJPEG").write_bytes(b"\xff\xd8\xff\xc3")
    listing = list_ddsm(tree, PATHOLOGY)
    assert by_id(listing)["C_0001_1_RIGHT_MLO"].lesions == ()
    assert "1 overlays in another case's folder are not used" in listing.notes[-1]
    assert listing.left_out == (
        (
            "benigns/benign_02/case0007/A_0008_1.LEFT_CC.LJPEG",
            "LJPEG as released: convert it to PNG, TIFF or PGM first",
        ),
    )


def test_wrong_tasks_tables_and_folders_are_refused(tree, tmp_path):
    with pytest.raises(DatasetError, match=r"DDSM has labels of density, pathology, .*, none of tissue"):
        list_ddsm(tree, ArchiveOptions("tissue"))
    with pytest.raises(DatasetError, match="leave both tables out"):
        list_ddsm(tree, ArchiveOptions("pathology", labels=tmp_path / "a.csv"))
    with pytest.raises(DatasetError, match="no such folder"):
        list_ddsm(tmp_path / "nowhere", PATHOLOGY)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "A_0008_1.LEFT_CC.LJPEG").write_bytes(b"\xff\xd8\xff\xc3")
    with pytest.raises(DatasetError, match="1 LJPEG files: convert them"):
        list_ddsm(tmp_path / "raw", PATHOLOGY)


def test_many_cases_are_listed_in_a_moment(tmp_path):
    picture = tmp_path / "one.png"
    Image.new("L", (12, 20)).save(picture)
    for number in range(1, 501):
        folder = tmp_path / "set" / "cancers" / "cancer_01" / f"case{number:04d}"
        folder.mkdir(parents=True)
        (folder / f"A-{number:04d}-1.ics").write_text(ics())
        for film in FILMS:
            (folder / f"A_{number:04d}_1.{film}.png").hardlink_to(picture)
    assert len(list_ddsm(tmp_path / "set", PATHOLOGY).images) == 2000


def test_a_phantom_tree_is_prepared_by_the_kinds_own_preparation(tmp_path, in_process):
    folder = tmp_path / "cases/cancers/cancer_01/case0001"
    folder.mkdir(parents=True)
    pixels = phantom_exam(1, "B", height=400)[View.CC_L]
    height, width = pixels.shape
    Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / "A_0001_1.LEFT_CC.png")
    (folder / "A-0001-1.ics").write_text(ics(lines=height * 4, across=width * 4))
    chain = square(width, height * 2, height // 4)
    (folder / "A_0001_1.LEFT_CC.OVERLAY").write_text(overlay(("MASS", "MALIGNANT", chain)))
    usual = KINDS["ddsm"].preparation
    assert usual == Preparation(trim=0.07, white_patches="black", polarity="auto")
    dataset = prepare(
        "ddsm", tmp_path / "cases", tmp_path / "out", PrepareOptions(PATHOLOGY, division=Division((1, 0, 0)))
    )
    assert dataset.preparation == usual
    row = dataset.lesions().iloc[0]
    assert row["outline"] == "polygon" and float(row["visible"]) > 0.9
    assert read_mask(dataset.root / row["mask"]).any()
    assert dataset.table["pixel_spacing_mm"].iloc[0] == "0.2"
