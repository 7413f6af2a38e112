"""COCO folders: annotations as lesions, ids from names, labels from a CSV or the CBIS tables."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.coco import list_coco
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.run_length import corners_of_runs
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.lesions import lesion_mask
from ensemble_mammo.records.lesion import ArchiveLesion, Outline
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.archives.pictures import pictures

BOX = [10, 20, 30, 40]
SIZE = (100, 80)


def image(number, name, **more):
    return {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1], **more}


def annotation(number, of, **more):
    return {"id": number, "image_id": of, "category_id": 0, "bbox": BOX, "segmentation": [], **more}


def coco(images, annotations, categories=("Mass",)):
    named = [{"id": place, "name": name} for place, name in enumerate(categories)]
    return {"images": images, "annotations": annotations, "categories": named}


FILES = ("1_LEFT_CC.jpg", "1_LEFT_MLO.jpg", "2_RIGHT_CC.jpg")
PLAIN = coco([image(n, name) for n, name in enumerate(FILES)], [annotation(0, 0), annotation(1, 0), annotation(2, 2)])


def archive(folder, data=PLAIN, files=FILES, name="annotations.json"):
    pictures(folder / "images", *files)
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return folder


def found(root, task="abnormality", **options):
    return list_coco(root, ArchiveOptions(task, **options))


def by_id(listing):
    return {image.image_id: image for image in listing.images}


def test_images_with_boxes_become_images_with_lesions(tmp_path):
    listing = found(archive(tmp_path))
    assert [(i.source, i.image_id, i.subject_id, i.exam_id, i.view) for i in listing.images] == [
        ("images/1_LEFT_CC.jpg", "1_LEFT_CC", "1", "1", View.CC_L),
        ("images/1_LEFT_MLO.jpg", "1_LEFT_MLO", "1", "1", View.MLO_L),
        ("images/2_RIGHT_CC.jpg", "2_RIGHT_CC", "2", "1", View.CC_R),
    ]
    outline = Outline("box", ((10.0, 20.0), (40.0, 60.0)), frame=SIZE)
    assert listing.images[0].lesions == (ArchiveLesion("1", (outline,), "mass"), ArchiveLesion("2", (outline,), "mass"))
    assert listing.images[1].lesions == ()
    assert [dict(i.labels) for i in listing.images] == [{"abnormality": "abnormal"}, {}, {"abnormality": "abnormal"}]
    assert listing.left_out == () and listing.notes == ()


def lesions_of(folder, *annotations, categories=("Mass",)):
    return (
        found(archive(folder, coco([image(0, FILES[0])], list(annotations), categories), FILES[:1])).images[0].lesions
    )


def test_polygons_are_preferred_over_the_box_and_several_are_one_lesion(tmp_path):
    polygons = [[1, 1, 5, 1, 5, 5.5], [10, 10, 20, 10, 20, 20, 10, 20]]
    (lesion,) = lesions_of(tmp_path, annotation(0, 0, segmentation=polygons))
    assert lesion.outlines == (
        Outline("polygon", ((1.0, 1.0), (5.0, 1.0), (5.0, 5.5)), frame=SIZE),
        Outline("polygon", ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)), frame=SIZE),
    )


def test_findings_and_pathology_are_told_by_the_words_of_the_category(tmp_path):
    categories = ("malignant mass", "Benign_Calcification", "Skin thickening")
    lesions = lesions_of(tmp_path, *(annotation(n, 0, category_id=n) for n in range(3)), categories=categories)
    assert [(one.finding, one.pathology, one.descriptors) for one in lesions] == [
        ("mass", "malignant", ""),
        ("calcification", "benign", ""),
        ("other", "", "Skin thickening"),
    ]
    listing = found(tmp_path, "pathology")
    assert listing.images[0].labels["pathology"] == "malignant"
    assert listing.images[0].labels["abnormality5"] == "malignant-mass"


def test_a_file_without_categories_gives_lesions_of_unknown_finding(tmp_path):
    data = {k: v for k, v in PLAIN.items() if k != "categories"}
    assert [one.finding for one in found(archive(tmp_path, data)).images[0].lesions] == ["", ""]


def blob():
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    mask = (rows - 40) ** 2 + (columns - 30) ** 2 < 200
    mask[:, 70:72] = True
    return mask


def counts_of(mask):
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return [0, *counts] if flat[0] else counts


def compressed(counts):
    """Letters as COCO writes them: differences from the third count on, five bits each, low ones first."""
    text = ""
    for place, count in enumerate(counts):
        value = count - (counts[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = not (value == 0 and not bits & 16) and not (value == -1 and bits & 16)
            text += chr(48 + bits + (32 if more else 0))
    return text


@pytest.mark.parametrize("form", [list, compressed])
@pytest.mark.parametrize("inverse", [False, True])
def test_run_length_codes_draw_the_mask_that_they_hold(tmp_path, form, inverse):
    mask = ~blob() if inverse else blob()
    code = {"size": list(SIZE), "counts": form(counts_of(mask))}
    (lesion,) = lesions_of(tmp_path, annotation(0, 0, segmentation=code, iscrowd=1))
    np.testing.assert_array_equal(lesion_mask(lesion.outlines, SIZE)[0], mask)
    larger = lesion_mask(lesion.outlines, (200, 160))[0]
    np.testing.assert_array_equal(larger, np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1))


def test_a_compressed_code_of_the_reference_library_is_read():
    """`[6, 1, 40, 4, 5, 4, 5, 4, 21]` of a mask of 9 x 10 is written as `61X13mN000`0` there."""
    assert compressed([6, 1, 40, 4, 5, 4, 5, 4, 21]) == "61X13mN000`0"
    corners = corners_of_runs({"size": [9, 10], "counts": "61X13mN000`0"}, (9, 10))
    assert corners[:4] == ((0, 6), (1, 7), (5, 2), (6, 6))


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ({"size": [3, 3], "counts": [100 * 80]}, r"size \[3, 3\], expected \[100, 80\]"),
        ({"size": list(SIZE), "counts": [5, 5]}, "run-length code of 10 pixels, expected 8000"),
        ({"size": list(SIZE), "counts": [8000]}, "the run-length code has no area"),
        ({"size": list(SIZE), "counts": [-5, 8005]}, "neither whole numbers from 0 nor"),
        ({"size": list(SIZE), "counts": "ab\u00e9"}, "no compressed text"),
        ({"size": list(SIZE), "counts": "o"}, "cut off"),
        ({"size": list(SIZE)}, "counts of the run-length code are neither"),
    ],
)
def test_a_run_length_code_that_cannot_be_right_is_refused(tmp_path, code, match):
    with pytest.raises(DatasetError, match=rf"annotations\[0\]: .*{match}"):
        lesions_of(tmp_path, annotation(0, 0, segmentation=code))


