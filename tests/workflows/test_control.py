import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.local import Outcome
from ensemble_mammo.imaging.blots import surroundings
from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.merit.inputs.columns import columns_of
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import ImageRow, read_dataset, read_description, write_dataset
from ensemble_mammo.records.png16 import read_png16, write_mask, write_png16
from ensemble_mammo.records.subject import View
from ensemble_mammo.workflows.control import ControlOptions, control

SHAPE = (96, 64)
LESIONS = {
    "s0_CC_R": [Box(20, 10, 12, 8)],
    "s1_CC_R": [Box(40, 20, 10, 10), Box(60, 5, 4, 20)],
    "s1_MLO_L": [None],
    "s3_CC_R": [Box(30, 30, 16, 12), None],
}
IMAGES = [*LESIONS, "s2_CC_R"]


def picture(seed, outside=False):
    pixels = np.random.default_rng(seed).integers(1, 60_000, SHAPE).astype(np.uint16)
    pixels[:, 50:] = 9 if outside else 0
    return pixels


def dataset_at(root, outside="black", lesions=LESIONS, **columns):
    """Five images of four subjects: one lesion, two, one without a mask, one of each, none."""
    rows, found = [], []
    for place, image_id in enumerate(IMAGES):
        subject, view = image_id.split("_", 1)
        file = f"images/{view}/{image_id}.png"
        write_png16(root / file, picture(place))
        split = {"s0": "train", "s1": "train", "s2": "val", "s3": "test"}[subject]
        known = {"source": f"{image_id}.dcm", "source_sha256": f"of {image_id}"}
        rows.append(ImageRow(image_id, subject, "1", view, file, split, "0", **known, **columns))
        for number, box in enumerate(lesions.get(image_id, []), 1):
            name = f"{image_id}_{number}"
            if box is None:
                found.append(LesionRow(name, image_id, subject, view, str(number), "mass"))
                continue
            mask = np.zeros(SHAPE, np.uint8)
            mask[box.top : box.top + box.height, box.left : box.left + box.width] = 255
            write_mask(root / f"masks/{view}/{name}.png", mask)
            place_of = {key: str(getattr(box, key)) for key in ("top", "left", "height", "width")}
            whole = LesionRow(name, image_id, subject, view, str(number), "mass", mask=f"masks/{view}/{name}.png")
            found.append(LesionRow(**(vars(whole) | place_of)))
    if found:
        write_lesions(root, found)
    labels = {"pathology": ["malignant", "malignant", "benign", "benign", "benign"]}
    preparation = {"height": 96, "outside": outside}
    write_dataset(root, rows, labels, {"format": 1, "task": "pathology", "kind": "coco", "preparation": preparation})
    return root


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, request):
    """No worker processes, whose start takes longer than all the rest, but in the test of their number."""

    def serial(function, items, workers, seconds, *_):
        for item in items:
            try:
                yield Outcome(item, function(item))
            except DatasetError as error:
                yield Outcome(item, None, str(error))

    if "workers" not in request.node.name:
        monkeypatch.setattr("ensemble_mammo.workflows.control.spread", serial)


@pytest.fixture
def data(tmp_path):
    return dataset_at(tmp_path / "films")


def images_of(dataset):
    return {row["image_id"]: read_png16(dataset.root / row["file"]) for row in dataset.table.to_dict("records")}


