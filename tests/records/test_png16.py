"""16-bit images there and back."""

import numpy as np
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.png16 import read_png16, write_png16


def test_every_value_comes_back_and_nothing_is_left_beside(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    write_png16(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_png16(tmp_path / "a.png"), values)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_other_kinds_of_pixels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected uint16"):
        write_png16(tmp_path / "a.png", np.zeros((2, 2), np.uint8))


def test_a_file_that_is_no_png_is_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DatasetError, match=r"a\.png: damaged, or no PNG"):
        read_png16(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"b\.png: missing"):
        read_png16(tmp_path / "b.png")
