import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report.sections.errors import section
from ensemble_mammo.stages.report.study import judged
from tests.stages.report.studies import FEW, study_made


def test_errors_are_ordered_by_distance_then_by_how_sure_they_were():
    study = study_made(count=80, skill=0.8)
    found = section(study)
    rows = found.tables[0].records()
    place = {name: i for i, name in enumerate("ABCD")}
    graveness = [(abs(place[r["true"]] - place[r["called"]]), r["score_called"] - r["score_true"]) for r in rows]
    assert graveness == sorted(graveness, reverse=True)
    top = study.top
    wrong = int((top.predicted != top.true).sum())
    assert found.lead.startswith(f"Subject: {wrong} of 80 exams are put in a wrong class")
    assert len(rows) == min(wrong, 30)
    assert not found.pictures


def test_without_an_error_there_is_no_section():
    assert section(study_made(count=20, skill=50.0)) is None


def test_ids_are_hidden_where_asked_for():
    study = study_made(count=40, skill=0.5, options=replace(FEW, hide_ids=True))
    rows = section(study).tables[0].records()
    assert all(row["subject_id"].startswith("subject ") and row["exam_id"] == "" for row in rows)


def all_wrong(dataset, options):
    """A study of the dataset's subjects in which every exam is called the class after its own."""
    task = TASKS["density"]
    truth = truth_from_dataset(dataset, task)
    keys = sorted(set(zip(dataset.table["subject_id"], dataset.table["exam_id"], strict=True)))
    subjects, exams = (tuple(key[i] for key in keys) for i in (0, 1))
    blank = Predictions(
        "subject", task.classes, np.full((len(keys), 4), 0.25), subjects, exams, ("CC_R",) * len(keys), (1,) * len(keys)
    )
    scores = np.eye(4)[(truth.of(blank) + 1) % 4] * 0.6 + 0.1
    one = judged(replace(blank, scores=scores), truth)
    return replace(study_made(count=8, options=options), truth=truth, levels={"subject": one})


def test_images_and_maps_of_the_dataset_stand_beside_the_worst_errors(dataset, tmp_path):
    study = all_wrong(dataset, replace(FEW, dataset=dataset))
    plain = section(study)
    assert len(plain.pictures) == 6
    first = plain.tables[0].records()[0]
    assert plain.pictures[0].title == f"error 1: {first['subject_id']}, truly {first['true']}, called {first['called']}"
    grey = np.asarray(Image.open(io.BytesIO(plain.pictures[0].png)))
    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "CC_R.npy", np.ones((7, 5), np.float32))
    listed = [{"subject_id": first["subject_id"], "exam_id": first["exam_id"], "view": "CC_R", "raw": "x/CC_R.npy"}]
    (tmp_path / "maps.json").write_text(json.dumps({"maps": listed}))
    mapped = section(replace(study, options=replace(study.options, maps=tmp_path)))
    assert mapped.pictures[0].caption
    assert not mapped.pictures[1].caption
    coloured = np.asarray(Image.open(io.BytesIO(mapped.pictures[0].png))).astype(int)
    assert np.ptp(coloured, axis=2).max() > np.ptp(grey.astype(int), axis=2).max() + 50


def test_a_folder_without_maps_is_refused(dataset, tmp_path):
    study = all_wrong(dataset, replace(FEW, dataset=dataset, maps=tmp_path))
    with pytest.raises(DatasetError, match="no such file; make maps with"):
        section(study)
