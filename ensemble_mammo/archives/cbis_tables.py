"""The case description tables of CBIS-DDSM: up to four CSVs (calc, mass; training, test), a row a lesion."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError

CASE_FOLDER = r"(?P<kind>Calc|Mass)-(?P<part>Training|Test)_(?P<patient>P_\d+)_(?P<side>LEFT|RIGHT)_(?P<view>CC|MLO)"
"""How the archive calls a mammogram: its folder, and PatientID in its header; a lesion's has `_<number>` behind."""

_COLUMNS = {
    "patient_id": "patient_id",
    "breast_density": "density",
    "left_or_right_breast": "side",
    "image_view": "view",
    "abnormality_id": "number",
    "abnormality_type": "abnormality",
    "assessment": "assessment",
    "pathology": "pathology",
    "subtlety": "subtlety",
    "image_file_path": "image_path",
    "cropped_image_file_path": "crop_path",
    "roi_mask_file_path": "mask_path",
}
"""A table's column, with `_` for spaces (calcifications have `breast density`, masses `breast_density`) -> ours."""
_DESCRIPTORS = ("calc_type", "calc_distribution", "mass_shape", "mass_margins")
_TELLING = {"patient_id", "image_view", "abnormality_id", "image_file_path"}
_PATTERNS = {
    "patient_id": (r"P_\d+", "a patient such as P_00038"),
    "side": (r"LEFT|RIGHT", "LEFT or RIGHT"),
    "view": (r"CC|MLO", "CC or MLO"),
    "number": (r"\d+", "a number"),
    "abnormality": (r"calc|mass", "calcification or mass"),
    "density": (r"[0-4]?", "1 to 4, or 0 where it is not known"),
    "pathology": (r"BENIGN|BENIGN_WITHOUT_CALLBACK|MALIGNANT", "BENIGN, BENIGN_WITHOUT_CALLBACK or MALIGNANT"),
    "assessment": (r"[0-6]?", "0 to 6"),
    "subtlety": (r"[0-5]?", "1 to 5, or 0 where it is not known"),
    "image_path": (r".+", "a path"),
}
MAMMOGRAM = ["patient_id", "side", "view"]
"""The columns that say which mammogram a lesion stands in."""
COLUMNS = ("patient_id", "side", "view", "split", "abnormality", "number", "density", "pathology", "assessment",
           "subtlety", "descriptors", "image_path", "crop_path", "mask_path", "table", "row")  # fmt: skip
"""The columns that `read_cases` gives."""


@dataclass(frozen=True)
class Overlap:
    """A patient who stands in both training and test tables."""

    tables: tuple[str, ...]
    "the tables that name her"
    splits: tuple[str, ...]
    "their splits"
    mammograms: Mapping[str, int]
    "split -> how many of her mammograms its tables name"
    shared: int
    "how many of her mammograms both splits name"


def looks_like_cbis_tables(folder: Path) -> bool:
    """Whether a folder, or one below it, holds a case description table of CBIS-DDSM."""
    return folder.is_dir() and any(_is_table(path) for path in _csv_files(folder))


def read_cases(folder: Path) -> pd.DataFrame:
    """Read every case description table in a folder and those below it, or the one that the path names.

    Returns:
        One row a lesion, text columns as `COLUMNS` has them: side LEFT or RIGHT, view CC or MLO, split train or
        test, abnormality calc or mass; `table` is the file's name, `row` its row (the header is row 1; newlines
        inside cells do not count). Rows stand in the order of the tables' paths.

    Raises:
        DatasetError: no such table, columns missing, values that are none, lesions named twice, or two densities of
            one mammogram, with file and rows.
    """
    paths = _tables(folder)
    tables = [_read_one(path) for path in paths]
    cases = pd.concat(tables, ignore_index=True)
    _refuse_contradictions(cases, paths)
    return cases[list(COLUMNS)]


def overlapping_patients(cases: pd.DataFrame) -> dict[str, Overlap]:
    """Patients who stand in both training and test tables, in order of their ids."""
    torn = cases.groupby("patient_id")["split"].transform("nunique") > 1
    found = {}
    for patient, rows in cases[torn].groupby("patient_id", sort=True):
        images = rows.drop_duplicates([*MAMMOGRAM, "split"])
        counts = {str(split): int(count) for split, count in images["split"].value_counts(sort=False).items()}
        found[str(patient)] = Overlap(
            tuple(sorted(rows["table"].unique())),
            tuple(sorted(counts, reverse=True)),
            counts,
            int(images.duplicated(MAMMOGRAM).sum()),
        )
    return found


def _csv_files(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in names if name.lower().endswith(".csv") and not name.startswith(".")]
    return sorted(found)


def _is_table(path: Path) -> bool:
    if "case_description" in path.name.lower():
        return True
    try:
        with path.open("rb") as stream:
            head = stream.readline(4096).decode("utf-8-sig", "replace")
    except OSError:
        return False
    return set(map(_plain, head.split(","))) >= _TELLING