@pytest.mark.parametrize(
    ("images", "annotations", "match"),
    [
        ([{"id": 0}], [], r"images\[0\]: file_name, height, width missing"),
        ([3], [], r"images\[0\]: id, file_name, height, width missing"),
        ([image(0, "a"), image(0, "b")], [], r"images\[1\]: id 0 stands in an earlier entry"),
        ([image(0, "a"), image(1, "a")], [], r"images\[1\]: file_name 'a' stands in images\[0\] too"),
        ([image(0, "a", height=0)], [], r"images\[0\]: height 0 and width 80, expected whole numbers above 0"),
        ([image(0, "a", width="9")], [], r"images\[0\]: height 100 and width '9'"),
        ([image([], "a")], [], r"images\[0\]: id \[\] and file_name 'a'"),
        ([image(0, "a")], [{"id": 1}], r"annotations\[0\]: image_id missing"),
        ([image(0, "a")], [annotation(0, 7)], r"annotations\[0\]: image_id 7 is that of no image"),
        ([image(0, "a")], [annotation(0, 0, category_id=3)], r"annotations\[0\]: category_id 3 is that of no category"),
        ([image(0, "a")], [annotation(0, 0, bbox=None)], r"annotations\[0\]: neither bbox nor segmentation"),
        ([image(0, "a")], [annotation(0, 0, bbox=[1, 2, 3])], r"annotations\[0\]: bbox \[1, 2, 3\], expected four"),
        ([image(0, "a")], [annotation(0, 0, bbox=[1, 2, 3, float("nan")])], "expected four numbers"),
        ([image(0, "a")], [annotation(0, 0, bbox=[1, 2, 0, 4])], r"bbox \[1, 2, 0, 4\] has no area"),
        ([image(0, "a")], [annotation(0, 0, bbox=[80, 2, 5, 4])], "lies outside its image of 100 rows and 80 columns"),
        ([image(0, "a")], [annotation(0, 0, segmentation=[[1, 2, 3, 4]])], "a polygon that is no flat list"),
        ([image(0, "a")], [annotation(0, 0, segmentation=[[[1, 2], [3, 4], [5, 6]]])], "no flat list"),
        ([image(0, "a")], [annotation(0, 0, segmentation="x")], "segmentation is a str"),
        (
            [image(0, "a"), image(0, "b")],
            [annotation(0, 9), annotation(1, 8)],
            r"images\[1\]: id 0 .*; annotations\[0\]: image_id 9 .*; annotations\[1\]: image_id 8",
        ),
    ],
)
def test_entries_that_cannot_be_right_are_all_named_with_their_place(tmp_path, images, annotations, match):
    with pytest.raises(DatasetError, match=rf"annotations\.json .*{match}"):
        found(archive(tmp_path, coco(images, annotations)))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "no JSON file: Expecting"),
        ("[" * 100_000, "no JSON file"),
        ("[]", 'no COCO file; expected an object with the lists "images" and "annotations"'),
        ('{"images": {}, "annotations": []}', "no COCO file"),
        ('{"images": [], "annotations": []}', "holds no images"),
        ('{"images": [], "annotations": [], "categories": {"a": 1}}', "categories are no list"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', r"categories\[0\]: expected an id and a name"),
    ],
)
def test_a_file_that_is_no_coco_file_is_refused(tmp_path, text, match):
    with pytest.raises(DatasetError, match=rf"annotations\.json:? {match}"):
        found(archive(tmp_path, text))


