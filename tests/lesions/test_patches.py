"""The verb patches: rules of sampling checked from what was written, resuming, what is left out, errors."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.lesions.patches import SETS, PatchOptions, patches, run
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import MANIFEST, read_dataset, read_description
from ensemble_mammo.records.patch import PATCH_COLUMNS
from ensemble_mammo.records.png16 import read_mask, read_png16, write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.task import PATCH_CLASSES, TASKS
from tests.conftest import at_once
from tests.lesions.made import HEIGHT, WIDTH, MadeLesion, breast, write_made

SIZE = 32
IMAGES = {
    "plain": [MadeLesion((60, 40))],
    "two": [MadeLesion((50, 30), 8, "calcification", "malignant"), MadeLesion((110, 25), 14, "mass", "benign")],
    "edge": [MadeLesion((80, 0), 9, "mass", "malignant")],
    "large": [MadeLesion((80, 40), 30, "asymmetry", "benign")],
    "partly": [MadeLesion((50, 30), 8, "mass", "malignant"), MadeLesion((110, 25), 14, "mass", "")],
    "bare": [MadeLesion((70, 30), 8, "mass", "benign"), MadeLesion(None, 0, "calcification", "benign")],
    "mixed": [MadeLesion((50, 30), 8, "mass", ""), MadeLesion((110, 25), 14, "mass", "")],
    "normal": [],
}
OPTIONS = PatchOptions("S10", SIZE, HEIGHT, seed=3)


@pytest.fixture(autouse=True)
def without_workers(monkeypatch):
    monkeypatch.setattr("ensemble_mammo.lesions.patches.run.spread", at_once)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_made(tmp_path_factory.mktemp("made") / "dataset", IMAGES)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def naive_overlap(mask, row, column, size):
    padded = np.pad(mask, size)
    patch = np.zeros_like(padded)
    patch[row - size // 2 + size :, column - size // 2 + size :][:size, :size] = True
    common = (padded & patch).sum()
    return max(common / mask.sum(), common / size**2)


def masks_of(source):
    lesions = source.lesions()
    masked = lesions[lesions["mask"] != ""]
    found: dict[str, dict[str, np.ndarray]] = {}
    for row in masked.itertuples():
        found.setdefault(row.image_id, {})[row.lesion_id] = read_mask(source.root / row.mask)
    return found


def check(source, made, size, limits=(0.9, 0.35)):
    """Everything that the manifest says of a patch, computed anew from images and masks."""
    masks = masks_of(source)
    mammograms = source.table.set_index("image_id")
    for row in made.table.itertuples():
        pixels = read_png16(source.root / mammograms.loc[row.mammogram, "file"])
        y, x = int(row.centre_row), int(row.centre_column)
        padded = np.pad(pixels, size)
        expected = padded[y - size // 2 + size :, x - size // 2 + size :][:size, :size]
        assert np.array_equal(read_png16(made.root / row.file), expected)
        assert row.size_px == str(size) and row.subject_id == mammograms.loc[row.mammogram, "subject_id"]
        assert row.split == mammograms.loc[row.mammogram, "split"] and row.fold == mammograms.loc[row.mammogram, "fold"]
        assert row.file == f"patches/{row.split}/{row.patch}/{row.image_id}.png"
        own = masks[row.mammogram]
        if row.kind == "lesion":
            overlap = naive_overlap(own[row.lesion_id], y, x, size)
            assert not row.least_overlap or overlap >= float(row.least_overlap)
            assert not row.least_overlap or float(row.least_overlap) <= limits[0]
        else:
            overlap = max(naive_overlap(mask, y, x, size) for mask in own.values())
            assert overlap < limits[1] and pixels[y, x] > 0 and row.patch == "background" and row.least_overlap == ""
        assert float(row.overlap) == pytest.approx(overlap, abs=6e-5)


def test_each_lesion_gives_ten_patches_and_as_many_from_elsewhere(source, tmp_path):
    made = patches(source, tmp_path / "set", OPTIONS)
    check(source, made, SIZE)
    assert (made.table.loc[made.table["kind"] == "lesion", "overlap"].astype(float) >= 0.9).all()
    counts = made.table.groupby(["mammogram", "lesion_id", "kind", "patch"]).size().to_dict()
    both = {
        ("plain", "plain_1"): "benign-mass",
        ("two", "two_1"): "malignant-calcification",
        ("two", "two_2"): "benign-mass",
        ("edge", "edge_1"): "malignant-mass",
        ("large", "large_1"): "benign-mass",
        ("partly", "partly_1"): "malignant-mass",
        ("bare", "bare_1"): "benign-mass",
    }
    expected = {(*key, "lesion", label): 10 for key, label in both.items()}
    expected |= {(*key, "background", "background"): 10 for key in both if key[0] != "bare"}
    assert counts == expected


def test_a_patch_set_is_a_dataset_of_the_task_patch(source, tmp_path):
    made = patches(source, tmp_path / "set", OPTIONS)
    assert list(made.table.columns) == [*PATCH_COLUMNS, "patch"]
    assert made.task_names() == ["patch"] and TASKS["patch"].classes == PATCH_CLASSES
    assert made.preparation == replace(source.preparation, height=HEIGHT, width=0)
    on_disk = {path.relative_to(made.root).as_posix() for path in made.root.rglob("*") if path.is_file()}
    assert on_disk == {MANIFEST, "dataset.json", *made.table["file"]}
    said = read_description(made.root)
    assert said["task"] == "patch" and said["folds"] == 2
    assert said["patches"].pop("counts")["val"] == {
        "background": 30,
        "malignant-calcification": 10,
        "benign-calcification": 0,
        "malignant-mass": 10,
        "benign-mass": 10,
    }
    assert said["patches"] == {
        "set": "S10",
        "size_px": SIZE,
        "image_height_px": HEIGHT,
        "overlap": 0.9,
        "background_overlap": 0.35,
        "per_lesion": 10,
        "birads": False,
        "hard_negatives": 0.0,
        "findings": [],
        "seed": 3,
        "source": source.fingerprint(),
    }
    assert made.table.groupby("subject_id")["split"].nunique().max() == 1
    assert made.table["image_id"].is_unique


def test_what_was_decided_is_said(source, tmp_path):
    made = patches(source, tmp_path / "set", OPTIONS)
    said = read_description(made.root)
    assert said["notes"] == [
        "1 images left out: several lesions and no word which of them is malignant",
        "1 images have no lesion and give no patch",
        "1 images give no background: they have lesions without a mask, which may lie anywhere",
        "1 lesions without pathology give no patches; background keeps off them",
        "1 lesions of finding 'asymmetry' count as masses",
    ]
    reason = "several lesions and no word which of them is malignant"
    assert said["left_out"] == [{"image_id": "mixed", "reason": reason}]


@pytest.mark.parametrize(("name", "size"), [("S", 224), ("S1", 224), ("S1-Big", 512)])
def test_sets_of_one_patch_have_it_in_the_middle_of_the_lesion(source, tmp_path, name, size):
    made = patches(source, tmp_path / "set", PatchOptions(name, 0, HEIGHT))
    check(source, made, size)
    own = made.table[made.table["kind"] == "lesion"].set_index("lesion_id")
    assert len(own) == 7 and own.index.is_unique and (own["least_overlap"] == "").all()
    for image_id, masks in masks_of(source).items():
        for lesion_id in (one for one in masks if one in own.index):
            middle = np.argwhere(masks[lesion_id]).mean(axis=0)
            assert own.loc[lesion_id, ["centre_row", "centre_column"]].astype(int).to_numpy() == pytest.approx(
                middle, abs=0.5
            ), image_id
    assert (made.table["kind"] == "background").sum() <= 6


def test_the_sets_are_the_published_ones():
    assert {name: (one.per_lesion, one.size_px) for name, one in SETS.items()} == {
        "S": (1, 224),
        "S1": (1, 224),
        "S1-Big": (1, 512),
        "S10": (10, 224),
        "S10-Big": (10, 512),
        "S30": (30, 224),
    }
    assert PatchOptions().image_height_px == 1152


def test_the_same_seed_gives_the_same_files_whatever_the_workers(source, tmp_path, monkeypatch):
    one = patches(source, tmp_path / "one", OPTIONS)
    monkeypatch.undo()  # real workers
    two = patches(source, tmp_path / "two", replace(OPTIONS, workers=2))
    assert files(one.root) == files(two.root)


def test_another_seed_gives_other_patches_and_one_image_does_not_depend_on_the_others(source, tmp_path):
    made = patches(source, tmp_path / "set", OPTIONS)
    other = patches(source, tmp_path / "other", replace(OPTIONS, seed=4))
    assert not np.array_equal(made.table["centre_row"], other.table["centre_row"])
    alone = write_made(tmp_path / "alone", {"plain": IMAGES["plain"]})
    single = patches(alone, tmp_path / "single", OPTIONS)
    columns = ["image_id", "centre_row", "centre_column"]
    assert single.table[columns].equals(made.table.loc[made.table["mammogram"] == "plain", columns])


def interrupted(source, out, monkeypatch, after):
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
            patches(source, out, OPTIONS)


def test_an_interrupted_call_is_gone_on_with_and_gives_the_same_files(source, tmp_path, monkeypatch, caplog):
    whole = patches(source, tmp_path / "whole", OPTIONS)
    out = tmp_path / "set"
    interrupted(source, out, monkeypatch, after=3)
    assert not (out / MANIFEST).exists()
    kept = next(out.rglob("plain_1_L01.png")).stat().st_mtime_ns
    (out / "patches" / "train" / ".half.png").write_bytes(b"half")
    with caplog.at_level(logging.INFO):
        made = patches(source, out, OPTIONS)
    assert "3 of 6 images are done already" in caplog.text
    assert next(out.rglob("plain_1_L01.png")).stat().st_mtime_ns == kept
    assert files(made.root) == files(whole.root)


def test_after_an_interruption_other_options_leave_nothing_of_the_first_call(source, tmp_path, monkeypatch):
    out = tmp_path / "set"
    interrupted(source, out, monkeypatch, after=3)
    few = replace(OPTIONS, set="S", findings=("mass",))
    made = patches(source, out, few)
    assert files(made.root) == files(patches(source, tmp_path / "whole", few).root)


def test_a_patch_that_was_deleted_after_an_interruption_is_cut_again(source, tmp_path, monkeypatch):
    out = tmp_path / "set"
    interrupted(source, out, monkeypatch, after=3)
    next(out.rglob("plain_1_B05.png")).unlink()
    made = patches(source, out, OPTIONS)
    assert all((made.root / file).is_file() for file in made.table["file"])


def test_background_keeps_off_lesions_of_unknown_pathology_and_of_findings_not_asked_for(source, tmp_path):
    made = patches(source, tmp_path / "set", replace(OPTIONS, set="S30", findings=("calcification",)))
    check(source, made, SIZE)
    assert set(made.table["lesion_id"]) == {"two_1"}
    assert (made.table["kind"] == "background").sum() == 30
    left_out = {row["image_id"]: row["reason"] for row in read_description(made.root)["left_out"]}
    assert left_out["plain"] == "none of its lesions is of the findings asked for"


def test_the_overlap_is_lowered_for_a_lesion_that_no_patch_can_hold(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"], "line": [MadeLesion((80, 0), 1)]})
    line = np.zeros((HEIGHT, WIDTH), np.uint8)
    line[20:120, 0] = 255
    write_mask(source.root / "masks" / "line_1.png", line)
    made = patches(source, tmp_path / "set", OPTIONS)
    check(source, made, SIZE)
    asked = made.table[made.table["kind"] == "lesion"].groupby("lesion_id")["least_overlap"].unique()
    assert list(asked["plain_1"]) == ["0.9"] and list(asked["line_1"]) == ["0.3"]  # at most 32 of 100 pixels
    assert (
        "the overlap asked for was lowered for 1 of 2 lesions, to 0.3 at the lowest: 1000 draws had failed"
        in (read_description(made.root)["notes"])
    )


def test_hard_negatives_lie_off_the_lesions_and_are_the_share_asked_for(tmp_path):
    spots = {f"spots{n}": [MadeLesion((60, 40), 8), MadeLesion((100, 30), 6, pathology="malignant")] for n in range(4)}
    source = write_made(tmp_path / "dataset", spots)
    made = patches(source, tmp_path / "set", replace(OPTIONS, hard_negatives=0.2))
    check(source, made, SIZE)
    kinds = made.table.groupby("mammogram")["kind"].value_counts().unstack()
    assert (kinds["hard-negative"] == 4).all() and (kinds["background"] == 16).all() and (kinds["lesion"] == 20).all()
    hard = made.table[made.table["kind"] == "hard-negative"]
    assert not hard.duplicated(["mammogram", "centre_row", "centre_column"]).any()


def test_hard_negatives_that_find_no_blob_become_random_background_and_this_is_said(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"]})
    flat = np.where(breast(0)[1], 30_000, 0)
    flat[105:112, 40:47] = 60_000
    write_png16(source.root / "images" / "plain.png", flat.astype(np.uint16))
    made = patches(source, tmp_path / "set", replace(OPTIONS, hard_negatives=1.0))
    counts = made.table["kind"].value_counts()
    assert counts["lesion"] == 10 and counts["hard-negative"] + counts["background"] == 10
    assert 0 < counts["hard-negative"] < 10
    assert (
        f"{counts['background']} hard negatives found no blob and are random background"
        in (read_description(made.root)["notes"])
    )


def test_a_share_of_hard_negatives_holds_on_average_where_a_lesion_has_one_background_patch(tmp_path):
    source = write_made(tmp_path / "dataset", {f"i{n}": IMAGES["plain"] for n in range(24)})
    made = patches(source, tmp_path / "set", PatchOptions("S", SIZE, HEIGHT, hard_negatives=0.5))
    assert 5 < (made.table["kind"] == "hard-negative").sum() < 19


def test_a_lesion_that_fills_the_breast_has_no_background_and_this_is_said(tmp_path):
    source = write_made(tmp_path / "dataset", {"full": [MadeLesion((80, 40), 300)]})
    made = patches(source, tmp_path / "set", replace(OPTIONS, background_overlap=0.2))
    assert set(made.table["kind"]) == {"lesion"}
    assert "10 background patches found no place off the lesions" in read_description(made.root)["notes"]


def test_images_and_masks_are_brought_to_the_height_for_sampling(source, tmp_path):
    made = patches(source, tmp_path / "set", replace(OPTIONS, image_height_px=2 * HEIGHT))
    assert made.preparation.height == 2 * HEIGHT
    row = made.table[made.table["lesion_id"] == "plain_1"].iloc[0]
    pixels = read_png16(source.root / "images" / "plain.png").astype(np.float32)
    large = np.pad(resized(pixels, 2 * HEIGHT, 2 * WIDTH), SIZE)
    y, x = int(row["centre_row"]) + SIZE // 2, int(row["centre_column"]) + SIZE // 2
    assert read_png16(made.root / row["file"]) == pytest.approx(large[y : y + SIZE, x : x + SIZE], abs=0.6)
    assert abs(y - SIZE // 2 - 120) <= 20 and abs(x - SIZE // 2 - 80) <= 20
    assert (
        f"images are enlarged from {HEIGHT} to {2 * HEIGHT} rows; prepare the dataset at that height"
        in (read_description(made.root)["notes"])
    )


def test_height_0_takes_the_images_at_the_size_of_the_source(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"]}, full=3)
    made = patches(source, tmp_path / "set", replace(OPTIONS, image_height_px=0))
    assert made.preparation.height == 0 and made.preparation.width == 0
    row = made.table.iloc[0]
    pixels = np.pad(read_png16(source.root / "full" / "plain.png"), SIZE)
    y, x = int(row["centre_row"]) + SIZE // 2, int(row["centre_column"]) + SIZE // 2
    assert np.array_equal(read_png16(made.root / row["file"]), pixels[y : y + SIZE, x : x + SIZE])
    assert row["full_file"] == ""


def test_height_0_without_images_at_full_size_is_refused(source, tmp_path):
    with pytest.raises(DatasetError, match=r"plain has no image at that size; prepare the dataset again with --full-s"):
        patches(source, tmp_path / "set", replace(OPTIONS, image_height_px=0))
    assert not (tmp_path / "set").exists()


def test_a_dataset_prepared_at_the_source_s_own_size_needs_no_further_images(tmp_path):
    preparation = Preparation(height=0)
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"]}, preparation)
    assert len(patches(source, tmp_path / "set", replace(OPTIONS, image_height_px=0)).table) == 20


def test_without_splits_all_patches_lie_under_all(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"]}, splits=("",))
    made = patches(source, tmp_path / "set", OPTIONS)
    assert {Path(file).parts[:2] for file in made.table["file"]} == {("patches", "all")}
    assert list(read_description(made.root)["patches"]["counts"]) == ["all"]


def test_one_lesion_without_pathology_takes_that_of_its_image(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": [MadeLesion((60, 40), pathology="")]})
    table = source.table.assign(pathology="malignant")
    made = patches(replace(source, table=table), tmp_path / "set", OPTIONS)
    assert set(made.table.loc[made.table["kind"] == "lesion", "patch"]) == {"malignant-mass"}


def test_lesions_without_any_pathology_are_refused(tmp_path):
    bare = [MadeLesion((60, 40), pathology="")]
    source = write_made(tmp_path / "dataset", {"one": bare, "two": bare, "three": [MadeLesion(None, pathology="")]})
    text = r"no image can give patches \(2 images: its lesion has no pathology; 1 images: its lesions have no mask\)"
    with pytest.raises(DatasetError, match=text):
        patches(source, tmp_path / "set", OPTIONS)
    assert not (tmp_path / "set").exists()


def test_a_dataset_without_lesions_is_refused(tmp_path):
    source = write_made(tmp_path / "dataset", {"normal": []})
    with pytest.raises(DatasetError, match=r"no lesion at all \(lesions.csv missing or empty\)"):
        patches(source, tmp_path / "set", OPTIONS)


def test_an_image_that_cannot_be_read_is_left_out_and_nothing_of_it_stays(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"], "spoilt": IMAGES["two"]})
    (source.root / "masks" / "spoilt_2.png").write_bytes(b"no png")
    made = patches(source, tmp_path / "set", OPTIONS)
    assert set(made.table["mammogram"]) == {"plain"}
    said = read_description(made.root)
    assert said["left_out"][0]["reason"].startswith("masks/spoilt_2.png: missing, damaged, or no PNG")
    assert "1 images left out: they could not be read" in said["notes"]
    (source.root / "images" / "plain.png").unlink()
    with pytest.raises(DatasetError, match=r"no patch could be cut; first: plain: images/plain.png: missing"):
        patches(source, tmp_path / "other", OPTIONS)
    assert not (tmp_path / "other").exists()


def test_a_mask_of_another_size_than_its_image_is_told(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"], "other": IMAGES["edge"]}, full=2)
    (source.root / "full-masks" / "other_1.png").replace(source.root / "masks" / "other_1.png")
    made = patches(source, tmp_path / "set", OPTIONS)
    reason = read_description(made.root)["left_out"][0]["reason"]
    assert "mask of 320 x 200 pixels on an image of 160 x 100" in reason


def test_other_files_an_older_set_and_the_dataset_itself_are_never_written_over(source, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are no patch set"):
        patches(source, foreign, replace(OPTIONS, restart=True))
    for place in (source.root / "patches", source.root.parent, source.root):
        with pytest.raises(OutputError, match="lie in one another"):
            patches(source, place, OPTIONS)
    other = write_made(tmp_path / "prepared", {"plain": IMAGES["plain"]})
    with pytest.raises(OutputError, match="holds files that are no patch set"):
        patches(source, other.root, replace(OPTIONS, restart=True))
    made = patches(source, tmp_path / "set", OPTIONS)
    with pytest.raises(OutputError, match=r"holds a patch set already; give another --out, or --restart"):
        patches(source, made.root, OPTIONS)
    again = patches(source, made.root, replace(OPTIONS, set="S", restart=True))
    assert len(list(again.root.rglob("*.png"))) == len(again.table) == 13


def test_a_folder_that_cannot_be_written_ends_the_work(source, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ".patches.jsonl").write_text("{}\n")
    (tmp_path / "set" / "patches").write_text("a file in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        patches(source, tmp_path / "set", OPTIONS)


def test_ids_that_cannot_name_a_file_are_refused(tmp_path):
    source = write_made(tmp_path / "dataset", {"plain": IMAGES["plain"]})
    table = pd.read_csv(source.root / LESIONS, dtype=str, keep_default_na=False)
    table.assign(lesion_id="../plain").to_csv(source.root / LESIONS, index=False)
    with pytest.raises(DatasetError, match=r"lesion_id '\.\./plain' cannot name a file"):
        patches(source, tmp_path / "set", OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"set": "S100"}, "set 'S100' is not one of S, S1, S1-Big, S10, S10-Big, S30; did you mean 'S10'"),
        ({"size_px": 8}, "size is 8, expected 0"),
        ({"image_height_px": 10}, "image height is 10, expected 0, or 32 to 16384"),
        ({"overlap": 0.0}, "overlap is 0, expected more than 0"),
        ({"background_overlap": 1.5}, r"background overlap is 1\.5"),
        ({"hard_negatives": 2.0}, "hard negatives are 2, expected a share"),
        ({"findings": ("lump",)}, "finding 'lump' is not one of mass, calcification"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        PatchOptions(**wrong)


def test_the_command_line_writes_a_set_and_shows_its_counts(source, tmp_path):
    call = CliRunner().invoke
    words = ["patches", "--data", str(source.root), "--set", "S", "--size", "32", "--image-height", "160", "--out"]
    shown = call(app, [*words, str(tmp_path / "set"), "--findings", "mass, calcification"])
    assert shown.exit_code == 0 and "malignant-calcification" in shown.stdout and "patch set: " in shown.stdout
    told = call(app, [*words, str(tmp_path / "other"), "--json", "--hard-negatives", "0.5"])
    assert json.loads(told.stdout) == read_description(tmp_path / "other")
    assert read_dataset(tmp_path / "set").table["patch"].value_counts()["background"] == 5
    wrong = call(app, [*words, str(tmp_path / "third"), "--overlap", "2"])
    assert wrong.exit_code == 2 and not (tmp_path / "third").exists()


def test_each_patch_is_its_own_exam_so_that_no_scores_are_averaged(tmp_path):
    made = patches(write_made(tmp_path / "data", {"plain": IMAGES["plain"]}), tmp_path / "out", OPTIONS)
    assert list(made.table["exam_id"]) == list(made.table["image_id"])
    assert made.table["exam_id"].is_unique and made.table["subject_id"].nunique() == 1


def test_birads_stands_for_a_missing_pathology_only_when_told(tmp_path):
    data = write_made(tmp_path / "data", {"a": [MadeLesion((60, 40), pathology="")] * 2, "b": IMAGES["normal"]})
    data = replace(data, table=data.table.assign(birads=["4-6", "1-2"]))
    with pytest.raises(DatasetError, match=r"no image can give patches .* or --birads"):
        patches(data, tmp_path / "without", OPTIONS)
    made = patches(data, tmp_path / "with", replace(OPTIONS, birads=True))
    assert set(made.table["patch"]) == {"background", "malignant-mass"}
    assert read_description(tmp_path / "with")["patches"]["birads"] is True
