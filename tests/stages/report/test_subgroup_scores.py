import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.merit.calibration import briers
from ensemble_mammo.stages.report.sections.subgroup_scores import score_tables
from tests.stages.report.studies import study_made


def test_every_group_has_its_ranking_calls_and_calibration():
    study = study_made("pathology", 60, skill=0.8)
    groups = ["a" if i % 2 else "b" for i in range(60)]
    scores, calibration = score_tables(study, {"device": groups})
    top = study.top
    for row, other in zip(scores.records(), calibration.records(), strict=True):
        inside = np.array(groups) == row["group"]
        side, score = top.is_positive[inside], top.positive_score[inside]
        assert row["exams"] == other["exams"] == 30
        assert row["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(side, score))
        assert row["partial_auc"]["value"] == pytest.approx(metrics.roc_auc_score(side, score, max_fpr=0.2))
        assert row["sensitivity"]["value"] == pytest.approx(metrics.recall_score(side, score >= 0.5))
        assert row["ppv"]["value"] == pytest.approx(metrics.precision_score(side, score >= 0.5))
        own = briers(top.true[inside], top.scores[inside]).mean()
        assert other["brier"]["value"] == pytest.approx(own)
        assert other["log_loss"]["value"] == pytest.approx(metrics.log_loss(top.true[inside], top.scores[inside]))
        assert other["gap"]["low"] < other["gap"]["value"] < other["gap"]["high"]


def test_a_group_of_one_side_or_of_few_subjects_has_no_figures():
    study = study_made("pathology", 60)
    groups = ["malignant" if positive else "benign" for positive in study.top.is_positive]
    groups[0] = "few"
    scores, calibration = score_tables(study, {"kind": groups})
    assert all(row["average_precision"]["value"] is None for row in scores.records())
    few = next(row for row in calibration.records() if row["group"] == "few")
    assert few["brier"]["value"] is None
