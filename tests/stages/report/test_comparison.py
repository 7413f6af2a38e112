from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.sections.comparison import section
from tests.stages.report.studies import FEW, study_made


def contest_made(names=("A", "B"), skills=(1.5, 0.6), task="density", count=60, options=FEW, views=tuple(View)):
    """Systems of the same subjects and true classes: `views_made` draws these before the scores."""
    made = [study_made(task, count, options, skill=skill, views=views) for skill in skills]
    return replace(made[0], systems={name: one.levels for name, one in zip(names, made, strict=True)})


def table(found, name):
    return next(one for one in found.tables if one.name == name).records()


def test_one_system_is_not_compared():
    assert section(study_made()) is None
    assert section(contest_made(("A",), (1.5,))) is None


def test_every_system_has_its_figures_at_every_level():
    study = contest_made()
    rows = table(section(study), "comparison-figures")
    assert len(rows) == 14
    for row in rows:
        one = study.systems[row["system"]][row["level"]]
        assert row["exams"] == 60
        assert row["accuracy"]["value"] == pytest.approx(accuracy_score(one.true, one.predicted))
        assert row["recall"]["value"] == pytest.approx(recall_score(one.true, one.predicted, average="macro"))
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]


def test_the_lead_says_who_is_better_and_whether_that_is_chance():
    study = contest_made()
    found = section(study)
    a, b = (study.systems[name]["subject"] for name in "AB")
    right, other = a.predicted == a.true, b.predicted == b.true
    only_a, only_b = int((right & ~other).sum()), int((other & ~right).sum())
    counts = [[(right & other).sum(), only_a], [only_b, (~right & ~other).sum()]]
    p = mcnemar(counts, exact=True).pvalue
    assert found.lead.startswith(f"A is better than B in accuracy by {right.mean() - other.mean():.2f} (")
    assert f"{only_a} exams only A has right, {only_b} only B" in found.lead
    assert "beyond chance (McNemar p" in found.lead
    row = table(found, "comparison-tests")[0]
    assert (row["figure"], row["test"]) == ("accuracy", "McNemar, exact")
    assert row["p"] == pytest.approx(p)
    assert row["first_value"] - row["second_value"] == pytest.approx(row["difference"]["value"])
    (counted,) = table(found, "comparison-counts")
    assert (counted["first_only"], counted["second_only"]) == (only_a, only_b)
    assert counted["both"] + counted["first_only"] + counted["second_only"] + counted["neither"] == 60


def test_the_better_one_is_named_first_whatever_the_order():
    found = section(contest_made(("weak", "strong"), (0.3, 2.0)))
    assert found.lead.startswith("strong is better than weak in accuracy by 0.")
    assert ", beyond chance (McNemar p < 0.001, corrected for 4 tests p < 0.001;" in found.lead
    assert "(-" not in found.lead
    tests = next(one for one in found.tables if one.name == "comparison-tests")
    assert 0 in tests.marked
    (chart,) = found.charts
    assert chart.reference == 0
    assert chart.x_range[0] == -chart.x_range[1]
    assert chart.bars[0].value < 0
    assert chart.bars[0].marked
    assert all(chart.x_range[0] <= bar.low <= bar.high <= chart.x_range[1] for bar in chart.bars)


def test_two_classes_are_compared_by_auc_first():
    found = section(contest_made(task="pathology"))
    assert found.lead.startswith("A is better than B in AUC by")
    assert "DeLong p" in found.lead
    assert "positive_sensitivity" in found.tables[0].columns


def test_three_systems_are_ranked_and_all_pairs_corrected():
    found = section(contest_made(("A", "B", "C"), (1.2, 1.0, 0.1)))
    assert found.lead.startswith("Of 3 systems ")
    assert "Also beyond chance: " in found.lead
    assert len(table(found, "comparison-tests")) == 12
    tests = next(one for one in found.tables if one.name == "comparison-tests")
    assert "Holm's method over the 12 tests" in tests.caption


def test_the_same_system_twice_has_no_difference():
    found = section(contest_made(skills=(1.0, 1.0)))
    assert found.lead.startswith("A and B have the same accuracy, 0.")
    assert "0 exams only A has right, 0 only B" in found.lead


def test_other_rows_or_another_order_are_refused():
    study = contest_made()
    turned = {level: one.taken(np.arange(60)[::-1]) for level, one in study.systems["B"].items()}
    with pytest.raises(PredictionError, match="of system B: its 60 exams are not those of A"):
        section(replace(study, systems={"A": study.systems["A"], "B": turned}))
    fewer = {level: one.taken(np.arange(50)) for level, one in study.systems["B"].items()}
    with pytest.raises(PredictionError, match=r"its 50 exams are not those of A \(60\)"):
        section(replace(study, systems={"A": study.systems["A"], "B": fewer}))


def test_the_tests_are_at_the_highest_level_that_all_have():
    study = contest_made()
    right = {level: one for level, one in study.systems["B"].items() if level in ("CC_R", "MLO_R", "right")}
    found = section(replace(study, systems={"A": study.systems["A"], "B": right}))
    assert next(one for one in found.tables if one.name == "comparison-tests").title.endswith("level right")
    left = {level: one for level, one in study.systems["A"].items() if level in ("CC_L", "left")}
    apart = section(replace(study, systems={"A": left, "B": right}))
    assert "no level in common" in apart.lead
    assert [one.name for one in apart.tables] == ["comparison-figures"]


def test_several_exams_a_subject_are_said_and_not_tested_by_mcnemar():
    study = contest_made()

    def joined(one):
        rows = one.rows
        subjects = tuple(f"S{i // 2:04d}" for i in range(60))
        return replace(one, rows=replace(rows, subject_ids=subjects, exam_ids=("1", "2") * 30))

    systems = {name: {level: joined(one) for level, one in of.items()} for name, of in study.systems.items()}
    found = section(replace(study, systems=systems))
    assert any("30 subjects have 60 exams: McNemar's test takes exams as independent" in one for one in found.notes)
    assert table(found, "comparison-tests")[0]["test"] == "paired bootstrap"


def test_without_resamples_it_says_so():
    found = section(contest_made(options=replace(FEW, resamples=0)))
    assert any("no resamples" in one for one in found.notes)
    assert table(found, "comparison-tests")[1]["p"] is None
    assert "(nan" not in found.lead


def test_a_test_that_is_undefined_is_said():
    found = section(contest_made(skills=(6.0, 5.0)))  # no pair of exams is out of order in either
    assert any(note.startswith("AUC of A and B: not tested") for note in found.notes)
    assert table(found, "comparison-tests")[3]["p"] is None
    assert "Holm's method over the 3 tests" in found.tables[1].caption
