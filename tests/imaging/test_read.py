"""Pictures of every kind, limits, and which files of a folder are images."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.polarity import looks_inverted
from ensemble_mammo.imaging.read import Limits, is_image_file, read_facts, read_mammogram
from ensemble_mammo.records.preparation import Preparation

EIGHT = np.arange(256, dtype=np.uint8).reshape(8, 32)
SIXTEEN = np.linspace(0, 65535, 256).astype(np.uint16).reshape(8, 32)


@pytest.fixture
def picture(tmp_path):
    def write(image, name, **options):
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        path = tmp_path / name
        image.save(path, **options)
        return path

    return write


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.webp"])
def test_eight_bits(picture, name):
    path = picture(EIGHT, name, **({"lossless": True} if name.endswith("webp") else {}))
    mammogram = read_mammogram(path)
    assert mammogram.pixels.dtype == np.float32
    np.testing.assert_allclose(mammogram.pixels * 255, EIGHT, atol=1e-4)
    assert mammogram.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert mammogram.facts.format == {"tif": "tiff"}.get(name[2:], name[2:]) and mammogram.facts.bits_stored == 8


def test_jpeg(picture):
    found = read_mammogram(picture(np.full((8, 8), 100, np.uint8), "a.jpg"))
    np.testing.assert_allclose(found.pixels * 255, 100, atol=1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits(picture, name):
    path = picture(SIXTEEN, name)
    np.testing.assert_allclose(read_mammogram(path).pixels * 65535, SIXTEEN, atol=1e-2)
    assert read_facts(path).bits_stored == 16


def test_the_format_is_told_by_content_not_by_name(picture, save, ramp):
    path = picture(EIGHT, "a.png")
    assert read_mammogram(path.rename(path.with_name("a.dcm"))).facts.format == "png"
    assert read_mammogram(save(ramp, name="noending")).facts.format == "dicom"


def test_bits_used(picture):
    values = np.array([[0, 1000, 4095]], np.uint16)
    path = picture(values, "a.png")
    np.testing.assert_allclose(read_mammogram(path, Preparation(bits_used=12)).pixels * 4095, values, atol=1e-3)
    with pytest.raises(ImageReadError, match=r"has a pixel of 4095, expected 1023 at most as bits_used is 10"):
        read_mammogram(path, Preparation(bits_used=10))


@pytest.mark.parametrize("highest", [100, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P5"])
def test_pgm_is_scaled_by_its_own_highest_value(tmp_path, highest, kind):
    values = np.array([[0, 1, highest // 3], [highest // 2, highest - 1, highest]])
    body = values.astype("u1" if highest < 256 else ">u2").tobytes()
    if kind == "P2":
        body = " ".join(str(value) for value in values.ravel()).encode()
    path = tmp_path / "a.pgm"
    path.write_bytes(f"{kind}\n# made by hand\n3 2\n# again\n{highest}\n".encode() + body)
    np.testing.assert_allclose(read_mammogram(path).pixels * highest, values, atol=highest * 1e-6)
    assert (read_facts(path).rows, read_facts(path).columns) == (2, 3)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"P5 4 4 255 abc", "has 3 pixels, its header says 16; the file is cut short"),
        (b"P2 2 1 7 3 9", "has a pixel outside 0 to 7"),
        (b"P2 2 1 7 3 x", "something else than numbers"),
        (b"P5 4 x 255 ", "its PGM header is damaged"),
        (b"P5 4 4 70000 ", "gives 70000 as highest value"),
        (b"P5 0 4 255 ", "has 4 x 0 pixels, expected an image"),
    ],
)
def test_damaged_pgm(tmp_path, content, text):
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=text):
        read_mammogram(path)


def test_grey_in_three_channels_or_a_palette_is_grey(picture):
    grey = Image.fromarray(EIGHT)
    for image in (grey.convert("RGB"), grey.convert("RGBA"), grey.convert("LA"), grey.convert("P")):
        np.testing.assert_allclose(read_mammogram(picture(image, "a.png")).pixels * 255, EIGHT, atol=1e-4)


def test_colour_and_see_through_are_refused(picture):
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    for name in ("a.png", "a.jpg", "a.webp"):
        with pytest.raises(ImageReadError, match=r"is in colour, expected grey"):
            read_mammogram(picture(colour, name))
    clear = np.zeros((8, 8, 4), np.uint8)
    with pytest.raises(ImageReadError, match="is see-through in places"):
        read_mammogram(picture(clear, "a.png"))
    with pytest.raises(ImageReadError, match="kind CMYK"):
        read_mammogram(picture(Image.new("CMYK", (8, 8)), "a.jpg"))
    with pytest.raises(ImageReadError, match="kind F"):
        read_mammogram(picture(np.zeros((8, 8), np.float32), "a.tif"))


def test_a_tiff_where_white_is_zero(picture):
    np.testing.assert_allclose(
        read_mammogram(picture(SIXTEEN, "a.tif", tiffinfo={262: 0})).pixels * 65535, 65535.0 - SIXTEEN, atol=1e-2
    )


def test_several_pages_are_refused(picture):
    pages = [Image.fromarray(EIGHT)] * 2
    with pytest.raises(ImageReadError, match="has 2 pages or frames, expected one"):
        read_mammogram(picture(pages[0], "a.tif", save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_pictures_cut_short(picture, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    path = picture(noise, name)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageReadError, match=r"cannot be (decoded|read as a picture)"):
        read_mammogram(path)


def test_limits(picture, save, ramp):
    path = picture(EIGHT, "a.png")
    with pytest.raises(ImageReadError, match=r"8 x 32 pixels, more than the limit of 200; raise the limit"):
        read_mammogram(path, limits=Limits(pixels=200))
    with pytest.raises(ImageReadError, match=r"bytes, more than the limit of 10"):
        read_mammogram(path, limits=Limits(bytes=10))
    with pytest.raises(ImageReadError, match=r"64 x 64 pixels, more than the limit of 200"):
        read_mammogram(save(ramp), limits=Limits(pixels=200))
    with pytest.raises(ValueError, match="seconds is 0"):
        Limits(seconds=0)


def test_what_is_no_image(tmp_path):
    for content, text in ((b"", "is empty"), (b"hello", "holds text"), (b"\0\1\2", "begins with the bytes 00 01 02")):
        path = tmp_path / "a.png"
        path.write_bytes(content)
        with pytest.raises(ImageReadError, match=rf"a\.png: {text}"):
            read_mammogram(path)
    with pytest.raises(ImageReadError, match="cannot be opened"):
        read_mammogram(tmp_path)


def test_which_files_of_a_folder_are_images(tmp_path, picture, save, ramp):
    assert is_image_file(save(ramp, name="IM0001")) and is_image_file(picture(EIGHT, "a.png"))
    broken = tmp_path / "broken.dcm"
    broken.write_text("text")
    assert is_image_file(broken), "so that its error is shown"
    for name in ("notes.txt", "labels.csv", "._a.dcm", "DICOMDIR"):
        (tmp_path / name).write_text("text")
        assert not is_image_file(tmp_path / name)
    assert not is_image_file(tmp_path) and not is_image_file(tmp_path / "gone.png")


def test_pictures_with_a_bright_background_are_turned_when_asked(picture):
    breast = next(iter(phantom_exam(1, "B", height=320).values()))
    path = picture(np.rint((1 - breast) * 255).astype(np.uint8), "a.png")
    turned = read_mammogram(path, Preparation(polarity="auto"))
    np.testing.assert_allclose(turned.pixels, breast, atol=0.003)
    assert any(note.startswith("turned") for note in turned.facts.notes)
    assert read_mammogram(path).pixels.mean() > 0.5
    for pixels in phantom_exam(2, "D", height=320).values():
        assert not looks_inverted(pixels) and looks_inverted(1 - pixels)


def test_dicom_is_never_turned_by_its_looks(save):
    white = np.full((300, 300), 4095, np.uint16)
    white[100:200, :100] = np.arange(100) * 10
    facts = read_mammogram(save(white), Preparation(polarity="auto")).facts
    assert not any(note.startswith("turned") for note in facts.notes)


def test_an_even_image_is_not_inverted():
    assert not looks_inverted(np.zeros((100, 100), np.float32)) and not looks_inverted(np.ones((2, 2), np.float32))


@pytest.mark.real
def test_polarity_of_the_four_view_exports(real):
    import csv

    folder = real / "rsna" / "four-view"
    with (folder / "index.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    inverted = {row["file"] for row in rows if looks_inverted(read_mammogram(folder / row["file"]).pixels)}
    machine = {row["file"] for row in rows if row["machine_id"] == "210"}
    assert len(inverted) == 45 and inverted < machine


@pytest.mark.real
def test_webp_of_mini_mias_and_png_of_inbreast(real):
    assert read_mammogram(real / "mini-mias" / "mdb001.webp").pixels.shape == (1024, 1024)
    path = sorted((real / "inbreast" / "images").glob("*.png"))[0]
    assert read_mammogram(path).pixels.shape[0] == 2048
