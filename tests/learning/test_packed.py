import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble_mammo.learning import images as images_module
from ensemble_mammo.learning import packed
from ensemble_mammo.learning.images import ViewImages, fitted, read_batches
from ensemble_mammo.learning.packed import PACKED, pack_of, packs_in
from ensemble_mammo.records.png16 import read_png16, write_png16
from ensemble_mammo.records.recipe import InputRecipe
from tests.learning.tiny import tiny_dataset

INPUT = InputRecipe(48, 40)


@pytest.fixture
def dataset(tmp_path):
    return tiny_dataset(tmp_path / "dataset", train=6, val=2)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded so far."""
    names = []

    def watched(path):
        names.append(path.name)
        return read_png16(path)

    monkeypatch.setattr(images_module, "read_png16", watched)
    return names


def _images(dataset, folder, rows=None, recipe=INPUT, limit_gb=1.0):
    return ViewImages(
        dataset.root, dataset.table if rows is None else rows, recipe, pack_of(dataset, recipe, folder, limit_gb)
    )


def _expected(dataset, row, mirrored=False, recipe=INPUT):
    pixels = read_png16(dataset.root / row["file"])
    return fitted(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels, recipe)[0]


def _assert_right(dataset, images):
    for index, row in enumerate(dataset.table.to_dict("records")):
        assert np.array_equal(images.fitted(index), _expected(dataset, row))


def test_each_image_is_decoded_once_for_all_folds_seeds_and_readers(dataset, tmp_path, decoded):
    for rows in (dataset.table, dataset.rows(split="train"), dataset.table.iloc[::-1].reset_index(drop=True)):
        for workers in (0, 3):
            images = _images(dataset, tmp_path / "packs", rows)
            batches = [[0, 1, 2], list(range(len(rows)))]
            found = list(read_batches(images, batches, workers))[1].numpy()
            for place, row in enumerate(rows.to_dict("records")):
                assert np.array_equal(np.rint(found[place, 0] * 65535).astype(np.uint16), _expected(dataset, row))
    assert sorted(decoded) == sorted(Path(name).name for name in dataset.table["file"])
    assert len(list((tmp_path / "packs").iterdir())) == 1


def test_mirrored_images_have_places_of_their_own(dataset, tmp_path, decoded):
    turned = dataset.table.assign(mirrored=[place % 2 == 0 for place in range(len(dataset.table))])
    for _ in range(2):
        images = _images(dataset, tmp_path / "packs", turned)
        for index, row in enumerate(turned.to_dict("records")):
            assert np.array_equal(images.fitted(index), _expected(dataset, row, row["mirrored"]))
    assert len(decoded) == len(turned)
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))


def test_what_changes_the_pixels_has_another_pack(dataset, tmp_path):
    others = [
        (dataset, replace(INPUT, height=50)),
        (dataset, replace(INPUT, fit="squash")),
        (replace(dataset, preparation=replace(dataset.preparation, crop=False)), INPUT),
        (replace(dataset, table=dataset.table.assign(source_sha256="other")), INPUT),
        (replace(dataset, root=tmp_path / "elsewhere"), INPUT),
    ]
    names = {pack_of(one, recipe, tmp_path, 1.0)._path for one, recipe in [(dataset, INPUT), *others]}
    assert len(names) == 6
    same = pack_of(dataset, replace(INPUT, mean=0.5, contrast=2.0), tmp_path, 1.0)  # applied behind it
    assert same._path in names


@pytest.mark.parametrize("damage", ["pixels", "checksum", "truncated", "another file", "no pixels"])
def test_a_damaged_pack_is_seen_and_made_anew(dataset, tmp_path, damage):
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))
    (path,) = (tmp_path / "packs").iterdir()
    data = bytearray(path.read_bytes())
    each = 2 * INPUT.height * INPUT.width
    begin = len(data) - 2 * len(dataset.table) * each
    if damage == "pixels":
        data[begin + 2 * each + 1000] ^= 4
    elif damage == "checksum":
        data[8] ^= 1
    elif damage == "truncated":
        data = data[: begin + each]
    elif damage == "another file":
        data = os.urandom(300)
    else:
        data[begin:] = bytes(len(data) - begin)  # as after the power failed
    path.write_bytes(data)
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))  # mended


def test_an_image_whose_file_was_written_anew_is_read_anew(dataset, tmp_path):
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))
    path = dataset.root / dataset.table["file"].iloc[3]
    write_png16(path, 65535 - read_png16(path))
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))


def _fill(root, folder, start):
    from ensemble_mammo.records.manifest import read_dataset

    dataset = read_dataset(Path(root))
    images = _images(dataset, Path(folder))
    start.wait()
    _assert_right(dataset, images)


@pytest.mark.slow
def test_processes_fill_one_pack_at_once(dataset, tmp_path, decoded):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    both = [context.Process(target=_fill, args=(str(dataset.root), str(tmp_path / "packs"), start)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(300)
    assert [one.exitcode for one in both] == [0, 0]
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))
    assert not decoded


def test_packs_take_no_more_than_they_may(dataset, tmp_path, decoded):
    each = 2 * 256 * 256
    recipe = InputRecipe(256, 256)
    limit = (3 * each + 20_000) / 1e9
    for _ in range(2):
        images = _images(dataset, tmp_path / "packs", recipe=recipe, limit_gb=limit)
        for index, row in enumerate(dataset.table.to_dict("records")):
            assert np.array_equal(images.fitted(index), _expected(dataset, row, recipe=recipe))
    assert packed._used(tmp_path / "packs") <= limit * 1e9
    assert len(decoded) == 8 + 5
    assert pack_of(dataset, recipe, tmp_path, 0.0) is None
    assert pack_of(dataset, recipe, None, 1.0) is None


def test_where_nothing_can_be_written_images_are_read_again(dataset, tmp_path, caplog):
    (tmp_path / "packs").write_text("a file where the folder should be")
    images = _images(dataset, tmp_path / "packs")
    _assert_right(dataset, images)
    _assert_right(dataset, images)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "images are read again in every epoch" in caplog.text


def test_a_full_disk_ends_the_writing_and_not_the_training(dataset, tmp_path, caplog, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed, "_used", full)
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))
    assert len(caplog.records) == 1 and "No space left on device" in caplog.text


def test_a_pack_removed_meanwhile_gives_no_wrong_pixels(dataset, tmp_path):
    images = _images(dataset, tmp_path / "packs")
    images.fitted(0)
    (path,) = (tmp_path / "packs").iterdir()
    path.unlink()
    _assert_right(dataset, _images(dataset, tmp_path / "packs"))  # another command, in a new file
    _assert_right(dataset, images)


def test_a_row_that_the_dataset_does_not_have_is_refused(dataset, tmp_path):
    strange = dataset.table.assign(image_id=[f"x{n}" for n in range(len(dataset.table))])
    with pytest.raises(ValueError, match="image 'x0' is none of the dataset's"):
        _images(dataset, tmp_path, strange)


def test_the_packs_of_a_command_go_when_it_ends_well(tmp_path):
    with packs_in(tmp_path) as outer:
        assert outer == tmp_path / PACKED
        with packs_in(tmp_path / "fold-0", outer) as inner:
            assert inner == outer
        (outer / "a.pack").touch()
    assert not outer.exists()
    with pytest.raises(KeyError), packs_in(tmp_path):
        (outer / "a.pack").touch()
        raise KeyError
    assert (outer / "a.pack").exists()


def test_the_last_of_two_commands_takes_the_packs_of_both_away(tmp_path):
    with packs_in(tmp_path / "runs") as packs:
        with packs_in(tmp_path / "runs"):
            (packs / "a.pack").touch()
        assert (packs / "a.pack").exists()
    assert not (tmp_path / "runs").exists()


def test_a_command_that_makes_no_pack_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), packs_in(tmp_path / "some" / "runs"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
