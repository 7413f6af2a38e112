"""Cross-validation: every subject predicted once, by networks that never saw her."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.manifest import MANIFEST, read_dataset
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval
from tests.learning.tiny import tiny_dataset

SETTINGS = ("train.epochs=1", "input.height=32", "input.width=32")


def options(*views: View, **fields) -> CrossvalOptions:
    return CrossvalOptions(2, "density/demo", SETTINGS, views or (View.CC_R,), TrainOptions(), **fields)


def test_every_exam_is_predicted_once_out_of_fold(tmp_path):
    dataset = tiny_dataset(tmp_path / "data")
    found = crossval(dataset, tmp_path / "cv", options())
    table = pd.read_csv(tmp_path / "cv/predictions/CC_R.csv")
    assert sorted(table["subject_id"]) == sorted(dataset.table["subject_id"])
    assert found.counts["CC_R"].exams == len(dataset.table)
    fold_of = json.loads((tmp_path / "cv/predictions/predictions.json").read_text())["fold_of"]
    assert sorted(fold_of) == sorted(table["subject_id"]) and set(fold_of.values()) == {0, 1}
    assert sorted(p.name for p in (tmp_path / "cv/predictions").iterdir()) == [
        "CC_R.csv",
        "predictions.json",
        "predictions_ccr.ids.csv",
        "predictions_ccr.txt",
        "right.csv",
        "subject.csv",
    ]
    assert sorted(p.name for p in (tmp_path / "cv").iterdir()) == [
        "crossval.json",
        "fold-0",
        "fold-1",
        "predictions",
        "report",
    ]
    trained = json.loads((tmp_path / "cv/fold-0/CC_R/run.json").read_text())["images"]["train"]
    assert sum(trained.values()) == len(dataset.table) // 2


def test_another_view_can_follow_into_the_same_folder(tmp_path):
    dataset = tiny_dataset(tmp_path / "data")
    other = dataset.table.assign(view="CC_L", image_id="l" + dataset.table["image_id"])
    pd.concat([dataset.table, other]).to_csv(tmp_path / "data" / MANIFEST, index=False)
    both = read_dataset(tmp_path / "data")
    crossval(both, tmp_path / "cv", options(View.CC_R))
    found = crossval(both, tmp_path / "cv", options(View.CC_L))
    assert list(found.figures) == ["CC_L"]


def test_an_exam_without_a_label_is_left_out_of_the_report_with_a_note(tmp_path):
    dataset = tiny_dataset(tmp_path / "data")
    table = dataset.table.copy()
    extra = table.iloc[[0]].assign(image_id="extra", exam_id="2", density="")
    pd.concat([table, extra]).to_csv(tmp_path / "data" / MANIFEST, index=False)
    found = crossval(read_dataset(tmp_path / "data"), tmp_path / "cv", options())
    assert found.counts["CC_R"].exams == len(table)
    assert any("no true class" in note for note in found.notes)


def test_folds_of_the_manifest_are_kept(tmp_path):
    dataset = tiny_dataset(tmp_path / "data")
    stated = replace(dataset, table=dataset.table.assign(fold=["0", "1"] * (len(dataset.table) // 2)))
    crossval(stated, tmp_path / "cv", options())
    table = pd.read_csv(tmp_path / "cv/predictions/CC_R.csv")
    assert list(table["subject_id"][: len(table) // 2]) == list(stated.table["subject_id"][::2])


def test_one_fold_is_refused():
    with pytest.raises(ValueError, match="folds is 1, expected at least 2"):
        CrossvalOptions(folds=1)


def test_a_file_in_two_folds_is_refused_before_anything_is_trained(tmp_path):
    made = tiny_dataset(tmp_path / "data")
    leaking = replace(made, table=made.table.assign(source_sha256="same", split=""))
    with pytest.raises(DatasetError, match="file same stands in fold 0 and fold 1"):
        crossval(leaking, tmp_path / "cv", CrossvalOptions(folds=2, recipe="density/demo"))
    assert not (tmp_path / "cv").exists()
