from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.report.options import ReportOptions
from ensemble_mammo.stages.report.sections import fusion
from ensemble_mammo.stages.report.study import judged, rows_taken
from tests.stages.report.studies import study_made

FEW = ReportOptions(resamples=60, seed=3)


def steps_of(section):
    table = next(table for table in section.tables if table.name == "fusion-levels")
    return {(row["level"], row["over"]): row for row in table.records()}


def test_every_step_is_the_paired_difference_on_the_exams_that_have_all_levels():
    study = study_made("density", 50, FEW, skill=1.0)
    given = [rows_taken(p, np.arange(50) >= (8 if p.level == "MLO_L" else 0)) for p in study.views]
    tables = {p.level: p for p in given} | dict(fuse(given, study.task).levels)
    study = replace(study, views=tuple(given), levels={k: judged(p, study.truth) for k, p in tables.items()})
    section = fusion.section(study)
    steps = steps_of(section)
    views = "CC_R, CC_L, MLO_R and MLO_L"
    assert list(steps) == [
        ("right", "mean of CC_R and MLO_R"),
        ("left", "mean of CC_L and MLO_L"),
        ("right and left", f"mean of {views}"),
        ("subject", "mean of right and left"),
        ("subject", f"mean of {views}"),
        ("subject", f"best of {views}"),
        ("right", "best of CC_R and MLO_R"),
        ("left", "best of CC_L and MLO_L"),
    ]
    of_level = {}  # written out: the 42 exams with every view, in the order of their ids
    for level, p in tables.items():
        rows = dict(zip(p.subject_ids, p.scores.argmax(1), strict=True))
        of_level[level] = np.array([rows[s] for s in given[3].subject_ids])
    true = study.truth.of(given[3])
    drawn = np.random.default_rng(3).integers(0, 42, (60, 42))
    figures = {
        "accuracy": accuracy_score,
        "kappa": lambda t, p: cohen_kappa_score(t, p, weights="quadratic"),
        "recall": balanced_accuracy_score,
        "dense": lambda t, p: accuracy_score(t > 1, p > 1),
    }
    for name, of in figures.items():
        every = {level: np.array([of(true[d], p[d]) for d in (slice(None), *drawn)]) for level, p in of_level.items()}
        breasts, singles = (every["right"] + every["left"]) / 2, np.mean([every[view] for view in View], axis=0)
        own = {
            ("right", "mean of CC_R and MLO_R"): every["right"] - (every["CC_R"] + every["MLO_R"]) / 2,
            ("right and left", f"mean of {views}"): breasts - singles,
            ("subject", "mean of right and left"): every["subject"] - breasts,
            ("subject", f"mean of {views}"): every["subject"] - singles,
            ("left", "best of CC_L and MLO_L"): every["left"] - np.maximum(every["CC_L"], every["MLO_L"]),
        }
        for step, values in own.items():
            found = steps[step][name]
            expected = [values[0], *np.percentile(values[1:], [2.5, 97.5])]
            assert [found["value"], found["low"], found["high"]] == pytest.approx(expected), (step, name)
    assert "Gain in accuracy: a breast over the mean of its views " in section.lead
    assert ", the subject over the mean of her breasts " in section.lead


def test_two_classes_are_judged_by_auc_and_each_level_by_its_own_class():
    study = study_made("pathology", 40, ReportOptions(resamples=0))
    found = steps_of(fusion.section(study))["right", "mean of CC_R and MLO_R"]
    area = {
        level: roc_auc_score(one.true, one.scores[:, 1])
        for level, one in study.levels.items()
        if level in ("right", "CC_R", "MLO_R")
    }
    assert found["auc"]["value"] == pytest.approx(area["right"] - (area["CC_R"] + area["MLO_R"]) / 2)
    assert "dense" not in found and "positive" not in found


@pytest.mark.parametrize(
    ("views", "levels"),
    [((View.CC_R, View.MLO_R), {"right"}), ((View.MLO_R, View.MLO_L), {"subject"})],
)
def test_what_is_not_fused_has_no_step(views, levels):
    study = study_made("density", 40, ReportOptions(resamples=0), views=views)
    if levels == {"subject"}:
        study = replace(study, levels={k: one for k, one in study.levels.items() if k not in ("right", "left")})
    else:
        study = replace(study, levels={k: one for k, one in study.levels.items() if k != "subject"})
    assert {level for level, _ in steps_of(fusion.section(study))} == levels
