import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from ensemble_mammo.merit.intervals import intervals
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.planning import section
from tests.stages.report.studies import study_made

PLAN = ReportOptions(resamples=1000, plan_width=0.08)


def rows_of(found, name="planning", key="figure"):
    return {row[key]: row for row in next(one for one in found.tables if one.name == name).records()}


def test_no_plan_unless_asked_for():
    assert section(study_made()) is None


def test_the_plan_is_made_from_the_present_interval_and_holds_when_drawn():
    study = study_made(options=PLAN, count=120, skill=0.5)
    found = section(study)
    now = intervals(study.top.cases, 1000)["accuracy"]
    row = rows_of(found)["accuracy"]
    assert row["now"] == {"value": now.value, "low": now.low, "high": now.high}
    assert row["width"] == pytest.approx(now.high - now.low)
    assert row["needed"] == math.ceil(120 * ((now.high - now.low) / 0.08) ** 2)
    assert found.lead.startswith(
        f"A 95 % interval of the accuracy that is 0.08 wide needs about {row['needed']:,} subjects; the 120 at hand"
    )
    for name, row in rows_of(found).items():
        assert row["checked"] == pytest.approx(0.08, rel=0.15), name


def test_formulas_stand_beside_with_the_exams_of_each_side():
    study = study_made(options=PLAN, count=120, skill=0.5)
    rows = rows_of(section(study))
    share = study.top.is_positive.mean()

    def wide(part, count):
        low, high = proportion_confint(part * count, count, method="wilson")
        return high - low

    exams = rows["accuracy"]["exams"]
    assert wide(rows["accuracy"]["now"]["value"], exams) <= 0.08 < wide(rows["accuracy"]["now"]["value"], exams - 1)
    assert rows["accuracy"]["positives"] is None
    sensitivity = rows["dense, sensitivity"]
    assert wide(sensitivity["now"]["value"], sensitivity["positives"]) <= 0.08 + 1e-9
    assert sensitivity["exams"] == math.ceil(sensitivity["positives"] / share)
    assert sensitivity["exams"] == sensitivity["positives"] + sensitivity["negatives"]
    assert rows["macro recall"]["exams"] is None
    assert rows["AUC"]["positives"] == math.ceil(rows["AUC"]["exams"] * share)
    assert rows["AUC"]["exams"] == pytest.approx(rows["AUC"]["needed"], rel=0.5)


def test_the_rarest_class_is_named():
    study = study_made(options=PLAN, count=120, skill=0.5)
    keep = (study.top.true != 0) | (np.arange(120) < 30)
    study = replace(study, levels={level: one.taken(keep) for level, one in study.levels.items()})
    found = section(study)
    rows = rows_of(found, "planning-classes", "class")
    rarest = rows["A"]
    assert rarest["exams"] == (study.top.true == 0).sum() == min(row["exams"] for row in rows.values())
    assert rarest["share"] == pytest.approx(rarest["exams"] / keep.sum())
    assert rarest["subjects"] == math.ceil(rarest["needed"] / rarest["share"])
    assert f"The rarest class, A, needs {rarest['needed']:,} exams of it" in found.lead


def test_enough_subjects_are_said_to_be_enough():
    found = section(study_made(options=replace(PLAN, plan_width=0.6)))
    assert found.lead.startswith("The 60 subjects at hand are enough for the accuracy: its 95 % interval is 0.")


def test_two_classes_plan_the_auc_first():
    found = section(study_made("pathology", options=PLAN, skill=0.4))
    assert list(rows_of(found)) == ["AUC", "accuracy", "sensitivity", "specificity"]
    assert "interval of the AUC" in found.lead


def test_what_is_perfect_is_planned_by_formula():
    found = section(study_made(options=PLAN, skill=9.0))
    row = rows_of(found)["accuracy"]
    assert (row["width"], row["needed"], row["checked"]) == (0, None, None)
    assert row["exams"] == math.ceil(1.959964**2 * (1 - 0.08) / 0.08)  # Wilson at 1: z² / (n + z²) wide
    assert "by formula" in found.lead
    assert rows_of(found)["AUC"]["exams"] is None


def test_warnings_are_among_the_notes():
    few = study_made(options=replace(PLAN, resamples=0), count=20)
    rows = few.top.rows
    levels = {
        "subject": replace(
            few.top, rows=replace(rows, subject_ids=tuple(f"S{i // 2}" for i in range(20)), exam_ids=("1", "2") * 10)
        )
    }
    levels["subject"] = levels["subject"].taken(few.top.true != 3)
    notes = " / ".join(section(replace(few, levels=levels)).notes)
    for text in ("take the numbers as a first guess", "no resamples", "exams on average", "no exam is truly D"):
        assert text in notes
