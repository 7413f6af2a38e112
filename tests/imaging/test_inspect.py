import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.breast import found_breast
from ensemble_mammo.imaging.inspect import (
    inspect_file,
    inspection_from_json,
    inspection_to_json,
    mlo_score,
    text_inside,
)
from ensemble_mammo.imaging.likeness import near_duplicates
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.records.subject import View


@pytest.fixture(scope="module")
def views():
    return {n: phantom_exam(n, "ABCD"[n % 4], height=320) for n in range(1, 9)}


def save(path, pixels):
    Image.fromarray(np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(path)
    return path


def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer), np.float32) / 255


def test_a_left_breast_has_its_chest_wall_on_the_left_and_black_around_it(views, tmp_path):
    left = inspect_file(save(tmp_path / "a.png", views[1][View.CC_L]))
    right = inspect_file(save(tmp_path / "b.png", views[1][View.CC_R]))
    assert (left.chest, right.chest) == ("left", "right")
    assert 0.1 < left.breast_share < 0.6 and left.background < 0.02 and not left.inverted and not left.text
    assert len(left.hash) == 32 and left.texture.shape == (48, 48)
    assert left.facts.stored_high == np.rint(255 * views[1][View.CC_L]).max()


def test_an_inverted_picture_is_told_and_looked_at_the_right_way_round(views, tmp_path):
    right_way = inspect_file(save(tmp_path / "a.png", views[2][View.MLO_L]))
    turned = inspect_file(save(tmp_path / "b.png", 1 - views[2][View.MLO_L]))
    assert turned.inverted and turned.chest == "left"
    assert turned.breast_share == pytest.approx(right_way.breast_share, abs=0.01)


def test_mlo_views_score_higher_than_cc_views(views):
    def score(pixels, chest):
        return mlo_score(pixels, found_breast(pixels), chest)

    for exam in views.values():
        assert score(exam[View.MLO_L], "left") > score(exam[View.CC_L], "left") + 0.3
        assert score(exam[View.MLO_R], "right") > score(exam[View.CC_R], "right") + 0.3
    assert np.isnan(score(views[1][View.CC_L], ""))


def test_writing_is_seen_inside_the_breast_alone(views):
    pixels = views[3][View.CC_L].copy()
    mask = found_breast(pixels)
    assert text_inside(pixels, mask) == 0
    picture = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    ImageDraw.Draw(picture).text((20, 150), "LCC 7", fill=255, font=ImageFont.load_default(size=18))
    assert text_inside(np.asarray(picture, np.float32) / 255, mask) >= 3


@pytest.mark.parametrize(
    "change",
    [lambda p: p[:, ::-1], lambda p: 1 - p, jpeg, lambda p: p[::2, ::2], lambda p: p**1.2],
    ids=["turned over", "inverted", "recompressed", "half the size", "other contrast"],
)
def test_a_changed_copy_is_nearly_the_same_and_no_other_view_is(views, tmp_path, change):
    pictures = [exam[view] for exam in list(views.values())[:4] for view in View]
    pictures.append(np.ascontiguousarray(change(pictures[5])))
    seen = [inspect_file(save(tmp_path / f"{i}.png", p)) for i, p in enumerate(pictures)]
    assert near_duplicates(seen) == [(5, 16)]


def test_pixel_for_pixel_copies_are_no_near_duplicates_but_have_one_hash(views, tmp_path):
    one = inspect_file(save(tmp_path / "a.png", views[1][View.CC_L]))
    other = inspect_file(save(tmp_path / "a.tiff", views[1][View.CC_L]))
    assert one.pixel_sha256 == other.pixel_sha256 and one.file_sha256 != other.file_sha256
    assert near_duplicates([one, other]) == [] and near_duplicates([one]) == []


def test_a_black_picture_has_no_breast_and_is_like_nothing(tmp_path):
    black = [inspect_file(save(tmp_path / f"{i}.png", np.full((64, 64), i / 255))) for i in range(2)]
    assert all(one.breast_share == 0 and one.chest == "" and np.isnan(one.mlo) for one in black)
    assert near_duplicates(black) == []


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageReadError, match="holds text"):
        inspect_file(tmp_path / "a.png")


def test_an_inspection_comes_back_from_json_the_same(views, tmp_path, exams):
    for path in (save(tmp_path / "a.png", views[1][View.CC_L]), exams / "PH0004" / "MLO_R.dcm"):
        seen = inspect_file(path)
        back = inspection_from_json(json.loads(json.dumps(inspection_to_json(seen))))
        assert np.array_equal(back.texture, seen.texture) and back.facts == seen.facts
        assert inspection_to_json(back) == inspection_to_json(seen)
