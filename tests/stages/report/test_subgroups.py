from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.figures import figures_of
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.side_tables import SideTable
from ensemble_mammo.stages.report.sections.subgroups import section
from tests.stages.report.studies import FEW, study_made


def dataset_made(tmp_path, count=60, exam="1", **columns):
    """A manifest of four views a subject; a column is a function of the subject's number (and perhaps the view)."""
    rows = []
    for i in range(count):
        for view in View:
            row = {"image_id": f"{i}{view}", "subject_id": f"S{i:04d}", "exam_id": exam, "view": str(view)}
            rows.append(row | {name: str(of(i, view)) for name, of in columns.items()})
    return Dataset(tmp_path, pd.DataFrame(rows), Preparation())


def with_dataset(tmp_path, study=None, by=(), **columns):
    study = study or study_made()
    return replace(study, options=replace(study.options, dataset=dataset_made(tmp_path, **columns), by=by))


def with_csv(tmp_path, text, by=(), study=None, options=FEW):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    return replace(study or study_made(), options=replace(options, groups=path, by=by))


def spoilt(study, failing):
    """The same study, where the subjects numbered in `failing` are called anything but their class."""
    top = study.top
    scores = top.scores.copy()
    for i in failing:
        scores[i] = np.roll(np.eye(4)[top.true[i]], 1 + i % 3) * 0.9 + 0.025
    rows = replace(top.rows, scores=scores)
    return replace(study, levels=study.levels | {"subject": replace(top, rows=rows)})


def rows_of(found, name="subgroups"):
    return {(row["column"], row["group"]): row for row in next(t for t in found.tables if t.name == name).records()}


def test_nothing_to_say_without_columns_or_with_one_group(tmp_path):
    assert section(study_made()) is None
    assert section(with_dataset(tmp_path, manufacturer=lambda i, v: "X", device=lambda i, v: "")) is None


def test_a_failing_device_is_named_outright(tmp_path):
    study = spoilt(study_made(options=ReportOptions(resamples=2000)), range(0, 60, 4))
    study = with_dataset(
        tmp_path,
        study,
        manufacturer=lambda i, v: "Maker",
        device=lambda i, v: "210" if i % 4 == 0 else "300",
        age=lambda i, v: 35 + i // 2,
    )
    found = section(study)
    top = study.top
    inside = np.arange(60) % 4 == 0
    other = (top.predicted == top.true)[~inside].mean()
    assert found.lead.startswith("Device 210: accuracy 0.00 (0.00 to 0.22) on 15 exams, against ")
    assert f"against {other:.2f} on all others (p" in found.lead
    assert "the average hides" in found.lead
    rows = rows_of(found)
    assert rows["device", "210"]["marked"]
    assert rows["device", "210"]["remark"] == "below the others"
    assert rows["device", "210"]["others"] == pytest.approx(other)
    assert rows["device", "210"]["p_corrected"] < 0.05
    assert "marked" not in rows["device", "300"]
    assert {group for column, group in rows if column == "age"} == {"<40", "40-49", "50-59", "60-69"}
    assert [chart.name for chart in found.charts] == ["subgroups-device", "subgroups-age"]
    bars = {bar.label: bar for bar in found.charts[0].bars}
    assert bars["210"].marked
    assert bars["210"].note == "15 exams"
    assert found.charts[0].reference == pytest.approx((top.predicted == top.true).mean())


def test_an_interval_below_the_figure_of_all_is_marked_and_said_to_be_perhaps_chance(tmp_path):
    """Ten groups and few resamples: the corrected test finds nothing, the interval of the failing group does."""
    study = spoilt(study_made(options=ReportOptions(resamples=200)), range(0, 60, 10))
    found = section(with_dataset(tmp_path, study, device=lambda i, v: f"d{i % 10}"))
    assert found.lead.startswith("Device d0: accuracy 0.00")
    assert "its whole interval lies below the figure of all exams" in found.lead
    assert "can still be chance (p = " in found.lead
    assert rows_of(found)["device", "d0"]["marked"]
    assert rows_of(found)["device", "d0"]["p_corrected"] > 0.05


def test_without_a_failure_the_smallest_groups_are_named(tmp_path):
    study = with_dataset(tmp_path, study_made(skill=4.0), device=lambda i, v: "small" if i < 7 else "large")
    found = section(study)
    assert found.lead.startswith("None of 2 groups lies below the others in accuracy beyond chance.")
    assert "device small, 7 exams and device large, 53 exams" in found.lead
    assert any("100 resamples" in note for note in found.notes) is False
    assert any("true classes" in note for note in found.notes)


def test_every_figure_of_every_group_is_that_of_its_exams(tmp_path):
    study = with_dataset(tmp_path, device=lambda i, v: "abc"[i % 3])
    found = rows_of(section(study), "subgroups-all")
    top = study.top
    for place, name in enumerate("abc"):
        inside = np.arange(60) % 3 == place
        expected = figures_of(top.true[inside], top.scores[inside], top.positive, study.task.classes)
        row = found["device", name]
        assert row["exams"] == inside.sum()
        for figure, value in expected.items():
            key = figure.replace("positive", "dense", 1)
            assert row[key]["value"] == (pytest.approx(value) if np.isfinite(value) else None)
        mix = np.bincount(top.true[inside], minlength=4)
        text = ", ".join(f"{c} {n}" for c, n in zip("ABCD", mix, strict=True))
        assert rows_of(section(study))["device", name]["mix"] == text


