"""Phantom exams: valid files, right views, and classes that take more than a mean to tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, RLELossless

from ensemble_mammo.errors import OutputError
from ensemble_mammo.imaging.breast import breast_mask
from ensemble_mammo.imaging.phantom import phantom_exam, write_phantom_exams
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.subject import View


def test_files_read_back_with_view_and_polarity(tmp_path):
    labels = write_phantom_exams(tmp_path, 4, seed=3, height=320)
    assert sorted(labels) == ["PH0001", "PH0002", "PH0003", "PH0004"] and sorted(labels.values()) == list("ABCD")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines == ["patient_id,density", *(f"{key},{value}" for key, value in labels.items())]
    for number, (patient, density) in enumerate(labels.items(), start=1):
        assert sorted(path.name for path in (tmp_path / patient).iterdir()) == sorted(f"{view}.dcm" for view in View)
        for view, pixels in phantom_exam(number, density, 3, 320).items():
            found = read_mammogram(tmp_path / patient / f"{view}.dcm")
            assert found.facts.view == view and found.facts.patient_id == patient
            assert found.facts.photometric == ("MONOCHROME1" if number == 4 else "MONOCHROME2")
            assert found.facts.bits_stored == 12 and not found.facts.problem
            np.testing.assert_allclose(found.pixels, pixels, atol=0.001)
    assert len({read_mammogram(path).facts.manufacturer for path in tmp_path.rglob("CC_L.dcm")}) == 2


def test_the_same_seed_writes_the_same_files(tmp_path):
    write_phantom_exams(tmp_path / "a", 2, seed=1, height=128)
    write_phantom_exams(tmp_path / "b", 2, seed=1, height=128)
    write_phantom_exams(tmp_path / "c", 2, seed=2, height=128)
    one, two, three = ((tmp_path / name / "PH0001" / "MLO_R.dcm").read_bytes() for name in "abc")
    assert one == two and one != three


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_other_transfer_syntaxes(tmp_path, syntax):
    write_phantom_exams(tmp_path / "plain", 1, height=128)
    write_phantom_exams(tmp_path / "packed", 1, height=128, transfer_syntax=syntax)
    place = "PH0001/CC_R.dcm"
    assert dcmread(tmp_path / "packed" / place).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(
        read_mammogram(tmp_path / "plain" / place).pixels, read_mammogram(tmp_path / "packed" / place).pixels
    )


def test_dense_texture_rises_from_a_to_d_while_means_overlap():
    shares: dict[str, list[float]] = {}
    means: dict[str, list[float]] = {}
    for density in "ABCD":
        for subject in range(6):
            pixels = phantom_exam(subject, density, 5, 320)[View.CC_L]
            inside = pixels[breast_mask(pixels)]
            shares.setdefault(density, []).append(float(np.percentile(inside, 60) / np.percentile(inside, 97)))
            means.setdefault(density, []).append(float(inside.mean()))
    assert np.mean(shares["A"]) < np.mean(shares["D"])
    assert max(means["B"]) > min(means["C"]) and max(means["C"]) > min(means["D"])


def test_left_and_right_resemble_each_other_and_the_marker_is_there():
    exam = phantom_exam(7, "C")
    right, left = exam[View.CC_R][:, ::-1], exam[View.CC_L]
    overlap = breast_mask(right) & breast_mask(left)
    assert overlap.sum() > 0.85 * breast_mask(left).sum() and not np.array_equal(right, left)
    assert left[:60, -120:].max() > 0.8 and exam[View.CC_R][:60, :120].max() > 0.8


def test_arguments_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="density 'E' is not one of A, B, C, D"):
        phantom_exam(1, "E")
    with pytest.raises(ValueError, match="1 densities are given for 2 subjects"):
        write_phantom_exams(tmp_path, 2, densities=["A"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_phantom_exams(tmp_path / "file", 1, height=64)
