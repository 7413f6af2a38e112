"""DICOM: every encoding that can be made here, padding, signs, stray bits, refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.dicom import read_dicom
from ensemble_mammo.records.preparation import Preparation

from .conftest import encapsulated, gdcm_encoded, made_dataset

STORED = Preparation(voi="stored")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_files_give_their_stored_values(save, ramp, syntax):
    made = made_dataset(ramp)
    made.file_meta.TransferSyntaxUID = syntax
    pixels, facts = read_dicom(save(made), STORED)
    assert pixels.dtype == np.float32 and pixels.shape == (64, 64)
    np.testing.assert_allclose(pixels * 4095, ramp, atol=1e-3)
    assert facts.transfer_syntax == syntax.name


def test_big_endian(save, ramp):
    made = made_dataset(ramp, PixelData=ramp.astype(">u2").tobytes())
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    path = save(made)
    np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095, ramp, atol=1e-3)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_by_pydicom(save, ramp, syntax):
    made = made_dataset(ramp)
    made.compress(syntax)
    np.testing.assert_allclose(read_dicom(save(made), STORED)[0] * 4095, ramp, atol=1e-3)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLossless, JPEG2000Lossless])
def test_compressed_by_gdcm(save, ramp, syntax):
    path = save(ramp)
    gdcm_encoded(path, syntax)
    assert dcmread(path).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095, ramp, atol=1e-3)


def test_jpeg_extended_of_12_bits(save, ramp):
    path = save(ramp)
    gdcm_encoded(path, JPEGExtended12Bit)
    assert dcmread(path).file_meta.TransferSyntaxUID == JPEGExtended12Bit
    np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095, ramp, atol=60)


def test_jpeg_baseline(save):
    grey = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=100)
    made = encapsulated(made_dataset(grey, BitsStored=8, HighBit=7), stream.getvalue(), JPEGBaseline8Bit)
    np.testing.assert_allclose(read_dicom(save(made), STORED)[0] * 255, grey, atol=2)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_signed_values(save, syntax):
    stored = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    path = save(stored)
    if syntax:
        gdcm_encoded(path, syntax)
    np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095 - 2048, stored, atol=1e-3)


def test_bits_above_those_stored_are_left_out_and_said(save, ramp):
    dirty = ramp.copy()
    dirty[::3, ::5] |= 0x9000
    pixels, facts = read_dicom(save(dirty), STORED)
    np.testing.assert_allclose(pixels * 4095, ramp, atol=1e-3)
    assert any("above the 12 stored" in note for note in facts.notes)


def test_stray_bits_above_signed_values(save):
    stored = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    dirty = ((stored.astype(np.int32) & 0x0FFF) | 0x3000).astype(np.int16)
    np.testing.assert_allclose(read_dicom(save(dirty), STORED)[0] * 4095 - 2048, stored, atol=1e-3)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless])
def test_a_stream_of_16_bits_under_a_header_of_12(save, ramp, syntax):
    path = save(ramp, BitsStored=16, HighBit=15)
    gdcm_encoded(path, syntax)
    made = dcmread(path)
    made.BitsStored, made.HighBit = 12, 11
    np.testing.assert_allclose(read_dicom(save(made), STORED)[0] * 4095, ramp, atol=1e-3)


def test_values_in_the_high_bits(save, ramp):
    path = save(ramp << 4, HighBit=15)
    np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095, ramp, atol=1e-3)


def test_nothing_is_cut_to_eight_bits(save, ramp):
    assert len(np.unique(read_dicom(save(ramp), Preparation())[0])) == 4096


def test_monochrome1_is_turned(save, ramp):
    pixels, facts = read_dicom(save(ramp, PhotometricInterpretation="MONOCHROME1"), STORED)
    np.testing.assert_allclose(pixels * 4095, 4095 - ramp.astype(float), atol=1e-3)
    assert facts.photometric == "MONOCHROME1"


def test_padding_is_black_in_either_photometric_and_has_no_part_in_min_max(save):
    stored = np.array([[3076, 1500], [2000, 1000]], np.uint16)
    path = save(stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=3076)
    np.testing.assert_allclose(read_dicom(path, Preparation(voi="min-max"))[0], [[0, 0.5], [0, 1]], atol=1e-6)
    path = save(stored, PixelPaddingValue=3076)
    np.testing.assert_allclose(read_dicom(path, Preparation(voi="min-max"))[0], [[0, 0.5], [1, 0]], atol=1e-6)


def test_padding_of_a_range_either_way_round(save):
    stored = np.array([[0, 10, 30, 31]], np.uint16)
    for value, limit in ((0, 30), (30, 0)):
        path = save(
            stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=value, PixelPaddingRangeLimit=limit
        )
        np.testing.assert_allclose(read_dicom(path, STORED)[0], [[0, 0, 0, 1 - 31 / 4095]], atol=1e-6)


def test_padding_of_signed_values(save):
    stored = np.array([[-2000, -1000, 0, 2047]], np.int16)
    made = made_dataset(stored, PhotometricInterpretation="MONOCHROME1")
    made.add_new("PixelPaddingValue", "SS", -2000)
    np.testing.assert_allclose(read_dicom(save(made), STORED)[0][0, :2], [0, 1 - 1048 / 4095], atol=1e-6)


def test_padding_outside_the_bits_stored_does_not_take_white_tissue(save):
    stored = np.array([[65535, 4095, 100]], np.uint16)
    pixels, _ = read_dicom(save(stored, PixelPaddingValue=65535), STORED)
    np.testing.assert_allclose(pixels, [[0, 1, 100 / 4095]], atol=1e-6)


def test_a_file_without_preamble_and_meta_is_read(tmp_path, ramp):
    for implicit in (True, False):
        made = made_dataset(ramp)
        del made.file_meta
        made.preamble = None
        path = tmp_path / f"bare{implicit}.dcm"
        made.save_as(path, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
        np.testing.assert_allclose(read_dicom(path, STORED)[0] * 4095, ramp, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is RGB with 3 samples a pixel, expected grey"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"NumberOfFrames": 5}, "has 5 frames, expected one"),
        ({"BitsAllocated": 32}, "12 bits stored in 32"),
        ({"BitsStored": 0}, "BitsStored is 0"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
        ({"Rows": 200}, "cannot be decoded"),
    ],
)
def test_what_is_no_single_grey_image_is_refused(save, ramp, changes, text):
    with pytest.raises(ImageReadError, match=text):
        read_dicom(save(ramp, **changes), STORED)


def test_no_pixels(save, ramp):
    made = made_dataset(ramp)
    del made.PixelData
    with pytest.raises(ImageReadError, match=r"image\.dcm: holds no pixels"):
        read_dicom(save(made), STORED)


def test_more_pixels_than_the_limit(save, ramp):
    with pytest.raises(ImageReadError, match="64 x 64 pixels, more than the limit of 4,095"):
        read_dicom(save(ramp), STORED, most_pixels=4095)


def test_text_renamed_to_dicom(tmp_path):
    path = tmp_path / "notes.dcm"
    path.write_text("patient came in on Monday\n" * 20)
    with pytest.raises(ImageReadError, match="is not a DICOM file"):
        read_dicom(path, STORED)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_files_cut_short_are_refused(save, syntax, share):
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    path = save(noise)
    if syntax:
        gdcm_encoded(path, syntax)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageReadError, match=r"image\.dcm: "):
        read_dicom(path, STORED)


def test_a_stream_without_its_end_is_refused(save, ramp):
    path = save(ramp)
    gdcm_encoded(path, JPEG2000Lossless)
    made = dcmread(path)
    stream = get_frame(made.PixelData, 0, number_of_frames=1)
    with pytest.raises(ImageReadError, match="no end marker; the file is cut short"):
        read_dicom(save(encapsulated(made, stream[:-200], JPEG2000Lossless)), STORED)
    with pytest.raises(ImageReadError, match="is a JPEG 2000 file, expected JPEG Lossless"):
        read_dicom(save(encapsulated(made, stream, JPEGLosslessSV1)), STORED)


@pytest.mark.real
def test_the_real_files_of_rsna_and_omama(real):
    sizes = {"10006": (5355, 4915), "10011": (2776, 2082)}
    for path in sorted((real / "rsna" / "train_images").rglob("*.dcm")):
        pixels, facts = read_dicom(path, Preparation())
        assert pixels.shape == sizes[path.parent.name]
        assert pixels.min() == 0 and 0.7 < pixels.max() <= 1
        assert np.median(pixels) == 0, "background is black in either photometric"
        assert facts.patient_id == path.parent.name and facts.side is not None and facts.projection is None
    names = [path for path in sorted((real / "omama").glob("*")) if path.is_file()]
    assert len(names) == 3
    for path in names:
        pixels, facts = read_dicom(path, Preparation())
        assert pixels.shape == (facts.rows, facts.columns) and 0.8 < pixels.max() <= 1
        assert facts.view is not None and facts.age is not None
        assert "several VOI LUTs, first used (NORMAL)" in facts.notes
    with pytest.raises(ImageReadError, match="is a JPEG 2000 file, expected JPEG Lossless"):
        read_dicom(next((real / "omama" / "undecodable").glob("*")), Preparation())
