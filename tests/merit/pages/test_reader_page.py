import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.merit.pages.reader_page import (
    ReaderBox,
    ReaderExam,
    ReaderView,
    boxes_from_json,
    boxes_shown,
    reader_page,
    stands_turned,
)
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import task_named

PATHOLOGY = task_named("pathology")


def file_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """Pixels from 0 to 1 as a grey file of 8 bits."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def exam_of(*views: View, title: str = "PH0001, exam 1", notes: tuple[str, ...] = (), **parts: object) -> ReaderExam:
    """A phantom's exam; RCC is malignant with 0.75, the others with 0.25."""
    pictures = phantom_exam(1, "B", height=160)
    blob = np.zeros((12, 10))
    blob[6, 5] = 1.0
    shown = {}
    for view in views or tuple(View):
        high = 0.75 if view == View.CC_R else 0.25
        scores = {"benign": 1 - high, "malignant": high}
        shown[view] = ReaderView(view, file_of(pictures[view]), file_of(blob), scores, "malignant", **parts)
    breasts = {"right": {"benign": 0.5, "malignant": 0.5}, "left": {"benign": 0.75, "malignant": 0.25}}
    return ReaderExam(title, PATHOLOGY, shown, breasts, breasts["right"], "grad-cam", notes)


def table_of(html: str) -> list[list[str]]:
    """The rows of the table of scores as text."""
    rows = re.findall(r"<tr class=\"\w+\">(.*?)</tr>", html, re.S)
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in rows
    ]


def test_the_page_asks_the_network_for_nothing() -> None:
    html = reader_page(exam_of())
    without_pictures = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"https?://|//cdn|<link[^>]+stylesheet|@import|fetch\(|XMLHttpRequest", without_pictures)
    assert "default-src 'none'" in html


def test_the_views_hang_as_radiologists_hang_them() -> None:
    html = reader_page(exam_of())
    assert re.findall(r"<figure class=\"tile (\w+)\" data-view=\"(\w+)\"", html) == [
        ("right", "CC_R"),
        ("left", "CC_L"),
        ("right", "MLO_R"),
        ("left", "MLO_L"),
    ]


def test_the_table_has_subject_breasts_and_views_with_the_highest_marked() -> None:
    assert table_of(reader_page(exam_of(View.CC_R, View.CC_L, View.MLO_R))) == [
        ["Subject", "0.50 highest", "0.50"],
        ["Right breast", "0.50 highest", "0.50"],
        ["Left breast", "0.75 highest", "0.25"],
        ["RCC", "0.25", "0.75 highest"],
        ["LCC", "0.75 highest", "0.25"],
        ["RMLO", "0.75 highest", "0.25"],
        ["LMLO", "no image"],
    ]


def test_a_view_that_is_not_there_has_a_place_that_says_so() -> None:
    html = reader_page(exam_of(View.CC_R))
    assert html.count("tile right absent") == 1 and html.count("tile left absent") == 2
    assert 'aria-label="LMLO: no image"' in html
    assert html.count("<canvas") == 1


def test_pictures_and_maps_lie_in_the_page_unchanged() -> None:
    import base64

    exam = exam_of()
    found = re.findall(r"<img class=\"(picture|map)\"[^>]+base64,([A-Za-z0-9+/=]+)", reader_page(exam))
    expected = [(kind, data) for view in (View.CC_R, View.CC_L, View.MLO_R, View.MLO_L) for kind, data in
                (("picture", exam.views[view].picture), ("map", exam.views[view].map_))]  # fmt: skip
    assert [(kind, base64.b64decode(data)) for kind, data in found] == expected


def test_an_undefined_score_is_a_dash_and_never_the_highest() -> None:
    scores = {"benign": math.nan, "malignant": math.nan}
    view = ReaderView(View.CC_R, file_of(np.ones((20, 20))), None, scores, "")
    exam = ReaderExam("x", PATHOLOGY, {View.CC_R: view}, {}, {"benign": math.nan, "malignant": 0.25}, "")
    rows = table_of(reader_page(exam))
    assert rows[0] == ["Subject", "–", "0.25 highest"]
    assert rows[1] == ["Right breast", "no score"]
    assert rows[3] == ["RCC", "–", "–"]


def test_without_maps_and_boxes_their_controls_are_not_there() -> None:
    view = ReaderView(View.CC_R, file_of(np.ones((20, 20))), None, {"benign": 1.0, "malignant": 0.0}, "")
    html = reader_page(ReaderExam("x", PATHOLOGY, {View.CC_R: view}, {}, {}, ""))
    assert 'id="map"' not in html and 'id="boxes"' not in html and 'id="level"' in html
    truth = (ReaderBox(1, 1, 5, 5, math.nan, "mass"),)
    html = reader_page(exam_of(View.CC_R, boxes=truth))
    assert 'id="boxes"' in html and 'id="least"' not in html  # nothing with a score to choose by


def test_text_from_outside_cannot_become_part_of_the_program() -> None:
    spiteful = "</script><script>alert(1)</script>"
    html = reader_page(exam_of(title=spiteful, notes=(spiteful,), boxes=(ReaderBox(0, 0, 9, 9, 0.5, spiteful),)))
    assert "<script>alert" not in html
    assert html.count("</script>") == 2


def test_a_phantom_is_not_turned_and_its_mirror_image_is() -> None:
    for density in "ABCD":
        for view, pixels in phantom_exam(2, density, height=160).items():
            assert not stands_turned(file_of(pixels), view)
            assert stands_turned(file_of(pixels[:, ::-1]), view)
            assert stands_turned(file_of(1 - pixels[:, ::-1]), view)  # on a white background too