def test_boxes_over_the_edge_are_counted(tmp_path):
    data = coco([image(0, FILES[0])], [annotation(0, 0, bbox=[70, 90, 20, 20]), annotation(1, 0, bbox=[75, 1, 5.4, 5])])
    listing = found(archive(tmp_path, data))
    assert "1 boxes of annotations.json reach over the edge of their image and end there" in listing.notes
    assert ("images/1_LEFT_MLO.jpg", "not in annotations.json") in listing.left_out


def test_the_annotation_file_is_found_among_others_and_must_be_one(tmp_path):
    root = archive(tmp_path)
    (root / "readme.json").write_text("{}")
    assert len(found(root).images) == 3
    (root / "images" / "more.json").write_text(json.dumps(PLAIN))
    with pytest.raises(DatasetError, match=r"2 JSON files .*annotations\.json, images/more\.json\); choose one"):
        found(root)
    assert len(found(root, annotations=root / "annotations.json").images) == 3
    with pytest.raises(DatasetError, match=r"gone\.json: no such file"):
        found(root, annotations=root / "gone.json")


def test_a_folder_without_annotations_or_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        found(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match='no JSON file with "images" and "annotations" in it; name the file with'):
        found(pictures(tmp_path / "bare", FILES[0]))


def test_images_without_a_file_are_left_out_and_counted_unless_all_are(tmp_path):
    listing = found(archive(tmp_path, files=FILES[:2]))
    reason = "stands in the annotation file, but there is no such file"
    assert listing.left_out == ((FILES[2], reason),) and len(listing.images) == 2
    assert listing.notes == ("1 images of annotations.json have no file here",)
    with pytest.raises(DatasetError, match=r"none of its 3 images is in .*; first: 1_LEFT_CC"):
        found(archive(tmp_path / "none", files=["9_LEFT_CC.jpg"]))


