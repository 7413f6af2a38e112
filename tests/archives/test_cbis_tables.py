import shutil

import pytest

from ensemble_mammo.archives.cbis_tables import (
    COLUMNS,
    MAMMOGRAM,
    looks_like_cbis_tables,
    overlapping_patients,
    read_cases,
)
from ensemble_mammo.errors import DatasetError
from tests.archives.cbis_phantoms import CASES, table_name, write_tables

MASSES = table_name("Mass-Training")


@pytest.fixture
def tables(tmp_path):
    write_tables(tmp_path)
    return tmp_path


def changed(folder, *change, name=MASSES):
    path = folder / name
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    return folder


def test_every_row_of_the_four_tables_is_one_lesion(tables):
    cases = read_cases(tables)
    assert tuple(cases.columns) == COLUMNS and len(cases) == len(CASES)
    row = cases[(cases["patient_id"] == "P_00001") & (cases["abnormality"] == "calc")].iloc[0].to_dict()
    assert row | {"image_path": "", "crop_path": "", "mask_path": ""} == {
        "patient_id": "P_00001", "side": "LEFT", "view": "CC", "split": "train", "abnormality": "calc", "number": "1",
        "density": "1", "pathology": "BENIGN_WITHOUT_CALLBACK", "assessment": "2", "subtlety": "3",
        "descriptors": "PLEOMORPHIC; CLUSTERED; BENIGN_WITHOUT_CALLBACK", "image_path": "", "crop_path": "",
        "mask_path": "", "table": "calc_case_description_train_set.csv", "row": "2",
    }  # fmt: skip
    assert row["crop_path"].endswith("000001.dcm") and row["mask_path"].endswith("000000.dcm")
    masses = cases[cases["table"] == MASSES]
    assert list(masses["row"]) == ["2", "3", "4"] and set(masses["descriptors"]) == {"OVAL"}


def test_tables_may_lie_below_the_folder_have_other_names_or_be_one_file(tables, tmp_path):
    deep = tmp_path / "all" / "csv"
    deep.mkdir(parents=True)
    for path in tables.glob("*.csv"):
        path.rename(deep / path.name)
    (deep / MASSES).rename(deep / "m.csv")
    (deep / "labels.csv").write_text("patient_id,density\nP_1,2\n")
    (deep / ".copy.csv").write_text("patient_id\n")
    assert looks_like_cbis_tables(tmp_path / "all")
    cases = read_cases(tmp_path / "all")
    assert len(cases) == len(CASES) and set(cases[cases["table"] == "m.csv"]["split"]) == {"train"}
    assert len(read_cases(deep / "m.csv")) == 3


def test_a_copy_of_a_table_counts_once(tables):
    (tables / "csv").mkdir()
    shutil.copy(tables / MASSES, tables / "csv")
    assert len(read_cases(tables)) == len(CASES)


def test_a_folder_without_tables_is_told_apart(tmp_path):
    (tmp_path / "labels.csv").write_text("patient_id,density\nP_1,2\n")
    assert not looks_like_cbis_tables(tmp_path) and not looks_like_cbis_tables(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no case description table .*; expected one or more of mass_case_desc"):
        read_cases(tmp_path)
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        read_cases(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("P_00002,4,RIGHT", "P_00002,7,RIGHT"), r"row 4: density is '7', expected 1 to 4, or 0"),
        (("P_00002,4,RIGHT", "X2,4,RIGHT"), r"row 4: patient_id is 'X2', expected a patient such as P_00038"),
        (("P_00002,4,RIGHT,MLO", "P_00002,4,RIGHT,ML"), r"row 4: view is 'ML', expected CC or MLO"),
        (("P_00002,4,RIGHT", "P_00002,4,MIDDLE"), r"row 4: side is 'MIDDLE', expected LEFT or RIGHT"),
        (("MLO,1,mass", "MLO,one,mass"), r"row 4: number is 'one', expected a number"),
        (("MLO,1,mass", "MLO,1,cyst"), r"row 4: abnormality is 'cyst', expected calcification or mass"),
        (("MALIGNANT,3,Mass-Training_P_00002", "BAD,3,Mass-Training_P_00002"), r"row 4: pathology is 'BAD', expected"),
        (("3,BENIGN,3", "3,BENIGN,9"), r"row 3: subtlety is '9'"),
        (("P_00001,1,LEFT,CC,2", "P_00001,1,LEFT,CC,1"),
         r"row 3: P_00001 LEFT CC mass 1 is named in mass_case_description_train_set.csv row 2 already"),
        (("P_00001,1,LEFT", "P_00001,2,LEFT"),
         r"row 2: P_00001 LEFT CC has another density in calc_case_description_train_set.csv row 2; row 3"),
        (("Mass-Training_P_00002_RIGHT_MLO/", "Mass-Test_P_00002_RIGHT_MLO/"),
         r"row 4: the path 'Mass-Test_P_00002_RIGHT_MLO' contradicts the row or the table's name"),
        (("Mass-Training_P_00002_RIGHT_MLO/", "Mass-Training_P_00009_RIGHT_MLO/"), r"row 4: the path 'Mass-Tr"),
        (("image view", "view"), r"row 1: column image_view missing \(spaces may stand for _\); found patient_id"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_right_is_refused_with_its_row(tables, change, match):
    with pytest.raises(DatasetError, match=rf"{MASSES} {match}"):
        read_cases(changed(tables, *change))


def test_all_problems_of_a_table_are_told_at_once(tables):
    changed(tables, "P_00002,4,RIGHT", "P_00002,8,RIGHT")
    changed(tables, "P_00001,1,LEFT,CC,2", "P_00001,1,LEFT,CC,two")
    with pytest.raises(DatasetError, match=r"row 3: number is 'two'.*; row 4: density is '8'"):
        read_cases(tables)


def test_a_path_without_the_archives_folder_needs_a_table_whose_name_tells_the_split(tables):
    text = (tables / MASSES).read_text().replace("Mass-Training_P_", "films/")
    for path in tables.glob("*.csv"):
        path.unlink()
    (tables / MASSES).write_text(text)
    assert set(read_cases(tables)["split"]) == {"train"}
    (tables / MASSES).rename(tables / "masses.csv")
    with pytest.raises(DatasetError, match="row 2: neither its image path nor the table's name says train or test"):
        read_cases(tables)


def test_patients_of_both_divisions_are_found_with_their_tables(tables):
    found = overlapping_patients(read_cases(tables))
    assert list(found) == ["P_00005"]
    overlap = found["P_00005"]
    assert overlap.tables == ("calc_case_description_train_set.csv", "mass_case_description_test_set.csv")
    assert overlap.splits == ("train", "test") and overlap.shared == 0
    assert overlap.mammograms == {"train": 1, "test": 1}


@pytest.mark.real
def test_the_released_tables_are_read_and_counted(real_data):
    cases = read_cases(real_data / "cbis-ddsm-csv")
    overlaps = overlapping_patients(cases)
    assert len(cases) == 3568 and cases["patient_id"].nunique() == 1566
    assert len(cases.drop_duplicates(["table", "image_path"])) == 3103
    assert len(cases.drop_duplicates(MAMMOGRAM)) == 3032
    assert len(overlaps) == 31 and list(overlaps) == sorted(overlaps)
    assert sum(overlap.shared > 0 for overlap in overlaps.values()) > 0
    assert (cases["density"] == "0").sum() == 2
