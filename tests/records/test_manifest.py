import dataclasses
import json

import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import (
    COLUMNS,
    ImageRow,
    manifest_of,
    read_dataset,
    read_description,
    write_dataset,
    write_table,
)
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

ROWS = [
    ImageRow("i1", "001", "e1", "CC_R", "images/CC_R/i1.png", "train", "0", age="55"),
    ImageRow("i2", "001", "e1", "CC_L", "images/CC_L/i2.png", "train", "0"),
    ImageRow("i3", "NA", "e1", "CC_R", "images/CC_R/i3.png", "test", "1"),
]


def write(root, rows=ROWS, labels=("B", "B", "D")):
    write_dataset(root, rows, {"density": labels}, {"preparation": to_mapping(Preparation(height=96))})
    return root


def edit(root, column, place, value):
    table = pd.read_csv(root / "manifest.csv", dtype=str, keep_default_na=False)
    table.loc[place, column] = value
    table.to_csv(root / "manifest.csv", index=False)


def test_what_is_written_is_read_back_as_text(tmp_path):
    dataset = read_dataset(write(tmp_path))
    assert list(dataset.table.columns) == [*COLUMNS, "density"]
    assert dataset.table["subject_id"].tolist() == ["001", "001", "NA"]
    assert dataset.table.loc[0, "age"] == "55" and dataset.table.loc[1, "age"] == ""
    assert dataset.preparation == Preparation(height=96)
    assert dataset.task_names() == ["density"]


def test_rows_are_chosen_by_view_split_and_label(tmp_path):
    dataset = read_dataset(write(tmp_path, labels=("B", "", "D")))
    assert dataset.rows(View.CC_R)["image_id"].tolist() == ["i1", "i3"]
    assert dataset.rows(split="train", task=TASKS["density"])["image_id"].tolist() == ["i1"]
    assert dataset.subject_labels(TASKS["density"]) == {"001": "B", "NA": "D"}


def test_the_highest_class_of_a_subjects_exams_is_hers(tmp_path):
    dataset = read_dataset(write(tmp_path, labels=("C", "A", "")))
    assert dataset.subject_labels(TASKS["density"]) == {"001": "C", "NA": ""}


def test_a_task_without_a_column_is_refused_with_what_there_is(tmp_path):
    dataset = read_dataset(write(tmp_path))
    with pytest.raises(DatasetError, match=r"no column 'birads' \(found labels of: density\); .*--task birads"):
        dataset.rows(task=TASKS["birads"])


def test_another_preparation_is_refused_field_by_field(tmp_path):
    dataset = read_dataset(write(tmp_path))
    dataset.require_preparation(Preparation(height=96), View.CC_R)
    with pytest.raises(DatasetError, match=r"run of CC_R was trained on \(height 96, in training 64\)"):
        dataset.require_preparation(Preparation(height=64), View.CC_R)


def test_the_fingerprint_changes_with_labels_and_splits_but_not_with_the_order(tmp_path):
    one = read_dataset(write(tmp_path / "a")).fingerprint()
    assert read_dataset(write(tmp_path / "b", ROWS[::-1], ("D", "B", "B"))).fingerprint() == one
    assert read_dataset(write(tmp_path / "c", labels=("B", "B", "C"))).fingerprint() != one
    moved = [*ROWS[:2], dataclasses.replace(ROWS[2], split="val")]
    assert read_dataset(write(tmp_path / "d", moved)).fingerprint() != one


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("view", "CCR", r"manifest\.csv line 3: view 'CCR' is not one of CC_R, CC_L, MLO_R, MLO_L"),
        ("split", "holdout", "line 3: split 'holdout' is not one of train, val, test"),
        ("density", "E", "line 3: density 'E' is not one of A, B, C, D"),
        ("image_id", "i1", "line 3: image_id 'i1' stands in an earlier row already"),
        ("subject_id", "", "line 3: subject_id '' is empty"),
        ("file", "", "line 3: file '' is empty"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_line(tmp_path, column, value, match):
    write(tmp_path)
    edit(tmp_path, column, 1, value)
    with pytest.raises(DatasetError, match=match):
        read_dataset(tmp_path)


def test_all_problems_are_named_at_once_up_to_ten(tmp_path):
    rows = [dataclasses.replace(ROWS[0], image_id=f"i{n}", subject_id=f"s{n}", view="XX") for n in range(12)]
    with pytest.raises(DatasetError, match=r"line 2: view 'XX'.*line 11: .*\(and 2 more\)$"):
        write(tmp_path, rows, ["A"] * 12)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path):
    path = write(tmp_path) / "manifest.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_dataset(tmp_path).table) == 3