def test_file_names_never_lead_out_of_the_archive(tmp_path):
    pictures(tmp_path / "outside", "9_LEFT_CC.jpg")
    data = coco([image(0, FILES[0]), image(1, "../../outside/9_LEFT_CC.jpg")], [annotation(0, 0)])
    listing = found(archive(tmp_path / "in", data, FILES[:1]))
    assert [i.source for i in listing.images] == ["images/1_LEFT_CC.jpg"]


def test_a_name_that_several_files_have_needs_its_path(tmp_path):
    root = archive(tmp_path)
    pictures(root / "copy", FILES[0])
    with pytest.raises(DatasetError, match=r"may be copy/1_LEFT_CC\.jpg or images/1_LEFT_CC\.jpg; state paths"):
        found(root)
    stated = coco([image(0, "images\\1_LEFT_CC.jpg"), image(1, "copy/1_LEFT_CC.jpg")], [annotation(0, 0)])
    (root / "annotations.json").write_text(json.dumps(stated))
    assert list(by_id(found(root))) == ["1_LEFT_CC", "1_LEFT_CC_2"]


def named(folder, *names, **options):
    data = coco([image(n, name) for n, name in enumerate(names)], [annotation(0, n) for n in range(len(names))])
    listing = found(archive(folder, data, names), **options)
    return [(i.image_id, i.subject_id, i.exam_id, i.view) for i in listing.images], listing.left_out


def test_ids_come_from_the_usual_names(tmp_path):
    images, left_out = named(
        tmp_path,
        "00001_LEFT_CC_jpg.rf.0a1b.jpg",
        "Mass-Training_P_00004_RIGHT_MLO_1.png",
        "p7-RCC.png",
        "20587054_b6a4_MG_R_ML_ANON.png",
        "1251_2_A_CC_R.png",
        "strange.png",
    )
    assert images == [
        ("00001_LEFT_CC_jpg.rf.0a1b", "00001", "1", View.CC_L),
        ("1251_2_A_CC_R", "1251", "2", View.CC_R),
        ("20587054", "b6a4", "1", View.MLO_R),
        ("Mass-Training_P_00004_RIGHT_MLO_1", "Mass-Training_P_00004", "1", View.MLO_R),
        ("p7-RCC", "p7", "1", View.CC_R),
    ]
    assert left_out == (
        (
            "images/strange.png",
            "its name says no subject and no view and no side; give --id-pattern, or a views table with --views",
        ),
    )


def test_a_pattern_of_the_user_reads_ids_from_name_or_path(tmp_path):
    pattern = r"(?P<subject>\d+)-(?P<exam>\d+)-(?P<side>[lr])-(?P<view>\w+?)-(?P<image>\d+)\.png"
    images, left_out = named(tmp_path / "a", "7-3-l-cc-99.png", "7-3-l-lm-98.png", "x.png", id_pattern=pattern)
    assert images == [("99", "7", "3", View.CC_L)]
    assert [reason for _, reason in left_out] == [
        "view lm is neither CC nor MLO",
        "its name does not fit the id pattern; give another --id-pattern",
    ]
    images, _ = named(tmp_path / "b", "7/L_CC.png", "8/L_CC.png", id_pattern=r"(?P<subject>\d+)/")
    assert images == [("L_CC", "7", "1", View.CC_L), ("L_CC_2", "8", "1", View.CC_L)]


@pytest.mark.parametrize(
    ("pattern", "match"),
    [("(", "is no regular expression"), ("(?P<patient>.)", "unknown groups patient"), ("a", "has no named group")],
)
def test_a_pattern_that_reads_nothing_is_refused(tmp_path, pattern, match):
    with pytest.raises(DatasetError, match=match):
        found(archive(tmp_path), id_pattern=pattern)


