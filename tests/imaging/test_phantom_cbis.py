"""The phantom archive: written as CBIS-DDSM is released, and read by the same reader."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from scipy import ndimage
from typer.testing import CliRunner

from ensemble_mammo.archives.cbis_tables import read_cases
from ensemble_mammo.cli import app
from ensemble_mammo.errors import OutputError
from ensemble_mammo.imaging.phantom_cbis import write_phantom_cbis
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import read_mask, read_png16
from tests.conftest import at_once, without_workers

SUBJECTS = 24
PLAIN = "mass_case_description_train_set.csv"


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Without worker processes."""
    without_workers(monkeypatch)
    monkeypatch.setattr("ensemble_mammo.archives.cbis_ddsm.spread", at_once)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The archive with all quirks of the release, and its rows."""
    root = tmp_path_factory.mktemp("phantom") / "CBIS-DDSM"
    return root, write_phantom_cbis(root, SUBJECTS, seed=4, height=160)


def prepared(root, out):
    told = CliRunner().invoke(
        app, ["prepare", "cbis-ddsm", str(root), "--task", "pathology", "--out", str(out), "--height", "144"]
    )
    assert told.exit_code == 0, told.output
    return told.output


def test_the_tables_say_what_was_planted_in_the_words_of_the_release(written):
    root, cases = written
    table = read_cases(root)
    assert len(table) == len(cases) >= 2 * SUBJECTS
    assert set(table["patient_id"]) == {f"P_{number:05d}" for number in range(1, SUBJECTS + 1)}
    ours = Counter(
        (case.patient, case.split, case.view.side.value.upper(), case.view.projection.value, str(case.number),
         {"mass": "mass", "calcification": "calc"}[case.lesion.finding], case.pathology, case.assessment)
        for case in cases
    )  # fmt: skip
    columns = ["patient_id", "split", "side", "view", "number", "abnormality", "pathology", "assessment"]
    assert Counter(table[columns].itertuples(index=False, name=None)) == ours
    lesions = {case.patient: case.lesion for case in cases}
    assert Counter((one.finding, one.pathology) for one in lesions.values()).most_common()[-1][1] >= SUBJECTS // 6
    parts = table.groupby("patient_id")["split"].agg(["nunique", "first"])
    assert (parts["nunique"] == 1).all() and (parts["first"] == "test").sum() == SUBJECTS // 3
    with (root / PLAIN).open(newline="") as stream:
        head, first, *_ = csv.reader(stream)
    assert head[1] == "breast_density" and head[6:8] == ["mass shape", "mass margins"] and first[-1].endswith("\n")
    with (root / PLAIN.replace("mass", "calc")).open(newline="") as stream:
        assert next(csv.reader(stream))[1] == "breast density"


def test_files_lie_where_the_tables_say_and_names_of_masks_and_crops_are_exchanged_in_some_rows(written):
    root, _ = written
    kinds = Counter()
    for row in read_cases(root).to_dict("records"):
        film, mask, crop = (dcmread(root / row[name]) for name in ("image_path", "mask_path", "crop_path"))
        assert film.SeriesDescription == "full mammogram images" and film.BitsStored == 16
        kinds[mask.SeriesDescription, crop.SeriesDescription] += 1
        mask, crop = (mask, crop) if "ROI" in mask.SeriesDescription else (crop, mask)
        assert mask.pixel_array.shape == film.pixel_array.shape and set(np.unique(mask.pixel_array)) == {0, 255}
        rows, columns = np.nonzero(mask.pixel_array)
        assert crop.Rows > np.ptp(rows) and crop.Columns > np.ptp(columns)
        assert set(film.pixel_array[mask.pixel_array > 0]) <= set(crop.pixel_array.flat) <= set(film.pixel_array.flat)
    both = ("ROI mask images", "cropped images")
    assert set(kinds) == {both, both[::-1]} and kinds[both] > kinds[both[::-1]] > 0


def test_the_archive_prepares_with_every_lesion_its_mask_and_its_labels(written, tmp_path):
    root, cases = written
    prepared(root, tmp_path / "dataset")
    dataset = read_dataset(tmp_path / "dataset")
    lesions = pd.read_csv(tmp_path / "dataset" / "lesions.csv", dtype=str, keep_default_na=False)
    films = {(case.patient, case.view) for case in cases}
    rows = dataset.rows()
    assert len(rows) == len(films) and len(lesions) == len(cases)
    expected = Counter((case.patient, case.view.value, case.lesion.finding, case.lesion.pathology) for case in cases)
    told = lesions[["subject_id", "view", "finding", "pathology"]]
    assert Counter(told.itertuples(index=False, name=None)) == expected
    for row in rows.to_dict("records"):
        own = [case for case in cases if (case.patient, case.view) == (row["subject_id"], row["view"])]
        malignant = any(case.lesion.pathology == "malignant" for case in own)
        assert row["pathology"] == ("malignant" if malignant else "benign") and row["density"] == own[0].density
        assert (row["split"] == "test") == (own[0].split == "test")
    assert set(rows["split"]) == {"train", "val", "test"} and (lesions["visible"].astype(float) == 1).all()
    images = dict(zip(rows["image_id"], rows["file"], strict=True))
    for row in lesions.to_dict("records"):
        mask = read_mask(dataset.root / row["mask"])
        pixels = read_png16(dataset.root / images[row["image_id"]])
        assert mask.shape == pixels.shape and (pixels[mask] > 0).all()
        around = ndimage.binary_dilation(mask, iterations=5) & ~ndimage.binary_dilation(mask, iterations=2)
        assert pixels[mask].mean() > pixels[around].mean()


def test_without_quirks_it_prepares_without_a_word_about_files(tmp_path):
    cases = write_phantom_cbis(tmp_path / "archive", 12, seed=1, height=128, quirks=False)
    assert any(case.number == 2 for case in cases)
    assert "left out" not in prepared(tmp_path / "archive", tmp_path / "dataset")
    described = (tmp_path / "dataset" / "dataset.json").read_text()
    assert '"left_out": []' in described and '"notes": []' in described


def digests(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_writes_the_same_files(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantom_cbis(tmp_path / name, 8, seed, height=128)
    one, again, other = (digests(tmp_path / name) for name in "abc")
    assert one == again and set(one.values()).isdisjoint(other.values())


def test_density_is_drawn_without_regard_to_the_lesions():
    from ensemble_mammo.imaging.phantom_cbis import _cases_of

    first = [_cases_of(number, 0, 1.0, True)[0] for number in range(1, 2001)]
    table = pd.crosstab([case.density for case in first], [case.lesion.pathology for case in first])
    assert (abs(table["malignant"] / table.sum(axis=1) - 0.5) < 0.07).all()


def test_arguments_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="7 subjects, expected 8 or more"):
        write_phantom_cbis(tmp_path, 7)
    with pytest.raises(ValueError, match="height is 64, expected 128 or more"):
        write_phantom_cbis(tmp_path, 8, height=64)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_phantom_cbis(tmp_path / "file", 8, height=128)
