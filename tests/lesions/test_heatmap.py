import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.learning.checkpoint import INFO, RECIPE, Passport, write_weights
from ensemble_mammo.learning.heatmap import Grid, HeatmapOptions, Lattice
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
from ensemble_mammo.lesions.heatmap import found as found_module
from ensemble_mammo.lesions.heatmap import mapped as mapped_module
from ensemble_mammo.merit.pages.reader_boxes import boxes_from_json
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.marks import marks_of
from ensemble_mammo.records.origin import read_origin
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.predictions import read_predictions
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe, Recipe, StageRecipe, TrainRecipe
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import PATCH_CLASSES, TASKS
from tests.conftest import at_once

PATCH = 32
QUICK = HeatmapOptions(stride_px=16)


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    for place in ("archives.dicom", "lesions.heatmap.inputs"):
        monkeypatch.setattr(f"ensemble_mammo.{place}.spread", at_once)


def write_run(folder, preparation, seed=0, learned_from=(), task="patch", size=(PATCH, PATCH)):
    """A patch classifier that never learned anything; seeds differ in weights."""
    recipe = Recipe(
        task,
        NetworkRecipe("test_efficientnet"),
        InputRecipe(*size, mean=0.2, std=0.25),
        TrainRecipe(1, (StageRecipe(1e-3),)),
        pooled=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create_network(recipe.network, len(TASKS[task].classes))
        torch.nn.init.normal_(network.get_classifier().weight, std=60.0)
    (folder / "ANY").mkdir(parents=True)
    (folder / "ANY" / RECIPE).write_text(recipe_to_toml(recipe))
    (folder / "ANY" / INFO).write_text(json.dumps({"learned_from": marks_of(learned_from)}))
    write_weights(folder / "ANY", network.state_dict(), Passport(recipe, None, TASKS[task].classes, preparation))
    return folder


@pytest.fixture(scope="session")
def patch_run(dataset, tmp_path_factory):
    """A run on images like those of the phantom dataset (96 rows)."""
    return write_run(tmp_path_factory.mktemp("patch") / "run", dataset.preparation)


def options(**fields):
    return LesionMapOptions(**({"sweep": QUICK, "split": "test", "device": "cpu"} | fields))


def lesions_json(out):
    return json.loads((out / "lesions.json").read_text())


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- a classifier that is certain of what is brightest: a spot in the pixels must be found at its own place


def looks_for_brightness(runs, pixels, mask, options):
    """What is bright at the centre of a patch is a malignant mass, and to a tenth a benign one."""
    lattice = Lattice(*pixels.shape, PATCH, options.stride_px, PATCH // 2)
    wanted = lattice.wanted(mask)
    rows, columns = (
        np.clip((lattice.first + options.stride_px * np.arange(n)).astype(int), 0, side - 1)
        for n, side in zip(wanted.shape, pixels.shape, strict=True)
    )
    bright = pixels[rows][:, columns] / np.float32(65535)
    values = np.stack([1 - 0.99 * bright, 0 * bright, 0 * bright, 0.9 * bright, 0.09 * bright], axis=-1)
    return Grid(np.where(wanted[..., None], values, np.nan).astype(np.float32), options.stride_px, 0, 0, PATCH)


@pytest.fixture
def sees_brightness(monkeypatch):
    monkeypatch.setattr(found_module, "heatmap_of", looks_for_brightness)


def film(spots, shape=(400, 300), chest="left"):
    """A breast of one grey on black, 16 bits, with round bright spots (row, column, brightness)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    from_chest = columns if chest == "left" else shape[1] - 1 - columns
    breast = ((rows - shape[0] / 2) / (0.42 * shape[0])) ** 2 + (from_chest / (0.8 * shape[1])) ** 2 <= 1
    pixels = np.where(breast, 0.25, 0.0)
    for row, column, bright in spots:
        pixels += np.where(breast, bright * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 9.0**2)), 0)
    return np.rint(pixels * 65535).astype(np.uint16), breast


PREPARATIONS = {
    "cropped": Preparation(height=160),
    "mirrored": Preparation(height=160, orientation="chest-left"),
    "padded": Preparation(height=160, width=200, crop=False),
    "trimmed": Preparation(height=200, trim=0.03),
    "of the source's size": Preparation(height=0),
}


@pytest.mark.parametrize("name", PREPARATIONS)
@pytest.mark.parametrize("chest", ["left", "right"])
def test_a_spot_of_a_file_is_found_at_its_own_pixels(name, chest, tmp_path, sees_brightness):
    column = 120 if chest == "left" else 180
    pixels, breast = film([(240, column, 0.7)], chest=chest)
    write_png16(tmp_path / "R-CC.png", pixels)
    run = write_run(tmp_path / "run", PREPARATIONS[name])
    heatmap(tmp_path / "R-CC.png", run, tmp_path / "out", options(split="", sweep=HeatmapOptions(stride_px=4)))
    (entry,) = lesions_json(tmp_path / "out")["images"]
    assert entry["raw"] == "R-CC_1/CC_R.npy" and (entry["height"], entry["width"]) == (400, 300)
    map_ = np.load(tmp_path / "out" / entry["raw"])
    assert map_.dtype == np.float32 and map_.shape == (400, 300)
    peak = np.unravel_index(map_.argmax(), map_.shape)
    assert abs(peak[0] - 240) <= 5 and abs(peak[1] - column) <= 5 and map_.max() > 0.8
    assert not map_[ndimage.distance_transform_edt(~breast) > 10].any()  # the skin line is found with a little margin
    deep = ndimage.distance_transform_edt(breast) > 12  # a step and more
    assert (map_[deep] > 0.2).all() or name == "trimmed"
    best = entry["boxes"][0]
    assert abs(best["row"] - 240) <= 5 and abs(best["column"] - column) <= 5
    assert best["top"] <= 240 < best["top"] + best["height"] and best["left"] <= column < best["left"] + best["width"]
    assert best["class"] == "malignant-mass" and best["score"] == entry["maximum"]
    assert best["top"] >= 0 and best["top"] + best["height"] <= 400 and best["left"] + best["width"] <= 300


def one_image(root, pixels, preparation, lesions=(), **labels):
    write_png16(root / "images" / "a.png", pixels)
    rows = [ImageRow("a", "s1", "1", "MLO_L", "images/a.png", "test")]
    write_dataset(root, rows, {k: [v] for k, v in labels.items()}, {"preparation": to_mapping(preparation)})
    if lesions:
        write_lesions(root, lesions)
    return read_dataset(root)


@pytest.mark.parametrize("height", [100, 200, 400])
def test_a_dataset_of_another_height_is_looked_at_at_that_of_the_patches(height, tmp_path, sees_brightness):
    pixels, breast = film([(240, 120, 0.7)])
    source = one_image(tmp_path / "data", pixels, Preparation(height=400))
    run = write_run(tmp_path / "run", Preparation(height=height))
    heatmap(source, run, tmp_path / "out", options(sweep=HeatmapOptions(stride_px=4)))
    (entry,) = lesions_json(tmp_path / "out")["images"]
    map_ = np.load(tmp_path / "out" / entry["raw"])
    peak = np.unravel_index(map_.argmax(), map_.shape)
    step = 4 * 400 / height
    assert map_.shape == (400, 300) and not map_[~breast].any()
    assert abs(peak[0] - 240) <= step and abs(peak[1] - 120) <= step
    assert abs(entry["boxes"][0]["row"] - 240) <= step and abs(entry["boxes"][0]["column"] - 120) <= step


def test_several_spots_are_several_boxes_highest_first_and_pages_can_show_them(tmp_path, sees_brightness):
    spots = [(120, 60, 0.3), (200, 180, 0.6), (300, 60, 0.45)]
    source = one_image(tmp_path / "data", film(spots)[0], Preparation(height=400))
    run = write_run(tmp_path / "run", Preparation(height=400))
    heatmap(source, run, tmp_path / "out", options(sweep=HeatmapOptions(stride_px=4), least=0.4))
    (entry,) = lesions_json(tmp_path / "out")["images"]
    at = [(box["row"], box["column"]) for box in entry["boxes"]]
    assert np.allclose(at, [(200, 180), (300, 60), (120, 60)], atol=6)
    scores = [box["score"] for box in entry["boxes"]]
    assert scores == sorted(scores, reverse=True) and entry["maximum"] == scores[0]
    ((key, shown),) = boxes_from_json(tmp_path / "out" / "boxes.json").items()
    assert key == ("s1", "1", View.MLO_L) and len(shown) == 3
    first = shown[0].shown((400, 300), (200, 150))
    assert first.x0 < 90 < first.x1 and first.y0 < 100 < first.y1 and first.label == "malignant-mass"
    few = options(sweep=HeatmapOptions(stride_px=4), boxes=1)
    assert len(heatmap(source, run, tmp_path / "few", few).images[0]["boxes"]) == 1


def test_a_map_shows_the_classes_asked_for(tmp_path, sees_brightness):
    source = one_image(tmp_path / "data", film([(240, 120, 0.7)])[0], Preparation(height=400))
    run = write_run(tmp_path / "run", Preparation(height=400))
    highest = {}
    for of in ("lesion", "malignant", "benign", "benign-mass", "calcification", "background"):
        heatmap(source, run, tmp_path / of, options(of=of))
        highest[of] = float(np.load(tmp_path / of / "s1_1" / "MLO_L.npy").max())
        assert lesions_json(tmp_path / of)["of"] == of
    bright = highest["malignant"] / 0.9
    assert highest["lesion"] == pytest.approx(0.99 * bright, rel=1e-5)
    assert highest["benign"] == highest["benign-mass"] == pytest.approx(0.09 * bright, rel=1e-5)
    assert highest["calcification"] == 0 and highest["background"] > 0.7


def test_features_say_how_large_and_how_bright_the_regions_are(tmp_path, sees_brightness):
    source = one_image(tmp_path / "data", film([(200, 90, 0.7)])[0], Preparation(height=400), pathology="malignant")
    run = write_run(tmp_path / "run", Preparation(height=400))
    heatmap(source, run, tmp_path / "out", options(sweep=HeatmapOptions(stride_px=2), cutoffs=(0.5, 0.97)))
    (row,) = pd.read_csv(tmp_path / "out" / "features.csv", dtype={"exam_id": str}).to_dict("records")
    assert list(row)[:5] == ["subject_id", "exam_id", "view", "image_id", "pathology"]
    assert [name for name in row if name.endswith("_0.5")] == [
        f"{name}_0.5"
        for name in ("regions", "area", "eccentricity", "extent", "major_axis", "mean", "maximum", "share")
    ]
    radius = 9 * np.sqrt(2 * np.log(0.7 / (0.5 / 0.99 - 0.25)))  # where 0.99 of the brightness is 0.5
    assert row["pathology"] == "malignant" and row["regions_0.5"] == 1
    assert row["area_0.5"] == pytest.approx(np.pi * radius**2, rel=0.05)
    assert row["major_axis_0.5"] == pytest.approx(2 * radius, rel=0.05) and row["eccentricity_0.5"] < 0.2
    assert row["regions_0.97"] == 0 and row["area_0.97"] == 0 and np.isnan(row["extent_0.97"])


# ---- hits


def test_lesions_that_the_best_boxes_find_are_counted(tmp_path, sees_brightness):
    pixels, _ = film([(200, 90, 0.7), (120, 150, 0.4)])
    for number, (row, column) in enumerate([(200, 90), (120, 150), (300, 40)]):
        mask = np.zeros((400, 300), np.uint8)
        mask[row - 15 : row + 15, column - 15 : column + 15] = 255
        write_mask(tmp_path / "data" / "masks" / f"{number}.png", mask)
    lesions = [LesionRow(f"l{n}", "a", "s1", "MLO_L", mask=f"masks/{n}.png") for n in range(3)]
    source = one_image(tmp_path / "data", pixels, Preparation(height=400), lesions)
    run = write_run(tmp_path / "run", Preparation(height=400))
    maps = heatmap(source, run, tmp_path / "out", options(sweep=HeatmapOptions(stride_px=4), least=0.4))
    assert maps.hits.lesions == 3 and maps.hits.best[1] == (pytest.approx(1 / 3), 0)
    assert all(maps.hits.best[k] == (pytest.approx(2 / 3), 0) for k in (2, 3, 5))
    assert maps.hits.at_one == pytest.approx(2 / 3)
    assert "lesions with a mask: 3; share found at one false positive an image: 0.67" in maps.lines()[-1]
    assert "1 0.33 (0.00), 2 0.67 (0.00)" in maps.lines()[-1]
    write_mask(tmp_path / "data" / "masks" / "2.png", np.zeros((10, 10), np.uint8))
    with pytest.raises(DatasetError, match=r"2\.png: \(10, 10\), expected a mask of \(400, 300\)"):
        heatmap(source, run, tmp_path / "out", options())


# ---- with a network, from a run folder


def test_exactly_the_documented_files_are_written(dataset, patch_run, tmp_path):
    maps = heatmap(dataset, patch_run, tmp_path, options(predictions="pathology"))
    rows = dataset.rows(split="test")
    names = {f"{s}_{e}/{v}" for s, e, v in zip(rows["subject_id"], rows["exam_id"], rows["view"], strict=True)}
    levels = {f"predictions/{level}.csv" for level in (*View, "right", "left", "subject")}
    plain = {f"predictions/predictions_{view.suffix}{end}" for view in View for end in (".txt", ".ids.csv")}
    assert written(tmp_path) == {
        *(f"{name}{end}" for name in names for end in (".npy", "_overlay.png")),
        *levels,
        *plain,
        "predictions/predictions.json",
        "lesions.json",
        "features.csv",
        "boxes.json",
    }
    document = lesions_json(tmp_path)
    assert document == maps.document and document["task"] == "patch" and document["classes"] == list(PATCH_CLASSES)
    assert (document["mode"], document["stride_px"], document["patch_px"]) == ("exact", 16, PATCH)
    assert document["models"] == [str(patch_run)] and document["seen"] == 0 and document["compared"] is None
    assert document["disclaimer"] and document["versions"]["ensemble-mammo"]
    assert [entry["image_id"] for entry in document["images"]] == sorted(rows["image_id"])
    for entry in document["images"]:
        map_ = np.load(tmp_path / entry["raw"])
        assert map_.shape == (entry["height"], entry["width"]) == (96, map_.shape[1]) and 0 < map_.max() <= 1
        with Image.open(tmp_path / entry["overlay"]) as image:
            assert image.size == map_.shape[::-1] and image.mode == "RGB" and np.asarray(image).std() > 5
        assert all(0 < box["score"] <= entry["maximum"] <= 1 for box in entry["boxes"]) and entry["boxes"]
    assert len(pd.read_csv(tmp_path / "features.csv")) == 8


def test_predictions_are_the_highest_values_fused_over_views(dataset, patch_run, tmp_path):
    heatmap(dataset, patch_run, tmp_path, options(predictions="abnormality"))
    entries = lesions_json(tmp_path)["images"]
    classes = TASKS["abnormality"].classes
    for view in View:
        table = read_predictions(tmp_path / "predictions" / f"{view}.csv", view, classes)
        expected = {e["subject_id"]: e["scores"]["lesion"] for e in entries if e["view"] == view}
        assert dict(zip(table.subject_ids, table.scores[:, 1], strict=True)) == expected
    by_breast = {
        side: read_predictions(tmp_path / "predictions" / f"{side}.csv", side, classes) for side in ("right", "left")
    }
    subject = read_predictions(tmp_path / "predictions" / "subject.csv", "subject", classes)
    worst = np.maximum(*(one.scores[:, 1] for one in by_breast.values()))
    np.testing.assert_allclose(subject.scores[:, 1], worst)
    origin = read_origin(tmp_path / "predictions")
    assert origin.seen == 0 and list(origin.runs) == list(View)
    assert "heatmaps of lesion" in json.loads((tmp_path / "predictions" / "predictions.json").read_text())["notes"][-1]


def test_a_raw_folder_and_the_same_exam_after_prepare_have_the_same_highest_values(exams, dataset, patch_run, tmp_path):
    (subject,) = sorted(set(dataset.rows(split="test")["subject_id"]))[:1]
    prepared = heatmap(dataset, patch_run, tmp_path / "a", options()).images
    raw = heatmap(exams / subject, patch_run, tmp_path / "b", options(split="")).images
    assert [entry["raw"] for entry in raw] == [f"{subject}_1/{view}.npy" for view in View]
    for entry in raw:
        (other,) = [one for one in prepared if (one["subject_id"], one["view"]) == (subject, entry["view"])]
        assert entry["maximum"] == other["maximum"] and len(entry["boxes"]) == len(other["boxes"])
        assert (entry["height"], entry["width"]) == (128, 102) != (other["height"], other["width"])
    assert pd.read_csv(tmp_path / "b" / "features.csv")["image_id"].isna().all()


def test_several_images_of_a_view_are_numbered(exams, patch_run, tmp_path):
    shutil.copytree(exams / "PH0001", tmp_path / "PH0001")
    shutil.copy(tmp_path / "PH0001" / "CC_R.dcm", tmp_path / "PH0001" / "CC_R_again.dcm")
    maps = heatmap(tmp_path / "PH0001", patch_run, tmp_path / "out", options(split=""))
    assert [entry["raw"] for entry in maps.images][:2] == ["PH0001_1/CC_R.npy", "PH0001_1/CC_R_2.npy"]
    shown = boxes_from_json(tmp_path / "out" / "boxes.json")
    assert len(shown["PH0001", "1", View.CC_R]) == len(maps.images[0]["boxes"])


def test_several_runs_are_averaged(dataset, patch_run, tmp_path):
    other = write_run(tmp_path / "other", dataset.preparation, seed=1)
    maps = []
    for number, models in enumerate(([patch_run], [other], [patch_run, other])):
        heatmap(dataset, models, tmp_path / str(number), options())
        maps.append(np.load(tmp_path / str(number) / lesions_json(tmp_path / str(number))["images"][0]["raw"]))
    assert not np.allclose(maps[0], maps[1], atol=0.02)
    np.testing.assert_allclose(maps[2], (maps[0] + maps[1]) / 2, atol=1e-5)


def test_dense_maps_that_are_not_compared_say_so(dataset, patch_run, tmp_path):
    maps = heatmap(dataset, patch_run, tmp_path, options(sweep=replace(QUICK, mode="dense")))
    assert "dense maps stray from exact ones; how far was not measured here: --compare N does" in maps.document["notes"]


def test_predictions_of_an_earlier_call_do_not_stay_beside_other_maps(dataset, patch_run, tmp_path):
    heatmap(dataset, patch_run, tmp_path, options(predictions="abnormality"))
    assert (tmp_path / "predictions" / "subject.csv").is_file()
    heatmap(dataset, patch_run, tmp_path, options(split="val"))
    assert not (tmp_path / "predictions").exists()


def test_dense_maps_are_compared_with_exact_ones_on_images_drawn_by_chance(dataset, patch_run, tmp_path):
    sweep = replace(QUICK, mode="dense", shared=1)
    maps = heatmap(dataset, patch_run, tmp_path / "a", options(sweep=sweep, compare=3, seed=4))
    compared = [entry for entry in maps.images if "deviation" in entry]
    assert len(compared) == 3 and maps.document["compared"]["images"] == 3
    for entry in compared:
        said = entry["deviation"]
        assert 0 < said["correlation"] <= 1 and 0 <= said["mean_difference"] <= said["largest_difference"] <= 1
        assert said["places"] == entry["patches"] and said["exact_seconds"] > 0
    (line,) = [line for line in maps.lines() if line.startswith("dense against exact on 3 images: correlation 0.")]
    assert "times as quick" in line
    again = heatmap(dataset, patch_run, tmp_path / "b", options(sweep=sweep, compare=3, seed=4))
    drawn = [[entry["image_id"] for entry in one.images if "deviation" in entry] for one in (maps, again)]
    assert drawn[0] == drawn[1]


# ---- who was learned from


def test_subjects_whom_the_run_learned_from_are_named_as_a_leak(dataset, tmp_path):
    subjects = sorted(set(dataset.rows(split="test")["subject_id"]))
    run = write_run(tmp_path / "run", dataset.preparation, learned_from=subjects[:1])
    maps = heatmap(dataset, run, tmp_path / "out", options(predictions="abnormality"))
    assert maps.document["seen"] == 1 and "LEAKAGE: 1 of these subjects" in maps.document["notes"][0]
    assert maps.lines()[0].startswith("note: LEAKAGE: 1")
    assert read_origin(tmp_path / "out" / "predictions").seen == 1


def test_of_several_runs_those_that_never_saw_a_subject_look_at_her(dataset, patch_run, tmp_path):
    subjects = sorted(set(dataset.rows(split="test")["subject_id"]))
    run = write_run(tmp_path / "run", dataset.preparation, seed=1, learned_from=subjects[:1])
    both = heatmap(dataset, [run, patch_run], tmp_path / "both", options())
    alone = heatmap(dataset, patch_run, tmp_path / "alone", options())
    assert both.document["seen"] == 0
    assert both.document["notes"] == ["subjects looked at by those networks alone that never saw them: 1"]
    same = [a["maximum"] == b["maximum"] for a, b in zip(both.images, alone.images, strict=True)]
    assert same == [entry["subject_id"] == subjects[0] for entry in both.images]


# ---- interrupted


def counted(monkeypatch, stop_after=None):
    """How many images are looked at; optionally interrupted behind some of them."""
    calls = []
    looked = mapped_module.found_in

    def counting(*given):
        if len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append(given[0].wanted.stem)
        return looked(*given)

    monkeypatch.setattr(mapped_module, "found_in", counting)
    return calls


def test_an_interrupted_call_goes_on_with_the_images_that_are_left(dataset, patch_run, tmp_path, monkeypatch):
    whole = heatmap(dataset, patch_run, tmp_path / "whole", options())
    with monkeypatch.context() as patch:
        calls = counted(patch, stop_after=3)
        with pytest.raises(KeyboardInterrupt):
            heatmap(dataset, patch_run, tmp_path / "out", options())
        assert len(calls) == 3 and "lesions.json" not in written(tmp_path / "out")
    calls = counted(monkeypatch)
    rest = heatmap(dataset, patch_run, tmp_path / "out", options())
    assert len(calls) == 5 and written(tmp_path / "out") == written(tmp_path / "whole")

    def without_time(maps):
        return [{name: value for name, value in entry.items() if name != "seconds"} for entry in maps.images]

    assert without_time(rest) == without_time(whole)
    for name in ("features.csv", "boxes.json"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.parametrize("change", ["options", "weights", "a map that is gone"])
def test_what_was_done_otherwise_is_done_again(change, dataset, patch_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        calls = counted(patch, stop_after=3)
        with pytest.raises(KeyboardInterrupt):
            heatmap(dataset, patch_run, tmp_path / "out", options())
    run, said = patch_run, options(predictions="abnormality")  # which alone would change no map
    if change == "options":
        said = options(least=0.2)
    elif change == "weights":
        run = write_run(tmp_path / "run", dataset.preparation, seed=1)
    else:
        (tmp_path / "out" / f"{calls[0]}.npy").unlink()
    calls = counted(monkeypatch)
    heatmap(dataset, run, tmp_path / "out", said)
    assert len(calls) == (6 if change == "a map that is gone" else 8)


# ---- wrong inputs


def test_a_run_of_another_task_is_refused_with_what_to_train(dataset, runs, tmp_path):
    with pytest.raises(RunError, match=r"trained for the task 'density', and a heatmap takes a patch classifier; cut"):
        heatmap(dataset, runs, tmp_path / "out", options())
    assert not (tmp_path / "out").exists()


def test_runs_that_cannot_be_averaged_are_refused(dataset, patch_run, tmp_path):
    larger = write_run(tmp_path / "larger", dataset.preparation, size=(64, 64))
    with pytest.raises(RunError, match=r"patches of 32 x 32, 64 x 64 pixels; expected squares of one size"):
        heatmap(dataset, [patch_run, larger], tmp_path / "out", options())
    oblong = write_run(tmp_path / "oblong", dataset.preparation, size=(32, 64))
    with pytest.raises(RunError, match=r"patches of 32 x 64 pixels; expected squares"):
        heatmap(dataset, oblong, tmp_path / "out", options())
    with pytest.raises(RunError, match="name a patch classifier with --models"):
        heatmap(dataset, [], tmp_path / "out", options())


def test_a_dataset_prepared_otherwise_is_refused_unless_only_its_source_differs(dataset, tmp_path):
    ranked = write_run(tmp_path / "ranked", replace(dataset.preparation, intensity="rank"))
    with pytest.raises(DatasetError, match="intensity 'kept', in training 'rank'"):
        heatmap(dataset, ranked, tmp_path / "out", options(other_source=True))
    other = write_run(tmp_path / "other", replace(dataset.preparation, polarity="auto"))
    with pytest.raises(DatasetError, match="polarity 'header', in training 'auto'"):
        heatmap(dataset, other, tmp_path / "out", options())
    maps = heatmap(dataset, other, tmp_path / "out", options(other_source=True))
    assert "polarity 'header', in training 'auto'" in maps.document["notes"][0]


def test_what_is_not_there_is_said(dataset, patch_run, tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        heatmap(tmp_path / "nowhere", patch_run, tmp_path / "out", options())
    empty = replace(dataset, table=dataset.table[dataset.table["split"] != "test"])
    with pytest.raises(DatasetError, match="no image in split 'test' of a view that the runs know"):
        heatmap(empty, patch_run, tmp_path / "out", options())
    (tmp_path / "R_CC.png").write_text("no picture")
    with pytest.raises(DatasetError, match=r"no image could be read; left out: .*R_CC\.png"):
        heatmap(tmp_path / "R_CC.png", patch_run, tmp_path / "out", options(view=View.CC_R))
    assert written(tmp_path) == {"R_CC.png"}


def test_a_file_of_unknown_view_asks_for_it_and_takes_it(patch_run, tmp_path):
    write_png16(tmp_path / "film.png", film([])[0])
    with pytest.raises(DatasetError, match=r"film\.png: view and side not known from header or name; say it with"):
        heatmap(tmp_path / "film.png", patch_run, tmp_path / "out", options(split=""))
    maps = heatmap(tmp_path / "film.png", patch_run, tmp_path / "out", options(split="", view=View.MLO_R))
    assert maps.images[0]["raw"] == "film_1/MLO_R.npy"


def test_an_image_without_a_breast_has_an_empty_map_and_no_score(dataset, patch_run, tmp_path):
    source = one_image(tmp_path / "data", np.zeros((96, 70), np.uint16), dataset.preparation)
    maps = heatmap(source, patch_run, tmp_path / "out", options())
    (entry,) = lesions_json(tmp_path / "out")["images"]
    assert entry["maximum"] is None and entry["boxes"] == [] and entry["patches"] == 0
    assert "images without a patch in a breast, whose maps are empty and have no scores: 1" in maps.document["notes"][0]
    assert not np.load(tmp_path / "out" / entry["raw"]).any()
    with pytest.raises(DatasetError, match="there are no scores of birads"):
        heatmap(source, patch_run, tmp_path / "out", options(predictions="birads"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"of": "cancer"}, "a map of 'cancer': expected one of lesion, malignant, benign"),
        ({"least": 2.0}, "lowest score of a box is 2, expected 0 to 1"),
        ({"boxes": -1}, "must be 0 or more"),
        ({"smoothing_px": -2.0}, "smoothing is -2 pixels"),
        ({"apart_px": float("nan")}, "apart is nan pixels"),
        ({"cutoffs": (0.0,)}, "must lie above 0"),
        ({"compare": 1}, "take mode dense"),
        ({"predictions": "density"}, "expected one of abnormality, pathology, birads"),
    ],
)
def test_values_outside_their_range_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        LesionMapOptions(**fields)


# ---- the command line


def call(*words):
    return CliRunner().invoke(app, ["heatmap", *map(str, words)], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})


def test_the_command_line_says_what_came_of_it_or_prints_json(exams, patch_run, tmp_path):
    words = ["--models", patch_run, "--image", exams / "PH0001" / "CC_R.dcm", "--stride", "16", "--out", tmp_path]
    said = call(*words, "--cutoff", "0.4", "--mode", "dense", "--compare", "1")
    assert said.exit_code == 0, said.output
    assert f"1 heatmaps under {tmp_path}" in said.output and "dense against exact on 1 images" in said.output
    assert "regions_0.4" in (tmp_path / "features.csv").read_text()
    told = call(*words, "--json")
    assert told.exit_code == 0 and json.loads(told.stdout)["images"][0]["view"] == "CC_R"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--image", "a", "--data", "b"], "give one of --subject-dir, --image and --data"),
        (["--data", "a", "--view", "CC_R"], "goes with --image"),
        (["--image", "a", "--view", "all"], "an image has one view"),
        (["--mode", "fast"], "expected one of exact, dense"),
        (["--compare", "2"], "take mode dense"),
    ],
)
def test_wrong_usage_is_said(words, text):
    said = call(*words)
    assert said.exit_code == 2 and text in said.output
