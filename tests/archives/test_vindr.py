import time

import numpy as np
import pytest

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.vindr import list_vindr, read_vindr_breasts
from ensemble_mammo.archives.vindr_findings import read_vindr_findings
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.phantom_files import write_phantom_file
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.lesion import read_lesions
from ensemble_mammo.records.png16 import read_mask
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

HEAD = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
BREASTS = f"""{HEAD}
s1,x,a,L,CC,200,160,BI-RADS 1,DENSITY C,training
s1,x,b,R,MLO,200,160,BI-RADS 4,DENSITY C,training
s2,x,c,R,CC,200,160,BI-RADS 3,DENSITY B,test
"""
FINDING_HEAD = "study_id,image_id,finding_categories,finding_birads,xmin,ymin,xmax,ymax"
FINDINGS = f"""{FINDING_HEAD}
s1,a,['No Finding'],,,,,
s1,b,"['Skin Thickening', 'Mass']",BI-RADS 4,20.5,30,60,80.25
s1,b,['Suspicious Calcification'],BI-RADS 5,100,90,180,120
s2,c,['Nipple Retraction'],BI-RADS 3,10,10,40,40
"""


def release(root, breasts=BREASTS, findings=FINDINGS, images=(("s1", "a"), ("s1", "b"), ("s2", "c"))):
    root.mkdir(exist_ok=True)
    (root / "breast-level_annotations.csv").write_text(breasts)
    if findings:
        (root / "finding_annotations.csv").write_text(findings)
    for study, image in images:
        (root / "images" / study).mkdir(parents=True, exist_ok=True)
        (root / "images" / study / f"{image}.dicom").write_bytes(b"\0" * 128 + b"DICM")
    return root


def test_studies_are_subjects_with_the_labels_and_splits_of_the_release(tmp_path):
    listing = list_vindr(release(tmp_path), ArchiveOptions())
    assert [(i.image_id, i.subject_id, i.exam_id, i.view, dict(i.labels), i.split) for i in listing.images] == [
        ("a", "s1", "1", View.CC_L, {"density": "C", "birads": "1-2", "abnormality": "normal"}, "train"),
        ("b", "s1", "1", View.MLO_R, {"density": "C", "birads": "4-6", "abnormality": "abnormal"}, "train"),
        ("c", "s2", "1", View.CC_R, {"density": "B", "abnormality": "abnormal"}, "test"),
    ]
    assert listing.validation_share == 0.2 and not listing.hidden


def test_findings_are_lesions_with_the_box_in_the_frame_of_the_table(tmp_path):
    listing = list_vindr(release(tmp_path), ArchiveOptions())
    assert listing.images[0].lesions == ()
    mass, calcification = listing.images[1].lesions
    assert (mass.number, mass.finding, mass.assessment, mass.descriptors) == ("1", "mass", "4", "Skin Thickening, Mass")
    assert mass.outlines[0].points == ((20.5, 30), (60, 80.25)) and mass.outlines[0].frame == (200, 160)
    assert (calcification.number, calcification.finding, calcification.assessment) == ("2", "calcification", "5")
    assert listing.images[2].lesions[0].finding == "other"
    assert "finding_annotations.csv: 1 boxes reach beyond their image and were cut at its edge" in listing.notes


@pytest.mark.parametrize(
    ("category", "finding"),
    [
        ("Mass", "mass"),
        ("Suspicious Calcification", "calcification"),
        ("Asymmetry", "asymmetry"),
        ("Focal Asymmetry", "asymmetry"),
        ("Global Asymmetry", "asymmetry"),
        ("Architectural Distortion", "distortion"),
        ("Skin Thickening", "other"),
        ("Skin Retraction", "other"),
        ("Nipple Retraction", "other"),
        ("Suspicious Lymph Node", "other"),
    ],
)
def test_every_category_of_the_release_is_known(tmp_path, category, finding):
    listing = list_vindr(release(tmp_path, findings=FINDINGS.replace("Nipple Retraction", category)), ArchiveOptions())
    assert listing.images[2].lesions[0].finding == finding
    assert not any("is not known" in note for note in listing.notes)


