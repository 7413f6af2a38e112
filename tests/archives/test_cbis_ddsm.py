import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.cbis_ddsm import list_cbis_ddsm
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.lesions import LesionProblem, lesion_mask
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.lesion import Outline
from ensemble_mammo.records.manifest import read_description
from ensemble_mammo.records.png16 import read_mask, read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.archives.cbis_phantoms import (
    CASES,
    LAYOUTS,
    Case,
    files_of,
    film_pixels,
    mask_box,
    mask_pixels,
    place_of,
    write_dicom,
    write_tables,
    write_tree,
)
from tests.conftest import at_once

IMAGES = ["P_00001_LEFT_CC", "P_00002_RIGHT_MLO", "P_00003_LEFT_MLO", "P_00004_RIGHT_CC", "P_00005_LEFT_CC",
          "P_00005_LEFT_MLO", "P_00006_LEFT_CC"]  # fmt: skip
AS_IT_IS = Preparation(crop=False, outside="keep", height=0)


@pytest.fixture(autouse=True)
def here(in_process, monkeypatch):
    monkeypatch.setattr("ensemble_mammo.archives.cbis_ddsm.spread", at_once)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The tree in the tables' own paths."""
    return write_tree(tmp_path_factory.mktemp("cbis") / "CBIS-DDSM")


def listed(root, **options):
    return list_cbis_ddsm(root, ArchiveOptions(**({"task": "pathology"} | options)))


