from ensemble_mammo.records.marks import mark_of, marked, marks_of


def test_marks_tell_subjects_again_without_naming_them():
    marks = marks_of(["b", "a", "b"])
    assert len(marks) == 2
    assert marks == sorted(marks)
    assert all(len(mark) == 10 and not {"a", "b"} & {mark} for mark in marks)
    assert marked(["a", "c"], marks) == {"a"}
    assert mark_of("a") != mark_of("A")
