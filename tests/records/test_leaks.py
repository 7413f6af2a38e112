from pathlib import Path

import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.leaks import leaks_of, refuse_leaks


def table(**columns):
    return pd.DataFrame(columns, dtype=str)


def test_a_subject_in_two_splits_is_told_once_with_her_views():
    rows = table(
        subject_id=["a", "a", "b"],
        exam_id=["1.2.840.1", "1.2.840.1", "2"],
        view=["CC_R", "MLO_R", "CC_R"],
        split=["train", "test", "test"],
    )
    (leak,) = leaks_of(rows)
    assert (leak.what, leak.name, leak.splits, leak.rows) == ("subject", "a", ("train", "test"), (0, 1))
    assert str(leak) == "subject a stands in train and test (views CC_R, MLO_R)"


def test_rows_of_no_split_leak_nothing():
    assert leaks_of(table(subject_id=["a", "a", "b"], split=["train", "", "test"])) == []


def test_an_exam_under_two_subjects_leaks_but_a_mere_number_does_not():
    named = table(subject_id=["a", "b"], exam_id=["2.25.1234567", "2.25.1234567"], split=["train", "val"])
    assert [leak.what for leak in leaks_of(named)] == ["exam"]
    assert [leak.what for leak in leaks_of(named.assign(exam_id="0f3a9c21b7de"))] == ["exam"], "a pseudonym"
    for shared in ("1", "2010-01-15", "20100115", "first visit"):
        assert leaks_of(named.assign(exam_id=shared)) == []


@pytest.mark.parametrize(
    ("column", "what"),
    [("image_id", "mammogram"), ("lesion_id", "lesion"), ("source_sha256", "file"), ("pixel_sha256", "picture")],
)
def test_what_identifies_a_picture_leaks_across_subjects(column, what):
    rows = table(subject_id=["a", "b", "c"], split=["train", "test", "test"]).assign(**{column: ["x", "x", ""]})
    assert [(leak.what, leak.name) for leak in leaks_of(rows)] == [(what, "x")]


def test_folds_are_divisions_too():
    (leak,) = leaks_of(table(subject_id=["a", "a"], split=["train", "train"], fold=["0", "3"]))
    assert leak.splits == ("fold 0", "fold 3")


def test_further_groups_are_looked_at():
    rows = table(subject_id=["a", "b"], split=["train", "test"], near=["n", "n"])
    assert [leak.what for leak in leaks_of(rows, [("near duplicate", "near")])] == ["near duplicate"]


def test_leaks_are_refused_with_what_to_do():
    rows = table(subject_id=[f"s{i // 2}" for i in range(14)], split=["train", "test"] * 7)
    with pytest.raises(DatasetError, match=r"subject s0 stands in train and test;.*\(and 2 more\).*--allow-leakage"):
        refuse_leaks(leaks_of(rows), Path("ds"))
    refuse_leaks(leaks_of(table(subject_id=["a"], split=["train"])), Path("ds"))
