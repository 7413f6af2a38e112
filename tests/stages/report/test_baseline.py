import json
from dataclasses import replace

import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.stages.report.sections.baseline import section
from tests.stages.report.studies import FEW, study_made


def baseline(folder, value, task="density", level="subject", exams=60):
    path = folder / "report.json"
    figures = {level: {"accuracy": {"value": value, "low": value - 0.1, "high": None}}}
    path.write_text(json.dumps({"task": task, "figures": figures, "counts": {level: {"exams": exams}}}))
    return path


def test_without_a_baseline_there_is_no_section():
    assert section(study_made()) is None


@pytest.mark.parametrize(("value", "verdict"), [(0.01, ", above the"), (0.999, ", not above the")])
def test_the_figure_stands_beside_that_of_the_baseline(tmp_path, value, verdict):
    study = study_made(options=replace(FEW, baseline=baseline(tmp_path, value)))
    found = section(study)
    assert verdict in found.lead
    (row,) = found.tables[0].records()
    assert row["level"] == "subject"
    assert row["baseline"] == {"value": value, "low": pytest.approx(value - 0.1), "high": None}
    assert row["difference"] == pytest.approx(row["here"]["value"] - value)


def test_a_baseline_of_other_exams_is_said_to_be_so(tmp_path):
    same = section(study_made(options=replace(FEW, baseline=baseline(tmp_path, 0.4))))
    assert same.notes == ()
    other = section(study_made(options=replace(FEW, baseline=baseline(tmp_path, 0.4, exams=74))))
    assert other.notes == ("the baseline was judged on other exams: subject 74 exams, here 60",)


def test_a_baseline_of_another_task_or_of_no_report_is_refused(tmp_path):
    for text, said in [
        (json.dumps({"task": "pathology", "figures": {}}), "a report of pathology, expected one of density"),
        ("{", "not a report.json"),
        (json.dumps({"task": "density", "figures": {"right": {}}, "counts": {}}), "has none of the levels"),
    ]:
        path = tmp_path / "report.json"
        path.write_text(text)
        with pytest.raises(PredictionError, match=said):
            section(study_made(options=replace(FEW, baseline=path)))
    with pytest.raises(PredictionError, match="no such file"):
        section(study_made(options=replace(FEW, baseline=tmp_path / "none.json")))