def test_an_empty_picture_is_not_called_turned() -> None:
    assert not stands_turned(file_of(np.zeros((50, 40))), View.CC_R)


def test_a_turned_view_gets_a_button_and_a_note_but_stays_as_it_came() -> None:
    pixels = phantom_exam(1, "B", height=160)[View.CC_R][:, ::-1]
    view = ReaderView(View.CC_R, file_of(pixels), None, {"benign": 1.0, "malignant": 0.0}, "")
    html = reader_page(ReaderExam("x", PATHOLOGY, {View.CC_R: view}, {}, {}, ""))
    assert html.count('class="flip"') == 1
    assert "RCC: the chest wall seems to stand at the outer edge" in html
    assert 'class="flip"' not in reader_page(exam_of())


@pytest.mark.real
def test_every_image_of_inbreast_hangs_as_it_should(real_data: Path) -> None:
    import pandas as pd

    table = pd.read_csv(real_data / "inbreast" / "index.csv", dtype=str).iloc[::25]
    for row in table.itertuples():
        image = Image.open(real_data / "inbreast" / "images" / str(row.file)).convert("L").reduce(4)
        view = View(f"{row.view}_{row.laterality}")
        assert not stands_turned(file_of(np.asarray(image) / 255), view), row.file
        assert stands_turned(file_of(np.asarray(image)[:, ::-1] / 255), view), row.file


def test_scores_of_other_classes_and_files_of_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a PNG or JPEG"):
        ReaderView(View.CC_R, b"GIF89a", None, {}, "")
    view = ReaderView(View.CC_R, file_of(np.ones((4, 4)), "JPEG"), None, {"A": 1.0}, "")
    with pytest.raises(ValueError, match="CC_R: scores of A, expected benign, malignant"):
        ReaderExam("x", PATHOLOGY, {View.CC_R: view}, {}, {}, "")
    with pytest.raises(ValueError, match="CC_R stands under CC_L"):
        ReaderExam("x", PATHOLOGY, {View.CC_L: view}, {}, {}, "")
    with pytest.raises(ValueError, match="enclose nothing"):
        ReaderBox(5, 0, 5, 9, 0.5, "")


def written(folder: Path, content: object) -> Path:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


BOX = {
    "subject_id": "P1",
    "exam_id": "2",
    "view": "CC_R",
    "x0": 10,
    "y0": 20,
    "x1": 30,
    "y1": 60,
    "score": 0.5,
    "label": "m",
}


def test_boxes_are_read_by_subject_exam_and_view(tmp_path: Path) -> None:
    bare = {name: BOX[name] for name in ("view", "x0", "y0", "x1", "y1")} | {"subject_id": 7}
    found = boxes_from_json(written(tmp_path, [BOX, BOX | {"score": None}, bare]))
    assert list(found) == [("P1", "2", View.CC_R), ("7", "1", View.CC_R)]
    assert found["P1", "2", View.CC_R][0].box == ReaderBox(10, 20, 30, 60, 0.5, "m")
    assert math.isnan(found["P1", "2", View.CC_R][1].box.score)
    assert found["7", "1", View.CC_R][0].box.label == ""


def test_boxes_are_scaled_from_the_image_that_they_count_in(tmp_path: Path) -> None:
    found = boxes_from_json(written(tmp_path, [BOX, BOX | {"height": 400, "width": 200}]))["P1", "2", View.CC_R]
    first, second = boxes_shown(found, prepared=(100, 50), shown=(200, 100))
    assert (first.x0, first.y0, first.x1, first.y1) == (20, 40, 60, 120)
    assert (second.x0, second.y0, second.x1, second.y1) == (5, 10, 15, 30)


def test_a_box_of_an_image_cut_otherwise_is_refused(tmp_path: Path) -> None:
    found = boxes_from_json(written(tmp_path, [BOX | {"height": 400, "width": 300}]))["P1", "2", View.CC_R]
    with pytest.raises(PredictionError, match="400 x 300 pixels, the picture shown has 200 x 100, another shape"):
        boxes_shown(found, prepared=(100, 50), shown=(200, 100))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ({"boxes": []}, "holds a dict, expected a list"),
        ([3], "box 1: is 3, expected an object"),
        ([BOX, BOX | {"view": "RCC"}, BOX | {"x1": 1}], "box 2: view 'RCC' is not one of .*; box 3: x0 10, x1 1"),
        ([{"subject_id": "P", "view": "CC_R"}], "box 1: no x0, no y0, no x1, no y1"),
        ([BOX | {"score": 85}], "score 85 is not between 0 and 1"),
        ([BOX | {"x0": "10"}], "x0 '10' is not a number"),
        ([BOX | {"height": 400}], "height 400 and width None must both"),
        ([BOX | {"scores": 1}], "unknown key 'scores'"),
        ([BOX | {"x0": math.nan}], "a side is not a finite number"),
        ([BOX | {"view": ["CC_R"]}], r"view \['CC_R'\] is not one of"),
        ([BOX | {"height": math.inf, "width": 3}], "must both be whole numbers"),
        ([BOX | {"score": 2}] * 8, "; and 3 more boxes"),
    ],
)
def test_all_that_is_wrong_with_a_file_of_boxes_is_said_at_once(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(PredictionError, match=said) as caught:
        boxes_from_json(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_file_of_boxes_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match=r"none\.json: cannot be read: No such file"):
        boxes_from_json(tmp_path / "none.json")