def test_a_views_table_says_what_names_do_not(tmp_path):
    (tmp_path / "views.csv").write_text("file,view\n7.png,CC_R\n8.png,LM\n")
    images, left_out = named(
        tmp_path / "a", "7.png", "8.png", id_pattern=r"(?P<subject>\d+)", views=tmp_path / "views.csv"
    )
    assert images == [("7", "7", "1", View.CC_R)] and left_out == (("images/8.png", "the views table says LM"),)
    with pytest.raises(DatasetError, match="subject and view of none of 1 images are known"):
        named(tmp_path / "b", "7.png")


def with_labels(folder, text, task="pathology", **options):
    (folder / "labels.csv").write_text(text)
    return found(folder, task, labels=folder / "labels.csv", **options)


def test_labels_are_joined_by_subject_with_every_task_that_the_table_has(tmp_path):
    listing = with_labels(archive(tmp_path), "patient_id,pathology,density,birads\n1,malignant,2,9\n", "density")
    labels = by_id(listing)["1_LEFT_MLO"].labels
    assert dict(labels) == {"density": "B", "pathology": "malignant"}
    assert by_id(listing)["2_RIGHT_CC"].labels == {"abnormality": "abnormal"}
    assert "1 of 3 images have no label in labels.csv" in listing.notes
    assert any(note.startswith("column birads of labels.csv is not read: ") for note in listing.notes)


def test_labels_are_joined_by_file_and_the_table_may_say_the_subject(tmp_path):
    text = "file,patient_id,kind\n1_LEFT_CC,A,benign\n1_LEFT_MLO.jpg,A,malignant\n"
    listing = with_labels(archive(tmp_path), text, file_column="file", label_column="kind")
    assert [(i.subject_id, i.labels.get("pathology")) for i in listing.images] == [
        ("A", "benign"),
        ("A", "malignant"),
        ("2", None),
    ]