def _plain(column: str) -> str:
    return "_".join(column.strip().strip('"').lower().split())


def _tables(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such file or folder")
    seen: dict[str, Path] = {}
    for path in _csv_files(folder):
        if _is_table(path):  # copies of one table, as some bundles hold them, count once
            seen.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    if not seen:
        raise DatasetError(
            f"{folder}: no case description table of CBIS-DDSM there or below; expected one or more of "
            "mass_case_description_train_set.csv, mass_case_description_test_set.csv and the two of calc; "
            "name their folder with --labels"
        )
    return list(seen.values())


def _read_one(path: Path) -> pd.DataFrame:
    table = read_table(path, []).fillna("")
    table.columns = [_plain(name) for name in table.columns]
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DatasetError(
            f"{path} row 1: column {', '.join(missing)} missing (spaces may stand for _); "
            f"found {', '.join(table.columns)}"
        )
    if table.columns.duplicated().any():
        raise DatasetError(f"{path} row 1: a column stands twice; found {', '.join(table.columns)}")
    table = table.apply(lambda column: column.str.strip())
    words = [table[name].where(table[name] != "N/A", "") for name in _DESCRIPTORS if name in table.columns]
    cases = table[list(_COLUMNS)].rename(columns=_COLUMNS)
    for name in ("side", "view", "pathology"):
        cases[name] = cases[name].str.upper()
    for name in ("image_path", "crop_path", "mask_path"):
        cases[name] = cases[name].str.replace("\\", "/", regex=False)
    kinds = {"calcification": "calc", "mass": "mass"}
    cases["abnormality"] = cases["abnormality"].str.lower().replace(kinds)
    words.append(cases["pathology"].where(cases["pathology"] == "BENIGN_WITHOUT_CALLBACK", ""))
    cases["descriptors"] = ["; ".join(filter(None, row)) for row in zip(*words, strict=True)]
    cases["table"], cases["row"] = path.name, [str(place + 2) for place in range(len(cases))]
    cases["path"] = str(path)
    wrong = {name: ~cases[name].str.fullmatch(pattern) for name, (pattern, _) in _PATTERNS.items()}
    problems = [
        (place, f"row {place + 2}: {name} is {cases[name].iloc[place]!r}, expected {_PATTERNS[name][1]}")
        for name, bad in wrong.items()
        for place in _places(bad)
    ]
    cases["split"], more = _splits(cases, path)
    refuse(path, [text for _, text in sorted(problems + more, key=lambda pair: pair[0])])
    return cases


def _splits(cases: pd.DataFrame, path: Path) -> tuple[pd.Series, list[tuple[int, str]]]:
    """Training or test: by the folder in each image's path, else by the table's name; they must not contradict."""
    name = path.name.lower()
    by_name = "train" if "train" in name else "test" if "test" in name else ""
    folders = cases["image_path"].str.extract(rf"(?:^|/){CASE_FOLDER}(?:/|$)").fillna("")
    by_folder = folders["part"].map({"Training": "train", "Test": "test"}).fillna("")
    split = by_folder.where(by_folder != "", by_name)
    told = by_folder != ""
    same = (folders["kind"].str.lower() == cases["abnormality"]) & (folders["patient"] == cases["patient_id"])
    same &= (folders["side"] == cases["side"]) & (folders["view"] == cases["view"])
    same &= (by_folder == by_name) | (by_name == "")
    problems = [
        (place, f"row {place + 2}: the path {cases['image_path'].iloc[place].split('/')[0]!r} contradicts the row or "
         "the table's name")
        for place in _places(told & ~same)
    ]  # fmt: skip
    problems += [
        (place, f"row {place + 2}: neither its image path nor the table's name says train or test")
        for place in _places(split == "")
    ]
    return split, problems


def _refuse_contradictions(cases: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Lesions that stand twice, and mammograms with two densities, in one table or in several."""
    lesion = [*MAMMOGRAM, "abnormality", "number"]
    graded = cases[~cases["density"].isin(["", "0"])]
    first = graded.groupby(MAMMOGRAM)["density"].transform("first")
    wrong = {
        "is named in {} row {} already": (cases, cases.duplicated(lesion), lesion),
        "has another density in {} row {}": (graded, graded["density"] != first, MAMMOGRAM),
    }
    problems: dict[str, list[str]] = {}
    for text, (table, bad, key) in wrong.items():
        if not bad.any():
            continue
        earlier = table.drop_duplicates(key).set_index(key)
        for row in table[bad].to_dict("records"):
            before = earlier.loc[tuple(row[name] for name in key)]
            what = " ".join(str(row[name]) for name in key)
            problems.setdefault(row["path"], []).append(
                f"row {row['row']}: {what} {text.format(before['table'], before['row'])}"
            )
    for path in paths:
        refuse(path, problems.get(str(path), []))


def _places(wrong: pd.Series) -> list[int]:
    return [int(place) for place in wrong.to_numpy().nonzero()[0]]
