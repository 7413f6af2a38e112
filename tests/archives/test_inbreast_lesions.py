"""INbreast's lesions from XML and JSON, and the original that their points refer to."""

from __future__ import annotations

import json
import plistlib

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.archives.inbreast_lesions import read_lesions_of, with_frame
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.lesions import lesion_mask
from ensemble_mammo.records.lesion import ArchiveLesion, Outline

SQUARE = [[100, 200], [300, 200], [300, 400], [100, 400]]


def region(name, *points):
    return {
        "Name": name,
        "NumberOfPoints": len(points),
        "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in points],
        "Point_mm": ["(0, 0, 0)"] * len(points),
        "Area": 1.5,
        "Center": "(0, 0, 0)",
        "Type": 15,
    }


def write_xml(root, image, *regions, **more):
    path = root / "AllXML" / f"{image}.xml"
    path.parent.mkdir(exist_ok=True)
    images = [{"ImageIndex": 0, "NumberOfROIs": len(regions), "ROIs": list(regions)}]
    path.write_bytes(plistlib.dumps({"Images": images, **more}))
    return path


def write_json(root, data):
    (root / "mass-contours.json").write_text(json.dumps(data))


def test_regions_of_xml_become_polygons_with_their_finding(tmp_path):
    write_xml(tmp_path, "7", region("Mass", *SQUARE), region("Spiculated Region", *SQUARE), region("Cluster", *SQUARE))
    lesions, notes = read_lesions_of(tmp_path, ["7"], None)
    assert [(lesion.number, lesion.finding, lesion.descriptors) for lesion in lesions["7"]] == [
        ("1", "mass", ""),
        ("2", "other", "Spiculated Region"),
        ("3", "calcification", ""),
    ]
    assert lesions["7"][0].outlines == (Outline("polygon", tuple((float(x), float(y)) for x, y in SQUARE)),)
    assert notes == []


def test_single_points_of_one_name_are_one_lesion(tmp_path):
    write_xml(
        tmp_path,
        "7",
        region("Calcification", (224.098007, 1180.099976)),
        region("Calcification", (230, 1190)),
        region("Point 1", (5, 6)),
        region("Calcifications", *SQUARE),
    )
    lesions, _ = read_lesions_of(tmp_path, ["7"], None)
    assert lesions["7"] == (
        ArchiveLesion("4", lesions["7"][0].outlines, "calcification"),
        ArchiveLesion(
            "points-1",
            (Outline("points", ((224.098007, 1180.099976), (230.0, 1190.0))),),
            "calcification",
            descriptors="2 points",
        ),
        ArchiveLesion("points-2", (Outline("points", ((5.0, 6.0),)),), "other", descriptors="Point 1; 1 points"),
    )


def test_the_xml_of_an_image_counts_before_the_json_and_that_is_said(tmp_path):
    write_xml(tmp_path, "7", region("Cluster", *SQUARE))
    write_json(tmp_path, {"7": [SQUARE], "8": [SQUARE, SQUARE]})
    lesions, notes = read_lesions_of(tmp_path, ["7", "8"], None)
    assert [lesion.finding for lesion in lesions["7"]] == ["calcification"]
    assert [lesion.number for lesion in lesions["8"]] == ["1", "2"]
    assert notes == ["1 images have contours in mass-contours.json and in XML: the XML counts"]


def test_without_files_of_lesions_there_are_none(tmp_path):
    assert read_lesions_of(tmp_path, ["7"], None) == ({}, [])
    write_xml(tmp_path, "7")
    assert read_lesions_of(tmp_path, ["7"], None)[0] == {"7": ()}
    assert read_lesions_of(tmp_path, ["9"], None)[0] == {}


