import json
import re

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.imaging.prepared import prepare_pixels
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.merit.pages.reader_page import FoundBox, ReaderBox
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.explain.images import ExamImage
from ensemble_mammo.stages.explain.reader import _box, _field
from tests.stages.test_explain import exam_with_a_blob

pytestmark = pytest.mark.usefixtures("in_process")


def data_of(page):
    """What the page's program is handed."""
    return json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])


def test_a_page_an_exam_and_a_list_of_them_are_written(exams, runs, tmp_path):
    explain(exams / "PH0002", runs, tmp_path, ExplainOptions(html=True))
    page = (tmp_path / "PH0002_1" / "reader.html").read_text(encoding="utf-8")
    assert set(data_of(page)["views"]) == {"CC_R", "CC_L", "MLO_R", "MLO_L"}
    assert "PH0002" in page
    assert "Not a medical device; for research." in page
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="PH0002_1/reader.html"' in index
    assert "1 exam to look at" in index


def test_without_being_asked_for_no_page_is_written(exams, runs, tmp_path):
    explain(exams / "PH0002", runs, tmp_path)
    assert not list(tmp_path.rglob("*.html"))


def test_the_subject_on_the_page_is_fused_as_predict_does(dataset, runs, tmp_path):
    from ensemble_mammo.stages.predict import PredictOptions, predict

    explain(dataset, runs, tmp_path, ExplainOptions(split="test", html=True))
    scores = predict(dataset, runs, None, PredictOptions(split="test")).fused.levels["subject"]
    for i, (subject, exam) in enumerate(scores.keys):
        page = next(tmp_path.glob(f"{subject}_{exam}*/reader.html")).read_text(encoding="utf-8")
        for score in scores.scores[i]:
            assert f"{score:.2f}" in page


def test_boxes_of_exams_that_were_not_explained_are_refused(exams, runs, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"subject_id": "X", "view": "CC_R", "x0": 1, "y0": 1, "x1": 9, "y1": 9}]))
    with pytest.raises(PredictionError, match="none of its 1 images was explained, the first being subject 'X'"):
        explain(exams / "PH0002", runs, tmp_path / "out", ExplainOptions(html=True, boxes=boxes))


def test_boxes_without_pages_are_refused(tmp_path):
    with pytest.raises(ValueError, match="add --html"):
        ExplainOptions(boxes=tmp_path)


def test_a_box_of_the_dataset_is_drawn_where_it_stands(dataset, runs, tmp_path):
    row = dataset.rows(View.CC_R, "test").iloc[0]
    box = {
        "subject_id": row["subject_id"],
        "exam_id": row["exam_id"],
        "view": "CC_R",
        "x0": 2,
        "y0": 3,
        "x1": 9,
        "y1": 8,
    }
    (tmp_path / "boxes.json").write_text(json.dumps([box | {"score": 0.7, "label": "mass"}]))
    explain(dataset, runs, tmp_path, ExplainOptions(split="test", html=True, boxes=tmp_path / "boxes.json"))
    page = next(tmp_path.glob(f"{row['subject_id']}_{row['exam_id']}*/reader.html")).read_text(encoding="utf-8")
    (drawn,) = data_of(page)["views"]["CC_R"]["boxes"]
    assert drawn == {"at": [2, 3, 9, 8], "score": 0.7, "label": "mass"}


@pytest.mark.parametrize("orientation", ["kept", "chest-left"])
@pytest.mark.parametrize("counted", ["prepared", "source"])
def test_a_box_of_a_raw_file_lies_over_what_it_encloses(tmp_path, orientation, counted):
    (row, column) = exam_with_a_blob(tmp_path, row=190, from_chest_wall=55)[View.CC_R]
    preparation = Preparation(height=160, orientation=orientation)
    mammogram = read_mammogram(tmp_path / "CC_R.dcm", preparation)
    prepared = prepare_pixels(mammogram, preparation)
    image = ExamImage(("s", "1"), View.CC_R, mammogram.pixels, prepared.pixels, prepared.placement)
    if counted == "source":
        around = FoundBox(ReaderBox(column - 5, row - 5, column + 6, row + 6, 0.5, ""), *mammogram.pixels.shape)
    else:
        down, across = prepared.placement.point_to_prepared(row, column)
        around = FoundBox(ReaderBox(across - 2, down - 2, across + 3, down + 3, 0.5, ""))
    picture = image.original[_field(image)]
    drawn = _box(around, image, picture.shape)
    brightest = np.unravel_index(picture.argmax(), picture.shape)
    assert drawn.y0 < brightest[0] + 0.5 < drawn.y1
    assert drawn.x0 < brightest[1] + 0.5 < drawn.x1
    assert abs((drawn.x0 + drawn.x1) / 2 - (brightest[1] + 0.5)) < 3
    assert abs((drawn.y0 + drawn.y1) / 2 - (brightest[0] + 0.5)) < 3
