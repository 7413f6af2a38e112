import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.records.predictions import Predictions, read_predictions, write_plain, write_predictions
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.fuse import fuse_files

TASK = TASKS["density"]


def made(view, subjects, seed=0):
    count = len(subjects)
    scores = np.random.default_rng(seed).dirichlet(np.ones(4), count)
    return Predictions(view, TASK.classes, scores, tuple(subjects), ("1",) * count, (view,) * count, (1,) * count)


def test_a_folder_of_views_becomes_breasts_and_subject(tmp_path):
    parts = [made(view, "abc", seed) for seed, view in enumerate(("CC_R", "CC_L", "MLO_R", "MLO_L"))]
    for part in parts:
        write_predictions(tmp_path / "predictions" / f"{part.level}.csv", part)
    fused = fuse_files(tmp_path / "predictions", TASK, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["left.csv", "right.csv", "subject.csv"]
    subject = read_predictions(tmp_path / "out" / "subject.csv", "subject", TASK.classes)
    np.testing.assert_array_equal(subject.scores, fused.levels["subject"].scores)
    np.testing.assert_allclose(subject.scores, sum(part.scores for part in parts) / 4)
    assert subject.views == ("CC_R+CC_L+MLO_R+MLO_L",) * 3


def test_plain_files_with_ids_are_joined_by_them(tmp_path):
    paths = [write_plain(tmp_path, made("CC_R", "abc")), write_plain(tmp_path, made("MLO_R", "cb"))]
    fused = fuse_files(paths, TASK, Fusion("vote"))
    assert fused.levels["right"].views == ("CC_R", "CC_R+MLO_R", "CC_R+MLO_R")
    assert list(fused.levels) == ["right", "subject"]


def test_a_damaged_file_is_refused_with_its_line(tmp_path):
    (tmp_path / "predictions_ccr.txt").write_text("0.7 0.1 0.1 0.1\n0.7 0.1 0.1\n0.7 0.1 0.1 0.2\n")
    with pytest.raises(PredictionError, match=r"predictions_ccr.txt line 2: 3 columns.*line 3: scores add up to 1\.1"):
        fuse_files(tmp_path, TASK)
    with pytest.raises(PredictionError, match="no such file"):
        fuse_files([tmp_path / "none.csv"], TASK)


VIEWS = ("CC_R", "CC_L", "MLO_R", "MLO_L")


def system(folder, seed, subjects="abcdef", **origin):
    """Predictions of four views, their rows in another order for each seed."""
    order = np.random.default_rng(seed).permutation(list(subjects))
    for place, view in enumerate(VIEWS):
        write_predictions(folder / f"{view}.csv", made(view, order, 10 * seed + place))
    (folder / "predictions.json").write_text(json.dumps({"runs": {"CC_R": [{"seed": seed}]}, **origin}))
    return folder


def rows_of(path, level):
    table = read_predictions(path, level, TASK.classes)
    return dict(zip(table.subject_ids, table.scores, strict=True))


def test_several_systems_are_averaged_subject_by_subject_and_written_as_one(tmp_path):
    one = system(tmp_path / "a", 1, out_of_fold=True, fold_of={"a": 0})
    two = system(tmp_path / "b", 2, out_of_fold=True, fold_of={"a": 0})
    fuse_files([one, two], TASK, out=tmp_path / "both")
    names = [f"{view}.csv" for view in (*VIEWS, "right", "left", "subject")] + ["predictions.json"]
    names += [f"predictions_{view}{end}" for view in ("ccl", "ccr", "mlol", "mlor") for end in (".ids.csv", ".txt")]
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == sorted(names)
    each = [[rows_of(folder / f"{view}.csv", view) for view in VIEWS] for folder in (one, two)]
    for subject, found in rows_of(tmp_path / "both" / "subject.csv", "subject").items():
        expected = np.mean([[rows[subject] for rows in own] for own in each], axis=(0, 1))
        np.testing.assert_allclose(found, expected)
    held = json.loads((tmp_path / "both" / "predictions.json").read_text())
    assert (held["out_of_fold"], held["fold_of"]) == (True, {"a": 0})
    assert held["runs"] == {"CC_R": [{"seed": 1}, {"seed": 2}]}


def test_tables_of_an_earlier_call_do_not_stay_beside_those_of_several_systems(tmp_path):
    for seed, system in enumerate("ab"):
        for view in ("CC_R", "CC_L"):
            write_predictions(tmp_path / system / f"{view}.csv", made(view, "xy", seed))
    fuse_files([tmp_path / "a", tmp_path / "b"], TASK, out=tmp_path / "out")
    for system in "ab":
        (tmp_path / system / "CC_L.csv").unlink()
    fuse_files([tmp_path / "a", tmp_path / "b"], TASK, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.csv") if "ids" not in path.name) == [
        "CC_R.csv", "right.csv", "subject.csv",
    ]  # fmt: skip


def test_named_systems_can_be_weighed(tmp_path):
    one, two = system(tmp_path / "a", 1), system(tmp_path / "b", 2)
    fuse_files([f"net={one}", f"hand={two}"], TASK, out=tmp_path / "both", weights={"net": 3})
    first, second = (rows_of(folder / "CC_L.csv", "CC_L") for folder in (one, two))
    for subject, found in rows_of(tmp_path / "both" / "CC_L.csv", "CC_L").items():
        np.testing.assert_allclose(found, 0.75 * first[subject] + 0.25 * second[subject])
    assert json.loads((tmp_path / "both" / "predictions.json").read_text())["systems"] == {"net": 3, "hand": 1}


def test_a_mean_is_out_of_fold_only_where_all_systems_are(tmp_path):
    one = system(tmp_path / "a", 1, out_of_fold=True, fold_of={"a": 0})
    two = system(tmp_path / "b", 2, seen=4)
    fused = fuse_files([f"A={one}", f"B={two}"], TASK, out=tmp_path / "both")
    held = json.loads((tmp_path / "both" / "predictions.json").read_text())
    assert (held["out_of_fold"], held["seen"], "fold_of" in held) == (False, 4, False)
    assert "not out of fold, since B is not said to be" in fused.notes


def test_exams_or_views_that_a_system_lacks_are_named_and_nothing_is_written(tmp_path):
    one, two = system(tmp_path / "a", 1), system(tmp_path / "b", 2, "abcde")

    def refused(match, *given, **fields):
        with pytest.raises(PredictionError, match=match):
            fuse_files(given, TASK, out=fields.pop("out", tmp_path / "both"), **fields)
        assert not (tmp_path / "both").exists()

    refused(r"B lacks 1 of 6 exams of CC_R: subject 'f' exam '1'; predict the same exams", f"A={one}", f"B={two}")
    whole = system(tmp_path / "c", 3)
    (whole / "MLO_L.csv").unlink()
    refused("C: no file of view MLO_L, which other systems have", f"A={one}", f"C={whole}")
    refused("the predictions of A lie there; give another folder", f"A={one}", f"B={one}", out=one)
    refused("a folder stands there twice", one, one)
    refused("given beside 2 folders; give a folder a system", one, two, one / "CC_R.csv")
    refused("weight of X: no such system; the systems are A, B", f"A={one}", f"B={one}", weights={"X": 2})
    refused("found A 0, B 0; expected finite numbers", f"A={one}", f"B={one}", weights={"A": 0, "B": 0})
    refused("only one system is given", one, weights={"A": 2})


def test_systems_without_ids_are_never_joined_by_row(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        np.savetxt(tmp_path / name / "predictions_ccr.txt", made("CC_R", "abc").scores)
    with pytest.raises(PredictionError, match="joined by ids alone"):
        fuse_files([tmp_path / "a", tmp_path / "b"], TASK)


def test_other_exam_ids_are_other_exams(tmp_path):
    for name, exam in (("a", "1"), ("b", "2")):
        table = replace(made("CC_R", "ab"), exam_ids=(exam, exam))
        write_predictions(tmp_path / name / "CC_R.csv", table)
    with pytest.raises(PredictionError, match="lacks 2 of 4 exams of CC_R: subject 'a' exam '2', subject 'b' exam '2'"):
        fuse_files([tmp_path / "a", tmp_path / "b"], TASK)
