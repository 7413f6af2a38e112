import json

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.workflows.reproduce import PACKS, ReproduceOptions, reproduce
from ensemble_mammo.workflows.reproduce.result import facts_of


def rows_of(found, table):
    return {row[0]: row for row in next(one for one in found.tables if one.name == table).rows}


@pytest.mark.parametrize("pack", PACKS)
def test_each_pack_names_its_source_and_why_figures_may_differ(pack):
    facts = facts_of(pack)
    assert facts["title"]
    assert facts["source"]
    for one in facts.get("results", []):
        assert one.keys() == {"id", "what", "tasks", "figure", "value", "why"}
        assert 0 <= one["value"] <= 1
        assert one["why"]


@pytest.mark.real
def test_the_published_files_of_the_right_breast_give_three_levels_to_six_digits(real_data, tmp_path):
    found = reproduce("infn", real_data / "infn-density" / "Predictions", tmp_path)
    rows = rows_of(found, "figures").values()
    assert len(rows) == 7 * 3
    obtained = [row for row in rows if row[2] is not None]
    assert len(obtained) == 3 * 3
    assert all(abs(row[3]) <= 1e-6 and row[4] == "met" for row in obtained)
    assert (
        rows_of(found, "figures")["subject, accuracy"][4]
        == "predictions_ccl.txt, predictions_mlol.txt not in the folder"
    )
    assert json.loads((tmp_path / "reproduce.json").read_text()) == found.as_json()


def test_all_four_files_give_seven_levels_and_others_than_the_published_are_said_to_be_so(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("ccr", "ccl", "mlor", "mlol"):
        np.savetxt(tmp_path / f"predictions_{suffix}.txt", rng.dirichlet(np.ones(4), 128))
    found = reproduce("infn", tmp_path)
    rows = rows_of(found, "figures").values()
    assert all(row[2] is not None for row in rows)
    assert {row[4] for row in rows} == {"another file or order"}
    assert found.notes[0].startswith("0 of the 21 figures obtained are the published ones")


def test_a_folder_without_prediction_files_is_refused(tmp_path):
    with pytest.raises(PredictionError, match=r"none of predictions_ccr.txt, .* is there"):
        reproduce("infn", tmp_path)


@pytest.mark.real
def test_the_tables_of_cbis_ddsm_give_divisions_by_patient_and_numbers_of_patches(real_data):
    found = reproduce("shen", real_data / "cbis-ddsm-csv")
    counts = rows_of(found, "counts")
    by_what = {what.split(":")[0]: row for what, row in counts.items()}
    assert by_what["annotated images of CBIS-DDSM"][2] == 3103
    assert counts["patients of CBIS-DDSM"][1:4] == [1566.0, 1566.0, 0.0]
    divisions = next(one for one in found.tables if one.name == "divisions")
    records = divisions.records()
    for name in {one["division"] for one in records}:
        own = [one for one in records if one["division"] == name]
        assert sum(one["patients"] for one in own) == 1566
        assert sum(one["lesions"] for one in own) == 3568  # lesions of the four released tables
        assert all(one["s10"] == 20 * one["lesions"] and one["s"] == 2 * one["lesions"] for one in own)
    pooled = [one for one in records if one["division"].startswith("pooled")]
    assert pooled[2]["patients"] / 1566 == pytest.approx(0.15, abs=0.001)
    assert any("31 patients stand in both" in note for note in found.notes)


def test_figures_of_our_reports_stand_beside_the_published_ones(tmp_path):
    report = tmp_path / "report.json"
    figures = {"auc": {"value": 0.7, "low": None, "high": None}, "accuracy": {"value": 0.6, "low": None, "high": None}}
    report.write_text(json.dumps({"task": "pathology", "figures": {"CC_R": {}, "subject": figures}}))
    found = reproduce("shen", None, None, ReproduceOptions((("whole-auc", report),)))
    rows = rows_of(found, "results")
    auc = next(row for what, row in rows.items() if what.startswith("whole image") and "the port: AUC" in what)
    assert auc[2] == 0.7
    assert auc[3] == pytest.approx(0.7 - 0.856)
    assert "class labels" in auc[4]
    assert sum(row[2] is not None for row in rows.values()) == 1
    assert "no tables of CBIS-DDSM given" in found.notes[0]


def test_accuracy_and_recall_of_one_network_come_from_one_report(tmp_path):
    report = tmp_path / "report.json"
    figures = {"positive_sensitivity": {"value": 0.5}, "accuracy": {"value": 0.6}}
    report.write_text(json.dumps({"task": "abnormality", "figures": {"subject": figures}}))
    found = reproduce("scuccimarra", None, None, ReproduceOptions((("binary-35b-9", report),)))
    obtained = {what: row[2] for what, row in rows_of(found, "results").items() if row[2] is not None}
    assert list(obtained.values()) == [0.6, 0.5]
    assert all("1.0.0.35b.98, normal or not" in what for what in obtained)


def test_unknown_packs_ids_and_reports_are_refused_with_what_there_is(tmp_path):
    with pytest.raises(PredictionError, match="'inf' is not one of infn, shen, scuccimarra"):
        reproduce("inf")
    with pytest.raises(PredictionError, match="x: no such result; this pack has patch-s-val"):
        reproduce("shen", options=ReproduceOptions((("x", tmp_path / "r.json"),)))
    with pytest.raises(PredictionError, match="no such file; make it with"):
        reproduce("shen", options=ReproduceOptions((("whole-auc", tmp_path / "r.json"),)))
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(PredictionError, match=r"no report\.json with the figure auc"):
        reproduce("shen", options=ReproduceOptions((("whole-auc", tmp_path / "r.json"),)))
    (tmp_path / "r.json").write_text('{"task": "density", "figures": {"subject": {"auc": {"value": 0.8}}}}')
    with pytest.raises(PredictionError, match="a report of density, expected one of pathology"):
        reproduce("shen", options=ReproduceOptions((("whole-auc", tmp_path / "r.json"),)))
    with pytest.raises(PredictionError, match="reads no data"):
        reproduce("scuccimarra", tmp_path)
