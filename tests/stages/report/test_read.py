import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.merit.inputs.columns import columns_of
from ensemble_mammo.merit.inputs.sources import truth_from_files
from ensemble_mammo.merit.inputs.truth import truth_from_folders
from ensemble_mammo.records.predictions import Predictions, write_predictions
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report
from ensemble_mammo.stages.report.matching import common_exams
from ensemble_mammo.stages.report.read import levels_of, read_given, read_systems

DENSITY, PATHOLOGY = TASKS["density"], TASKS["pathology"]
BREASTS = "index,left_malignant,right_malignant\n0,0.0091,0.0179\n1,0.0012,0.7258\n2,0.2325,0.1061\n3,0.0909,0.2579\n"


def made(level, subjects, exams=None, seed=0, task=PATHOLOGY, identified=True):
    subjects = tuple(subjects)
    count = len(subjects)
    scores = np.random.default_rng(seed).dirichlet(np.ones(len(task.classes)), count)
    exams = tuple(exams or ("1",) * count)
    return Predictions(level, task.classes, scores, subjects, exams, (level,) * count, (1,) * count, identified)


def images_file(path, seed=0, subjects=range(6), labels=True):
    rng = np.random.default_rng(seed)
    lines = ["image_index,malignant_pred" + (",malignant_label" if labels else "")]
    for subject in subjects:
        for name in ("L-CC", "R-CC", "L-MLO", "R-MLO"):
            label = f",{int(subject % 2 == 0 and name[0] == 'L')}" if labels else ""
            lines.append(f"{subject}_{name},{rng.random():.4f}{label}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_one_system_is_read_as_before_and_files_of_several_levels_are_named_once_each(tmp_path):
    path = images_file(tmp_path / "net.csv")
    given, files = read_given([path, made("right", "ab")], PATHOLOGY)
    assert [p.level for p in given] == ["CC_R", "CC_L", "MLO_R", "MLO_L", "right"]
    assert [(one.name, one.level) for one in files] == [("net.csv", p.level) for p in given[:4]]
    with pytest.raises(PredictionError, match="level CC_R is given more than once"):
        read_given([path, made("CC_R", "ab")], PATHOLOGY)
    with pytest.raises(PredictionError, match="expected one system, found A, B"):
        read_given([f"A={path}", f"B={path}"], PATHOLOGY)
    with pytest.raises(PredictionError, match="predictions in memory have no system's name, A=… has"):
        read_systems([f"A={path}", made("CC_R", "ab")], PATHOLOGY)


def test_systems_are_read_each_with_its_files_and_notes(tmp_path):
    path = images_file(tmp_path / "net.csv")
    third = tmp_path / "third.csv"
    third.write_text("who,p\n0,1\n1,7\n")
    columns = columns_of("subject=who,score=p,score_range=1:10")
    found = read_systems([f"A={path}", f"B={third}"], PATHOLOGY, columns)
    assert {name: [p.level for p in one.predictions] for name, one in found.items()} == {
        "A": ["CC_R", "CC_L", "MLO_R", "MLO_L"],
        "B": ["subject"],
    }
    assert found["A"].notes == ()
    assert "scores of 1 to 10 were brought to 0 to 1" in found["B"].notes[0]
    assert [(one.name, one.level) for one in found["B"].files] == [("third.csv", "subject")]


def test_class_folders_put_ids_onto_the_rows_so_that_views_join_by_id(tmp_path):
    for name in (
        "CC_R/A/8_1_A_CC_R.png",
        "CC_R/B/7_1_B_CC_R.png",
        "MLO_R/A/9_1_A_MLO_R.png",
        "MLO_R/B/7_1_B_MLO_R.png",
    ):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    for suffix in ("ccr", "mlor"):
        np.savetxt(tmp_path / f"predictions_{suffix}.txt", [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1]])
    truth = truth_from_folders(tmp_path / "tree", DENSITY)
    (read,) = read_systems([tmp_path], DENSITY, truth=truth).values()
    levels, notes = levels_of(read.predictions, DENSITY, Fusion())
    assert levels["right"].subject_ids == ("8", "7", "9")
    assert levels["right"].views == ("CC_R", "CC_R+MLO_R", "MLO_R")
    assert not any("no ids" in note for note in notes)
    placed = truth.placed(read.predictions)
    assert placed.of(levels["right"]).tolist() == [0, 1, 0]