def test_an_unknown_category_is_other_and_counted(tmp_path):
    listing = list_vindr(release(tmp_path, findings=FINDINGS.replace("Nipple Retraction", "Halo")), ArchiveOptions())
    assert listing.images[2].lesions[0].finding == "other" and listing.images[2].labels["abnormality"] == "abnormal"
    assert "finding_annotations.csv: category 'Halo' is not known, read as 'other' (1 times)" in listing.notes


def test_a_finding_without_a_box_is_a_lesion_without_a_place(tmp_path):
    listing = list_vindr(release(tmp_path, findings=FINDINGS.replace("10,10,40,40", ",,,")), ArchiveOptions())
    assert listing.images[2].lesions[0].outlines == ()


def test_without_the_findings_there_are_no_lesions_and_no_abnormality(tmp_path):
    root = release(tmp_path, findings="")
    listing = list_vindr(root, ArchiveOptions())
    assert all(not image.lesions and "abnormality" not in image.labels for image in listing.images)
    assert "no finding_annotations.csv: neither lesions nor labels of abnormality" in listing.notes
    with pytest.raises(DatasetError, match=r"abnormality is read from finding_annotations\.csv, which is not there"):
        list_vindr(root, ArchiveOptions("abnormality"))
    (tmp_path / "elsewhere.csv").write_text(FINDINGS)
    assert list_vindr(root, ArchiveOptions("abnormality", annotations=tmp_path / "elsewhere.csv")).images[1].lesions


def test_files_that_do_not_fit_the_table_are_left_out(tmp_path):
    images = (("s1", "a"), ("s2", "b"), ("s2", "z"), ("flat", "c"))
    breasts = BREASTS + "s3,x,d,L,ML,200,160,BI-RADS 1,DENSITY A,test\n"
    listing = list_vindr(release(tmp_path, breasts, images=(*images, ("s3", "d"))), ArchiveOptions())
    assert [image.image_id for image in listing.images] == ["c", "a"]
    assert sorted(listing.left_out) == [
        ("images/s2/b.dicom", "its image is of study s1 in breast-level_annotations.csv"),
        ("images/s2/z.dicom", "no row for image z in breast-level_annotations.csv"),
        ("images/s3/d.dicom", "ML view, neither CC nor MLO"),
    ]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ((",breast_density", ",density"), r"breast-level_annotations\.csv line 1: column breast_density missing"),
        (("s2,x,c", "s2,x,a"), "line 4: image_id 'a' stands in line 2 already"),
        (("DENSITY B", "DENSITY E"), "line 4: breast_density: label 'DENSITY E' is not one of A, B, C, D"),
        (("BI-RADS 3", "BI-RADS 9"), "line 4: breast_birads: label '9' is not one of 1-2, 4-6"),
        (("B,test", "B,validation"), "line 4: split: split 'validation' is not one of training, test"),
        (("c,R,CC", "c,Q,CC"), "line 4: laterality 'Q' is not one of"),
        (("CC,200,160,BI-RADS 3", "CC,tall,160,BI-RADS 3"), "line 4: height: 'tall' is no number of pixels"),
    ],
)
def test_a_breast_level_table_that_cannot_be_right_is_refused(tmp_path, change, match):
    assert change[0] in BREASTS
    with pytest.raises(DatasetError, match=match):
        list_vindr(release(tmp_path, BREASTS.replace(*change, 1)), ArchiveOptions())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ((",xmin", ",left"), r"finding_annotations\.csv line 1: column xmin missing"),
        (("s2,c,", "s2,q,"), "line 5: image_id 'q' is not in the breast-level table"),
        (("['Nipple Retraction']", "Nipple Retraction"), "line 5: finding_categories: 'Nipple Retraction' is no list"),
        (("['Nipple Retraction']", "__import__('os')"), "line 5: finding_categories: .* is no list of categories"),
        (("10,10,40,40", "10,10,40,"), r"line 5: box 10, 10, 40, \(empty\) is not four numbers"),
        (("10,10,40,40", "10,10,40,x"), "line 5: box 10, 10, 40, x is not four numbers"),
        (("10,10,40,40", "40,10,10,40"), "line 5: box 40, 10, 10, 40 has no width or no height"),
        (("10,10,40,40", "170,10,180,40"), "line 5: box 170, 10, 180, 40 lies outside its image of 200 rows and 160"),
    ],
)
def test_a_table_of_findings_that_cannot_be_right_is_refused(tmp_path, change, match):
    assert change[0] in FINDINGS
    with pytest.raises(DatasetError, match=match):
        list_vindr(release(tmp_path, findings=FINDINGS.replace(*change, 1)), ArchiveOptions())


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        list_vindr(tmp_path / "nowhere", ArchiveOptions())
    root = release(tmp_path / "vindr", images=[("s9", "q")])
    with pytest.raises(DatasetError, match=r"no image of .*csv below it, expected images/<study_id>/<image_id>\.dicom"):
        list_vindr(root, ArchiveOptions())
    with pytest.raises(DatasetError, match="VinDr-Mammo has labels of density, birads, abnormality, none of pathology"):
        list_vindr(root, ArchiveOptions("pathology"))
    with pytest.raises(DatasetError, match="leave --views out"):
        list_vindr(root, ArchiveOptions(views=tmp_path / "views.csv"))
    (root / "breast-level_annotations.csv").unlink()
    with pytest.raises(DatasetError, match=r"no breast-level_annotations\.csv there, one folder up or down"):
        list_vindr(root, ArchiveOptions())


