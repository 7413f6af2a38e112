import pandas as pd

from ensemble_mammo.records.marks import mark_of, marked_rows, marks_of, marks_of_rows


def rows(subjects, collections):
    return pd.DataFrame({"subject_id": subjects, "collection": collections})


def test_marks_tell_subjects_again_without_naming_them():
    marks = marks_of(["b", "a", "b"])
    assert len(marks) == 2
    assert marks == sorted(marks)
    assert all(len(mark) == 10 and not {"a", "b"} & {mark} for mark in marks)
    assert marked_rows(rows(["a", "c"], ["", ""]), marks) == {"a"}
    assert mark_of("a") != mark_of("A")


def test_a_subject_is_known_again_before_and_after_her_dataset_was_joined():
    joined = rows(["film-1", "film-2", "dense-film"], ["film", "film", ""])
    assert marked_rows(joined, marks_of(["1", "film"])) == {"film-1"}
    assert marked_rows(rows(["1", "2"], ["", ""]), marks_of_rows(joined[:1])) == {"1"}
    assert marked_rows(joined, marks_of_rows(joined[:1])) == {"film-1"}