def test_a_table_that_says_otherwise_than_the_lesions_counts_and_that_is_said(tmp_path):
    listing = with_labels(archive(tmp_path), "patient_id,abnormality\n1,normal\n2,abnormal\n", "abnormality")
    assert [i.labels["abnormality"] for i in listing.images] == ["normal", "normal", "abnormal"]
    assert "1 images have another label in labels.csv than by their lesions; the table counts" in listing.notes


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("patient,pathology\n1,benign\n", r"labels\.csv line 1: column patient_id missing"),
        ("patient_id,kind\n1,benign\n", r"labels\.csv line 1: column pathology missing"),
        ("patient_id,pathology\n1,odd\n", "line 2: label 'odd'"),
        ("patient_id,pathology\n1,benign\n1,malignant\n", "line 3: label malignant, but benign for the same in line 2"),
        (
            "patient_id,pathology\n77,benign\n",
            r"none of its rows belongs to any of the 3 images \(first subject: '1'\)",
        ),
    ],
)
def test_a_labels_table_that_cannot_be_right_is_refused(tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        with_labels(archive(tmp_path), text)


def test_a_task_without_any_label_is_refused_with_those_that_have_some(tmp_path):
    with pytest.raises(DatasetError, match="no image has a label of density in its annotations; found abnormality"):
        found(archive(tmp_path), "density")
    with pytest.raises(DatasetError, match=r"gone\.csv: no such file"):
        found(tmp_path, labels=tmp_path / "gone.csv")
    with pytest.raises(DatasetError, match="a folder without CBIS case description tables"):
        found(tmp_path, labels=tmp_path / "images")


HEAD = (
    "patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{words},assessment,pathology,"
    "subtlety,image file path,cropped image file path,ROI mask file path"
)


def case(patient, side, view, number, kind, assessment, pathology, part="Training", density=3):
    whole = f"{kind}-{part}_{patient}_{side}_{view}"
    name = "calcification" if kind == "Calc" else "mass"
    words = "PLEOMORPHIC,CLUSTERED" if kind == "Calc" else "OVAL,CIRCUMSCRIBED"
    paths = f'{whole}/1/000000.dcm,{whole}_{number}/2/000000.dcm,"{whole}_{number}/2/000001.dcm\n"'
    return f"{patient},{density},{side},{view},{number},{name},{words},{assessment},{pathology},4,{paths}"


def write_cases(folder, name, *rows):
    folder.mkdir(exist_ok=True, parents=True)
    calc = name.startswith("calc")
    head = HEAD.format(
        density="breast density" if calc else "breast_density",
        words="calc type,calc distribution" if calc else "mass shape,mass margins",
    )
    (folder / f"{name}_case_description_{'test' if 'Test' in rows[0] else 'train'}_set.csv").write_text(
        "\n".join([head, *rows]) + "\n"
    )


@pytest.fixture
def cases(tmp_path):
    folder = tmp_path / "tables"
    write_cases(
        folder,
        "mass",
        case("P_00001", "LEFT", "CC", 1, "Mass", 4, "BENIGN_WITHOUT_CALLBACK"),
        case("P_00001", "LEFT", "CC", 2, "Mass", 5, "MALIGNANT"),
        case("P_00001", "LEFT", "MLO", 1, "Mass", 2, "BENIGN", density=0),
        case("P_00002", "RIGHT", "CC", 1, "Mass", 4, "MALIGNANT"),
    )
    write_cases(folder, "calc", case("P_00001", "LEFT", "MLO", 3, "Calc", 5, "MALIGNANT", "Test"))
    return folder


CBIS_FILES = ("00001_LEFT_CC.jpg", "00001_LEFT_MLO.jpg", "00002_RIGHT_CC.jpg", "00009_RIGHT_CC.jpg")
CBIS = coco(
    [image(n, name) for n, name in enumerate(CBIS_FILES)],
    [annotation(0, 0), annotation(1, 0), annotation(2, 1), annotation(3, 2)],
)


def test_cbis_tables_are_joined_by_patient_side_and_view_and_pooled(tmp_path, cases):
    listing = found(archive(tmp_path / "a", CBIS, CBIS_FILES), "pathology", labels=cases)
    assert [i.subject_id for i in listing.images] == ["P_00001", "P_00001", "P_00002", "P_00009"]
    assert [dict(i.labels) for i in listing.images] == [
        {
            "abnormality": "abnormal",
            "pathology": "malignant",
            "birads": "4-6",
            "abnormality5": "malignant-mass",
            "density": "C",
        },
        {
            "abnormality": "abnormal",
            "pathology": "malignant",
            "birads": "4-6",
            "abnormality5": "malignant-calcification",
            "density": "C",
        },
        {
            "abnormality": "abnormal",
            "pathology": "malignant",
            "birads": "4-6",
            "abnormality5": "malignant-mass",
            "density": "C",
        },
        {},
    ]
    assert all(i.split == "" for i in listing.images)
    assert set(listing.notes) == {
        "1 of 4 images stand in no CBIS table",
        "2 of 4 images are of patients who stand in a released test table",
        "1 of 4 images have boxes of mixed pathology: which is which is not said, so it stays empty",
        "1 of 4 images have lesions in the CBIS tables that have no box",
    }


def test_boxes_get_what_all_rows_of_their_finding_agree_on(tmp_path, cases):
    listing = found(archive(tmp_path / "a", CBIS, CBIS_FILES), "pathology", labels=cases)
    mixed, pooled, plain, _ = (image.lesions for image in listing.images)
    assert [(one.number, one.pathology, one.assessment, one.subtlety) for one in mixed] == [
        ("1", "", "", "4"),
        ("2", "", "", "4"),
    ]
    assert [(one.number, one.finding, one.pathology, one.assessment, bool(one.outlines)) for one in pooled] == [
        ("1", "mass", "benign", "2", True),
        ("calc-3", "calcification", "malignant", "5", False),
    ]
    assert plain[0].pathology == "malignant" and plain[0].descriptors == "OVAL; CIRCUMSCRIBED"


def test_one_cbis_table_will_do(tmp_path, cases):
    table = cases / "mass_case_description_train_set.csv"
    listing = found(archive(tmp_path / "a", CBIS, CBIS_FILES), "pathology", labels=table)
    assert by_id(listing)["00001_LEFT_MLO"].labels["pathology"] == "benign"
    assert "density" not in by_id(listing)["00001_LEFT_MLO"].labels


def test_boxes_and_rows_that_differ_in_number_are_counted(tmp_path, cases):
    data = CBIS | {"annotations": [annotation(0, 0), annotation(1, 2), annotation(2, 2)]}
    listing = found(archive(tmp_path / "a", data, CBIS_FILES), "pathology", labels=cases)
    assert "2 of 4 images have another number of boxes than of rows in the CBIS tables" in listing.notes
    assert [one.number for one in by_id(listing)["00001_LEFT_MLO"].lesions] == ["calc-3", "mass-1"]
    assert [one.pathology for one in by_id(listing)["00002_RIGHT_CC"].lesions] == ["malignant", "malignant"]


def test_cbis_tables_of_other_patients_are_refused(tmp_path, cases):
    names = [f"9{name}" for name in FILES]
    data = coco([image(n, name) for n, name in enumerate(names)], [annotation(0, 0)])
    with pytest.raises(DatasetError, match="none of its patients, sides and views is that of any of the 3 images"):
        found(archive(tmp_path / "a", data, names), "pathology", labels=cases)


@pytest.mark.usefixtures("in_process")
def test_a_coco_folder_is_prepared_with_its_masks_and_its_aspect(tmp_path):
    root = tmp_path / "a"
    rows, columns = np.mgrid[0:400, 0:400]
    pixels = np.where((rows - 200) ** 2 + columns**2 < 180**2, 110, 0).astype(np.uint8)
    pixels[150:190, 60:120] = 250
    data = coco(
        [{"id": n, "file_name": f"{n}_LEFT_CC.png", "height": 400, "width": 400} for n in range(3)],
        [annotation(n, n, bbox=[60, 150, 60, 40]) for n in range(3)],
    )
    (root / "images").mkdir(parents=True)
    archive(root, data, [])
    for number in range(3):
        Image.fromarray(pixels).save(root / "images" / f"{number}_LEFT_CC.png")
    preparation = replace(KINDS["coco"].preparation, height=200, source_aspect=0.6)
    prepared = prepare("coco", root, tmp_path / "d", PrepareOptions(ArchiveOptions("abnormality"), preparation))
    mask = np.asarray(Image.open(prepared.root / "masks" / "CC_L" / "0_LEFT_CC_1.png")) > 0
    made = np.asarray(Image.open(prepared.root / "images" / "CC_L" / "0_LEFT_CC.png"))
    spot = made > 0.7 * 65535
    assert mask.shape == made.shape and (mask & spot).sum() / (mask | spot).sum() > 0.9
    box = np.argwhere(mask)
    height, width = np.ptp(box, axis=0) + 1
    assert width / height == pytest.approx(0.6 * 60 / 40, rel=0.1)


@pytest.mark.real
def test_the_shared_masses_are_joined_to_the_real_tables(real_data):
    listing = found(real_data / "cbis-ddsm-mass", "pathology", labels=real_data / "cbis-ddsm-csv")
    assert len(listing.images) == 1231 and listing.left_out == ()
    assert sum(bool(one.outlines) for i in listing.images for one in i.lesions) == 1318
    assert all("pathology" in i.labels and "density" in i.labels for i in listing.images)
    assert listing.notes == (
        "25 of 1231 images are of patients who stand in a released test table",
        "6 of 1231 images have boxes of mixed pathology: which is which is not said, so it stays empty",
        "53 of 1231 images have lesions in the CBIS tables that have no box",
    )
    mixed = [i for i in listing.images if any(one.outlines and not one.pathology for one in i.lesions)]
    assert len(mixed) == 6