def test_tables_of_the_real_size_are_read_and_checked_in_under_three_seconds(tmp_path):
    count = 20_000
    breasts = [
        f"s{i // 4},x,i{i},L,CC,3518,2800,BI-RADS {1 + i % 5},DENSITY {'ABCD'[i % 4]},training" for i in range(count)
    ]
    findings = [
        f"s{i // 4},i{i},\"['Mass', 'Asymmetry']\",BI-RADS 4,{i % 2000}.5,20,2500.25,3000" for i in range(count)
    ]
    (tmp_path / "a.csv").write_text("\n".join([HEAD, *breasts]))
    (tmp_path / "b.csv").write_text("\n".join([FINDING_HEAD, *findings]))
    begin = time.process_time()
    found = read_vindr_findings(tmp_path / "b.csv", read_vindr_breasts(tmp_path / "a.csv"))
    assert time.process_time() - begin < 3 and len(found.lesions) == count


def test_dicom_phantoms_become_a_dataset_with_masks_where_the_boxes_are(tmp_path, in_process):
    rows, findings = [HEAD], [FINDING_HEAD]
    for number in range(1, 7):
        for view, pixels in phantom_exam(number, "B", height=200).items():
            name = f"{number}{view.suffix}"
            write_phantom_file(tmp_path / "in" / "images" / f"s{number}" / f"{name}.dicom", pixels, view, (0, number))
            split = "test" if number == 6 else "training"
            side, projection = view.side.letter, view.projection.value
            rows.append(f"s{number},x,{name},{side},{projection},200,160,BI-RADS 4,DENSITY B,{split}")
            box = ",90,60,130," if view is View.CC_L else ""
            left = "30" if view is View.CC_L else ""
            findings.append(
                f"s{number},{name},['Mass'],BI-RADS 4,{left},90,60,130"
                if box
                else f"s{number},{name},['No Finding'],,,,,"
            )
    (tmp_path / "in" / "breast-level_annotations.csv").write_text("\n".join(rows))
    (tmp_path / "in" / "finding_annotations.csv").write_text("\n".join(findings))
    options = PrepareOptions(
        ArchiveOptions("abnormality"), Preparation(crop=False, height=100), division=Division(seed=1)
    )
    dataset = prepare("vindr", tmp_path / "in", tmp_path / "out", options)
    table = dataset.table
    assert len(table) == 24 and set(table["subject_id"]) == {f"s{n}" for n in range(1, 7)}, (
        "not the headers' PatientIDs"
    )
    assert table.groupby("split")["subject_id"].nunique().to_dict() == {"test": 1, "train": 4, "val": 1}
    assert table.groupby("view")["abnormality"].agg(set).to_dict() == {
        "CC_L": {"abnormal"},
        "CC_R": {"normal"},
        "MLO_L": {"normal"},
        "MLO_R": {"normal"},
    }
    lesions = read_lesions(dataset.root, dict(zip(table["image_id"], table["subject_id"], strict=True)))
    assert list(lesions["lesion_id"]) == [f"{n}ccl_1" for n in range(1, 7)] and set(lesions["finding"]) == {"mass"}
    mask = read_mask(dataset.root / lesions["mask"].iloc[0])
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (45, 64, 15, 29)
