"""Lesions: outlines that draw something, labels that follow from them, and lesions.csv."""

from __future__ import annotations

import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.lesion import (
    LESION_COLUMNS,
    LESIONS,
    ArchiveLesion,
    LesionRow,
    Outline,
    finding_of,
    labels_of_lesions,
    read_lesions,
    write_lesions,
)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"kind": "blob", "points": ((1, 1),)}, "outline 'blob' is not one of polygon, box"),
        ({"kind": "polygon", "points": ((1, 1), (2, 2))}, "a polygon of 2 points, expected 3"),
        ({"kind": "box", "points": ((1, 1),)}, "a box of 1 points, expected 2"),
        ({"kind": "points"}, "a points of 0 points, expected 1"),
        ({"kind": "circle", "points": ((1, 1),)}, "a circle of radius 0, expected more than 0"),
        ({"kind": "mask"}, "a mask without a file"),
    ],
)
def test_an_outline_that_draws_nothing_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        Outline(**wrong)


def test_words_of_a_lesion_that_are_none_of_ours_are_refused():
    with pytest.raises(ValueError, match="finding 'lump' is not one of mass"):
        ArchiveLesion("1", finding="lump")
    with pytest.raises(ValueError, match="pathology 'MALIGNANT' of a lesion is not one of benign, malignant"):
        ArchiveLesion("1", pathology="MALIGNANT")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("Mass", "mass"),
        ("malignant_mass", "mass"),
        ("Nodules", "mass"),
        ("Calcifications", "calcification"),
        ("Cluster", "calcification"),
        ("microcalcification-2", "calcification"),
        ("Architectural Distortion", "distortion"),
        ("Focal Asymmetry", "asymmetry"),
        ("Spiculated Region", "other"),
        ("Point 1", "other"),
        ("biomass", "other"),
        ("", "other"),
    ],
)
def test_a_finding_is_told_by_the_words_of_its_name(name, finding):
    assert finding_of(name) == finding


def lesion(finding="mass", pathology="", assessment=""):
    return ArchiveLesion("1", finding=finding, pathology=pathology, assessment=assessment)


@pytest.mark.parametrize(
    ("lesions", "labels"),
    [
        ([], {}),
        ([lesion("", "")], {"abnormality": "abnormal"}),
        (
            [lesion("mass", "benign", "2"), lesion("calcification", "malignant", "4B")],
            {
                "abnormality": "abnormal",
                "pathology": "malignant",
                "birads": "4-6",
                "abnormality5": "malignant-calcification",
            },
        ),
        (
            [lesion("mass", "benign", "2"), lesion("calcification", "benign", "1")],
            {"abnormality": "abnormal", "pathology": "benign", "birads": "1-2", "abnormality5": "benign-mass"},
        ),
        ([lesion("mass", "", "2"), lesion("mass", "", "0")], {"abnormality": "abnormal"}),
        ([lesion("distortion", "malignant", "3")], {"abnormality": "abnormal", "pathology": "malignant"}),
    ],
)
def test_an_image_is_positive_if_any_of_its_lesions_is(lesions, labels):
    assert labels_of_lesions(lesions) == labels


def row(number, **more):
    return LesionRow(f"a_{number}", "a", "P1", "CC_R", str(number), **more)


def test_lesions_csv_comes_back_as_it_was_written(tmp_path):
    write_lesions(tmp_path, [row(1, finding="mass", mask="masks/CC_R/a_1.png"), row(2, note="lies, outside")])
    table = read_lesions(tmp_path, {"a": "P1"})
    assert tuple(table.columns) == LESION_COLUMNS
    assert list(table["lesion_id"]) == ["a_1", "a_2"] and list(table["note"]) == ["", "lies, outside"]
    assert list(table["mask"]) == ["masks/CC_R/a_1.png", ""]


def test_a_dataset_without_lesions_csv_has_no_lesions(tmp_path):
    table = read_lesions(tmp_path, {"a": "P1"})
    assert tuple(table.columns) == LESION_COLUMNS and table.empty


def test_a_lesions_csv_that_cannot_be_right_is_refused_with_all_its_lines(tmp_path):
    (tmp_path / LESIONS).write_text("lesion_id,image_id\na_1,a\na_1,a\nb_1,b\n")
    with pytest.raises(DatasetError, match="line 3: lesion_id 'a_1' stands in an earlier row; line 4: image_id 'b'"):
        read_lesions(tmp_path, {"a": "P1"})
    (tmp_path / LESIONS).write_text("lesion_id,image\na_1,a\n")
    with pytest.raises(DatasetError, match=r"lesions\.csv line 1: column image_id missing; found lesion_id, image"):
        read_lesions(tmp_path, {"a": "P1"})


def test_columns_that_an_older_lesions_csv_lacks_are_empty(tmp_path):
    (tmp_path / LESIONS).write_text("lesion_id,image_id\na_1,a\n")
    table = read_lesions(tmp_path, {"a": "P1"})
    assert list(table["finding"]) == [""] and set(LESION_COLUMNS) <= set(table.columns)
