import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit import fusion
from ensemble_mammo.merit.fusion import Fusion, fuse, fuse_scores, incomplete
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.task import TASKS

DENSITY, PATHOLOGY = TASKS["density"], TASKS["pathology"]


def made(view, scores, subjects=None, task=DENSITY, identified=True, exams=None, images=None):
    count = len(scores)
    subjects = tuple(subjects or (f"s{i}" for i in range(count)))
    exams, images = exams or ("1",) * count, images or (1,) * count
    return Predictions(
        view, task.classes, np.asarray(scores, float), subjects, exams, (view,) * count, images, identified
    )


def drawn(count, classes=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count)


def test_every_public_name_is_there_and_sorted():
    assert fusion.__all__ == sorted(fusion.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(fusion, name) for name in fusion.__all__)


def test_the_mean_of_four_views_is_the_subject_and_that_of_two_the_breast():
    parts = {view: drawn(9, seed=i) for i, view in enumerate(("CC_R", "CC_L", "MLO_R", "MLO_L"))}
    levels = fuse([made(view, scores) for view, scores in parts.items()], DENSITY).levels
    np.testing.assert_allclose(levels["right"].scores, (parts["CC_R"] + parts["MLO_R"]) / 2)
    np.testing.assert_allclose(levels["left"].scores, (parts["CC_L"] + parts["MLO_L"]) / 2)
    np.testing.assert_allclose(levels["subject"].scores, sum(parts.values()) / 4)
    assert levels["right"].views == ("CC_R+MLO_R",) * 9
    assert levels["subject"].images == (4,) * 9


def test_views_are_joined_by_subject_and_exam_although_rows_are_shuffled():
    cc, mlo = drawn(20), drawn(20, seed=1)
    keys = [(f"s{i // 2}", str(i % 2)) for i in range(20)]
    order = np.random.default_rng(2).permutation(20)
    right = fuse(
        [
            made("CC_R", cc, [s for s, _ in keys], exams=tuple(e for _, e in keys)),
            made("MLO_R", mlo[order], [keys[i][0] for i in order], exams=tuple(keys[i][1] for i in order)),
        ],
        DENSITY,
    ).levels["right"]
    assert right.keys == keys
    np.testing.assert_allclose(right.scores, (cc + mlo) / 2)


def test_missing_views_leave_the_mean_of_those_present_and_are_said():
    cc, mlo = drawn(3), drawn(2, seed=1)
    fused = fuse([made("CC_R", cc), made("MLO_R", mlo, ["s1", "s9"], images=(2, 1))], DENSITY)
    right = fused.levels["right"]
    assert right.subject_ids == ("s0", "s1", "s2", "s9")
    assert right.views == ("CC_R", "CC_R+MLO_R", "CC_R", "MLO_R")
    assert right.images == (1, 3, 1, 1)
    np.testing.assert_allclose(right.scores, [cc[0], (cc[1] + mlo[0]) / 2, cc[2], mlo[1]])
    assert fused.missing == {"CC_R": 1, "MLO_R": 2}
    assert fused.notes[0].startswith("3 of 4 exams lack a view (CC_R 1, MLO_R 2)")
    assert incomplete(right) == 3
    assert "left" not in fused.levels


def test_an_exam_without_a_view_of_a_breast_is_not_at_that_level():
    levels = fuse([made("CC_R", drawn(3)), made("CC_L", drawn(1), ["s2"])], DENSITY).levels
    assert levels["left"].subject_ids == ("s2",)
    assert levels["subject"].views == ("CC_R", "CC_R", "CC_R+CC_L")


def test_ids_that_never_meet_are_noted():
    notes = fuse([made("CC_R", drawn(2)), made("MLO_R", drawn(2), ["a", "b"])], DENSITY).notes
    assert len(notes) == 1 and "no exam has more than one view" in notes[0]


def test_require_all_views_names_subjects_and_views():
    views = [made("CC_R", drawn(14)), made("MLO_R", drawn(2))]
    with pytest.raises(PredictionError, match=r"12 of 14 exams lack a view: subject 's2' exam '1' lacks MLO_R.*2 more"):
        fuse(views, DENSITY, Fusion(require_all_views=True))


def test_the_subject_of_a_maximum_task_has_the_row_of_her_worst_breast():
    right, left = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], [[0.3, 0.7], [0.6, 0.4]]
    views = [made("CC_R", right, task=PATHOLOGY), made("CC_L", left, ["s0", "s1"], PATHOLOGY)]
    subject = fuse(views, PATHOLOGY).levels["subject"]
    np.testing.assert_allclose(subject.scores, [[0.3, 0.7], [0.2, 0.8], [0.5, 0.5]])
    assert subject.views == ("CC_R+CC_L", "CC_R+CC_L", "CC_R")
    flat = fuse(views, PATHOLOGY, Fusion(breast_to_subject="mean")).levels["subject"]
    np.testing.assert_allclose(flat.scores[0], [0.6, 0.4])


