"""Modality LUT, VOI LUT and windows against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.dicom import read_dicom
from ensemble_mammo.imaging.voi import VoiProblem, window_values
from ensemble_mammo.records.preparation import Preparation


def line(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_linear_window():
    # PS3.3 C.11.2.1.2.1, c 2048, w 4096: x <= 0 is black, x > 4095 is white, between ((x - 2047.5) / 4095 + 0.5)
    found = window_values(line(-1, 0, 1, 2047.5, 4095, 5000), 2048, 4096)
    np.testing.assert_allclose(found, line(0, 0, 1 / 4095, 0.5, 1, 1), atol=1e-6)
    # the note of the standard: c 0, w 100 has black at -50 and white above 49
    np.testing.assert_allclose(window_values(line(-50, 49), 0, 100), line(0, 1), atol=1e-6)


def test_linear_window_of_width_one_is_a_threshold():
    np.testing.assert_array_equal(window_values(line(9, 9.5, 10), 10, 1), line(0, 0, 1))


def test_linear_exact_window():
    found = window_values(line(-60, -50, 0, 25, 50, 60), 0, 100, "LINEAR_EXACT")
    np.testing.assert_allclose(found, line(0, 0, 0.5, 0.75, 1, 1), atol=1e-6)


def test_sigmoid_window():
    # 1 / (1 + exp(-4 (x - c) / w)): at c + w/4 it is 1 / (1 + e^-1)
    found = window_values(line(1000, 1250, 2000, -1e6), 1000, 1000, "SIGMOID")
    np.testing.assert_allclose(found, line(0.5, 0.7310586, 0.9820138, 0), atol=1e-6)


@pytest.mark.parametrize(("width", "function"), [(0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-1, "SIGMOID"), (9, "CUBIC")])
def test_a_window_that_makes_no_sense_is_refused(width, function):
    with pytest.raises(VoiProblem, match=r"too small|expected LINEAR, LINEAR_EXACT or SIGMOID"):
        window_values(line(0, 1), 0, width, function)


STORED = np.array([[0, 100, 200, 4095]], np.uint16)
WINDOWS = {
    "WindowCenter": [100.0, 200.0],
    "WindowWidth": [200.0, 100.0],
    "WindowCenterWidthExplanation": ["NORMAL", "HARDER"],
    "VOILUTFunction": "LINEAR_EXACT",
}


def lut(first: int, values: list[int], bits: int = 12, name: str = "", packed: bytes = b"") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "OW" if packed else "US", packed or values)
    if name:
        item.LUTExplanation = name
    return item


def test_windows_by_place_and_by_name(save):
    path = save(STORED, **WINDOWS)
    first, facts = read_dicom(path, Preparation())
    np.testing.assert_allclose(first, line(0, 0.5, 1, 1), atol=1e-6)
    assert "several windows, first used (NORMAL)" in facts.notes
    for wanted in (1, "HARDER", "harder"):
        np.testing.assert_allclose(read_dicom(path, Preparation(window=wanted))[0], line(0, 0, 0.5, 1), atol=1e-6)


def test_a_window_that_is_not_there_names_those_that_are(save):
    path = save(STORED, **WINDOWS)
    with pytest.raises(ImageReadError, match=r"window 'SOFTER' is not in its header; there are 2: 'NORMAL', 'HARDER'"):
        read_dicom(path, Preparation(window="SOFTER"))
    with pytest.raises(ImageReadError, match=r"window 2 is not in its header, which has 2: 0 NORMAL, 1 HARDER"):
        read_dicom(path, Preparation(window=2))


def test_window_and_lut_asked_for_but_absent(save):
    with pytest.raises(ImageReadError, match="voi is 'window', but its header has no window"):
        read_dicom(save(STORED), Preparation(voi="window"))
    with pytest.raises(ImageReadError, match="voi is 'lut', but its header has no VOI LUT Sequence"):
        read_dicom(save(STORED, **WINDOWS), Preparation(voi="lut"))


def test_voi_luts_come_before_windows_and_clamp_at_their_ends(save):
    path = save(STORED, VOILUTSequence=[lut(99, [0, 1000, 4095], name="A"), lut(0, [7])], **WINDOWS)
    pixels, facts = read_dicom(path, Preparation())
    np.testing.assert_allclose(pixels * 4095, line(0, 1000, 4095, 4095), atol=1e-3)
    assert "several VOI LUTs, first used (A)" in facts.notes
    np.testing.assert_allclose(read_dicom(path, Preparation(voi="window"))[0], line(0, 0.5, 1, 1), atol=1e-6)
    np.testing.assert_allclose(read_dicom(path, Preparation(window=1))[0] * 4095, line(7, 7, 7, 7), atol=1e-3)


def test_a_lut_of_eight_bits_packed_two_to_a_word(save):
    path = save(
        np.array([[0, 1, 2, 3]], np.uint16), VOILUTSequence=[lut(0, [0, 0, 0, 0], 8, packed=bytes([0, 51, 102, 255]))]
    )
    np.testing.assert_allclose(read_dicom(path, Preparation())[0], line(0, 0.2, 0.4, 1), atol=1e-6)


def test_a_lut_shorter_than_it_says_is_refused(save):
    item = lut(0, [1, 2, 3])
    item.LUTDescriptor = [10, 0, 12]
    with pytest.raises(ImageReadError, match="has 3 entries, its descriptor says 10"):
        read_dicom(save(STORED, VOILUTSequence=[item]), Preparation())


def test_slope_and_intercept_come_before_the_window(save):
    path = save(
        STORED, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=100, WindowWidth=400, VOILUTFunction="LINEAR_EXACT"
    )
    # values -100, 100, 300, 8090
    np.testing.assert_allclose(read_dicom(path, Preparation())[0], line(0, 0.5, 1, 1), atol=1e-6)
    # 'stored': the whole range of the bits, -100 to 8090
    np.testing.assert_allclose(
        read_dicom(path, Preparation(voi="stored"))[0], line(0, 200 / 8190, 400 / 8190, 1), atol=1e-6
    )


def test_a_falling_slope_turns_the_values(save):
    path = save(STORED, RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_allclose(read_dicom(path, Preparation())[0] * 4095, line(4095, 3995, 3895, 0), atol=1e-3)


def test_modality_lut_sequence(save):
    path = save(np.array([[0, 1, 2, 9]], np.uint16), ModalityLUTSequence=[lut(1, [10, 20, 255], 8)])
    np.testing.assert_allclose(read_dicom(path, Preparation())[0] * 255, line(10, 10, 20, 255), atol=1e-3)


def test_min_max_takes_the_extremes_and_survives_a_flat_image(save):
    np.testing.assert_allclose(
        read_dicom(save(STORED + np.uint16(0)), Preparation(voi="min-max"))[0][0, [0, 3]], [0, 1]
    )
    flat, facts = read_dicom(save(np.full((4, 4), 7, np.uint16)), Preparation(voi="min-max"))
    assert flat.max() == 0 and "every pixel has the same value" in facts.notes


@pytest.mark.real
def test_the_windows_of_omama_by_name(real):
    path = next(path for path in sorted((real / "omama").glob("*.dcm")))
    harder, softer = (read_dicom(path, Preparation(voi="window", window=name))[0] for name in ("HARDER", "SOFTER"))
    assert harder.std() != softer.std()
    with pytest.raises(ImageReadError, match="there are 3: 'NORMAL', 'HARDER', 'SOFTER'"):
        read_dicom(path, Preparation(voi="lut", window="SHARP"))
