import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.phantom_files import write_phantom_file
from ensemble_mammo.imaging.read import read_mammogram
from ensemble_mammo.learning.cam import METHODS
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import write_mask
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.explain.networks import Networks
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("in_process")


class ImageItself(nn.Module):
    """A network whose features are its input: bright pixels are the evidence for D, dark ones for A."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor([-1.0, 0.0, 0.0, 1.0]))

    def forward_features(self, batch):
        return batch * self.sign[3]

    def forward_head(self, features):
        return features.mean(dim=(1, 2, 3))[:, None] * self.sign

    def forward(self, batch):
        return self.forward_head(self.forward_features(batch))


def plain_runs(monkeypatch, preparation, settings=()):
    """Runs whose networks see the pixels and nothing else, instead of trained ones."""
    recipe = load_recipe("density/demo", None, [*TINY, "input.mean=0.0", "input.std=1.0", *settings])
    task = TASKS["density"]
    made = {
        view: LoadedRun(None, recipe, view, task, task.classes, preparation, ImageItself().eval(), {}) for view in View
    }
    networks = Networks({view: [run] for view, run in made.items()})
    monkeypatch.setattr("ensemble_mammo.stages.explain.run.networks_at", lambda models, source, options: networks)


def exam_with_a_blob(folder, row, from_chest_wall, height=320):
    """Two views with one bright disc each, at the same distance from the chest wall; its place in each."""
    places = {}
    for view, pixels in phantom_exam(1, "B", 0, height).items():
        if view not in (View.CC_R, View.CC_L):
            continue
        column = from_chest_wall if view is View.CC_L else pixels.shape[1] - 1 - from_chest_wall
        rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
        blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 9.0**2))
        write_phantom_file(folder / f"{view}.dcm", (0.5 * pixels + 0.5 * blob).astype(np.float32), view, (0, 1))
        places[view] = (row, column)
    return places


@pytest.mark.parametrize("settings", [(), ("input.fit=squash",), ("input.height=48", "input.width=128")])
@pytest.mark.parametrize("preparation", [Preparation(height=160), Preparation(height=96, width=128, crop=False)])
def test_the_map_lies_over_the_original_pixels(tmp_path, monkeypatch, preparation, settings):
    places = exam_with_a_blob(tmp_path / "s", row=190, from_chest_wall=55)
    plain_runs(monkeypatch, preparation, settings)
    explain(tmp_path / "s", tmp_path, tmp_path / "out", ExplainOptions(class_name="D"))
    for view, (row, column) in places.items():
        original = read_mammogram(tmp_path / "s" / f"{view}.dcm").pixels
        map_ = np.load(tmp_path / "out" / "s_1" / f"{view}.npy")
        assert map_.shape == original.shape == (320, 256)
        peak = np.unravel_index(map_.argmax(), map_.shape)
        assert abs(peak[0] - row) <= 6 and abs(peak[1] - column) <= 6, (view, peak)
        assert map_.max() > 0.9 and map_[:5].max() == 0 and map_[-5:].max() < 0.1


def test_exactly_the_documented_files_are_written_at_the_size_of_the_mammogram(exams, runs, tmp_path):
    maps = explain(exams / "PH0001", runs, tmp_path / "out", ExplainOptions())
    kinds = {".npy", "_map.png", "_overlay.png", "_contours.png"}
    expected = {f"PH0001_1/{view}{kind}" for view in View for kind in kinds}
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    expected |= {"PH0001_1/sheet.png", "maps.json"}
    assert written == expected
    for view in View:
        map_ = np.load(tmp_path / "out" / "PH0001_1" / f"{view}.npy")
        assert map_.dtype == np.float32 and map_.shape == (128, 102)
        assert map_.min() >= 0 and map_.max() <= 1
        for kind in kinds - {".npy"}:
            with Image.open(tmp_path / "out" / "PH0001_1" / f"{view}{kind}") as image:
                assert image.size == (102, 128)
                assert image.mode == ("L" if kind == "_map.png" else "RGB")
    text = json.loads((tmp_path / "out" / "maps.json").read_text())
    assert text["method"] == "grad-cam" and len(text["maps"]) == len(maps) == 4
    assert {one["view"] for one in text["maps"]} == set(View)
    assert all(one["raw"] == f"PH0001_1/{one['view']}.npy" and 0.25 <= one["score"] <= 1 for one in text["maps"])


def test_a_dataset_is_explained_at_the_size_of_its_prepared_images(dataset, runs, tmp_path):
    maps = explain(dataset, runs, tmp_path, ExplainOptions(split="test"))
    rows = dataset.rows(split="test")
    assert len(maps) == len(rows) == 8
    sheets = {p.parent.name for p in tmp_path.rglob("sheet.png")}
    assert sheets == {f"{s}_{e}" for s, e in zip(rows["subject_id"], rows["exam_id"], strict=True)}
    for one in maps:
        assert np.load(tmp_path / one.raw).shape[0] == 96


def test_the_class_to_explain_is_the_one_asked_for(exams, runs, tmp_path):
    for name in ("A", "4"):
        maps = explain(exams / "PH0001", runs, tmp_path / name, ExplainOptions(class_name=name))
        assert {one.class_name for one in maps} == {"A" if name == "A" else "D"}


def test_an_unknown_class_is_refused_before_anything_is_written(exams, runs, tmp_path):
    with pytest.raises(DatasetError, match="class to explain: label 'E' is not one of A, B, C, D"):
        explain(exams / "PH0001", runs, tmp_path / "out", ExplainOptions(class_name="E"))
    assert not (tmp_path / "out").exists()


def test_several_images_of_one_view_have_a_map_each(subject, exams, runs, tmp_path):
    shutil.copy(subject / "CC_R.dcm", subject / "copy.dcm")
    maps = explain(subject, runs, tmp_path / "out", ExplainOptions())
    assert sorted(one.raw for one in maps if one.view == "CC_R") == ["PH0001_1/CC_R.npy", "PH0001_1/CC_R_2.npy"]


def test_several_runs_of_one_view_are_refused(exams, runs, tmp_path):
    for fold in (0, 1):
        shutil.copytree(runs / "CC_R", tmp_path / "folds" / f"fold-{fold}" / "CC_R")
    with pytest.raises(RunError, match=r"2 runs of one view; a map shows one network: name one fold, such as .*fold-0"):
        explain(exams / "PH0001", tmp_path / "folds", tmp_path / "out", ExplainOptions())


def test_runs_of_other_views_than_the_images_are_refused(subject, runs, tmp_path):
    for view in ("CC_L", "MLO_R", "MLO_L"):
        (subject / f"{view}.dcm").unlink()
    shutil.copytree(runs / "CC_L", tmp_path / "runs" / "CC_L")
    with pytest.raises(RunError, match="PH0001: has CC_R, the runs are of CC_L"):
        explain(subject, tmp_path / "runs", tmp_path / "out", ExplainOptions())


def test_a_dataset_prepared_otherwise_is_refused(dataset, runs, tmp_path):
    shutil.copytree(dataset.root, tmp_path / "other")
    description = json.loads((tmp_path / "other" / "dataset.json").read_text())
    description["preparation"]["crop"] = False
    (tmp_path / "other" / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DatasetError, match=r"\(crop False, in training True\)"):
        explain(read_dataset(tmp_path / "other"), runs, tmp_path / "out", ExplainOptions())


def with_lesions(dataset, folder):
    """A copy of the dataset with two lesions in one test image, one without a mask in another."""
    root = shutil.copytree(dataset.root, folder / "with-lesions")
    rows = dataset.rows(split="test").sort_values(["subject_id", "view"]).to_dict("records")
    first, second = rows[0], rows[1]
    shape = np.asarray(Image.open(root / first["file"])).shape
    lesions = []
    for number, columns in (("1", slice(10, 20)), ("2", slice(30, 40))):
        mask = np.zeros(shape, np.uint8)
        mask[40:50, columns] = 255
        write_mask(root / f"masks/{number}.png", mask)
        lesions.append(
            LesionRow(number, first["image_id"], first["subject_id"], first["view"], mask=f"masks/{number}.png")
        )
    lesions.append(LesionRow("3", second["image_id"], second["subject_id"], second["view"]))
    write_lesions(root, lesions)
    return read_dataset(root), first, second


def test_measured_maps_have_a_row_an_image_and_a_summary(dataset, runs, tmp_path):
    data, first, second = with_lesions(dataset, tmp_path)
    options = ExplainOptions(split="test", measure=True, measure_images=2, resamples=50, seed=1)
    maps = explain(data, runs, tmp_path / "out", options)
    table = pd.read_csv(tmp_path / "out" / "measures.csv", dtype={"subject_id": str, "exam_id": str})
    assert list(table["map"]) == [one.raw for one in maps] and list(table["class"]) == [one.class_name for one in maps]
    assert table["deletion"].notna().sum() == table["insertion_random"].notna().sum() == 2
    own = table[table["mask"] == "lesion"]
    assert own[["subject_id", "view"]].to_numpy().tolist() == [[first["subject_id"], first["view"]]]
    map_ = np.load(tmp_path / "out" / own["map"].iloc[0])
    inside = (map_[40:50, 10:20].sum() + map_[40:50, 30:40].sum()) / map_.sum()
    assert own["energy_inside"].iloc[0] == pytest.approx(inside, abs=1e-5)
    drawn = [p.name for p in (tmp_path / "out").rglob("*_lesion.png")]
    assert drawn == [f"{first['view']}_lesion.png"]
    unseen = table[(table["subject_id"] == second["subject_id"]) & (table["view"] == second["view"])].iloc[0]
    assert "no lesion of it has an outline" in unseen["note"] and math.isnan(unseen["pointing"])
    found = json.loads((tmp_path / "out" / "measures.json").read_text())
    assert (found["images"], found["images_with_lesion"], found["images_with_slow_measures"]) == (8, 1, 2)
    assert found["pointing"]["images"] == 1 and found["pointing"]["hits"] == own["pointing"].iloc[0]
    assert found["means"]["all"]["deletion"]["value"] == pytest.approx(table["deletion"].mean())
    assert found["means"]["all"]["energy_breast"]["images"] == table["energy_breast"].notna().sum()
    assert list(found["sanity"]) == ["last layer", "last quarter", "last half", "last three quarters", "all layers"]
    assert any("not a matter of lesions" in note for note in found["notes"])
    assert set(found["means"]["all"]) | {"spearman", "ssim"} == set(found["definitions"])


def test_measures_hang_on_the_seed_alone(dataset, runs, tmp_path):
    options = ExplainOptions(split="test", measure=True, measure_images=1, resamples=20, method="class-map", seed=5)
    for name in ("a", "b"):
        explain(dataset, runs, tmp_path / name, options)
    for file in ("measures.csv", "measures.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert "no image has a lesion with a mask" in (tmp_path / "a" / "measures.json").read_text()


def test_a_subjects_folder_is_measured_too_without_lesions(subject, runs, tmp_path):
    explain(subject, runs, tmp_path / "out", ExplainOptions(measure=True, measure_images=1, resamples=0))
    table = pd.read_csv(tmp_path / "out" / "measures.csv")
    assert len(table) == 4 and set(table["mask"]) == {"breast"} and table["deletion"].notna().sum() == 1
    assert table["energy_breast"].between(0, 1).all()


def test_a_mask_of_another_size_is_refused(dataset, runs, tmp_path):
    data, _, _ = with_lesions(dataset, tmp_path)
    write_mask(data.root / "masks/2.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match=r"masks/2\.png \(5, 5\): expected .* as the prepared image"):
        explain(data, runs, tmp_path / "out", ExplainOptions(split="test", measure=True, measure_images=1))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map_from_0_to_1(subject, runs, tmp_path, method):
    for view in ("CC_L", "MLO_R", "MLO_L"):
        (subject / f"{view}.dcm").unlink()
    [one] = explain(subject, runs, tmp_path / "out", ExplainOptions(method=method))
    map_ = np.load(tmp_path / "out" / one.raw)
    assert map_.shape == (128, 102) and np.isfinite(map_).all()
    assert map_.min() >= 0 and map_.max() <= 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"method": "gradcam"}, "method 'gradcam' is not one of grad-cam, class-map, grad-cam"),
        ({"levels": (0.5, 1.0)}, r"contour levels \(0\.5, 1\.0\) must lie between 0 and 1"),
        ({"levels": ()}, "contour levels"),
        ({"measure_images": -1}, "must be 0 or more"),
        ({"deletion_fill": "white"}, "deletion fill 'white' is not one of blur, black"),
    ],
)
def test_options_that_cannot_be_right_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        ExplainOptions(**fields)


def test_maps_of_subjects_that_the_networks_learned_from_are_said_to_be_so(dataset, runs, tmp_path):
    explain(dataset, runs, tmp_path / "train", ExplainOptions(split="train"))
    notes = json.loads((tmp_path / "train" / "maps.json").read_text())["notes"]
    assert any("LEAKAGE: 4 of these subjects were in the training of these networks" in note for note in notes)
    explain(dataset, runs, tmp_path / "test", ExplainOptions(split="test"))
    assert json.loads((tmp_path / "test" / "maps.json").read_text())["notes"] == []


def test_of_a_cross_validation_each_subject_is_explained_by_networks_that_never_saw_her(dataset, runs, tmp_path):
    from ensemble_mammo.learning.checkpoint import load_run
    from ensemble_mammo.learning.scores import scores_of
    from ensemble_mammo.records.marks import marks_of
    from ensemble_mammo.records.png16 import read_png16
    from ensemble_mammo.stages.train import TrainOptions, train

    subjects = sorted(set(dataset.table["subject_id"]))
    recipe = load_recipe("density/demo", View.CC_R, TINY)
    for fold in (0, 1):
        others = frozenset(subjects[1 - fold :: 2])
        options = TrainOptions(seed=fold, device="cpu", train_subjects=others, val_subjects=frozenset())
        made = train(dataset, View.CC_R, recipe, tmp_path / "cv" / f"fold-{fold}", options)
        assert made.info["learned_from"] == marks_of(others)
    found = explain(dataset, tmp_path / "cv", tmp_path / "out")
    assert sorted(files.subject_id for files in found) == subjects
    for files in found:
        own = load_run(tmp_path / "cv" / f"fold-{subjects.index(files.subject_id) % 2}" / "CC_R")
        row = dataset.rows(View.CC_R).set_index("subject_id").loc[files.subject_id]
        scores = scores_of([own], [read_png16(dataset.root / row["file"])])[0]
        assert files.score == pytest.approx(scores.max(), abs=1e-6)
    notes = json.loads((tmp_path / "out" / "maps.json").read_text())["notes"]
    assert notes == ["each subject is explained by networks that never saw her (out of fold)"]