def test_contours_may_lie_elsewhere_but_must_be_there_when_named(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"7": [SQUARE]}))
    assert len(read_lesions_of(tmp_path, ["7"], tmp_path / "mine.json")[0]["7"]) == 1
    with pytest.raises(DatasetError, match=r"gone\.json: no such file"):
        read_lesions_of(tmp_path, ["7"], tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", r"mass-contours\.json: no JSON file"),
        ("[" * 100_000, r"mass-contours\.json: no JSON file"),
        ("[]", "expected an object, image_id -> list of contours"),
        ('{"7": 3}', "image 7: expected a list of contours"),
        (
            '{"7": [[[1, 2], [3, 4]]], "8": [[[1, 2], [3, 4], [5, null]]]}',
            "image 7: contour 1 is no list of three or more points .*; image 8: contour 1",
        ),
        ('{"7": [[[1, 2], [3, 4], [5, NaN]]]}', "image 7: contour 1 is no list"),
    ],
)
def test_contours_that_cannot_be_right_are_refused_with_every_image(tmp_path, text, match):
    (tmp_path / "mass-contours.json").write_text(text)
    with pytest.raises(DatasetError, match=match):
        read_lesions_of(tmp_path, ["7"], None)


ENTITY = """<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<plist version="1.0"><dict><key>Images</key><array><string>&b;</string></array></dict></plist>"""


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("no xml", "no XML property list"),
        ("<plist><dict><key>Images</key>", "no XML property list"),
        (ENTITY, "no XML property list"),
        (plistlib.dumps({"Images": [1]}).decode(), "expected a dict with Images, a list of dicts"),
        (plistlib.dumps([1]).decode(), "expected a dict with Images"),
    ],
)
def test_xml_that_is_no_property_list_is_refused_with_file_and_image(tmp_path, text, match):
    write_xml(tmp_path, "7").write_text(text)
    with pytest.raises(DatasetError, match=rf"7\.xml image 7: {match}"):
        read_lesions_of(tmp_path, ["7"], None)


def test_all_regions_that_cannot_be_right_are_named_at_once(tmp_path):
    bad = region("Mass", *SQUARE) | {"Point_px": ["(1, 2)", "one, two"]}
    write_xml(tmp_path, "7", region("Mass", *SQUARE), bad, {"Name": "Mass"})
    with pytest.raises(DatasetError, match=r"image 7: ROI 2: point 'one, two', .*; image 7: ROI 3: expected a dict"):
        read_lesions_of(tmp_path, ["7"], None)


def lesion():
    return ArchiveLesion("1", (Outline("polygon", tuple((float(x), float(y)) for x, y in SQUARE)),), "mass")


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        ((3328, 2560), None),
        ((4084, 3328), None),
        ((2048, 1575), (3328, 2560)),
        ((2048, 1668), (4084, 3328)),
        ((1664, 1280), (3328, 2560)),
    ],
)
def test_the_size_of_the_file_tells_the_original(tmp_path, size, frame):
    Image.new("L", size[::-1]).save(tmp_path / "a.png")
    (framed,), fits = with_frame([lesion()], tmp_path / "a.png")
    assert fits and framed.outlines[0].frame == frame and framed.finding == "mass"
    rows, columns = np.nonzero(lesion_mask(framed.outlines, size)[0])
    original = frame or size
    assert rows.min() == pytest.approx(200 * size[0] / original[0], abs=1)
    assert columns.max() == pytest.approx(300 * size[1] / original[1], abs=1)


def test_a_file_of_another_aspect_gives_lesions_without_place(tmp_path):
    Image.new("L", (500, 500)).save(tmp_path / "a.png")
    (framed,), fits = with_frame([lesion()], tmp_path / "a.png")
    assert not fits and framed.outlines == () and framed.number == "1"


def test_a_file_that_cannot_be_read_keeps_its_lesions_as_they_are(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    assert with_frame([lesion()], tmp_path / "a.png") == ((lesion(),), True)


@pytest.mark.real
def test_every_shared_contour_lies_within_its_image(real_data):
    root = real_data / "inbreast"
    files = {path.name.split("_")[0]: path for path in (root / "images").iterdir()}
    lesions, _ = read_lesions_of(root, list(files), None)
    assert len(lesions) == 59
    for image, own in lesions.items():
        framed, fits = with_frame(own, files[image])
        with Image.open(files[image]) as picture:
            columns, rows = picture.size
        for one in framed:
            across, down = columns / one.outlines[0].frame[1], rows / one.outlines[0].frame[0]
            assert fits and all(
                -1 <= x * across <= columns + 1 and -1 <= y * down <= rows + 1 for x, y in one.outlines[0].points
            )