def names_of_masks(listing, root):
    return {
        (image.image_id, lesion.number): {path.relative_to(root).as_posix() for path in lesion.outlines[0].masks}
        for image in listing.images
        for lesion in image.lesions
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mammograms_masks_and_crops_are_found_however_the_tree_is_laid_out(tmp_path, layout):
    root = write_tree(tmp_path, layout)
    listing = listed(root)
    assert [image.image_id for image in listing.images] == IMAGES
    found = names_of_masks(listing, root)
    for case in CASES:
        kind = case.part.split("-")[0].lower()
        expected = {place_of(files_of(case)[name], layout).as_posix() for name in ("mask", "crop")}
        assert found[f"{case.patient}_{case.side}_{case.view}", f"{kind}-{case.number}"] == expected
    by_id = {image.image_id: image for image in listing.images}
    assert by_id["P_00002_RIGHT_MLO"].source == place_of(files_of(CASES[3])["image"], layout).as_posix()
    assert listing.left_out == (
        (place_of(files_of(CASES[1])["image"], layout).as_posix(),
         f"the same mammogram as {place_of(files_of(CASES[0])['image'], layout).as_posix()}"),
    )  # fmt: skip


def test_a_mammogram_of_two_tables_is_one_image_with_all_its_lesions_and_pooled_labels(archive):
    image = listed(archive).images[0]
    assert (image.subject_id, image.exam_id, image.view.value, image.split) == ("P_00001", "1", "CC_L", "train")
    assert image.labels == {
        "density": "A",
        "abnormality": "abnormal",
        "pathology": "malignant",
        "birads": "4-6",
        "abnormality5": "malignant-mass",
    }
    told = [(le.number, le.finding, le.pathology, le.assessment, le.subtlety, le.descriptors) for le in image.lesions]
    assert told == [
        ("calc-1", "calcification", "benign", "2", "3", "PLEOMORPHIC; CLUSTERED; BENIGN_WITHOUT_CALLBACK"),
        ("mass-1", "mass", "malignant", "5", "3", "OVAL"),
        ("mass-2", "mass", "benign", "3", "3", "OVAL"),
    ]


def test_density_0_is_unlabelled_and_said(archive):
    listing = listed(archive)
    labels = {image.image_id: image.labels for image in listing.images}
    assert "density" not in labels["P_00004_RIGHT_CC"] and labels["P_00003_LEFT_MLO"]["density"] == "C"
    assert "1 mammograms have density 0: unlabelled" in listing.notes


def test_patients_of_both_divisions_go_to_test_unless_asked_otherwise(archive):
    listing = listed(archive)
    splits = {image.image_id: image.split for image in listing.images}
    assert splits == dict.fromkeys(IMAGES, "test") | dict.fromkeys((IMAGES[0], IMAGES[1], IMAGES[6]), "train")
    assert listing.validation_share == 0.2
    assert (
        "1 patients stand in both the training and the test tables (P_00005): all their images are in test "
        "(--as-released keeps the release's division)"
    ) in listing.notes
    kept = listed(archive, as_released=True)
    assert {i.image_id: i.split for i in kept.images} == splits | {"P_00005_LEFT_CC": "train"}
    assert any("so that these patients leak" in note for note in kept.notes)


def test_an_image_of_both_divisions_counts_as_test_even_as_released(tmp_path):
    film = Case("Calc-Training", "P_00007", "LEFT", "CC")
    root = write_tree(tmp_path, cases=(film, replace(film, part="Mass-Test")))
    assert [image.split for image in listed(root, as_released=True).images] == ["test"]


def test_densities_that_differ_within_a_patient_are_kept_and_said(tmp_path):
    film = Case("Calc-Training", "P_00007", "LEFT", "CC")
    listing = listed(write_tree(tmp_path, cases=(film, replace(film, view="MLO", density="3"))))
    assert [image.labels["density"] for image in listing.images] == ["B", "C"]
    assert "1 patients have mammograms of several densities (P_00007): each is kept" in listing.notes


def test_a_download_in_part_is_listed_with_what_is_missing(tmp_path, archive):
    root = tmp_path / "part"
    shutil.copytree(archive, root)
    for case in (CASES[3], CASES[4]):
        shutil.rmtree(root / case.film)
    shutil.rmtree(root / CASES[8].lesion)
    other = replace(CASES[4], patient="P_00099")
    write_dicom(root / other.film / "1-1.dcm", files_of(other)["image"])
    (root / "notes.txt").write_text("nothing")
    (root / "readme.dcm").write_text("no image")
    Image.new("L", (4, 4)).save(root / "page.png")
    listing = listed(root)
    assert [image.image_id for image in listing.images] == [IMAGES[0], *IMAGES[3:]]
    assert "2 of 7 mammograms of the tables have no file here" in listing.notes
    assert "1 of 7 lesions have neither mask nor crop here" in listing.notes
    assert "1 files belong to cases that the tables do not name, and are passed over" in listing.notes
    assert [source for source, _ in listing.unreadable] == ["readme.dcm"]
    assert ("page.png", "no row of the tables names it") in listing.left_out
    with pytest.raises(LesionProblem, match=r"no mask: 000000\.dcm: cannot be opened \(No such file"):
        lesion_mask(listing.images[-1].lesions[0].outlines, (160, 128))


def test_a_case_of_other_tables_is_known_by_its_header_too(tmp_path):
    root = write_tree(tmp_path, "headers")
    (root / "mass_case_description_train_set.csv").unlink()
    assert "8 files belong to cases that the tables do not name, and are passed over" in listed(root).notes


def test_tables_elsewhere_are_named_by_a_folder_or_a_file(tmp_path, archive):
    tree = tmp_path / "tree"
    shutil.copytree(archive, tree, ignore=shutil.ignore_patterns("*.csv"))
    write_tables(tmp_path / "tables")
    with pytest.raises(DatasetError, match=r"no case description table .* --labels"):
        listed(tree)
    assert len(listed(tree, labels=tmp_path / "tables").images) == len(IMAGES)
    one = listed(tree, labels=tmp_path / "tables" / "mass_case_description_test_set.csv")
    assert [image.image_id for image in one.images] == ["P_00003_LEFT_MLO", "P_00005_LEFT_MLO"]


def test_a_tree_without_any_of_the_mammograms_is_refused_with_what_was_looked_for(tmp_path):
    write_tables(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    with pytest.raises(
        DatasetError,
        match=r"none of the 7 mammograms of the tables among its 1 image files; looked for folders or files called "
        r"like Calc-Training_P_00001_LEFT_CC or by the SeriesInstanceUIDs",
    ):
        listed(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        listed(tmp_path / "nowhere")


def test_a_task_without_labels_here_is_refused(archive):
    with pytest.raises(DatasetError, match=r"CBIS-DDSM has labels of density, pathology, birads, .* none of tissue"):
        listed(archive, task="tissue")


def prepared(root, out, preparation=None, **options):
    given = PrepareOptions(ArchiveOptions("pathology", **options), preparation, full_size=True)
    return prepare("cbis-ddsm", root, out, given)


@pytest.fixture
def dataset(archive, tmp_path):
    return prepared(archive, tmp_path / "dataset", AS_IT_IS)


def test_prepare_writes_one_row_an_image_with_labels_and_splits(dataset):
    table = dataset.table.set_index("image_id")
    assert list(table.index) == IMAGES
    row = table.loc["P_00001_LEFT_CC"]
    assert (row["subject_id"], row["exam_id"], row["view"]) == ("P_00001", "1", "CC_L")
    assert (row["density"], row["pathology"], row["birads"], row["abnormality5"]) == (
        "A", "malignant", "4-6", "malignant-mass",
    )  # fmt: skip
    assert row["source"].startswith("Calc-Training_P_00001_LEFT_CC/") and row["collection"] == ""
    assert set(table.loc[["P_00003_LEFT_MLO", "P_00004_RIGHT_CC", "P_00005_LEFT_CC"], "split"]) == {"test"}
    learning = table.loc[["P_00001_LEFT_CC", "P_00002_RIGHT_MLO", "P_00006_LEFT_CC"], "split"]
    assert set(learning) <= {"train", "val"} and "val" in set(learning)


def test_masks_lie_where_the_lesions_were_planted(dataset):
    rows = dataset.lesions().set_index("lesion_id")
    assert len(rows) == len(CASES)
    for case in (case for case in CASES if case.mask != "wide"):
        row = rows.loc[f"{case.patient}_{case.side}_{case.view}_{case.part[:4].lower()}-{case.number}"]
        expected = np.zeros(film_pixels(case).shape, bool)
        expected[mask_box(case)] = True
        for column in ("mask", "full_mask"):
            assert np.array_equal(read_mask(dataset.root / row[column]), expected)
        assert row["note"] == ("" if case.mask == "film" else "mask of 80 x 64 pixels scaled to the film's 160 x 128")
        assert row["outline"] == "mask" and row["visible"] == "1"


def test_a_mask_of_another_aspect_is_listed_and_left_out(dataset):
    row = dataset.lesions().set_index("lesion_id").loc["P_00003_LEFT_MLO_mass-1"]
    assert row["mask"] == row["full_mask"] == "" and row["pathology"] == "benign"
    assert "a mask of 80 x 128 pixels on a film of 160 x 128, whose aspect differs" in row["note"]
    assert "has more values than two, so it is a crop" in row["note"]
    assert read_description(dataset.root)["counts"]["lesions_without_mask"] == 1


def test_the_full_size_is_written_beside_and_eight_bits_of_sixteen_become_all(dataset):
    row = dataset.table.set_index("image_id").loc["P_00002_RIGHT_MLO"]
    full = read_png16(dataset.root / row["full_file"])
    assert np.array_equal(full, film_pixels(CASES[3]) * np.uint16(257))
    notes = read_description(dataset.root)["image_notes"]
    assert notes == {"only 8 of the 16 bits stored are in use: 255 is taken for white": 7}


def test_eight_bits_spread_over_sixteen_stay_as_they_are(tmp_path):
    root = write_tree(tmp_path / "tree", cases=CASES[8:])
    film = files_of(CASES[8])["image"]
    write_dicom(root / place_of(film, "paths"), replace(film, pixels=film.pixels * np.uint16(257)))
    dataset = prepared(root, tmp_path / "dataset", AS_IT_IS)
    pixels = read_png16(dataset.root / dataset.table["file"].iloc[0])
    assert np.array_equal(pixels, film.pixels * np.uint16(257))
    assert read_description(dataset.root)["image_notes"] == {}


def test_a_division_asked_for_deals_all_patients_anew(archive, tmp_path):
    options = PrepareOptions(ArchiveOptions("pathology"), AS_IT_IS, division=Division((0.5, 0, 0.5)))
    table = prepare("cbis-ddsm", archive, tmp_path / "dealt", options).table
    assert table.groupby("subject_id")["split"].nunique().max() == 1
    assert table.drop_duplicates("subject_id")["split"].value_counts().to_dict() == {"train": 3, "test": 3}


def test_the_default_is_1152_rows_by_896_columns_without_turning(archive, tmp_path):
    assert KINDS["cbis-ddsm"].preparation == Preparation(width=896)
    dataset = prepared(archive, tmp_path / "default")
    for _, row in dataset.table.iterrows():
        pixels = read_png16(dataset.root / row["file"])
        assert pixels.shape == (1152, 896) and pixels.max() > 0
    for _, row in dataset.lesions().iterrows():
        if row["mask"]:
            mask = read_mask(dataset.root / row["mask"])
            assert mask.shape == (1152, 896) and mask.any()


def test_as_released_a_patient_stands_in_two_splits(archive, tmp_path):
    table = prepared(archive, tmp_path / "released", AS_IT_IS, as_released=True).table
    own = table[table["subject_id"] == "P_00005"].set_index("image_id")["split"]
    assert own["P_00005_LEFT_MLO"] == "test" and own["P_00005_LEFT_CC"] != "test"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_made_of_the_files_do_as_well(tmp_path, suffix):
    cases = tuple(replace(case, shared_names=False) for case in CASES[:4])
    root = write_tree(tmp_path / "tree", "series", cases, suffix)
    dataset = prepared(root, tmp_path / "dataset", AS_IT_IS)
    rows = dataset.lesions().set_index("lesion_id")
    assert list(dataset.table["image_id"]) == IMAGES[:2] and (rows["mask"] != "").all()
    mask = read_mask(dataset.root / rows.loc["P_00001_LEFT_CC_mass-1", "mask"])
    expected = mask_pixels(cases[1]) > 0
    assert (mask & expected).sum() / (mask | expected).sum() > 0.95


def test_a_crop_saved_as_jpeg_is_no_mask(tmp_path):
    rows, columns = np.mgrid[0:160, 0:128]
    Image.fromarray(((rows + columns) % 256).astype(np.uint8)).save(tmp_path / "crop.jpg")
    with pytest.raises(LesionProblem, match=r"crop\.jpg: has more values than two"):
        lesion_mask([Outline("mask", masks=(Path(tmp_path / "crop.jpg"),))], (160, 128))


@pytest.mark.real
def test_the_released_tables_give_every_mammogram_of_a_tree(real_data, tmp_path):
    from ensemble_mammo.archives.cbis_tables import read_cases

    tables = real_data / "cbis-ddsm-csv"
    cases = read_cases(tables)
    for path in {*cases["image_path"], *cases["mask_path"], *cases["crop_path"]}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    listing = listed(tmp_path, labels=tables)
    assert len(listing.images) == 3032 and len(listing.left_out) == 71
    assert sum(len(image.lesions) for image in listing.images) == 3568
    assert all(len(lesion.outlines[0].masks) == 2 for image in listing.images for lesion in image.lesions)
    assert sum("density" not in image.labels for image in listing.images) == 2
    splits = {(image.subject_id, image.split) for image in listing.images}
    assert len(splits) == 1566
    assert any(note.startswith("31 patients stand in both") for note in listing.notes)