def test_breasts_alone_make_the_subject_by_the_tasks_rule(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text(BREASTS)
    given, _ = read_given([path], PATHOLOGY)
    levels, notes = levels_of(given, PATHOLOGY, Fusion())
    assert list(levels) == ["right", "left", "subject"]
    assert levels["subject"].scores[:, 1].tolist() == [0.0179, 0.7258, 0.2325, 0.2579]
    assert notes[0].startswith("subject: made from the files of right and left: the breast with the higher score")
    alone, none = levels_of(given[:1], PATHOLOGY, Fusion())
    assert (list(alone), none) == (["right"], [])


def test_breasts_with_files_of_their_own_make_the_subject_where_the_worse_one_counts(tmp_path):
    views = [made(view, "ab", seed=i) for i, view in enumerate(("CC_R", "MLO_R", "CC_L", "MLO_L"))]
    breasts = [made("right", "ab", seed=8), made("left", "ab", seed=9)]
    levels, notes = levels_of([*views, *breasts], PATHOLOGY, Fusion())
    expected = np.maximum(breasts[0].scores[:, 1], breasts[1].scores[:, 1])
    np.testing.assert_array_equal(levels["subject"].scores[:, 1], expected)
    assert "right: reported from its own file, not fused again" in notes
    assert not any(note.startswith("subject: reported") for note in notes)
    flat, _ = levels_of([*views, *breasts], PATHOLOGY, Fusion(breast_to_subject="mean"))
    np.testing.assert_allclose(flat["subject"].scores, sum(p.scores for p in views) / 4)
    own, said = levels_of([*views, *breasts, made("subject", "ab", seed=5)], PATHOLOGY, Fusion())
    np.testing.assert_array_equal(own["subject"].scores, made("subject", "ab", seed=5).scores)
    assert "subject: reported from its own file, not fused again" in said


def test_systems_are_matched_by_id_and_what_is_left_out_is_said():
    a, b = made("subject", "abcd"), made("subject", "dcbx", seed=1)
    found, notes = common_exams({"A": {"CC_R": made("CC_R", "abcd"), "subject": a}, "B": {"subject": b}})
    assert {name: list(levels) for name, levels in found.items()} == {"A": ["subject"], "B": ["subject"]}
    assert found["A"]["subject"].keys == found["B"]["subject"].keys == [("b", "1"), ("c", "1"), ("d", "1")]
    np.testing.assert_array_equal(found["A"]["subject"].scores, a.scores[1:])
    np.testing.assert_array_equal(found["B"]["subject"].scores, b.scores[[2, 1, 0]])
    assert notes == [
        "not compared, since not every system has it: CC_R",
        "subject: 3 exams are in all systems; left out of all figures: A 1, B 1",
    ]


def test_exams_called_otherwise_are_matched_by_subject_where_each_has_one():
    a, b = made("subject", "ab", ("2010", "2011")), made("subject", "ba", seed=1)
    found, notes = common_exams({"A": {"subject": a}, "B": {"subject": b}})
    assert found["B"]["subject"].keys == [("a", "2010"), ("b", "2011")]
    np.testing.assert_array_equal(found["B"]["subject"].scores, b.scores[[1, 0]])
    assert notes == ["subject: exam ids differ between systems; each subject has one exam, matched by subject_id"]
    twice = made("subject", "aa", ("2010", "2011"))
    with pytest.raises(
        PredictionError, match="A has 'a' exam '2010', 'a' exam '2011'; B has 'b' exam '1', 'a' exam '1'"
    ):
        common_exams({"A": {"subject": twice}, "B": {"subject": b}})


def test_systems_that_share_nothing_are_refused():
    with pytest.raises(PredictionError, match=r"subject: the systems have no exam in common: A has 'a' .*; B has 'x'"):
        common_exams({"A": {"subject": made("subject", "abc")}, "B": {"subject": made("subject", "xyz")}})
    with pytest.raises(PredictionError, match="no level in common: A has CC_R; B has subject"):
        common_exams({"A": {"CC_R": made("CC_R", "a")}, "B": {"subject": made("subject", "a")}})


def test_systems_without_ids_are_matched_only_among_themselves_and_in_equal_number():
    def nameless(count, seed=0):
        return made("CC_R", [f"row {i}" for i in range(count)], seed=seed, identified=False)

    _, notes = common_exams({"A": {"CC_R": nameless(3)}, "B": {"CC_R": nameless(3, 1)}})
    assert notes == ["CC_R: no ids: rows of the systems are taken to be the same subjects in the same order"]
    with pytest.raises(PredictionError, match="files of B carry no ids"):
        common_exams({"A": {"CC_R": made("CC_R", "abc")}, "B": {"CC_R": nameless(3)}})
    with pytest.raises(PredictionError, match=r"differ in their number of rows \(A 3, B 4\)"):
        common_exams({"A": {"CC_R": nameless(3)}, "B": {"CC_R": nameless(4)}})


def test_peers_tables_are_reported_with_their_own_labels(tmp_path):
    images = images_file(tmp_path / "net.csv", subjects=range(12))
    truth = truth_from_files([images], PATHOLOGY)
    found = report([images], truth, options=ReportOptions(resamples=0, studies=False))
    assert list(found.figures) == ["CC_R", "CC_L", "MLO_R", "MLO_L", "right", "left", "subject"]
    assert found.confusion["left"].sum(axis=1).tolist() == [6, 6]
    assert found.confusion["right"].sum(axis=1).tolist() == [12, 0]
    assert found.confusion["subject"].sum(axis=1).tolist() == [6, 6]


@pytest.mark.real
def test_the_shared_files_are_one_system_under_a_name(real_data):
    folder = real_data / "infn-density" / "Predictions"
    named = read_systems([f"INFN={folder}"], DENSITY)
    plain, files = read_given([folder], DENSITY)
    assert [len(p) for p in named["INFN"].predictions] == [len(p) for p in plain] == [128, 128]
    assert named["INFN"].files == files


def test_what_we_write_is_read_again_under_a_systems_name(tmp_path):
    own = made("CC_R", "ab")
    write_predictions(tmp_path / "CC_R.csv", own)
    (read,) = read_systems([f"net={tmp_path / 'CC_R.csv'}"], PATHOLOGY).values()
    np.testing.assert_array_equal(read.predictions[0].scores, own.scores)
