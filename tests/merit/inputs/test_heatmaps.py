import json

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.heatmaps import read_heatmaps
from tests.merit.inputs.lesion_sets import entry, heatmaps_written


def test_a_folder_or_its_file_is_read(tmp_path):
    folder = heatmaps_written(
        tmp_path / "h",
        [entry("i1", "A", "CC_R", [(0.9, 15, 7.5), (0.2, 3, 4)], overlay="A/o.png"), entry("i2", "A", "MLO_R", [])],
        notes=["of other women"],
    )
    for given in (folder, folder / "lesions.json"):
        found = read_heatmaps(given)
        first, second = found.images
        assert (first.image_id, first.subject_id, first.exam_id, first.view) == ("i1", "A", "1", "CC_R")
        assert first.shape == (64, 40) and first.overlay == folder / "A/o.png" and second.overlay is None
        np.testing.assert_array_equal(first.boxes.scores, [0.9, 0.2])
        np.testing.assert_array_equal(first.boxes.centres, [[15, 7.5], [3, 4]])
        np.testing.assert_array_equal(first.boxes.rectangles[0], [10, 2.5, 10, 10])
        assert len(second.boxes) == 0 and second.boxes.rectangles.shape == (0, 4)
        assert found.settings == {"mode": "exact", "stride_px": 8, "patch_px": 16}
        assert found.notes == ("of other women",)


def test_a_folder_without_the_file_is_refused_with_the_command(tmp_path):
    with pytest.raises(PredictionError, match=r"holds no lesions\.json; make it with: ensemble-mammo heatmap"):
        read_heatmaps(tmp_path)
    with pytest.raises(PredictionError, match="no such folder"):
        read_heatmaps(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "match"), [("{", "cannot be read as JSON"), ("[]", "a list 'images'"), ("{}", "a list")]
)
def test_what_is_no_list_of_images_is_refused(tmp_path, text, match):
    (tmp_path / "lesions.json").write_text(text)
    with pytest.raises(PredictionError, match=match):
        read_heatmaps(tmp_path)


def test_all_problems_are_told_at_once_with_their_places(tmp_path):
    bad = entry("i1", "A", "CC_R", [(0.9, 1, 2)])
    bad["boxes"][0] |= {"score": float("nan"), "row": "x", "top": True}
    folder = heatmaps_written(
        tmp_path, [bad, entry("", "A", "CC_R", []), entry("i3", "A", "CC_R", [], height=0), "i4", {"boxes": 3}]
    )
    with pytest.raises(PredictionError) as error:
        read_heatmaps(folder)
    for said in (
        "images[0].boxes[0].score is nan, expected a finite number",
        "images[0].boxes[0].row is 'x'",
        "images[0].boxes[0].top is True",
        "images[1].image_id is '', expected text",
        "images[2].height is 0, expected a number of pixels",
        "images[3] is str, expected an object",
        "(and 2 more)",
    ):
        assert said in str(error.value)


def test_an_image_given_twice_is_refused(tmp_path):
    folder = heatmaps_written(tmp_path, [entry("i1", "A", "CC_R", []), entry("i1", "A", "CC_R", [])])
    with pytest.raises(PredictionError, match="image_id 'i1' stands in several entries"):
        read_heatmaps(folder)


def test_damaged_bytes_are_refused(tmp_path):
    (tmp_path / "lesions.json").write_bytes(b"\xff\xfe" + json.dumps({}).encode())
    with pytest.raises(PredictionError, match="cannot be read as JSON"):
        read_heatmaps(tmp_path)