def test_a_manifest_whose_rows_are_longer_than_its_header_is_refused(tmp_path):
    header, *rows = (write(tmp_path) / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join([header, *(f"{row}," for row in rows)]) + "\n")
    with pytest.raises(DatasetError, match=r"manifest\.csv: rows have more cells than the header \(a ',' at their"):
        read_dataset(tmp_path)


def test_columns_that_may_be_missing_are_empty_and_those_that_must_not_are_named(tmp_path):
    write(tmp_path)
    table = pd.read_csv(tmp_path / "manifest.csv", dtype=str, keep_default_na=False)
    table[["image_id", "subject_id", "view", "file"]].to_csv(tmp_path / "manifest.csv", index=False)
    dataset = read_dataset(tmp_path)
    assert set(dataset.table["exam_id"]) == {"1"} and set(dataset.table["split"]) == {""}
    table[["image_id", "file"]].to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(DatasetError, match="column subject_id, view missing; found image_id, file"):
        read_dataset(tmp_path)


def test_a_folder_without_a_dataset_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetError, match=r"no manifest\.csv there; make a dataset with `ensemble-mammo prepare"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "dataset.json: not JSON"),
        ("[]", "dataset.json: holds list, expected a JSON object"),
        ('{"preparation": {"heigth": 3}}', "unknown key 'preparation.heigth'; did you mean 'preparation.height'"),
        (None, "dataset.json: missing; prepare the dataset again"),
    ],
)
def test_a_description_that_cannot_be_read_is_refused(tmp_path, text, match):
    write(tmp_path)
    (tmp_path / "dataset.json").unlink()
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=match):
        read_dataset(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00bad", b'a,b\n"x'])
def test_a_manifest_that_is_no_table_is_refused(tmp_path, content):
    write(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"manifest\.csv"):
        read_dataset(tmp_path)


def test_the_description_is_json_that_is_read_back(tmp_path):
    write(tmp_path)
    assert read_description(tmp_path) == json.loads((tmp_path / "dataset.json").read_text())


def test_a_parquet_manifest_reads_as_the_csv_one_does(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b"], "subject_id": ["1", "2"], "view": "CC_R", "file": ["a.png", "b.png"]})
    table["density"] = ["A", ""]
    read = {}
    for kind in ("csv", "parquet"):
        write_table(tmp_path / kind, table, {"preparation": {}}, parquet=kind == "parquet")
        assert manifest_of(tmp_path / kind).name == f"manifest.{kind}"
        read[kind] = read_dataset(tmp_path / kind)
    pd.testing.assert_frame_equal(read["csv"].table, read["parquet"].table)
    assert read["csv"].fingerprint() == read["parquet"].fingerprint()


def test_a_parquet_manifest_is_checked_and_a_damaged_one_is_named(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "a"], "subject_id": "1", "view": ["CC_R", "CCR"], "file": "a.png"})
    write_table(tmp_path, table, {"preparation": {}}, parquet=True)
    with pytest.raises(DatasetError, match=r"manifest.parquet line 3: view 'CCR'"):
        read_dataset(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match=r"manifest.parquet: no Parquet table"):
        read_dataset(tmp_path)
