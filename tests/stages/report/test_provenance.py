import json
from dataclasses import replace

import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.stages.report.sections.provenance import section
from tests.stages.report.studies import FEW, study_made


def test_nothing_known_makes_no_section():
    assert section(study_made()) is None


def test_the_dataset_is_told_by_split_with_its_classes(dataset):
    found = section(study_made(options=replace(FEW, dataset=dataset, remarks=("shortcut: film border",))))
    rows = {row["split"]: row for row in found.tables[0].records()}
    assert sum(row["images"] for row in rows.values()) == len(dataset.table)
    assert rows["train"]["subjects"] == dataset.rows(split="train")["subject_id"].nunique()
    assert rows["test"]["images_A"] == (dataset.rows(split="test")["density"] == "A").sum()
    assert dataset.fingerprint()[:12] in found.lead
    assert found.notes == ("shortcut: film border",)


def test_the_networks_behind_the_predictions_are_named(dataset, tmp_path):
    run = {
        "network": "test_resnet",
        "fold": "fold-1",
        "pretrained": "package",
        "seed": 3,
        "kept_epoch": 7,
        "images": {"train": {"A": 5, "B": 6}, "val": {"A": 1}},
        "data_fingerprint": dataset.fingerprint(),
        "weights_sha256": "ab" * 32,
        "versions": {"ensemble-mammo": "0.1"},
    }
    (tmp_path / "predictions.json").write_text(json.dumps({"runs": {"CC_R": [run, run], "CC_L": [run]}}))
    study = replace(study_made(options=replace(FEW, dataset=dataset)), folders=(tmp_path, tmp_path))
    found = section(study)
    rows = found.tables[0].records()
    assert [row["view"] for row in rows] == ["CC_R", "CC_R", "CC_L"]
    assert rows[0]["images"] == 11
    assert rows[0]["weights"] == "abababababab…"
    assert rows[0]["fold"] == 1
    assert found.lead.endswith("3 trained networks made the predictions.")


def test_a_damaged_predictions_json_is_refused(tmp_path):
    (tmp_path / "predictions.json").write_text("{")
    with pytest.raises(PredictionError, match="predict again"):
        section(replace(study_made(), folders=(tmp_path,)))
