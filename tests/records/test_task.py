import pytest

from ensemble_mammo.records.task import TASKS, task_named


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        ("density", "b", "B"),
        ("density", "2", "B"),
        ("density", "2.0", "B"),
        ("density", "ACR D", "D"),
        ("density", "Density C", "C"),
        ("pathology", "MALIGNANT", "malignant"),
        ("pathology", "BENIGN_WITHOUT_CALLBACK", "benign"),
        ("birads", "4a", "4-6"),
        ("birads", " 2 ", "1-2"),
        ("tissue", "f", "F"),
    ],
)
def test_a_label_is_known_in_its_usual_spellings(task, text, expected):
    assert TASKS[task].class_of(text) == expected
    assert TASKS[task].classes[TASKS[task].index(text)] == expected


@pytest.mark.parametrize(("task", "text"), [("density", "E"), ("density", ""), ("density", "0"), ("birads", "3")])
def test_another_label_is_refused(task, text):
    with pytest.raises(ValueError, match=f"label '{text}' is not one of .*task {task}"):
        TASKS[task].class_of(text)


def test_every_synonym_names_a_class_and_every_positive_is_one():
    for task in TASKS.values():
        assert set(task.synonyms.values()) | set(task.positive) <= set(task.classes)
        assert all(written == written.upper() for written in task.synonyms)


def test_density_goes_up_as_a_mean_and_what_one_lesion_decides_as_a_maximum():
    rules = {name: task.breast_to_subject for name, task in TASKS.items()}
    assert rules == {
        "density": "mean",
        "tissue": "mean",
        "pathology": "maximum",
        "birads": "maximum",
        "abnormality": "maximum",
        "abnormality5": "maximum",
        "finding": "maximum",
        "patch": "maximum",
    }


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"task 'densty' is not one of .*; did you mean 'density'"):
        task_named("densty")
