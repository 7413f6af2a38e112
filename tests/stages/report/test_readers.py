from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.stages.report.sections.readers import section
from tests.stages.report.studies import FEW, study_made


def read_by(study, *skills, seed=0, unread=0.0):
    """Classes [K][N] as text of readers who name the true class with that chance; empty where not read."""
    rng = np.random.default_rng(seed)
    classes = np.array(study.task.classes)
    found = []
    for skill in skills:
        named = np.where(rng.random(60) < skill, study.top.true, rng.integers(0, len(classes), 60))
        found.append(np.where(rng.random(60) < unread, "", classes[named]))
    return found


def with_readers(tmp_path, columns, study=None, options=FEW, header=None, more=""):
    study = study or study_made(skill=0.4)
    path = tmp_path / "readers.csv"
    names = header or [f"R{i + 1}" for i in range(len(columns))]
    lines = [",".join(["subject_id", *names])]
    lines += [
        ",".join((s, *cells)) for s, cells in zip(study.top.rows.subject_ids, zip(*columns, strict=True), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n" + more)
    return replace(study, options=replace(options, readers=path))


def rows_of(found, name="readers-pairs"):
    table = next(one for one in found.tables if one.name == name)
    return {(row["first"], row["second"]): row for row in table.records()}


def expected(first, second, task):
    both = [(a, b) for a, b in zip(first, second, strict=True) if a and b]
    weights = "quadratic" if task.ordinal else None
    return cohen_kappa_score(*zip(*both, strict=True), weights=weights, labels=list(task.classes)), len(both)


def test_no_readers_no_section():
    assert section(study_made()) is None


@pytest.mark.parametrize("task", ["density", "abnormality5", "pathology"])
def test_pairs_are_those_of_scikit_learn(tmp_path, task):
    study = study_made(task, skill=0.4)
    one, two = columns = read_by(study, 0.8, 0.7, unread=0.2)
    rows = rows_of(section(with_readers(tmp_path, columns, study)))
    called = [study.task.classes[i] for i in study.top.predicted]
    true = [study.task.classes[i] for i in study.top.true]
    pairs = {
        ("R1", "R2"): (one, two),
        ("R1", "the network"): (one, called),
        ("R2", "the network"): (two, called),
        ("the network", "the true classes"): (called, true),
        ("R1", "the true classes"): (one, true),
    }
    for names, given in pairs.items():
        kappa, count = expected(*given, study.task)
        assert rows[names]["kappa"]["value"] == pytest.approx(kappa)
        assert rows[names]["exams"] == count
        assert rows[names]["kappa"]["low"] <= kappa <= rows[names]["kappa"]["high"]


def test_the_lead_holds_the_network_against_two_readers(tmp_path):
    study = study_made(skill=0.4)
    found = section(with_readers(tmp_path, read_by(study, 0.95, 0.95), study))
    rows = rows_of(found)
    between = rows["R1", "R2"]["kappa"]["value"]
    network = np.mean([rows[name, "the network"]["kappa"]["value"] for name in ("R1", "R2")])
    assert found.lead.startswith(f"Two readers agree with each other at kappa {between:.2f} (")
    assert f"the network agrees with them at {network:.2f} (" in found.lead
    assert "less well than they do among themselves (difference −0." in found.lead
    (chart,) = found.charts
    assert chart.reference == pytest.approx(between)
    assert {bar.label for bar in chart.bars if bar.marked} == {
        "R1, the network",
        "R2, the network",
        "the network, the majority",
        "the network, the true classes",
    }


def test_a_network_better_than_poor_readers_is_said(tmp_path):
    study = study_made(skill=4)
    found = section(with_readers(tmp_path, read_by(study, 0.4, 0.4, 0.4), study))
    assert "better than they do among themselves (difference 0." in found.lead


def test_a_network_that_is_as_good_as_readers_is_said(tmp_path):
    study = study_made(skill=4)
    lead = section(with_readers(tmp_path, read_by(study, 1, 0.8, 0.8), study)).lead
    assert lead.startswith("Three readers agree with each other, pair by pair, at a mean kappa ")
    study = study_made(skill=0.9)
    lead = section(with_readers(tmp_path, read_by(study, 0.85, 0.8, 0.85), study)).lead
    assert "as well as they do among themselves, as far as these exams can tell" in lead


def test_fleiss_and_means_stand_in_the_summary(tmp_path):
    study = study_made(skill=0.4)
    columns = read_by(study, 0.8, 0.7, 0.9, unread=0.1)
    found = section(with_readers(tmp_path, columns, study))
    whole = sum(all(cells) for cells in zip(*columns, strict=True))
    rows = next(one for one in found.tables if one.name == "readers-summary").records()
    assert len(rows) == 4
    assert f"({whole} exams read by all)" in rows[3]["what"]
    assert rows[3]["kappa"]["low"] < rows[3]["kappa"]["value"] < rows[3]["kappa"]["high"]
    assert rows[2]["kappa"]["value"] == pytest.approx(rows[1]["kappa"]["value"] - rows[0]["kappa"]["value"])


def test_one_reader_is_no_ceiling(tmp_path):
    study = study_made(skill=0.4)
    found = section(with_readers(tmp_path, read_by(study, 0.9), study))
    assert found.lead.startswith("The network agrees with R1 at kappa 0.")
    assert "no agreement between readers" in found.lead
    assert found.charts[0].reference is None
    assert not any("majority" in " ".join(pair) for pair in rows_of(found))


def test_a_reader_who_is_the_truth_is_said(tmp_path):
    study = study_made(skill=0.4)
    found = section(with_readers(tmp_path, read_by(study, 1.0, 0.5), study))
    assert any(note.startswith("the true classes are those of R1 wherever R1 read") for note in found.notes)


def test_readers_without_a_common_exam(tmp_path):
    study = study_made(skill=0.4)
    one, two = read_by(study, 0.9, 0.9)
    found = section(with_readers(tmp_path, [[*one[:30], *[""] * 30], [*[""] * 30, *two[30:]]], study))
    assert "share no exams" in found.lead
    assert rows_of(found)["R1", "R2"]["kappa"]["value"] is None


def test_labels_are_read_in_their_usual_ways_and_others_refused(tmp_path):
    study = study_made(skill=0.4)
    one, two = read_by(study, 0.9, 0.9)
    numbers = [str("ABCD".index(cell) + 1) for cell in one]
    rows = rows_of(section(with_readers(tmp_path, [numbers, two], study)))
    assert rows["R1", "R2"]["kappa"]["value"] == pytest.approx(expected(one, two, study.task)[0])
    numbers[1], numbers[4] = "E", "9"
    with pytest.raises(PredictionError, match=r"line 3, reader R1: label 'E' is not .*; line 6, reader R1: label '9'"):
        section(with_readers(tmp_path, [numbers, two], study))


def test_a_subject_twice_is_refused_and_exams_are_told_apart(tmp_path):
    study = study_made(skill=0.4)
    with pytest.raises(PredictionError, match="lines 2 and 62: subject 'S0000' stands there twice and differs"):
        section(with_readers(tmp_path, read_by(study, 0.9), study, more="S0000,A\n"))
    path = tmp_path / "exams.csv"
    path.write_text("subject_id,exam_id,R1,R2\nS0000,1,A,B\nS0000,2,B,B\nS0001,1,A,A\nS0002,,C,D\nS0003,9,D,D\n")
    found = section(replace(study, options=replace(FEW, readers=path)))
    rows = rows_of(found)
    assert rows["R1", "R2"]["exams"] == 4  # exam 2 of S0000 is not judged; the only exam of S0003 may be called 9
    assert "56 subjects of 60 not in exams.csv" in found.notes


def test_labels_a_view_are_the_highest_where_breasts_count_by_their_worst(tmp_path):
    for task, torn in (("pathology", False), ("density", True)):
        study = study_made(task, skill=0.4)
        low, high = study.task.classes[0], study.task.classes[-1]
        path = tmp_path / "views.csv"
        lines = [f"{s},{v},{high if v == 'CC_R' else low}" for s in ("S0000", "S0001") for v in ("CC_R", "CC_L")]
        path.write_text("subject_id,view,R1\n" + "\n".join(lines) + f"\nS0002,,{low}\n")
        found = section(replace(study, options=replace(FEW, readers=path)))
        assert ("R1 gives 2 exams several classes: left out" in found.notes) is torn
        assert rows_of(found)["R1", "the network"]["exams"] == (1 if torn else 3)


def test_files_that_cannot_be_used_are_refused(tmp_path):
    study = study_made()
    path = tmp_path / "readers.csv"
    study = replace(study, options=replace(FEW, readers=path))
    with pytest.raises(DatasetError, match="no such file"):
        section(study)
    path.write_text("patient,R1\nS0000,A\n")
    with pytest.raises(PredictionError, match=r"column subject_id missing; .*expected subject_id, .*a column a reader"):
        section(study)
    path.write_text("subject_id,R1\nP7,A\n")
    with pytest.raises(PredictionError, match=r"any of the 60 exams judged \(its first subject is 'P7'"):
        section(study)
    path.write_text("subject_id,the network\nS0000,A\n")
    with pytest.raises(PredictionError, match="a reader cannot be called"):
        section(study)


def test_without_resamples_the_difference_is_not_tested(tmp_path):
    study = study_made(skill=0.4)
    found = section(with_readers(tmp_path, read_by(study, 0.9, 0.9), study, options=replace(FEW, resamples=0)))
    assert "was not tested" in found.lead
    assert "nan" not in found.lead
