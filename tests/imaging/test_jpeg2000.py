"""JPEG 2000: the same words as pydicom gives, and lower levels whose coordinates stay those of the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000, JPEG2000Lossless
from scipy import ndimage

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.jpeg2000 import jpeg2000_lossless, jpeg2000_lower
from ensemble_mammo.imaging.prepared import prepare_file
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.imaging.conftest import encapsulated, made_dataset

WHOLE = Preparation(voi="stored", crop=False, outside="keep", height=64)


def smooth(rows=512, columns=400, signed=False, bits=12):
    """Hills of 12 bits, with a bright square that shows where things are."""
    hills = ndimage.gaussian_filter(np.random.default_rng(0).random((rows, columns)), 12)
    hills = (hills - hills.min()) / np.ptp(hills) * (0.6 * 2**bits)
    hills[rows // 4 : rows // 2, columns // 2 : columns // 2 + columns // 4] = 0.9 * 2**bits
    return (hills - 2 ** (bits - 1)).astype(np.int16) if signed else hills.astype("u2" if bits > 8 else "u1")


def made(stored, precision=12, syntax=JPEG2000Lossless, **changes):
    found = made_dataset(stored, **({"BitsStored": 8, "HighBit": 7} if stored.dtype.itemsize == 1 else {}), **changes)
    ratio = {"compression_ratios": [4]} if syntax == JPEG2000 else {}
    stream = encode_array(stored, bits_stored=precision, photometric_interpretation=2, codec_format=0, **ratio)
    return encapsulated(found, bytes(stream), syntax), bytes(stream)


@pytest.mark.parametrize(
    ("signed", "bits", "precision"), [(False, 12, 12), (False, 12, 16), (True, 12, 12), (False, 8, 8)]
)
def test_lossless_streams_give_the_words_that_pydicom_gives(signed, bits, precision):
    stored = smooth(signed=signed, bits=bits)
    found, stream = made(stored, precision)
    words = jpeg2000_lossless(stream, found)
    assert words.dtype == stored.dtype and np.array_equal(words, stored)
    if precision == bits:
        np.testing.assert_array_equal(words, pixel_array(found, raw=True, decoding_plugin="pylibjpeg"))


def test_other_streams_are_left_to_pydicom():
    stored = smooth()
    lossy, stream = made(stored, syntax=JPEG2000)
    assert jpeg2000_lossless(stream, lossy) is None
    found, stream = made(stored)
    for keyword, value in (("Rows", 511), ("PixelRepresentation", 1), ("BitsStored", 14)):
        changed, _ = made(stored, **{keyword: value})
        assert jpeg2000_lossless(stream, changed) is None
    assert jpeg2000_lossless(b"\xff\x4fnothing", found) is None


@pytest.mark.parametrize(
    ("signed", "bits", "precision"), [(False, 12, 12), (False, 12, 16), (True, 12, 12), (False, 8, 8)]
)
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_a_lower_level_shows_the_same_at_the_same_place(save, signed, bits, precision, syntax, photometric):
    path = save(made(smooth(signed=signed, bits=bits), precision, syntax, PhotometricInterpretation=photometric)[0])
    full, fast = (prepare_file(path, replace(WHOLE, decode=decode)) for decode in ("full", "fast"))
    assert fast.prepared.placement == full.prepared.placement
    assert fast.facts.rows == 512 and read_mammogram(path, replace(WHOLE, decode="fast")).reduction == 4
    off = np.abs(fast.prepared.pixels.astype(float) - full.prepared.pixels)
    assert off.mean() < 0.003 * 65535, "0.009 if samples were taken for the middle of their blocks"
    assert any("decoded at 1/4" in note for note in fast.facts.notes)
    assert not any("decoded at" in note for note in full.facts.notes)


@pytest.mark.parametrize("columns", range(397, 405))
def test_sizes_that_no_power_of_two_divides(save, columns):
    path = save(made(smooth(509, columns))[0])
    full, fast = (prepare_file(path, replace(WHOLE, decode=decode)).prepared for decode in ("full", "fast"))
    assert fast.placement == full.placement
    assert np.abs(fast.pixels.astype(float) - full.pixels).mean() < 0.005 * 65535


def test_windows_and_padding_mean_the_same_at_a_lower_level(save):
    stored = smooth()
    stored[:, 300:] = 4000
    path = save(made(stored, PixelPaddingValue=4000, WindowCenter=1200, WindowWidth=1500, VOILUTFunction="SIGMOID")[0])
    full, fast = (
        prepare_file(path, replace(WHOLE, voi="auto", decode=decode)).prepared.pixels for decode in ("full", "fast")
    )
    assert not full[:, 40:].any() and not fast[:, 40:].any()
    assert np.abs(fast[:, :36].astype(float) - full[:, :36]).mean() < 0.01 * 65535


def test_the_level_keeps_twice_the_rows_wanted_and_no_less_is_decoded_otherwise(save):
    found, stream = made(smooth())
    assert [jpeg2000_lower(stream, found, rows)[1] for rows in (128, 64, 65, 8)] == [2, 4, 2, 32]
    assert jpeg2000_lower(stream, found, 129) is None and jpeg2000_lower(stream, found, 0) is None
    path = save(found)
    for wanted in (replace(WHOLE, height=300), replace(WHOLE, height=0)):
        fast = prepare_file(path, replace(wanted, decode="fast"))
        assert np.array_equal(fast.prepared.pixels, prepare_file(path, wanted).prepared.pixels)
        assert not any("decoded at" in note for note in fast.facts.notes)


def test_streams_with_few_levels_are_decoded_at_the_lowest_they_have(tmp_path):
    stored = smooth()
    Image.fromarray(stored).save(tmp_path / "a.j2k", num_resolutions=2, no_jp2=True)
    found, _ = made(stored, precision=16, BitsStored=16, HighBit=15)
    words, reduction = jpeg2000_lower((tmp_path / "a.j2k").read_bytes(), found, 32)
    assert reduction == 2 and words.shape == (256, 200)
    np.testing.assert_allclose(words[:100, :90], stored[:200:2, :180:2], atol=60)


def test_full_size_images_are_never_made_from_a_lower_level(tmp_path):
    options = PrepareOptions(preparation=Preparation(decode="fast"), full_size=True)
    (tmp_path / "in").mkdir()
    with pytest.raises(DatasetError, match="full size and decode 'fast' contradict each other"):
        prepare("dicom", tmp_path / "in", tmp_path / "out", options)


@pytest.mark.real
def test_the_fast_mode_on_real_files_is_off_by_little(real):
    for name in ("10006/1874946579.dcm", "10011/220375232.dcm"):
        whole = Preparation(crop=False, outside="keep", height=640)
        full, fast = (
            prepare_file(real / "rsna" / "train_images" / name, replace(whole, decode=decode)).prepared.pixels.astype(
                float
            )
            for decode in ("full", "fast")
        )
        assert 0 < np.abs(full - fast).mean() < 40
        assert np.corrcoef(full.ravel(), fast.ravel())[0, 1] > 0.9999