def test_rules_do_what_they_say():
    scores = np.array([[[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]]])
    np.testing.assert_allclose(fuse_scores(scores), scores.mean(1))
    np.testing.assert_allclose(fuse_scores(scores, "vote"), [[2 / 3, 1 / 3, 0]])
    median = np.array([0.5, 0.4, 0.1])
    np.testing.assert_allclose(fuse_scores(scores, "median")[0], median / median.sum())
    product = scores.prod(1) ** (1 / 3)
    np.testing.assert_allclose(fuse_scores(scores, "geometric"), product / product.sum())
    tie = fuse_scores(np.array([[[0.9, 0.1], [0.2, 0.8]]]), "vote")
    np.testing.assert_allclose(tie, [[0.5, 0.5]])


@pytest.mark.parametrize("rule", fusion.FUSION_RULES)
def test_rules_heed_missing_views_and_rows_without_any(rule):
    scores = drawn(12).reshape(3, 4, 4)
    scores[0, 1:] = np.nan
    scores[1] = np.nan
    fused = fuse_scores(scores, rule)
    expected = np.eye(4)[scores[0, 0].argmax()] if rule == "vote" else scores[0, 0]
    np.testing.assert_allclose(fused[0], expected)
    assert np.isnan(fused[1]).all()
    np.testing.assert_allclose(fused[2].sum(), 1)
    assert np.isnan(fuse_scores(scores[1:2], rule)).all()


@pytest.mark.parametrize("rule", ["geometric", "median"])
def test_certain_views_that_contradict_each_other_still_give_scores(rule):
    np.testing.assert_allclose(fuse_scores(np.eye(4)[None], rule), [[0.25] * 4])


def test_weights_count_for_the_mean_and_a_zero_leaves_the_view_out():
    cc, mlo = drawn(3), drawn(3, seed=1)
    views = [made("CC_R", cc), made("MLO_R", mlo)]
    right = fuse(views, DENSITY, Fusion(weights={"CC_R": 3})).levels["right"]
    np.testing.assert_allclose(right.scores, (3 * cc + mlo) / 4)
    alone = fuse(views, DENSITY, Fusion(weights=(("CC_R", 0.0),))).levels["right"]
    np.testing.assert_allclose(alone.scores, mlo)
    assert alone.views == ("MLO_R",) * 3


def test_files_without_ids_are_fused_by_row_and_it_is_said():
    cc, mlo = drawn(3), drawn(3, seed=1)
    rows = ["row 1", "row 2", "row 3"]
    fused = fuse([made("CC_R", cc, rows, identified=False), made("MLO_R", mlo, rows, identified=False)], DENSITY)
    assert fused.notes == ("no ids: rows of the 2 files are taken to be the same subjects in the same order",)
    assert not fused.levels["right"].identified
    np.testing.assert_allclose(fused.levels["right"].scores, (cc + mlo) / 2)


def test_one_file_without_ids_needs_no_trust():
    assert fuse([made("CC_R", drawn(3), identified=False)], DENSITY).notes == ()


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], "no view to fuse"),
        ([made("right", drawn(2))], "level 'right' cannot be fused"),
        ([made("CC_R", drawn(2)), made("CC_R", drawn(2))], "view CC_R is given 2 times"),
        ([made("CC_R", drawn(2, 2), task=PATHOLOGY)], "have the classes benign, malignant; task density has A, B"),
        ([made("CC_R", drawn(2), identified=False), made("MLO_R", drawn(2))], "of CC_R carry no ids, those of MLO_R"),
        (
            [made("CC_R", drawn(2), identified=False), made("MLO_R", drawn(3), identified=False)],
            r"number of rows \(CC_R 2, MLO_R 3\)",
        ),
    ],
)
def test_views_that_do_not_fit_are_refused(views, message):
    with pytest.raises(PredictionError, match=message):
        fuse(views, DENSITY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "max"}, "'max' is not one of mean, geometric, median, vote"),
        ({"breast_to_subject": "min"}, "'min' is not one of mean, maximum"),
        ({"weights": {"CCR": 1}}, "'CCR': not one of CC_R"),
        ({"weights": {"CC_R": -1}}, "CC_R=-1: expected a finite number"),
        ({"weights": {"CC_R": float("nan")}}, "CC_R=nan"),
        ({"weights": {"CC_R": 2}, "rule": "median"}, "median takes no weights"),
    ],
)
def test_fusions_that_cannot_be_are_refused(fields, message):
    with pytest.raises(PredictionError, match=message):
        Fusion(**fields)


def test_weights_of_scores_are_checked():
    scores = drawn(4).reshape(2, 2, 4)
    with pytest.raises(PredictionError, match="not all 0"):
        fuse_scores(scores, weights=[0, 0])
    with pytest.raises(PredictionError, match="none negative"):
        fuse_scores(scores, weights=[1, -1])
    with pytest.raises(PredictionError, match="3 fusion weights for 2 views"):
        fuse_scores(scores, weights=[1, 1, 1])
    with pytest.raises(PredictionError, match="'best' is not one of"):
        fuse_scores(scores, "best")
    with pytest.raises(PredictionError, match="not all 0"):
        fuse([made("CC_R", drawn(2))], DENSITY, Fusion(weights={"CC_R": 0}))
