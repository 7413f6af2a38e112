import numpy as np
import pytest

from ensemble_mammo.archives.folders import list_folders
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.png16 import write_png16


def tree(root, *files):
    """An INFN tree with these files and every class folder of the views that they use."""
    for file in files:
        write_png16(root / file, np.zeros((4, 4), np.uint16))
        view = file.split("/")[0]
        split = [part for part in file.split("/")[1:-2] if part.lower() in ("train", "val", "test")]
        for name in "ABCD":
            root.joinpath(view, *split, name).mkdir(parents=True, exist_ok=True)
    return root


def found(root, **options):
    listing = list_folders(root, ArchiveOptions(**options))
    return listing, [(i.image_id, i.subject_id, i.exam_id, i.view, i.labels, i.split) for i in listing.images]


def test_view_split_and_class_come_from_the_folders_and_ids_from_the_names(tmp_path):
    tree(tmp_path, "CC_R/train/A/001_1_A_CC_R.png", "CC_R/test/B/002_7_B_CC_R.png", "MLO_L/train/A/001_1_A_MLO_L.png")
    listing, images = found(tmp_path)
    assert images == [
        ("002_7_B_CC_R", "002", "7", "CC_R", {"density": "B"}, "test"),
        ("001_1_A_CC_R", "001", "1", "CC_R", {"density": "A"}, "train"),
        ("001_1_A_MLO_L", "001", "1", "MLO_L", {"density": "A"}, "train"),
    ]
    assert listing.images[0].source == "CC_R/test/B/002_7_B_CC_R.png"
    assert listing.notes == () and listing.left_out == ()


def test_without_split_folders_the_split_is_left_open(tmp_path):
    _, images = found(tree(tmp_path, "CC_L/C/001_1_C_CC_L.png"))
    assert images == [("001_1_C_CC_L", "001", "1", "CC_L", {"density": "C"}, "")]


def test_other_names_of_splits_and_spellings_of_classes_are_known(tmp_path):
    tree(tmp_path, "CC_L/Validation/A/001_1_A_CC_L.png")
    (tmp_path / "CC_L/Validation/A").rename(tmp_path / "CC_L/Validation/1")
    _, images = found(tmp_path)
    assert images[0][4:] == ({"density": "A"}, "val")


def test_names_without_ids_are_one_subject_where_they_agree_but_for_the_view(tmp_path):
    listing, images = found(tree(tmp_path, "CC_R/A/case12_R_CC.png", "CC_L/A/case12_L_CC.png", "CC_L/B/x.png"))
    assert [image[1] for image in images] == ["case12", "case12", "x"]
    assert "3 names carry no ids of a known pattern: one name in several views is one subject" in listing.notes


def test_names_that_clash_are_subjects_of_their_own_and_said_so(tmp_path):
    listing, images = found(tree(tmp_path, "CC_R/A/1.png", "CC_R/B/1.png", "CC_R/B/2.png"))
    assert [image[1] for image in images] == ["CC_R-A-1", "CC_R-B-1", "2"]
    assert len({image[0] for image in images}) == 3
    assert any("2 names carry no ids and clash" in note for note in listing.notes)


def test_two_files_of_one_name_and_different_endings_stay_apart(tmp_path):
    tree(tmp_path, "CC_R/A/001_1_A_CC_R.png")
    (tmp_path / "CC_R/A/001_1_A_CC_R.tif").write_bytes((tmp_path / "CC_R/A/001_1_A_CC_R.png").read_bytes())
    _, images = found(tmp_path)
    assert len({image[0] for image in images}) == 2


def test_other_files_are_left_out_with_their_names(tmp_path):
    tree(tmp_path, "CC_R/A/001_1_A_CC_R.png")
    (tmp_path / "CC_R/A/notes.txt").write_text("x")
    listing, _ = found(tmp_path)
    assert listing.left_out == (("CC_R/A/notes.txt", "not an image"),)


def test_a_missing_class_folder_is_named_and_an_empty_one_is_no_problem(tmp_path):
    tree(tmp_path, "CC_R/A/001_1_A_CC_R.png", "CC_L/A/001_1_A_CC_L.png")
    (tmp_path / "CC_L/D").rmdir()
    with pytest.raises(DatasetError, match=r"CC_L: class folder D missing \(found A, B, C\); task density wants A, B"):
        found(tmp_path)


def test_an_unknown_class_folder_is_named(tmp_path):
    tree(tmp_path, "CC_R/A/001_1_A_CC_R.png")
    (tmp_path / "CC_R/benign").mkdir()
    with pytest.raises(DatasetError, match=r"CC_R/benign: label 'benign' is not one of A, B, C, D"):
        found(tmp_path)


def test_a_folder_above_the_tree_is_answered_with_the_tree(tmp_path):
    tree(tmp_path / "TestSet", "CC_R/A/001_1_A_CC_R.png")
    with pytest.raises(DatasetError, match=r"none of the view folders .*\(found TestSet\); did you mean .*/TestSet\?"):
        found(tmp_path)


@pytest.mark.parametrize(("name", "match"), [("", "found nothing"), ("nowhere", "nowhere: no such folder")])
def test_an_empty_folder_and_none_at_all_are_refused(tmp_path, name, match):
    with pytest.raises(DatasetError, match=match):
        found(tmp_path / name)


def test_class_folders_without_an_image_are_refused(tmp_path):
    for name in "ABCD":
        (tmp_path / "CC_R" / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match="its class folders hold no image"):
        found(tmp_path)


def test_a_name_that_contradicts_its_view_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"001_1_A_CC_L\.png: its name says CC_L, its folder CC_R"):
        found(tree(tmp_path, "CC_R/A/001_1_A_CC_L.png"))


def test_a_name_that_contradicts_its_class_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"001_1_B_CC_R\.png: its name says B, its folder A"):
        found(tree(tmp_path, "CC_R/A/001_1_B_CC_R.png"))


def test_one_exam_in_two_density_classes_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"is B, .* of the same exam is A; one exam has one density"):
        found(tree(tmp_path, "CC_R/A/001_1_A_CC_R.png", "CC_L/B/001_1_B_CC_L.png"))


@pytest.mark.real
def test_the_infn_example_is_listed(real_data):
    _, images = found(real_data / "infn-density" / "TestSet")
    assert len(images) == 8
    assert {image[3] for image in images} == {"CC_R", "MLO_R"} and {image[5] for image in images} == {"test"}
    assert sorted(image[4]["density"] for image in images) == list("AABBCCDD")
