import numpy as np
import pytest
from sklearn import metrics

from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.sections.image_classes import section
from tests.stages.report.studies import study_made


def test_the_figures_are_those_of_scikit_learn_on_the_rows_of_all_views():
    study = study_made("density", skill=0.7)
    true = np.concatenate([study.levels[view].true for view in View])
    called = np.concatenate([study.levels[view].predicted for view in View])
    found = section(study).tables[0].records()[0]
    assert found["images"] == len(true)
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(true, called))
    assert found["recall"]["value"] == pytest.approx(metrics.balanced_accuracy_score(true, called))
    assert found["kappa"]["value"] == pytest.approx(metrics.cohen_kappa_score(true, called, weights="quadratic"))
    assert found["positive"]["value"] == pytest.approx(metrics.accuracy_score(true > 1, called > 1))
    assert found["accuracy"]["low"] < found["accuracy"]["value"] < found["accuracy"]["high"]


def test_tasks_whose_images_have_labels_of_their_own_and_single_views_have_no_such_section():
    assert section(study_made("pathology")) is None
    assert section(study_made("density", views=(View.CC_R,))) is None