def files_in(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def made(data, name, lesions, **options):
    return control(data, data.with_name(name), ControlOptions(lesions, workers=1, **options))


def test_blots_hide_the_lesions_and_nothing_else_and_alone_is_the_rest(data):
    before = images_of(read_dataset(data))
    hidden, kept = images_of(made(data, "hidden", "blotted")), images_of(made(data, "kept", "alone"))
    for image_id in ("s0_CC_R", "s1_CC_R", "s3_CC_R"):
        boxes = [box for box in LESIONS[image_id] if box]
        at = surroundings(SHAPE, boxes)
        pixels = before[image_id]
        assert np.array_equal(hidden[image_id][~at], pixels[~at])
        assert set(hidden[image_id][at]) == {np.uint16(np.median(pixels[~at & (pixels > 0)]))}
        assert np.array_equal(kept[image_id], np.where(at, pixels, 0))


def test_images_without_a_place_get_stray_blots_of_anothers_sizes_the_same_in_both_controls(data):
    before = images_of(read_dataset(data))
    hidden, kept = images_of(made(data, "hidden", "blotted")), images_of(made(data, "kept", "alone"))
    most = max(24 * 18, 18 * 12, 14 * 14 + 6 * 30)  # the three lesioned images' boxes with their margins
    for image_id in ("s1_MLO_L", "s2_CC_R"):
        window = kept[image_id] > 0
        breast = before[image_id] > 0
        assert 0 < window.sum() <= most
        assert np.array_equal(kept[image_id][window], before[image_id][window])
        assert np.array_equal(hidden[image_id][breast & ~window], before[image_id][breast & ~window])
        assert len(set(hidden[image_id][window])) == 1
    assert not np.array_equal(images_of(made(data, "other", "blotted", seed=1))["s2_CC_R"], hidden["s2_CC_R"])


def test_the_table_stays_but_for_hash_and_collection(data):
    original, copy = read_dataset(data), made(data, "hidden", "blotted")
    changed = {"source_sha256", "collection"}
    same = [name for name in original.table if name not in changed]
    pd.testing.assert_frame_equal(copy.table[same], original.table[same])
    assert set(copy.table["collection"]) == {"films, lesions blotted"}
    first = copy.table.iloc[0]
    assert first["source_sha256"] == hashlib.sha256((copy.root / first["file"]).read_bytes()).hexdigest()
    pd.testing.assert_frame_equal(copy.lesions(), original.lesions())
    assert to_mapping(copy.preparation) == to_mapping(original.preparation)
    copy.require_preparation(original.preparation, View.CC_R)  # a network of the originals may be tried on it
    prints = [one.fingerprint() for one in (original, copy, made(data, "kept", "alone"))]
    assert len(set(prints)) == 3


def test_the_description_says_which_control_of_which_data(data):
    said = read_description(made(data, "hidden", "blotted", seed=4).root)
    assert (said["control"], said["control_seed"], said["kind"]) == ("blotted", 4, "coco")
    assert said["control_of"] == {"dataset": str(data), "fingerprint": read_dataset(data).fingerprint()}
    assert said["notes"] == [
        "2 of 5 images have no lesion with a place: blots of another image's sizes instead",
        "2 of 5 images have a lesion without a mask: it may still be seen",
    ]


def test_a_named_collection_is_named_and_several_stay(tmp_path):
    one = made(dataset_at(tmp_path / "one", collection="cbis"), "hidden-one", "alone")
    assert set(one.table["collection"]) == {"cbis, lesions alone"}
    root = dataset_at(tmp_path / "two")
    table = pd.read_csv(root / "manifest.csv", dtype=str, keep_default_na=False)
    table["collection"] = ["a", "b", "a", "b", "a"]
    table.to_csv(root / "manifest.csv", index=False)
    assert list(made(root, "hidden-two", "blotted").table["collection"]) == ["a", "b", "a", "b", "a"]


def test_exactly_these_files_are_written_and_the_original_is_untouched(data):
    before = files_in(data)
    files = files_in(made(data, "hidden", "blotted").root)
    masks = {name for name in before if name.startswith("masks/")}
    assert len(masks) == 4
    assert {name for name in files if not name.startswith("folders/")} == masks | {
        "manifest.csv", "dataset.json", "lesions.csv", "lesion-area.csv",
        *(f"images/{image_id.split('_', 1)[1]}/{image_id}.png" for image_id in IMAGES),
    }  # fmt: skip
    assert sum(name.startswith("folders/pathology/") for name in files) == 5
    assert files_in(data) == before
    assert not list(data.parent.glob(".*"))


def test_the_number_of_workers_changes_nothing(data):
    alone = files_in(made(data, "one", "blotted").root)
    two = files_in(control(data, data.with_name("two"), ControlOptions("blotted", workers=2)).root)
    assert {k: v for k, v in alone.items() if k != "dataset.json"} == {
        k: v for k, v in two.items() if k != "dataset.json"
    }
    again = files_in(made(data, "one", "blotted", restart=True).root)
    assert again == alone


def test_without_the_breast_only_the_outside_is_left(tmp_path):
    root = dataset_at(tmp_path / "films", outside="keep")
    for row in read_dataset(root).table.to_dict("records"):
        breast = np.zeros(SHAPE, np.uint16)
        breast[16:80, :40] = 40_000
        breast[:8, 52:60] = 65_535  # a label
        write_png16(root / row["file"], breast)
    left = images_of(made(root, "border", "no-breast"))
    for pixels in left.values():
        assert not pixels[20:76, :36].any()
        assert (pixels[:8, 52:60] == 65_535).all()


def test_the_area_table_holds_shares_of_the_breast_and_report_can_read_it(data):
    dataset = made(data, "hidden", "blotted")
    areas = pd.read_csv(dataset.root / "lesion-area.csv", dtype={"exam_id": str}).set_index("image_id")
    breast = 96 * 50
    assert list(areas.index) == ["s0_CC_R", "s1_CC_R", "s3_CC_R", "s2_CC_R"]  # s1_MLO_L: not known
    assert areas["area_share"].tolist() == pytest.approx([96 / breast, 100 / breast, 192 / breast, 0])
    assert areas["area_px"].tolist() == [96, 100, 192, 0]
    assert areas["lesions"].tolist() == [1, 2, 2, 0]
    assert columns_of("subject=subject_id,exam=exam_id,view=view,score=area_share").score == "area_share"
    answer = CliRunner().invoke(
        app,
        ["report", str(dataset.root / "lesion-area.csv"), "--columns",
         "subject=subject_id,exam=exam_id,view=view,score=area_share", "--data", str(data), "--task", "pathology",
         "--out", str(data.with_name("page")), "--resamples", "0"],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    figures = pd.read_csv(data.with_name("page") / "tables/figures.csv")
    chosen = figures[(figures["level"] == "CC_R") & (figures["figure"] == "auc")]
    labels = pd.Series({"s0_CC_R": 1, "s1_CC_R": 1, "s3_CC_R": 0, "s2_CC_R": 0})
    expected = roc_auc_score(labels[areas.index], areas["area_share"])
    assert chosen["value"].iloc[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["blotted", "alone"])
def test_a_dataset_without_a_place_of_any_lesion_is_refused(tmp_path, name):
    root = dataset_at(tmp_path / "none", lesions={})
    with pytest.raises(DatasetError, match=r"no lesion has a mask \(found no lesion in lesions.csv\)"):
        made(root, "hidden", name)
    bare = dataset_at(tmp_path / "bare", lesions={"s0_CC_R": [None]})
    with pytest.raises(DatasetError, match="found 1 images with lesions without a place"):
        made(bare, "hidden", name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "none"]


def test_what_would_be_black_as_a_whole_is_refused(data):
    with pytest.raises(DatasetError, match=r"all but the breast black, so nothing is left.*--outside keep"):
        made(data, "border", "no-breast")


def test_folders_that_are_no_dataset_controls_and_places_taken_are_refused(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no manifest.csv there"):
        made(tmp_path / "empty", "hidden", "blotted")
    hidden = made(data, "hidden", "blotted").root
    with pytest.raises(OutputError, match="holds a dataset already"):
        made(data, "hidden", "blotted")
    with pytest.raises(OutputError, match="lie in one another"):
        control(data, data / "inside", ControlOptions(workers=1))
    with pytest.raises(DatasetError, match=r"is the control 'blotted' already; name the dataset .*films"):
        made(hidden, "twice", "alone")
    with pytest.raises(ValueError, match="lesions is 'blurred', expected one of blotted, alone, no-breast"):
        ControlOptions("blurred")


def test_a_missing_image_leaves_nothing_half_written(data):
    (data / "images/CC_R/s3_CC_R.png").unlink()
    with pytest.raises(DatasetError, match=r"s3_CC_R.png: missing; prepare the dataset again"):
        made(data, "hidden", "blotted")
    assert [path.name for path in data.parent.iterdir()] == ["films"]


def test_images_at_full_size_stay_behind_with_a_note(data):
    table = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    table["full_file"] = table["file"]
    table.to_csv(data / "manifest.csv", index=False)
    copy = made(data, "hidden", "blotted")
    assert set(copy.table["full_file"]) == {""}
    assert "images at full size are left out of a control" in read_description(copy.root)["notes"]


def test_the_command_line_makes_one_and_names_options_that_do_not_go_with_it(data):
    out = data.with_name("cli")
    answer = CliRunner().invoke(
        app, ["prepare", "control", str(data), "--lesions", "alone", "--out", str(out), "--workers", "1", "--json"]
    )
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["control"] == "alone"
    for extra, text in (
        (["--height", "64"], "--height: a dataset's images are prepared already"),
        (["--folds", "3"], "a control keeps those of its dataset"),
        (["--lesions", "blurred"], "expected one of blotted, alone, no-breast"),
    ):
        answer = CliRunner().invoke(app, ["prepare", "control", str(data), "--out", str(Path(f"{out}2")), *extra])
        assert answer.exit_code == 2
        assert text in " ".join(answer.output.replace("│", " ").split())
    answer = CliRunner().invoke(app, ["prepare", "coco", str(data), "--lesions", "alone"])
    assert answer.exit_code == 2