def test_images_that_differ_are_mixed_and_empty_ones_unknown(tmp_path):
    def implant(i, view):
        return "" if i < 10 else ("YES" if view == View.CC_R else "NO") if i < 20 else "NO"

    rows = rows_of(section(with_dataset(tmp_path, implant=implant)))
    assert {group: row["exams"] for (_, group), row in rows.items()} == {"NO": 40, "mixed": 10, "unknown": 10}


def test_small_groups_are_counted_without_figures(tmp_path):
    found = section(with_dataset(tmp_path, device=lambda i, v: "rare" if i < 4 else "common"))
    rare = rows_of(found)["device", "rare"]
    assert rare["accuracy"] == {"value": None, "low": None, "high": None}
    assert rare["remark"] == "fewer than 5 subjects"
    assert rare["exams"] == 4
    assert any("1 group of fewer than 5 subjects (together 4 exams)" in note for note in found.notes)


def test_the_density_of_another_task_makes_groups_and_its_own_does_not(tmp_path):
    def columns():
        return {"density": lambda i, v: "ABCD"[i % 4], "device": lambda i, v: i % 2}

    of_pathology = section(with_dataset(tmp_path, study_made("pathology"), **columns()))
    assert {column for column, _ in rows_of(of_pathology)} == {"density", "device"}
    assert of_pathology.tables[0].columns["others"] == "AUC, all others"
    assert {column for column, _ in rows_of(section(with_dataset(tmp_path, **columns())))} == {"device"}


def test_by_names_the_columns(tmp_path):
    study = with_dataset(
        tmp_path, by=("site", "device"), site=lambda i, v: "XY"[i % 2], device=lambda i, v: "one", age=lambda i, v: i
    )
    found = section(study)
    assert {column for column, _ in rows_of(found)} == {"site"}
    assert "device: all exams are in one group, one" in found.notes


def test_unknown_columns_are_refused_with_the_nearest_name(tmp_path):
    study = with_dataset(tmp_path, by=("devise", "shoe"), device=lambda i, v: i % 2)
    with pytest.raises(PredictionError, match=r"no column 'devise' \(did you mean 'device'\?\); no column 'shoe'"):
        section(study)
    with pytest.raises(PredictionError, match="give a dataset, or a CSV of groups"):
        section(study_made(options=replace(FEW, by=("device",))))


def test_a_csv_makes_groups_by_subject_and_wins_over_the_dataset(tmp_path):
    lines = "\n".join(f"S{i:04d},{'ab'[i % 2]},{30 + i}" for i in range(50))
    study = with_csv(tmp_path, "subject_id,device,age\n" + lines + "\nZZ,c,50\n")
    study = replace(study, options=replace(study.options, dataset=dataset_made(tmp_path, device=lambda i, v: "x")))
    found = section(study)
    rows = rows_of(found)
    assert {group: row["exams"] for (column, group), row in rows.items() if column == "device"} == {
        "a": 25,
        "b": 25,
        "unknown": 10,
    }
    assert rows["age", "<40"]["exams"] == 10
    assert "10 subjects of 60 not found in groups.csv: the group is unknown" in found.notes


def test_rows_for_one_view_do_not_speak_for_others():
    rows = study_made(count=3).levels["CC_R"].rows
    table = pd.DataFrame(
        [("S0000", "", "CC_R", "x"), ("S0000", "", "CC_L", "y"), ("S0001", "1", "", "x"), ("S0001", "", "", "y")],
        columns=["subject_id", "exam_id", "view", "device"],
    )
    assert SideTable("t", table).groups("device", rows) == ["x", "x", "unknown"]
    assert SideTable("t", table).groups("device", replace(rows, level="subject"))[0] == "mixed"


def test_the_only_exam_of_a_subject_may_be_called_otherwise(tmp_path):
    columns = {"device": lambda i, v: "ab"[i % 2]}
    study = study_made()
    renamed = replace(study, options=replace(FEW, dataset=dataset_made(tmp_path, exam="20230101", **columns)))
    assert {group for _, group in rows_of(section(renamed))} == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("subject,device\nS0000,a\n", PredictionError, "column subject_id missing; found subject, device.*'subject'"),
        ("subject_id,exam_id\nS0000,1\n", PredictionError, "no column beside subject_id, exam_id"),
        ("subject_id,device\n,a\nS1,b\n,c\n", PredictionError, "line 2: subject_id is empty; line 4: subject_id"),
        ("subject_id,view,device\nS0000,CCR,a\n", PredictionError, "line 2: view 'CCR' is not one of CC_R"),
        ("subject_id,device\nP1,a\n", PredictionError, "knows none of the 60 subjects judged .its first is 'P1'"),
        ("subject_id,device\n", PredictionError, "holds no row"),
        ("", DatasetError, "not a table"),
    ],
)
def test_tables_of_groups_that_cannot_be_used_are_refused(tmp_path, text, kind, match):
    with pytest.raises(kind, match=match):
        section(with_csv(tmp_path, text))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: no such file"):
        section(study_made(options=replace(FEW, groups=tmp_path / "none.csv")))


def test_too_few_resamples_for_the_correction_are_said(tmp_path):
    found = section(with_dataset(tmp_path, device=lambda i, v: "abcde"[i % 5]))
    assert any("100 resamples are too few for 5 corrected tests" in note for note in found.notes)


def test_without_resamples_nothing_is_tested(tmp_path):
    study = study_made(options=ReportOptions(resamples=0))
    found = section(with_dataset(tmp_path, study, device=lambda i, v: "ab"[i % 2]))
    assert "was not tested" in found.lead
    assert rows_of(found)["device", "a"]["p"] is None
