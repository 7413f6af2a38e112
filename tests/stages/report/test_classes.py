import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections.classes import section
from tests.stages.report.studies import study_made

NONE = ReportOptions(resamples=0)


def called(true, predicted, options=NONE):
    """A density study of one view whose exams are of `true` and called `predicted`, letters each."""
    study = study_made(count=len(true), options=options, views=(View.CC_R,))
    scores = np.eye(4)[["ABCD".index(one) for one in predicted]]
    view = study.levels["CC_R"]
    one = dataclasses.replace(
        view,
        rows=dataclasses.replace(view.rows, scores=scores),
        true=np.array(["ABCD".index(one) for one in true]),
    )
    return section(dataclasses.replace(study, levels={"CC_R": one}))


def chart(found, name):
    return next(one for one in found.charts if one.name == name)


def test_the_table_has_the_figures_of_scikit_learn_for_each_class_and_level_the_top_first():
    study = study_made(skill=0.7)
    rows = section(study).tables[0].records()
    assert [row["level"] for row in rows[::4]] == list(study.levels)[::-1]
    for row in rows:
        one, place = study.levels[row["level"]], "ABCD".index(row["class"])
        side, says = one.true == place, one.predicted == place
        assert (row["exams"], row["called"], row["right"]) == (side.sum(), says.sum(), (side & says).sum())
        assert row["recall"]["value"] == pytest.approx(metrics.recall_score(side, says))
        assert row["precision"]["value"] == pytest.approx(metrics.precision_score(side, says))
        assert row["f1"]["value"] == pytest.approx(metrics.f1_score(side, says))
        assert row["auc"]["value"] == pytest.approx(metrics.roc_auc_score(side, one.scores[:, place]))
        for kind in ("recall", "precision", "f1", "auc"):
            assert row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"]


def test_bars_have_the_limits_of_the_table_and_mark_the_lowest():
    found = section(study_made(skill=0.7))
    rows = found.tables[0].records()[:4]
    for kind in ("recall", "precision", "f1", "auc"):
        bars = chart(found, f"{kind}-by-class").bars
        assert [bar.label for bar in bars] == list("ABCD")
        assert [(bar.value, bar.low, bar.high) for bar in bars] == [tuple(row[kind].values()) for row in rows]
        assert [bar.label for bar in bars if bar.marked] == [min(bars, key=lambda bar: bar.value).label]
    assert chart(found, "recall-by-class").bars[0].note == f"{rows[0]['right']} of {rows[0]['exams']}"
    assert chart(found, "auc-by-class").reference == 0.5


def test_the_lead_names_the_class_found_least_often_and_the_commonest_confusion():
    found = called("AABBBCCCDDD", "AABBBCCBDCC")
    assert found.lead == (
        "View CC_R: D is found least often: 1 of 3, recall 0.33. The commonest confusion: 2 of 3 D are called C."
    )


def test_of_confusions_alike_in_number_the_one_with_the_larger_share_is_named():
    found = called("AAAABBCCDD", "BAAAABCCDD")
    assert found.lead.endswith("The commonest confusion: 1 of 2 B is called A.")


def test_classes_found_alike_seldom_are_all_named():
    found = called("AABBCCDD", "AABACCDC")
    assert found.lead.startswith("View CC_R: B and D are found least often, recall 0.50 each.")


def test_no_mistake_is_said_plainly():
    found = called("AABBCCDD", "AABBCCDD")
    assert found.lead == "View CC_R: all 8 exams are called what they truly are."
    assert sum("exact binomial limits of that recall are 0.16 to 1.00" in note for note in found.notes) == 4


def test_classes_all_found_alike_are_said_so():
    found = called("AABBCCDD", "ABBCCDDA")
    assert found.lead.startswith("View CC_R: all classes are found alike often, recall 0.50.")


def test_one_class_alone_is_said_so():
    assert called("AAA", "AAB").lead == "View CC_R: all 3 exams are truly A."


def test_a_class_without_exams_is_undefined_with_its_reason():
    found = called("AABBCC", "AABBCC", ReportOptions(resamples=40))
    row = found.tables[0].records()[3]
    assert (row["class"], row["exams"], row["recall"]["value"], row["auc"]["value"]) == ("D", 0, None, None)
    assert np.isnan(chart(found, "recall-by-class").bars[3].value)
    assert any(note.startswith("CC_R: no case is truly D: its recall is undefined") for note in found.notes)
    assert any(note.startswith("CC_R: D is never predicted") for note in found.notes)


def test_two_classes_have_no_auc_of_each():
    found = section(study_made("pathology", 40, skill=0.7))
    assert "auc" not in found.tables[0].columns
    assert [one.name for one in found.charts[:3]] == ["recall-by-class", "precision-by-class", "f1-by-class"]


def test_no_resamples_leave_limits_out_and_the_seed_decides():
    assert section(study_made(options=NONE)).tables[0].records()[0]["recall"]["low"] is None
    assert json.dumps(section(study_made()).as_json()) == json.dumps(section(study_made()).as_json())
