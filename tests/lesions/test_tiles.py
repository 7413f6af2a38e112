"""The verb tiles: what was written against plain code, balance, bounds, splits, resuming, errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.lesions.tiles import TileOptions, run, tiles
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import MANIFEST, read_dataset, read_description, write_table
from ensemble_mammo.records.png16 import WHITE, read_mask, read_png16, write_mask, write_png16
from ensemble_mammo.records.tile import TILE_COLUMNS, TILE_KINDS, TILE_LABELS, TILE_METHODS
from tests.conftest import at_once
from tests.lesions.made import HEIGHT, WIDTH, MadeLesion, write_made

FILM = (288, 200)
"""Rows and columns of the films; the images are crops of them, at their scale."""
COVER = 33
"""598 film pixels there: 598 * 288 / 5295 = 32.5."""
IMAGES = {
    "plain": [MadeLesion((60, 40), 5, "mass", "malignant")],
    "two": [MadeLesion((50, 30), 6, "calcification", "malignant"), MadeLesion((110, 25), 9, "mass", "benign")],
    "edge": [MadeLesion((80, 0), 9, "mass", "malignant")],
    "large": [MadeLesion((80, 40), 25, "asymmetry", "benign")],
    "bare": [MadeLesion((70, 30), 8, "mass", "benign"), MadeLesion(None, 0, "calcification", "benign")],
    "unknown": [MadeLesion((70, 30), 8, "mass", "")],
    "nowhere": [MadeLesion(None, 0, "mass", "benign")],
    "silent": [],
    **{f"normal{n}": [] for n in range(4)},
}
OPTIONS = TileOptions("9", normal_share=0.5, seed=3)


@pytest.fixture(autouse=True)
def without_workers(monkeypatch):
    monkeypatch.setattr("ensemble_mammo.lesions.tiles.run.spread", at_once)


def write_source(root, images=IMAGES, splits=("train", "val", "test"), changed=None):
    """A dataset whose images are crops of larger films, with abnormality labels."""
    made = write_made(root, images, splits=splits)
    table = made.table
    facts = {"source_height": FILM[0], "source_width": FILM[1], "crop_top": 60, "crop_left": 50}
    for name, value in {**facts, "crop_height": HEIGHT, "crop_width": WIDTH}.items():
        table[name] = str(value)
    table["abnormality"] = ["abnormal" if own else "normal" for own in images.values()]
    table.loc[table["image_id"] == "silent", "abnormality"] = ""
    for name, value in (changed or {}).items():
        table[name] = value
    write_table(root, table, read_description(root))
    return read_dataset(root)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("made") / "dataset")


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def naive_tile(pixels, row, size):
    """The tile that a row of the manifest describes, by plain code."""
    side = int(row.cover_px)
    top, left = int(row.centre_row) - side // 2, int(row.centre_column) - side // 2
    part = np.pad(pixels, 200)[top + 200 : top + 200 + side, left + 200 : left + 200 + side]
    if side != size:
        part = np.rint(resized(part.astype(np.float32), size, size)).astype(np.uint16)
    for _ in range(int(row.turned[0])):
        part = part.T[::-1]  # a quarter turn counter-clockwise
    part = part[:, ::-1] if "h" in row.turned else part
    return part[::-1] if "v" in row.turned else part


def check(dataset, made, size=COVER):
    """Everything that the manifest says of a tile, computed anew from images and masks."""
    mammograms = dataset.table.set_index("image_id")
    lesions = dataset.lesions().set_index("lesion_id")
    said = read_description(made.root)["tiles"]
    for row in made.table.itertuples():
        mammogram = mammograms.loc[row.mammogram]
        tile = read_png16(made.root / row.file)
        assert np.array_equal(tile, naive_tile(read_png16(dataset.root / mammogram["file"]), row, size))
        assert row.file == f"tiles/{row.split}/{row.abnormality}/{row.image_id}.png" and row.size_px == str(size)
        for name in ("subject_id", "view", "split", "fold", "source", "source_sha256"):
            assert getattr(row, name) == mammogram[name]
        own = lesions[(lesions["image_id"] == row.mammogram) & (lesions["mask"] != "")]
        side = int(row.cover_px)
        top, left = int(row.centre_row) - side // 2, int(row.centre_column) - side // 2
        inside = {
            name: read_mask(dataset.root / mask)[max(0, top) : top + side, max(0, left) : left + side].any()
            for name, mask in own["mask"].items()
        }
        if row.kind == "normal":
            assert not any(inside.values()) and row.lesion_id == "" and row.method == "grid"
            low, high = said["bounds"]["mean"]
            assert low <= tile.mean() / WHITE <= high
            low, high = said["bounds"]["variance"]
            assert low <= (tile / WHITE).var() <= high
            assert [getattr(row, name) for name in TILE_LABELS] == ["normal", "normal", "", ""]
        else:
            assert inside[row.lesion_id] and row.abnormality == "abnormal"
            assert row.method in TILE_METHODS and row.kind in TILE_KINDS
            assert row.pathology == lesions.loc[row.lesion_id, "pathology"]
            finding = lesions.loc[row.lesion_id, "finding"]
            assert row.finding == ("calcification" if finding == "calcification" else "mass")
            assert row.abnormality5 == (f"{row.pathology}-{row.finding}" if row.pathology else "")


@pytest.mark.parametrize("tile_set", ["6", "8", "9"])
def test_tiles_are_what_the_manifest_says(source, tmp_path, tile_set):
    made = tiles(source, tmp_path / "set", replace(OPTIONS, set=tile_set))
    check(source, made)
    kinds = made.table["kind"].value_counts()
    assert kinds["lesion"] == {"6": 55, "8": 16, "9": 21}[tile_set] and kinds["normal"] > 10


def test_set_9_has_three_tiles_of_each_placed_lesion(source, tmp_path):
    made = tiles(source, tmp_path / "set", OPTIONS)
    lesions = made.table[made.table["kind"] == "lesion"]
    assert lesions["lesion_id"].value_counts().to_dict() == {
        **dict.fromkeys(("plain_1", "two_1", "two_2", "edge_1", "large_1", "bare_1", "unknown_1"), 3)
    }
    assert set(lesions["cover_px"]) == {str(COVER)} and set(lesions["method"]) == {"crop"}
    assert set(made.table["image_id"]) >= {"plain_1_C01", "plain_1_C02", "plain_1_C03"}


def test_normal_tiles_come_from_mammograms_known_to_be_free_there(source, tmp_path):
    made = tiles(source, tmp_path / "set", replace(OPTIONS, normal_share=0.95, bounds_share=1.0))
    normal = made.table[made.table["kind"] == "normal"]
    giving = {"plain", "two", "edge", "large", "unknown", *(f"normal{n}" for n in range(4))}
    assert set(normal["mammogram"]) == giving  # not bare, nowhere and silent
    assert normal["mammogram"].value_counts()["normal0"] >= 6
    assert (normal["image_id"] == normal["mammogram"] + "_N" + normal["image_id"].str[-3:]).all()


def test_a_tile_set_is_a_dataset_that_says_how_it_was_made(source, tmp_path):
    made = tiles(source, tmp_path / "set", OPTIONS)
    assert list(made.table.columns) == [*TILE_COLUMNS, *TILE_LABELS]
    assert set(TILE_LABELS) == set(made.task_names())
    assert made.preparation == replace(source.preparation, height=COVER, width=COVER)
    assert set(files(made.root)) == {MANIFEST, "dataset.json", *made.table["file"]}
    assert made.cut() == ("tiles", COVER)
    said = read_description(made.root)
    assert said["task"] == "abnormality" and said["folds"] == 2
    told = said["tiles"]
    counts = told.pop("counts")
    assert counts["test"]["abnormal"] == 6 and counts["test"]["abnormality5"]["malignant-mass"] == 3
    assert counts["val"]["methods"] == {"crop": 9}
    bounds = told.pop("bounds")
    assert bounds["mean"][0] < bounds["mean"][1] and 20 <= bounds["sampled"] <= 2000
    assert told == {
        "set": "9",
        "size_px": COVER,
        "trim": 0.07,
        "normal_share": 0.5,
        "thin": "none",
        "bounds_share": 0.98,
        "split": "dataset",
        "findings": [],
        "birads": False,
        "seed": 3,
        "source": source.fingerprint(),
        "normals": "",
    }
    assert not leaks_of(made.table)


def test_what_was_decided_is_said(source, tmp_path):
    said = read_description(tiles(source, tmp_path / "set", OPTIONS).root)
    assert said["left_out"] == [
        {"image_id": "nowhere", "reason": "its lesions have no mask"},
        {"image_id": "silent", "reason": "no lesion, and no label that says it is normal"},
    ]
    assert said["notes"][:5] == [
        "1 images left out: its lesions have no mask",
        "1 images left out: no lesion, and no label that says it is normal",
        "1 images give no normal tiles: they have lesions without a mask",
        "1 lesions have no pathology: their tiles have none, and none of the five classes",
        "tiles have 33 x 33 pixels, not the published 299: a network's input.height and input.width must follow",
    ]
    assert "normal tiles lie beyond the bounds of mean and variance" in said["notes"][5]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_normal_tiles_are_their_share_of_each_split(source, tmp_path, share):
    made = tiles(source, tmp_path / "set", replace(OPTIONS, normal_share=share))
    for _, part in made.table.groupby("split"):
        abnormal = int((part["kind"] == "lesion").sum())
        assert len(part) - abnormal == round(abnormal * share / (1 - share))
        per_image = part[part["kind"] == "normal"]["mammogram"].value_counts()
        assert share > 0.25 or per_image.max() - per_image.min() <= 1  # evenly, while no mammogram has run out


def test_the_published_share_is_the_default_and_a_lack_of_normal_tiles_is_said(source, tmp_path):
    assert TileOptions().normal_share == 0.83 and TileOptions().trim == 0.07
    made = tiles(source, tmp_path / "set", replace(OPTIONS, normal_share=0.83))
    notes = read_description(made.root)["notes"]
    for split, part in made.table.groupby("split"):
        normal, lesion = ((part["kind"] == kind).sum() for kind in ("normal", "lesion"))
        wanted = round(lesion * 0.83 / 0.17)
        said = f"{split}: {normal} normal tiles, {wanted} wanted: all are kept, {normal / len(part):.0%} of the tiles"
        said += f"; --thin {'all' if split == 'train' else 'tests'} keeps fewer lesion tiles"
        assert (said in notes) == (normal < wanted)
    assert any("wanted" in note for note in notes)


THIN = replace(OPTIONS, normal_share=0.8)


@pytest.mark.parametrize(("thin", "splits"), [("tests", {"val", "test"}), ("all", {"train", "val", "test"})])
def test_where_normal_tiles_run_short_lesion_tiles_are_thinned_to_the_share(source, tmp_path, thin, splits):
    plain = tiles(source, tmp_path / "plain", THIN)
    made = tiles(source, tmp_path / "set", replace(THIN, thin=thin))
    check(source, made)
    assert set(files(made.root)) == {MANIFEST, "dataset.json", *made.table["file"]}
    thinned = 0
    for split, before in plain.table.groupby("split"):
        part = made.table[made.table["split"] == split]
        normal, whole = (before["kind"] == "normal").sum(), (before["kind"] == "lesion").sum()
        left = part.loc[part["kind"] == "lesion", "lesion_id"].value_counts()
        short = normal < round(whole * 0.8 / 0.2)
        assert (part["kind"] == "normal").sum() == normal  # as many as before
        assert left.sum() == (max(1, round(normal * 0.2 / 0.8)) if short and split in splits else whole)
        assert left.max() - left.min() <= 1  # evenly
        held = len(left) == before.loc[before["kind"] == "lesion", "lesion_id"].nunique()
        assert held or left.max() == 1  # no lesion goes while another has two
        thinned += left.sum() < whole
    assert thinned >= 1 and set(made.table["image_id"]) < set(plain.table["image_id"])
    assert any("lesion tiles drawn, of" in note for note in read_description(made.root)["notes"])


def test_lesion_tiles_are_drawn_one_of_each_lesion_first_and_the_rest_is_said(source):
    from ensemble_mammo.imaging.tiles import Square
    from ensemble_mammo.lesions.tiles.images import Laid
    from ensemble_mammo.lesions.tiles.kept import balanced
    from ensemble_mammo.lesions.tiles.plan import planned

    job = next(job for job in planned(source, OPTIONS).jobs if job.targets and job.row.split == "val")
    targets = [replace(job.targets[0], lesion_id=f"lesion{n}") for n in range(4)]
    at = Square("crop", 0, 0, COVER)
    lesions = [(job, Laid(f"{of.lesion_id}_C{n}", at, "0", of)) for of in targets for n in range(5)]
    normals = [(job, Laid(f"n{n}", at, "0")) for n in range(24)]
    drawn = {}
    for seed in (0, 0, 1):
        free, kept, notes = balanced(normals, lesions, replace(THIN, thin="tests", seed=seed))
        assert free == normals and sorted(laid.target.lesion_id for _, laid in kept).count("lesion0") in (1, 2)
        assert len(kept) == 6 and {laid.target.lesion_id for _, laid in kept} == {of.lesion_id for of in targets}
        assert notes == ["val: 6 of 20 lesion tiles drawn, of 4 lesions, so that 24 normal tiles are 80% of the tiles"]
        assert drawn.setdefault(seed, kept) == kept
    assert drawn[0] != drawn[1]
    _, kept, notes = balanced(normals[:8], lesions, replace(THIN, thin="all"))
    assert len({laid.target.lesion_id for _, laid in kept}) == len(kept) == 2 and notes[0].endswith(
        "2 lesions have none"
    )
    assert balanced([], lesions, replace(THIN, thin="all"))[1] == lesions  # no share can be met


def test_thinned_tiles_do_not_depend_on_workers_and_an_interrupted_call_goes_on(source, tmp_path, monkeypatch):
    thin = replace(THIN, thin="all")
    whole = tiles(source, tmp_path / "whole", thin)
    interrupted(source, tmp_path / "set", monkeypatch, after=14, options=THIN)  # lesion tiles that are thinned later
    assert files(tiles(source, tmp_path / "set", thin).root) == files(whole.root)
    interrupted(source, tmp_path / "again", monkeypatch, after=14, options=thin)
    assert files(tiles(source, tmp_path / "again", thin).root) == files(whole.root)
    monkeypatch.undo()  # real workers
    assert files(tiles(source, tmp_path / "two", replace(thin, workers=2)).root) == files(whole.root)


def test_without_normal_tiles_there_are_no_bounds(source, tmp_path):
    made = tiles(source, tmp_path / "set", replace(OPTIONS, normal_share=0))
    assert set(made.table["kind"]) == {"lesion"} and read_description(made.root)["tiles"]["bounds"] is None
    with pytest.raises(DatasetError, match="a tile set without normal tiles, so without bounds"):
        tiles(source, tmp_path / "other", OPTIONS, bounds=made.root)
    with pytest.raises(DatasetError, match="no tile set; --bounds takes a tile set"):
        tiles(source, tmp_path / "other", OPTIONS, bounds=source.root)


def test_bounds_are_percentiles_of_tissue_and_can_be_taken_from_another_set(source, tmp_path):
    from ensemble_mammo.lesions.tiles.kept import Bounds, fitted

    sample = np.random.default_rng(0).random((1000, 2))
    bounds = fitted(sample.tolist(), 0.98)
    assert bounds.mean == pytest.approx(tuple(np.quantile(sample[:, 0], [0.01, 0.99])))
    assert bounds.variance == pytest.approx(tuple(np.quantile(sample[:, 1], [0.01, 0.99]))) and bounds.sampled == 1000
    assert bounds.hold(0.5, 0.5) and not bounds.hold(0.5, 0.001) and not bounds.hold(0.999, 0.5)
    with pytest.raises(DatasetError, match="19 of the tiles at random places lie in a breast, expected 20 or more"):
        fitted(sample[:19].tolist(), 0.98)
    with pytest.raises(ValueError, match="bounds of the mean are 1 to 0"):
        Bounds((1, 0), (0, 1), 5)
    first = tiles(source, tmp_path / "first", OPTIONS)
    other = tiles(source, tmp_path / "other", replace(OPTIONS, seed=9), bounds=first.root)
    told = [read_description(made.root)["tiles"]["bounds"] for made in (first, other)]
    assert told[0] == told[1]


def test_the_same_seed_gives_the_same_files_whatever_the_workers(source, tmp_path, monkeypatch):
    one = tiles(source, tmp_path / "one", OPTIONS)
    monkeypatch.undo()  # real workers
    two = tiles(source, tmp_path / "two", replace(OPTIONS, workers=2))
    assert files(one.root) == files(two.root)


def test_another_seed_gives_other_tiles(source, tmp_path):
    one = tiles(source, tmp_path / "one", OPTIONS)
    other = tiles(source, tmp_path / "other", replace(OPTIONS, seed=4))
    both = one.table.merge(other.table, on="image_id")
    assert (both["centre_row_x"] != both["centre_row_y"]).any() and (both["turned_x"] != both["turned_y"]).any()


def interrupted(source, out, monkeypatch, after, options=OPTIONS):
    plain, done = run.spread, []

    def stopping(function, items, workers=0, seconds=60.0, *_):
        for outcome in plain(function, items, workers, seconds):
            if len(done) == after:
                raise KeyboardInterrupt
            done.append(outcome)
            yield outcome

    with monkeypatch.context() as patch:
        patch.setattr(run, "spread", stopping)
        with pytest.raises(KeyboardInterrupt):
            tiles(source, out, options)


@pytest.mark.parametrize("after", [2, 14])
def test_an_interrupted_call_is_gone_on_with_and_gives_the_same_files(source, tmp_path, monkeypatch, after):
    whole = tiles(source, tmp_path / "whole", OPTIONS)
    out = tmp_path / "set"
    interrupted(source, out, monkeypatch, after)
    assert not (out / MANIFEST).exists() and (out / ".tiles.jsonl").is_file()
    cut = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(cut) > 0 or after == 2
    made = tiles(source, out, OPTIONS)
    assert all(path.stat().st_mtime_ns == time for path, time in cut.items() if "_C" in path.name) or after == 14
    assert files(made.root) == files(whole.root)


def test_after_an_interruption_other_options_leave_nothing_of_the_first_call(source, tmp_path, monkeypatch):
    out = tmp_path / "set"
    interrupted(source, out, monkeypatch, after=14)
    few = replace(OPTIONS, findings=("mass",))
    made = tiles(source, out, few)
    assert files(made.root) == files(tiles(source, tmp_path / "whole", few).root)
    assert "two_1" not in set(made.table["lesion_id"]) and "two_2" in set(made.table["lesion_id"])


def test_an_explicit_size_resizes_and_enlarging_is_said(source, tmp_path):
    made = tiles(source, tmp_path / "set", replace(OPTIONS, size_px=48))
    check(source, made, 48)
    notes = read_description(made.root)["notes"]
    assert "tiles are enlarged: 598 film pixels are 33 pixels of the prepared images (median)" in notes


def test_tiles_of_large_images_are_halved_to_299_unasked(source):
    from ensemble_mammo.imaging.breast import Box
    from ensemble_mammo.imaging.tiles import Scale
    from ensemble_mammo.lesions.tiles.plan import _size, planned

    (job, *_), _ = planned(source, OPTIONS).jobs, None
    sizes = {rows: _size([replace(job, scale=Scale(rows / 5295, Box(0, 0, 9, 9)))], OPTIONS)[0] for rows in
             (5295, 2650, 2600, 800)}  # fmt: skip
    assert sizes == {5295: 299, 2650: 299, 2600: 294, 800: 90}


def test_birads_stands_for_pathology_only_when_asked(tmp_path):
    dataset = write_source(tmp_path / "dataset", changed={"birads": "4-6"})
    for asked, expected in ((False, ""), (True, "malignant")):
        made = tiles(dataset, tmp_path / f"set{asked}", replace(OPTIONS, birads=asked))
        own = made.table[made.table["lesion_id"] == "unknown_1"]
        assert set(own["pathology"]) == {expected} and set(own["abnormality"]) == {"abnormal"}


def test_the_works_own_split_halves_the_test_tiles_in_file_order_and_names_its_flaw(source, tmp_path):
    plain = tiles(source, tmp_path / "plain", OPTIONS).table
    made = tiles(source, tmp_path / "set", replace(OPTIONS, split="scuccimarra"))
    table = made.table.set_index("image_id")["split"]
    assert set(table[plain.loc[(plain["split"] != "test") & (plain["kind"] == "lesion"), "image_id"]]) == {"train"}
    tested = plain.loc[(plain["split"] == "test") & (plain["kind"] == "lesion"), "image_id"].tolist()
    assert table[tested].tolist() == ["val"] * (len(tested) // 2) + ["test"] * (len(tested) - len(tested) // 2)
    assert any("tiles of one lesion, and images of one woman, can stand in both halves" in note
               for note in read_description(made.root)["notes"])  # fmt: skip
    assert {part: int((made.table["split"] == part).sum()) for part in ("val", "test")} == {"val": 6, "test": 6}
    with pytest.raises(DatasetError, match="no row of the split test, which --split scuccimarra halves"):
        bare = write_source(tmp_path / "dataset", splits=("train", "val"))
        tiles(bare, tmp_path / "other", replace(OPTIONS, split="scuccimarra"))


def test_a_lesion_whose_tiles_stand_in_both_halves_is_a_leak_that_is_said(tmp_path):
    images = {"one": [MadeLesion((60, 40), 5)], "free": []}
    dataset = write_source(tmp_path / "dataset", images, splits=("test",))
    made = tiles(dataset, tmp_path / "set", replace(OPTIONS, split="scuccimarra"))
    assert leaks_of(made.table)
    assert any(note.startswith("leaks between the splits: subject P0") for note in read_description(made.root)["notes"])


def test_normal_tiles_can_come_from_another_dataset(source, tmp_path):
    images = {f"other{n}": [] for n in range(12)}
    labels = {"subject_id": [f"Q{n}" for n in range(12)], "fold": ""}
    others = write_source(tmp_path / "others", images, splits=("",), changed=labels)
    made = tiles(source, tmp_path / "set", OPTIONS, normals=others)
    normal = made.table[made.table["kind"] == "normal"]
    assert normal["mammogram"].str.startswith("other").all() and (made.table["kind"] == "lesion").sum() == 21
    assert set(normal["split"]) == {"train", "val", "test"} and set(normal["fold"]) == {"0", "1"}
    assert normal.groupby("subject_id")["split"].nunique().max() == 1
    said = read_description(made.root)
    assert said["tiles"]["normals"] == others.fingerprint()
    assert any("what tells the two sources apart tells normal from abnormal too" in note for note in said["notes"])
    tested = write_source(tmp_path / "tested", images, splits=("test",), changed=labels)
    with pytest.raises(
        DatasetError, match="no mammogram of the split train can give normal tiles, while lesions of it"
    ):
        tiles(source, tmp_path / "again", OPTIONS, normals=tested)
    stated = write_source(tmp_path / "stated", images, splits=("train", "test"), changed=labels)
    again = tiles(source, tmp_path / "again", OPTIONS, normals=stated).table
    assert set(again.loc[again["kind"] == "normal", "split"]) == {"train", "test"}  # its own


def test_a_subject_of_both_datasets_stays_in_the_first_ones_split(source):
    from ensemble_mammo.lesions.tiles.kept import dealt

    free = source.table.copy()
    free["split"] = ""
    found = dealt(replace(source, table=free), source, 0)
    assert (found.table["split"] == source.table["split"]).all()


def test_an_image_that_cannot_be_read_is_left_out_and_said(tmp_path):
    dataset = write_source(tmp_path / "dataset")
    (dataset.root / "images/plain.png").write_bytes(b"no picture")
    write_mask(dataset.root / "masks/large_1.png", np.zeros((9, 9), np.uint8))
    write_png16(dataset.root / "images/edge.png", np.ones((50, 50), np.uint16))
    said = read_description(tiles(dataset, tmp_path / "set", OPTIONS).root)
    reasons = {one["image_id"]: one["reason"] for one in said["left_out"]}
    assert reasons["plain"].startswith("images/plain.png: missing, or no PNG")
    assert "mask of 9 x 9 pixels on an image of 160 x 100" in reasons["large"]
    assert "50 x 50 pixels, expected 160 x 100 by its crop and the preparation" in reasons["edge"]
    assert "1 images left out: they could not be read" in said["notes"]


def test_what_cannot_give_tiles_is_refused_and_nothing_is_written(source, tmp_path):
    out = tmp_path / "set"
    only_normal = write_source(tmp_path / "normal", {"a": [], "b": []})
    with pytest.raises(DatasetError, match=r"no lesion at all .* tiles need lesions with masks"):
        tiles(only_normal, out, OPTIONS)
    without = write_source(tmp_path / "without", {"a": [MadeLesion(None)], "b": []})
    with pytest.raises(DatasetError, match=r"no lesion can give tiles \(1 images: its lesions have no mask\)"):
        tiles(without, out, OPTIONS)
    bare = write_source(tmp_path / "bare", {"a": [MadeLesion((60, 40)), MadeLesion(None)]})
    with pytest.raises(DatasetError, match="no mammogram can give normal tiles"):
        tiles(bare, out, OPTIONS)
    small = write_made(tmp_path / "small", IMAGES)
    with pytest.raises(DatasetError, match="598 film pixels are 18 pixels of the prepared images, too few for a tile"):
        tiles(small, out, OPTIONS)
    wrong = write_source(tmp_path / "wrong", {"a": [MadeLesion((60, 40))], "b": []}, changed={"crop_top": "x"})
    with pytest.raises(DatasetError, match="the crop are '288', '200', 'x', '50', '160', '100', expected six numbers"):
        tiles(wrong, out, OPTIONS)
    assert not out.exists()


def test_too_little_tissue_for_bounds_is_refused_and_nothing_is_left(tmp_path):
    dataset = write_source(tmp_path / "dataset", {"a": [MadeLesion((60, 40))], "b": []})
    for name in "ab":
        write_png16(dataset.root / f"images/{name}.png", np.zeros((HEIGHT, WIDTH), np.uint16))
    with pytest.raises(DatasetError, match="0 of the tiles at random places lie in a breast"):
        tiles(dataset, tmp_path / "set", OPTIONS)
    assert not (tmp_path / "set").exists()


def test_a_whole_set_is_kept_unless_it_is_to_be_made_anew(source, tmp_path):
    made = tiles(source, tmp_path / "set", OPTIONS)
    with pytest.raises(OutputError, match="holds a tile set already"):
        tiles(source, made.root, OPTIONS)
    again = tiles(source, made.root, replace(OPTIONS, restart=True, seed=8))
    assert set(files(again.root)) == {MANIFEST, "dataset.json", *again.table["file"]}
    with pytest.raises(OutputError, match="lie in one another"):
        tiles(source, source.root / "tiles", OPTIONS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are no tile set"):
        tiles(source, tmp_path / "full", OPTIONS)


def test_ids_that_cannot_name_a_file_are_refused(tmp_path):
    dataset = write_source(tmp_path / "dataset")
    path = dataset.root / LESIONS
    path.write_text(path.read_text().replace("plain_1,", "../plain,"))
    with pytest.raises(DatasetError, match=r"lesion_id '../plain' cannot name a file"):
        tiles(dataset, tmp_path / "set", OPTIONS)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("set", "7", "set '7' is not one of 6, 8, 9"),
        ("size_px", 20, "size is 20, expected 0"),
        ("trim", 0.5, "trim is 0.5, expected 0 to 0.4"),
        ("normal_share", 1, "normal share is 1, expected a share from 0 to less than 1"),
        ("thin", "val", "thin 'val' is not one of none, tests, all"),
        ("bounds_share", 0, "bounds share is 0, expected more than 0"),
        ("split", "half", "split 'half' is not one of dataset, scuccimarra"),
        ("seed", -1, "seed is -1"),
        ("findings", ("lump",), "finding 'lump' is not one of mass"),
    ],
)
def test_options_outside_their_range_are_refused(field, value, text):
    with pytest.raises(ValueError, match=text):
        TileOptions(**{field: value})


def test_thinning_without_normal_tiles_is_refused():
    with pytest.raises(ValueError, match="thin is 'all' and normal share 0: without normal tiles"):
        TileOptions(normal_share=0, thin="all")


def test_the_command_line_cuts_a_tile_set(source, tmp_path):
    out = tmp_path / "set"
    words = ["tiles", "--data", str(source.root), "--set", "8", "--out", str(out), "--normal-share", "0.5"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "tile set 8, 33 pixels" in done.output and "0.500" in done.output and f"tile set: {out}" in done.output
    again = CliRunner().invoke(app, [*words, "--restart", "--json", "--findings", "mass, calcification"])
    assert json.loads(again.stdout)["tiles"]["findings"] == ["mass", "calcification"]
    assert CliRunner().invoke(app, [*words[:4], "7"]).exit_code == 2


def test_docs_name_every_option_and_column():
    text = (Path(__file__).parents[2] / "docs" / "tiles.md").read_text()
    for name in (
        "normals",
        "bounds",
        "size",
        "trim",
        "normal-share",
        "thin",
        "bounds-share",
        "split",
        "findings",
        "birads",
    ):
        assert f"`--{name}`" in text, name
    for name in (*TILE_COLUMNS[-9:], *TILE_LABELS, *TILE_METHODS):
        assert f"`{name}`" in text, name
